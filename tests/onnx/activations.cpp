// Activations, softmax, dropout.
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

// ONNX states selu's constants as f32 numbers; cairn's selu has the same ones.
constexpr double kSeluAlpha = 1.67326319217681884765625;
constexpr double kSeluGamma = 1.05070102214813232421875;

Tensor selu_of(const OnnxCall& c) {
  if (!c.has_attribute("alpha") && !c.has_attribute("gamma")) return selu(c[0]);
  return elu(c[0], c.number("alpha", kSeluAlpha)) * c.number("gamma", kSeluGamma);
}

Tensor celu(const OnnxCall& c) {
  const double alpha = c.number("alpha", 1);
  return elu(c[0] / alpha, 1) * alpha;
}

// 1 at the first largest along the axis.
Tensor hardmax(const OnnxCall& c) {
  const int axis = normalize_axis("Hardmax", c.axis(-1), c[0].rank());
  return moveaxis(one_hot(argmax(c[0], axis), c[0].size(axis), c[0].dtype()), -1, axis);
}

Tensor shrink(const OnnxCall& c) {
  const double lambda = c.number("lambd", 0.5), bias = c.number("bias", 0);
  return where(c[0] < -lambda, c[0] + bias, where(c[0] > lambda, c[0] - bias, 0));
}

// Without training, x and a mask of all true. What training gives depends on ONNX's own generator.
std::vector<Tensor> dropout_of(const OnnxCall& c) {
  const double ratio = c.has(1) ? c.constant(1) : c.number("ratio", 0.5);
  if (c.has(2) && c.constant(2) != 0 && ratio != 0)
    throw Unsupported("random numbers of another generator");
  return {c[0], full(c[0].shape(), true, DType::b8)};
}

}  // namespace

void add_activations(OnnxTable& table) {
  table["Relu"] = one([](const OnnxCall& c) { return relu(c[0]); });
  table["Gelu"] =
      one([](const OnnxCall& c) { return gelu(c[0], c.text("approximate", "none") == "tanh"); });
  table["Elu"] = one([](const OnnxCall& c) { return elu(c[0], c.number("alpha", 1)); });
  table["Celu"] = one(celu);
  table["Selu"] = one(selu_of);
  table["Mish"] = one([](const OnnxCall& c) { return mish(c[0]); });
  table["Swish"] =
      one([](const OnnxCall& c) { return c[0] * sigmoid(c[0] * c.number("alpha", 1)); });
  table["HardSwish"] = one([](const OnnxCall& c) { return hardswish(c[0]); });
  table["HardSigmoid"] = one([](const OnnxCall& c) {
    return clamp(c[0] * c.number("alpha", 0.2) + c.number("beta", 0.5), 0, 1);
  });
  table["LeakyRelu"] =
      one([](const OnnxCall& c) { return leaky_relu(c[0], c.number("alpha", 0.01)); });
  table["PRelu"] = one([](const OnnxCall& c) { return where(c[0] < 0, c[0] * c[1], c[0]); });
  table["Softplus"] = one([](const OnnxCall& c) { return softplus(c[0]); });
  table["Softsign"] = one([](const OnnxCall& c) { return c[0] / (abs(c[0]) + 1); });
  table["ThresholdedRelu"] =
      one([](const OnnxCall& c) { return where(c[0] > c.number("alpha", 1), c[0], 0); });
  table["Shrink"] = one(shrink);
  table["Softmax"] = one([](const OnnxCall& c) { return softmax(c[0], c.axis(-1)); });
  table["LogSoftmax"] = one([](const OnnxCall& c) { return log_softmax(c[0], c.axis(-1)); });
  table["Hardmax"] = one(hardmax);
  table["Dropout"] = dropout_of;
}

}  // namespace cairn::test
