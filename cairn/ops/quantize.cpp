#include "cairn/ops/quantize.h"

#include <fmt/format.h>

#include "cairn/core/block_format.h"

namespace cairn {

Tensor quantize(Operand x, std::string_view format) {
  const Provenance provenance(x.where());
  return make(Op::quantize, {x.value()}, {{Attr::format, std::string(format)}});
}

Tensor dequantize(Operand bytes, std::string_view format, DType dtype) {
  const Provenance provenance(bytes.where());
  return make(Op::dequantize, {bytes.value()},
              {{Attr::format, std::string(format)}, {Attr::dtype, dtype}});
}

Tensor dequantize_rows(Operand codes, Operand scales) {
  const Provenance provenance(codes.where());
  const Tensor numbers = dequantize(codes, kRowFormat);
  if (numbers.rank() != 2 || scales.value().shape() != Shape{numbers.shape()[0]})
    throw_error(fmt::format("[dequantize_rows] wants codes (N, K) and scales (N), not {} and {}",
                            to_string(codes.value().shape()), to_string(scales.value().shape())));
  const Ints shape = {numbers.shape()[0], numbers.shape()[1]};
  const Tensor spread =
      make(Op::broadcast, {scales.value()}, {{Attr::shape, shape}, {Attr::axes, Ints{0}}});
  return make(Op::multiply, {numbers, spread});
}

}  // namespace cairn
