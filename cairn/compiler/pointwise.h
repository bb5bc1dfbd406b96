// Pointwise groups: elementwise primitives, with the broadcasts and constants that they read, as
// one tile kernel.
//
// The kernel runs over the shape that the nodes of the group share (but for axes of size 1).
// Neighbouring axes that every operand walks alike are one, so tensors of equal shape are one long
// row whatever their rank, and adding a bias has two axes. Sizes and constants are scalar
// parameters: one kernel serves all sizes of a structure, and a learning rate written as a number.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cairn/compiler/schedule.h"
#include "cairn/tile/ir.h"

namespace cairn {

// Whether a group may have the node, by what it computes.
bool is_pointwise(const Node& node);
// Whether groups compute the node for themselves instead of reading the result of its launch: a
// constant, or a broadcast, which are indices and no work.
bool is_inlined(const Node& node);

// Without axes of size 1.
Shape squeezed(const Shape& shape);

// What a kernel's scalar parameters are for the sizes of a group.
struct PointwiseBinding {
  // The merged axes, each the product of a range [first, last) of the axes of outputs[0].
  std::vector<std::pair<int, int>> axes;
  // Places in the group's nodes of the constants.
  std::vector<int> constants;
  // For each load: the input, and the merged axes along which it moves.
  struct Read {
    int input;
    std::vector<int> axes;
  };
  std::vector<Read> reads;

  // Of the axes; empty when the group has the structure but does not fit (sizes that were equal by
  // coincidence are not).
  std::optional<std::vector<int64_t>> sizes(const LaunchGroup& group) const;
};

// Programs of the grid for these sizes, and elements of a program.
int64_t pointwise_programs(std::span<const int64_t> sizes);
int64_t pointwise_block(size_t axes);

struct PointwiseKernel {
  // Its parameters: the group's inputs, its outputs, the sizes, the constants.
  tile::Kernel kernel;
  PointwiseBinding binding;
};

PointwiseKernel make_pointwise_kernel(const LaunchGroup& group);

}  // namespace cairn
