// Taking, placing and ordering elements by index.
#pragma once

#include <utility>

#include "cairn/ops/operand.h"

namespace cairn {

// x[..., indices, ...] along `axis`; negative indices count from the end. Out of range is an Error at
// the evaluation. `indices` may have any rank.
Tensor take(const Tensor& x, Operand indices, int axis = 0);
// NumPy's take_along_axis: indices have x's rank; other axes broadcast.
Tensor take_along_axis(const Tensor& x, const Tensor& indices, int axis);
// x with updates written (set), added, multiplied, or joined by max or min at x[..., indices, ...];
// updates have the shape of take(x, indices, axis). In index order.
Tensor index_set(const Tensor& x, Operand indices, Operand updates, int axis = 0);
Tensor index_add(const Tensor& x, Operand indices, Operand updates, int axis = 0);
Tensor index_multiply(const Tensor& x, Operand indices, Operand updates, int axis = 0);
Tensor index_max(const Tensor& x, Operand indices, Operand updates, int axis = 0);
Tensor index_min(const Tensor& x, Operand indices, Operand updates, int axis = 0);
// updates at x[..., indices[i], ...] where indices have x's rank but for `axis` (scatter of PyTorch).
Tensor put_along_axis(const Tensor& x, const Tensor& indices, const Tensor& updates, int axis,
                      std::string_view kind = "set");

// Stable; NaN last in either order.
Tensor sort(const Tensor& x, int axis = -1, bool descending = false);
Tensor argsort(const Tensor& x, int axis = -1, bool descending = false);
// k largest along the last axis, descending, and their i32 indices.
std::pair<Tensor, Tensor> top_k(const Tensor& x, int k);
struct Unique {
  Tensor values;   // [size], ascending, filled up with `fill`
  Tensor inverse;  // i32 of x's shape: values[inverse] = x
  Tensor count;    // i32, 0-d: how many values are real
};
// Distinct values of an integer tensor, as JAX's unique with a static size. More than `size` distinct
// values: the smallest `size` are kept and `inverse` of the rest is size - 1; `count` says the truth.
Unique unique(const Tensor& x, int64_t size, Number fill = 0);

// 1 at the index along a new last axis; rows of zeros for indices out of range.
Tensor one_hot(Operand indices, int64_t classes, DType dtype = DType::f32);
// Index along `axis`, of the given shape.
Tensor iota(const Shape& shape, int axis, DType dtype = DType::i32);
Tensor arange(int64_t stop, DType dtype = DType::i32);
Tensor arange(double start, double stop, double step, DType dtype = DType::f32);
Tensor linspace(double start, double stop, int64_t count, DType dtype = DType::f32);
Tensor eye(int64_t rows, int64_t columns = -1, DType dtype = DType::f32);
// Zero above (below) diagonal k of the last two axes.
Tensor tril(const Tensor& x, int k = 0);
Tensor triu(const Tensor& x, int k = 0);
// Diagonal of the last two axes; a matrix with x on its diagonal.
Tensor diagonal(const Tensor& x);
Tensor diag(const Tensor& x);
Tensor trace_of(const Tensor& x);
// Elements shifted by `shift` along `axis`; what leaves one end enters the other.
Tensor roll(const Tensor& x, int64_t shift, int axis);
Tensor repeat(const Tensor& x, int64_t times, int axis);  // each element `times` times
Tensor tile(const Tensor& x, const Ints& times);

}  // namespace cairn
