// A graph in operations that tile kernels compute, made before it is scheduled.
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

// Reductions of floats over several axes become one after the other, the innermost first, which is
// their order (docs/adr/0014-order-of-sums.md); 16-bit floats stay f32 in between. Convolutions get
// channels last (channels_last.h). In regions too.
Graph prepare(const Graph& graph);

}  // namespace cairn
