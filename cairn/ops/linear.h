// Matrix products.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

// NumPy's matmul: [..., M, K] x [..., K, N], batch axes broadcast; a vector is a row on the left and a
// column on the right, and its axis disappears. f16 and bf16 are accumulated in f32.
Tensor matmul(Operand a, Operand b);

}  // namespace cairn
