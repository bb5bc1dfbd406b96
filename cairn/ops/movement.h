// Functions that move elements: shapes, slices, joining, padding.
#pragma once

#include <optional>
#include <variant>

#include "cairn/ops/operand.h"

namespace cairn {

// One size may be -1: it follows from the others.
Tensor reshape(const Tensor& x, const Shape& shape);
Tensor flatten(const Tensor& x, int first_axis = 0, int last_axis = -1);
Tensor squeeze(const Tensor& x, Ints axes = {});     // drops axes of size 1 (all of them when empty)
Tensor expand_dims(const Tensor& x, int axis);       // inserts an axis of size 1
// axes empty: reversed order of axes, NumPy's .T.
Tensor transpose(const Tensor& x, Ints axes = {});
Tensor swap_axes(const Tensor& x, int a, int b);
Tensor move_axis(const Tensor& x, int from, int to);
Tensor flip(const Tensor& x, Ints axes = {});

// One axis of a NumPy slice: start:stop:step, negative numbers counted from the end, step not 0.
// An index alone (At) takes one element and drops the axis.
struct Slice {
  std::optional<int64_t> start = std::nullopt;
  std::optional<int64_t> stop = std::nullopt;
  int64_t step = 1;
};
struct At {
  int64_t index;
};
using Index = std::variant<Slice, At>;
// x[i, j, ...]; axes that are not named are taken whole.
Tensor slice(const Tensor& x, std::initializer_list<Index> indices);
Tensor slice(const Tensor& x, std::span<const Index> indices);
// start:stop of one axis.
Tensor slice_axis(const Tensor& x, int axis, int64_t start, int64_t stop, int64_t step = 1);
// The slice of the given sizes that begins at `starts` (0-d integers; clamped so that it fits).
Tensor dynamic_slice(const Tensor& x, std::span<const Operand> starts, const Shape& sizes);
Tensor dynamic_update_slice(const Tensor& x, const Tensor& update, std::span<const Operand> starts);

Tensor concatenate(std::span<const Tensor> parts, int axis = 0);
Tensor stack(std::span<const Tensor> parts, int axis = 0);
// `count` equal parts.
std::vector<Tensor> split(const Tensor& x, int count, int axis = 0);
// Parts of the given sizes.
std::vector<Tensor> split_sizes(const Tensor& x, std::span<const int64_t> sizes, int axis = 0);
// Constant padding; low and high are one number per axis.
Tensor pad(const Tensor& x, const Ints& low, const Ints& high, Operand value = 0);

}  // namespace cairn
