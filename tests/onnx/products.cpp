// Products of matrices, convolutions.
#include <cmath>

#include "tests/onnx/windows.h"

namespace cairn::test {

namespace {

Ints onnx_kernel(const Tensor& weight) {
  Ints kernel;
  for (int i = 2; i < weight.rank(); ++i) kernel.push_back(weight.size(i));
  return kernel;
}

}  // namespace

Tensor onnx_convolution(const OnnxCall& c, const Tensor& x, const Tensor& weight,
                        const Tensor& bias) {
  const OnnxWindows w = onnx_windows(c, x, onnx_kernel(weight));
  return convolution(x, weight, bias,
                     {.stride = w.stride,
                      .padding = w.low,
                      .padding_high = w.high,
                      .dilation = w.dilation,
                      .groups = c.integer("group", 1)});
}

namespace {

Tensor gemm(const OnnxCall& c) {
  const Tensor a = c.integer("transA", 0) ? transpose(c[0]) : c[0];
  const Tensor b = c.integer("transB", 0) ? transpose(c[1]) : c[1];
  const Tensor product = matmul(a, b) * c.number("alpha", 1);
  return c.has(2) ? product + c[2] * c.number("beta", 1) : product;
}

Tensor einsum_of(const OnnxCall& c) {
  const std::vector<Operand> operands(c.all().begin(), c.all().end());
  return einsum(c.text("equation", ""), operands);
}

Tensor transposed_convolution(const OnnxCall& c) {
  if (c.has_attribute("output_shape") || c.text("auto_pad", "NOTSET") != "NOTSET")
    throw Unsupported("a padding that follows from the result's shape");
  const OnnxWindows w = onnx_windows(c, c[0], onnx_kernel(c[1]));
  return conv_transpose(c[0], c[1], c.optional(2),
                        {.stride = w.stride,
                         .padding = w.low,
                         .padding_high = w.high,
                         .dilation = w.dilation,
                         .groups = c.integer("group", 1),
                         .output_padding = c.ints("output_padding")});
}

// Depthwise convolution along time with the steps before x as its state.
std::vector<Tensor> causal_convolution(const OnnxCall& c) {
  const int64_t channels = c[0].size(1), before = c[1].size(2) - 1;
  const Tensor past = c.has(3) ? c[3] : zeros({c[0].size(0), channels, before}, c[0].dtype());
  const Tensor parts[] = {past, c[0]};
  const Tensor x = concatenate(parts, 2);
  Tensor y = convolution(x, c[1], c.optional(2), {.groups = channels});
  const std::string activation = c.text("activation", "none");
  if (activation == "silu" || activation == "swish")
    y = silu(y);
  else if (activation != "none")
    throw Unsupported("the activation " + activation);
  return {y, slice_axis(x, 2, x.size(2) - before, x.size(2))};
}

// Columns of patches added up in a picture: what a convolution with one weight per element of the
// patch does backwards.
Tensor columns_to_image(const OnnxCall& c) {
  const std::vector<int64_t> image = c.constants(1), block = c.constants(2);
  const int spatial = static_cast<int>(image.size());
  int64_t patch = 1;
  Shape grid, taps;
  for (const int64_t size : block) patch *= size;
  const int64_t channels = c[0].size(1) / patch;
  taps.push_back(patch);
  taps.push_back(1);
  grid.push_back(c[0].size(0));
  grid.push_back(c[0].size(1));
  const Ints stride = c.has_attribute("strides") ? c.ints("strides") : Ints(spatial, 1);
  const Ints dilation = c.has_attribute("dilations") ? c.ints("dilations") : Ints(spatial, 1);
  const Ints pads = c.has_attribute("pads") ? c.ints("pads") : Ints(2 * spatial, 0);
  Ints low, high, more;
  for (int i = 0; i < spatial; ++i) {
    const size_t at = static_cast<size_t>(i);
    const int64_t room = image[at] + pads[i] + pads[i + spatial];
    const int64_t reach = dilation[i] * (block[at] - 1) + 1;
    const int64_t count = (room - reach) / stride[i] + 1;
    grid.push_back(count);
    taps.push_back(block[at]);
    low.push_back(pads[i]);
    high.push_back(pads[i + spatial]);
    more.push_back(room - (count - 1) * stride[i] - reach);
  }
  Ints times(taps.rank(), 1);
  times[0] = channels;  // the same weights for each group
  return conv_transpose(reshape(c[0], grid), tiled(reshape(eye(patch), taps), times), {},
                        {.stride = stride,
                         .padding = low,
                         .padding_high = high,
                         .dilation = dilation,
                         .groups = channels,
                         .output_padding = more});
}

}  // namespace

void add_products(OnnxTable& table) {
  table["MatMul"] = one([](const OnnxCall& c) { return matmul(c[0], c[1]); });
  table["Gemm"] = one(gemm);
  table["Einsum"] = one(einsum_of);
  table["Conv"] =
      one([](const OnnxCall& c) { return onnx_convolution(c, c[0], c[1], c.optional(2)); });
  table["ConvTranspose"] = one(transposed_convolution);
  table["CausalConvWithState"] = causal_convolution;
  table["Col2Im"] = one(columns_to_image);
  // Integers, less their zero points.
  const auto shifted = [](const OnnxCall& c, int x, int zero, int rank_of_channels) {
    const Tensor wide = cast(c[x], DType::i32);
    if (!c.has(zero)) return wide;
    const Tensor z = cast(c[zero], DType::i32);
    if (z.rank() == 0 || z.elements() == 1) return wide - reshape(z, {});
    Shape shape(Ints(wide.rank(), 1));
    shape[rank_of_channels < 0 ? rank_of_channels + wide.rank() : rank_of_channels] = z.size(0);
    return wide - reshape(z, shape);
  };
  table["MatMulInteger"] = one(
      [shifted](const OnnxCall& c) { return matmul(shifted(c, 0, 2, -2), shifted(c, 1, 3, -1)); });
  table["ConvInteger"] = one([shifted](const OnnxCall& c) {
    return onnx_convolution(c, shifted(c, 0, 2, 1), shifted(c, 1, 3, 0), {});
  });
}

}  // namespace cairn::test
