// What a node costs: one rule per primitive, for `graph show --costs`, planning and scheduling.
//
// Conventions, where there is a choice:
//   flops             a matmul is 2 M N K, a convolution 2 per tap (taps in the padding too);
//   elementwise
//                     1 per element, whatever the type; reductions and scans 1 per element taken in
//                     after the first; sort n log2(n) and top_k n log2(k) comparisons; (de)quantize
//                     2 per element; random bits 25 (a Philox block has 100 for 4 words)
//   transcendentals   exp, log, sin, cos, tanh, logistic, erf, their kin, sqrt, power and atan2
//   count
//                     here, 1 per element, and not as flops (as in XLA's cost analysis)
//   bytes             as if the node ran alone: operands come from memory, results go there. What
//   is only
//                     a view or a mark (reshape, stop_gradient, vary, barrier) moves nothing.
//                     Slices and gather read what they take, updates and scatter write in place
//                     what they touch
//   message_bytes     sent by each rank when collectives run as rings: all_reduce 2 (n-1)/n of its
//                     operand, reduce_scatter and all_to_all (n-1)/n, all_gather n-1 times, permute
//                     once
//   regions           a loop costs its body times `max`; cond the dearer branch, each figure by
//   itself;
//                     custom computes what its fallback does and moves only its operands and
//                     results
// A grouped_matmul counts all rows. Leaves and inputs are free.
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

struct Cost {
  double flops = 0;
  double transcendentals = 0;
  double bytes_read = 0;
  double bytes_written = 0;
  double message_bytes = 0;

  Cost& operator+=(const Cost& other);
  friend Cost operator*(const Cost& cost, double times);
  friend bool operator==(const Cost&, const Cost&) = default;
};

Cost cost_of(const Node& node);
// The sum over what the outputs depend on.
Cost cost_of(const Graph& graph);

}  // namespace cairn
