// Small builders that the rules of several transforms share. Not part of the public interface.
#pragma once

#include <string_view>
#include <vector>

#include "cairn/graph/tensor.h"

namespace cairn::detail {

// A constant of the given type; it varies along the type's mesh axes.
Tensor constant_of(const TensorType& type, Number value);
inline Tensor zeros_of(const TensorType& type) { return constant_of(type, 0); }

// The sum, where an undefined Tensor is zero.
Tensor add_defined(const Tensor& a, const Tensor& b);

// Vectors along the last axis, leading axes equal: out[..., i] = x[..., indices[..., i]].
Tensor take_last(const Tensor& x, const Tensor& indices);
// Transpose of take_last: zeros[..., size] with updates added at the indices.
Tensor add_at_last(const Tensor& updates, const Tensor& indices, int64_t size);

// x moved by `by` places along an axis; `fill` comes in: by = 1 gives [fill, x0, x1, ...].
Tensor shift(const Tensor& x, int axis, int64_t by, double fill);

// s[i] = b[i] + a[i] * s[i-1] along an axis, with s[-1] = 0, in log2(n) doubling steps. a[0] is not
// used.
Tensor linear_recurrence(Tensor a, Tensor b, int axis);

// x broadcast so that axes which a reduction over `axes` removed are back with their sizes in
// `shape`.
Tensor restore_axes(const Tensor& reduced, const Shape& shape, const Ints& axes);

// 0, 1, ..., n - 1 without the axes of `without`.
Ints other_axes(int rank, const Ints& without);
Ints inverse_permutation(const Ints& axes);

// What a rule says of an operation that it cannot handle: Error "[grad] reason (at file:line)".
[[noreturn]] void fail(std::string_view transform, const Node& node, std::string_view reason);

}  // namespace cairn::detail
