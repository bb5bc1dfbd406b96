// Functions that move elements: shapes, slices, joining, padding.
#pragma once

#include <optional>

#include "cairn/ops/operand.h"

namespace cairn {

// One size may be -1: it follows from the others.
Tensor reshape(Operand x, const Shape& shape);
Tensor flatten(Operand x, int first_axis = 0, int last_axis = -1);
Tensor squeeze(Operand x, Ints axes = {});  // drops axes of size 1 (all of them when empty)
Tensor expand_dims(Operand x, int axis);    // inserts an axis of size 1
// axes empty: reversed order of axes, NumPy's .T.
Tensor transpose(Operand x, Ints axes = {});
Tensor swapaxes(Operand x, int a, int b);
Tensor moveaxis(Operand x, int from, int to);
Tensor flip(Operand x, Ints axes = {});

// One axis of a NumPy slice: start:stop:step, negative numbers counted from the end, step not 0.
struct Slice {
  std::optional<int64_t> start = std::nullopt;
  std::optional<int64_t> stop = std::nullopt;
  int64_t step = 1;
};
// A slice, or a number that takes one element and drops the axis.
class Index {
 public:
  Index(Slice slice) : slice_(slice) {}
  Index(int64_t element) : slice_{element}, drops_(true) {}
  Index(int element) : Index(int64_t{element}) {}
  const Slice& slice() const { return slice_; }
  bool drops() const { return drops_; }

 private:
  Slice slice_;
  bool drops_ = false;
};
// x[i, j, ...] as in slice(x, {0, Slice{1, 3}, -1}); axes that are not named are taken whole.
Tensor slice(Operand x, std::initializer_list<Index> indices);
Tensor slice(Operand x, std::span<const Index> indices);
// start:stop of one axis.
Tensor slice_axis(Operand x, int axis, int64_t start, int64_t stop, int64_t step = 1);
// The slice of the given sizes that begins at `starts` (0-d integers; clamped so that it fits).
Tensor dynamic_slice(Operand x, std::span<const Operand> starts, const Shape& sizes);
Tensor dynamic_update_slice(Operand x, const Tensor& update, std::span<const Operand> starts);

Tensor concatenate(std::span<const Tensor> parts, int axis = 0,
                   const std::source_location& where = std::source_location::current());
Tensor stack(std::span<const Tensor> parts, int axis = 0,
             const std::source_location& where = std::source_location::current());
// `count` equal parts.
std::vector<Tensor> split(Operand x, int count, int axis = 0);
// Parts of the given sizes.
std::vector<Tensor> split_sizes(Operand x, std::span<const int64_t> sizes, int axis = 0);
// Padding by a value; low and high are one number per axis, negative ones cut off.
Tensor pad(Operand x, const Ints& low, const Ints& high, Operand value = 0);
enum class PadMode : uint8_t {
  edge,     // the last element, again and again
  reflect,  // mirrored at the last element, which is not repeated; widths are below the axis's size
};
Tensor pad(Operand x, const Ints& low, const Ints& high, PadMode mode);
// The same value in other memory.
Tensor transfer(Operand x, Placement placement);

}  // namespace cairn
