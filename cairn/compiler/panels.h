// Panels: a matrix in the order in which a product's kernel reads its second operand.
//
// A panel is 64 columns of a matrix [K, N], its rows one after the other, so that a kernel walks
// through memory from one end to the other whatever N is, and however the matrix lay before.
// Elements of a column lie together as far as one instruction multiplies them: two bf16, four
// bytes. Ends are filled up with zeros. Only a matrix that many products read is worth it: weights
// (hoist.h).
#pragma once

#include "cairn/base/thread_pool.h"
#include "cairn/graph/tensor.h"

namespace cairn {

inline constexpr int64_t kPanelColumns = 64;
// How many elements of a column lie together.
int64_t panel_elements(DType dtype);
// The matrix [K, N] as [N / 64, K / E, 64, E], in plain operations.
Tensor in_panels(const Tensor& matrix);
// Whether the operand of a product is a matrix in panels, as kernels read them.
bool reads_panels(const Node& node, int operand);
// Whether it is of a type narrower than x's, f16 or bf16, whose numbers the product reads as f32.
bool widens_panels(const Node& product);

// --- weights of which there is no copy but the panels --------------------------------------------

// Whether products read a matrix of so many rows and columns in panels: of less they would read
// more zeros than numbers.
bool is_worth_panels(int64_t depth, int64_t columns);
// The rows [N, K] of a weight whose transpose lies in `panels`. The compiler takes the panels, and
// everybody else sees the rows.
Tensor from_panels(const Tensor& panels, int64_t rows, int64_t depth);
// The panels that rows are made from; undefined where they are not.
Tensor panels_of_rows(const Tensor& rows);
// Rows of from_panels(panels, `rows`, `depth`) by their numbers, as gather along axis 0.
Tensor gather_from_panels(const Tensor& panels, int64_t rows, int64_t depth, const Tensor& numbers);

// The shape of the panels of a weight [rows, depth].
Shape panels_shape(DType dtype, int64_t rows, int64_t depth);
// Writes the panels of rows without a graph, for who reads a file: all of `panels` is written.
void write_panels(DType dtype, const void* from, int64_t rows, int64_t depth, void* panels,
                  ThreadPool& pool);

}  // namespace cairn
