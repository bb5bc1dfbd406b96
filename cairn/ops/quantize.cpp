#include "cairn/ops/quantize.h"

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

}  // namespace cairn
