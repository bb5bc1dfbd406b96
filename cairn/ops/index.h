// Taking, placing and ordering elements by index.
#pragma once

#include <utility>

#include "cairn/ops/operand.h"

namespace cairn {

// x[..., indices, ...] along `axis`; negative indices count from the end. Out of range is an Error
// at the evaluation. `indices` may have any rank.
Tensor take(Operand x, Operand indices, int axis = 0);
// NumPy's take_along_axis: indices have x's rank; other axes broadcast.
Tensor take_along_axis(Operand x, const Tensor& indices, int axis);
// x with updates written (set), added, multiplied, or joined by max or min at x[..., indices, ...];
// updates have the shape of take(x, indices, axis). In index order.
Tensor index_set(Operand x, Operand indices, Operand updates, int axis = 0);
Tensor index_add(Operand x, Operand indices, Operand updates, int axis = 0);
Tensor index_multiply(Operand x, Operand indices, Operand updates, int axis = 0);
Tensor index_max(Operand x, Operand indices, Operand updates, int axis = 0);
Tensor index_min(Operand x, Operand indices, Operand updates, int axis = 0);
// updates at x[..., indices[i], ...] where indices have x's rank but for `axis` (scatter of
// PyTorch).
Tensor put_along_axis(Operand x, const Tensor& indices, const Tensor& updates, int axis,
                      std::string_view kind = "set");

// Stable; NaN last in either order.
Tensor sort(Operand x, int axis = -1, bool descending = false);
Tensor argsort(Operand x, int axis = -1, bool descending = false);
// k largest along the last axis, descending, and their i32 indices.
std::pair<Tensor, Tensor> top_k(Operand x, int k);
struct Unique {
  Tensor values;   // [size], ascending, filled up with `fill`
  Tensor inverse;  // i32 of x's shape: values[inverse] = x
  Tensor counts;   // i32 [size]: how often each occurs; 0 for those filled up
  Tensor count;    // i32, 0-d: how many values are real
};
// Distinct values, as JAX's unique with a static size; NaN counts as one value. More than `size`
// distinct values: the smallest `size` are kept and `inverse` of the rest is size - 1; `count` says
// the truth.
Unique unique(Operand x, int64_t size, Number fill = 0);

// 1 at the index along a new last axis; rows of zeros for indices out of range.
Tensor one_hot(Operand indices, int64_t classes, DType dtype = DType::f32);
// Index along `axis`, of the given shape.
Tensor iota(const Shape& shape, int axis, DType dtype = DType::i32,
            const std::source_location& where = std::source_location::current());
Tensor arange(int64_t stop, DType dtype = DType::i32,
              const std::source_location& where = std::source_location::current());
Tensor arange(double start, double stop, double step, DType dtype = DType::f32,
              const std::source_location& where = std::source_location::current());
// `count` numbers from start to stop, the last of which is left out without endpoint.
Tensor linspace(double start, double stop, int64_t count, DType dtype = DType::f32,
                bool endpoint = true,
                const std::source_location& where = std::source_location::current());
// Ones on diagonal k (positive: above the main one).
Tensor eye(int64_t rows, int64_t columns = -1, int k = 0, DType dtype = DType::f32,
           const std::source_location& where = std::source_location::current());
// Zero above (below) diagonal k of the last two axes.
Tensor tril(Operand x, int k = 0);
Tensor triu(Operand x, int k = 0);
// Diagonal k of the last two axes; a matrix with the last axis of x as its diagonal k.
Tensor diagonal(Operand x, int k = 0);
Tensor diag(Operand x, int k = 0);
Tensor trace_of(Operand x, int k = 0);
// Elements shifted by `shift` along `axis`; what leaves one end enters the other.
Tensor roll(Operand x, int64_t shift, int axis);
Tensor repeat(Operand x, int64_t times, int axis);  // each element `times` times
// Element i of the axis times[i] times.
Tensor repeat(Operand x, std::span<const int64_t> times, int axis);
Tensor tiled(Operand x, const Ints& times);

}  // namespace cairn
