// Normalisation.
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

Ints axes_from(int first, int rank) {
  Ints axes;
  for (int i = first; i < rank; ++i) axes.push_back(i);
  return axes;
}

std::vector<Tensor> layer_normalization(const OnnxCall& c) {
  const int rank = c[0].rank(), axis = normalize_axis("LayerNormalization", c.axis(-1), rank);
  const double epsilon = c.number("epsilon", 1e-5);
  const Ints axes = axes_from(axis, rank);
  return {layer_norm(c[0], c.optional(1), c.optional(2), epsilon, rank - axis),
          mean(c[0], axes, true), rsqrt(variance(c[0], axes, 0, true) + epsilon)};
}

// cairn's is over one axis: those from `axis` on become one.
Tensor rms_normalization(const OnnxCall& c) {
  const int axis = normalize_axis("RMSNormalization", c.axis(-1), c[0].rank());
  const Tensor x = flatten(c[0], axis), weight = reshape(c[1], {x.size(-1)});
  return reshape(rms_norm(x, weight, c.number("epsilon", 1e-5)), c[0].shape());
}

std::vector<Tensor> batch_normalization(const OnnxCall& c) {
  const double epsilon = c.number("epsilon", 1e-5), momentum = c.number("momentum", 0.9);
  if (!c.integer("training_mode", 0)) return {batch_norm(c[0], c[3], c[4], c[1], c[2], epsilon)};
  Ints axes = axes_from(2, c[0].rank());
  axes.insert(0, 0);
  const Tensor m = mean(c[0], axes), v = variance(c[0], axes);
  return {batch_norm(c[0], m, v, c[1], c[2], epsilon), c[3] * momentum + m * (1 - momentum),
          c[4] * momentum + v * (1 - momentum)};
}

// Of a vector of zeros, zeros.
Tensor lp_normalization(const OnnxCall& c) {
  const Tensor length =
      norm(c[0], static_cast<double>(c.integer("p", 2)), {c.integer("axis", -1)}, true);
  return c[0] / where(equal(length, 0), 1, length);
}

// x over a power of the mean of squares of neighbouring channels, zeros at the ends.
Tensor local_response_normalization(const OnnxCall& c) {
  const int64_t size = c.integer("size", 1);
  if (size % 2 == 0) throw Unsupported("a window of an even number of channels");
  const Tensor& x = c[0];
  const Tensor columns = reshape(square(x), {x.size(0), 1, x.size(1), -1});
  const Tensor means = avg_pool(columns, {size, 1}, {.stride = {1}, .padding = {size / 2, 0}});
  const Tensor scale = means * c.number("alpha", 1e-4) + c.number("bias", 1);
  return x / power(reshape(scale, x.shape()), c.number("beta", 0.75));
}

}  // namespace

void add_norms(OnnxTable& table) {
  table["LayerNormalization"] = layer_normalization;
  table["RMSNormalization"] = one(rms_normalization);
  table["BatchNormalization"] = batch_normalization;
  table["LpNormalization"] = one(lp_normalization);
  table["LRN"] = one(local_response_normalization);
}

}  // namespace cairn::test
