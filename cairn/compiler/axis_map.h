// Where the axes of a tensor stand in the space that a kernel runs over, through nodes that are
// indices and no work.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

// A slice, reverse or pad along one axis. The operand's index is the slice's start plus its step
// times the result's; counted from the end; the result's less the padding before it, divided by the
// distance of the operand's elements, and absent where that is none of them.
struct IndexStep {
  const Node* node = nullptr;
  int axis = 0;
  friend bool operator==(const IndexStep&, const IndexStep&) = default;
};

// How one axis of a tensor is walked.
struct AxisIndex {
  int axis = -1;                 // along this axis of the space; -1: it stays at one place
  std::vector<IndexStep> steps;  // on the way from the reader to the tensor, the reader's first
  bool is_fixed() const { return axis < 0 && steps.empty(); }
  friend bool operator==(const AxisIndex&, const AxisIndex&) = default;
};
using AxisMap = std::vector<AxisIndex>;  // by axis of the tensor; axes of size 1 are fixed

// For each axis of the first shape the axis of the second that it is, or is part of: [12,64,8] and
// [768,8] give 0, 0, 1. None when the second is not the first with neighbouring axes joined.
// Neither has axes of size 1.
std::optional<std::vector<int>> joined_axes(const Shape& shape, const Shape& joined);

// The axes of a tensor that have more than one element, at these axes of the space, in order.
AxisMap map_onto(const Shape& shape, const std::vector<int>& axes);

// A value as it is found behind broadcasts, transposes, slices and reversals.
struct Traced {
  Tensor root;
  Shape seen;    // the shape under which the root is read
  AxisMap axes;  // of `seen`
};
// Follows a value, whose axes lie as `axes` says, through the indexing nodes that `passes` accepts,
// as long as they are seen under their own shape (but for axes of size 1). Ends at a constant or
// iota too.
Traced trace_indices(const Tensor& t, AxisMap axes, const std::function<bool(const Node&)>& passes);

// Whether the operand of a slice is read from its start to its end along the axis.
bool is_whole(const IndexStep& step);
// Whether a pad adds or takes away elements along its operand's axis.
bool is_padded(const Node& pad, int axis);
// What the index starts from: of a slice its start, of a reverse the last index, of a pad what is
// before the operand.
int64_t start_of(const IndexStep& step);

}  // namespace cairn
