// Panels: a matrix in the order in which a product's kernel reads its second operand.
//
// A panel is 64 columns of a matrix [K, N], its rows one after the other, so that a kernel walks
// through memory from one end to the other whatever N is, and however the matrix lay before.
// Elements of a column lie together as far as one instruction multiplies them: two bf16, four
// bytes. Ends are filled up with zeros. Only a matrix that many products read is worth it: weights
// (hoist.h).
#pragma once

#include "cairn/graph/tensor.h"

namespace cairn {

inline constexpr int64_t kPanelColumns = 64;
// How many elements of a column lie together.
int64_t panel_elements(DType dtype);
// The matrix [K, N] as [N / 64, K / E, 64, E], in plain operations.
Tensor in_panels(const Tensor& matrix);
// Whether the operand of a product is a matrix in panels, as kernels read them.
bool reads_panels(const Node& node, int operand);

}  // namespace cairn
