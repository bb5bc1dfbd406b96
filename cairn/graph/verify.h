// The rules of graphs, executable: run after every transform in Debug builds and in tests.
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

// Throws InternalError with the rule, the broken operation and the text of the graph unless
//   - inputs are distinct nodes of Op::input, and nothing reads an input of another graph;
//   - each operand was built before the node that reads it and has that many results;
//   - operation, operands and attributes give the types that the node has (infer.h);
//   - leaves hold a buffer that is large enough, and stand in no region: those close over nothing;
//   - regions keep all of this and fit their owner;
//   - a mesh axis has one size.
void verify(const Graph& graph);

}  // namespace cairn
