// Reductions of tensors along one axis as tile kernels, in the order of
// docs/adr/0014-order-of-sums.md.
#pragma once

#include <cstdint>

#include "cairn/compiler/schedule.h"
#include "cairn/tile/ir.h"

namespace cairn {

// Whether a kernel computes the node: a reduce of floats along one axis (axes of size 1 do not
// count).
bool is_reduction(const Node& node);

// The axis of n elements, what lies before it and what lies behind it.
struct ReductionSizes {
  int64_t outer = 1, n = 1, inner = 1;
};
ReductionSizes reduction_sizes(const Node& node);
// Kernels differ in whether elements along the axis are neighbours, and whether it has several
// chunks.
struct ReductionForm {
  bool along_rows = true;
  bool chunked = false;
  friend bool operator==(const ReductionForm&, const ReductionForm&) = default;
};
ReductionForm reduction_form(const ReductionSizes& sizes);
// Programs of the grid, and elements that each reads.
int64_t reduction_programs(const ReductionSizes& sizes, const ReductionForm& form);
int64_t reduction_block(const ReductionSizes& sizes, const ReductionForm& form);

// Its parameters: x, the result, outer, n, inner.
tile::Kernel make_reduction_kernel(const Node& node, const ReductionForm& form);

}  // namespace cairn
