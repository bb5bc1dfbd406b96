// Linear quantization: an integer is round(x / scale) + zero point, saturated.
#include "tests/onnx/windows.h"

namespace cairn::test {

namespace {

// A scale or zero point for each element of x: of all, per index of the axis, or per block of the
// axis.
Tensor spread(const OnnxCall& c, const Tensor& x, const Tensor& value) {
  if (value.rank() == 0 || value.elements() == 1) return reshape(value, {});
  const int axis = normalize_axis("QuantizeLinear", c.axis(1), x.rank());
  if (const int64_t block = c.integer("block_size", 0))
    return slice_axis(repeat(value, block, axis), axis, 0, x.size(axis));
  Shape shape(Ints(x.rank(), 1));
  shape[axis] = value.size(0);
  return reshape(value, shape);
}

// Numbers as elements of `dtype`, after the division by their scale.
Tensor quantized(const Tensor& scaled, const Tensor& zero_point, DType dtype) {
  if (is_float8(dtype)) return onnx_cast(scaled, dtype, true);
  const Tensor rounded = round(cast(scaled, DType::f32));
  return cast(zero_point.defined() ? rounded + cast(zero_point, DType::f32) : rounded, dtype);
}

Tensor quantize_linear(const OnnxCall& c) {
  DType dtype = c.has(2) ? c[2].dtype() : DType::u8;
  if (c.integer("output_dtype", 0)) dtype = dtype_of_onnx(c.integer("output_dtype", 0));
  return quantized(c[0] / spread(c, c[0], c[1]), c.has(2) ? spread(c, c[0], c[2]) : Tensor(),
                   dtype);
}

Tensor dequantize_linear(const OnnxCall& c) {
  const Tensor scale = spread(c, c[0], c[1]);
  const bool is_real = is_float(c[0].dtype());
  Tensor x = cast(c[0], is_real ? scale.dtype() : DType::i32);
  if (c.has(2) && !is_real) x = x - cast(spread(c, c[0], c[2]), DType::i32);
  return cast(x, scale.dtype()) * scale;
}

// A product of quantized operands: a, its scale and zero point, b likewise, then the result's.
OnnxBuilder quantized_product(Tensor (*product)(const OnnxCall&, const Tensor&, const Tensor&)) {
  return one([product](const OnnxCall& c) {
    const auto integers = [&](int x) {
      if (c[x + 2].elements() != 1) throw Unsupported("a zero point for each row or column");
      return cast(c[x], DType::i32) - cast(reshape(c[x + 2], {}), DType::i32);
    };
    const auto scale = [&](int i) { return cast(reshape(c[i], {}), DType::f32); };
    const Tensor sums = product(c, integers(0), integers(3));
    const Tensor scaled = cast(sums, DType::f32) * (scale(1) * scale(4) / scale(6));
    return quantized(scaled, reshape(c[7], {}), c[7].dtype());
  });
}

}  // namespace

void add_quantization(OnnxTable& table) {
  table["QuantizeLinear"] = one(quantize_linear);
  table["DequantizeLinear"] = one(dequantize_linear);
  table["QLinearMatMul"] = quantized_product(
      [](const OnnxCall&, const Tensor& a, const Tensor& b) { return matmul(a, b); });
  table["QLinearConv"] = quantized_product([](const OnnxCall& c, const Tensor& x, const Tensor& w) {
    return onnx_convolution(c, x, w, c.optional(8));
  });
}

}  // namespace cairn::test
