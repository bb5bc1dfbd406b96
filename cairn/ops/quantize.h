// Quantized data: bytes in a block format of core/block_format.h.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

// float[..., n] as u8[..., bytes of a row], rounded to the nearest code of each block; n is a
// multiple of the format's block. `format` is a name of GGUF: "q8_0", "q4_0", ...
Tensor quantize(Operand x, std::string_view format);
// The numbers of such bytes. matmul(x, dequantize(w)) is how a product with quantized weights is
// written.
Tensor dequantize(Operand bytes, std::string_view format, DType dtype = DType::f32);
// Those of u8[N, K] in kRowFormat, each row times one of f32[N].
Tensor dequantize_rows(Operand codes, Operand scales);

}  // namespace cairn
