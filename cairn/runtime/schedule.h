// Schedule: the graph's nodes as an ordered list of launches. The reference backend launches one
// node at a time; fusion changes only the grouping.
#pragma once

#include <utility>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

struct LaunchGroup {
  std::vector<const Node*> nodes;  // operands first
};

struct Schedule {
  std::vector<LaunchGroup> launches;
};

// One launch per node, in the order of building, but with every reader of a donated argument before
// the node that overwrites it where that is possible. `overwrites` pairs (argument, result that
// takes its memory); pairs for which no such order exists are removed from the list.
Schedule make_schedule(const Graph& graph, std::vector<std::pair<Tensor, Tensor>>& overwrites);

// True for nodes that compute nothing: the result is the operand's memory under another type.
bool is_alias(const Node& node);
// The value whose memory `t` is: itself unless an alias node made it.
Tensor root_of(Tensor t);
// True when a result of `node` may be written over operand i: every element is read before it is
// written, the kernel leaves in place what it does not change, or a loop moves the carried value
// out of the way.
bool may_overwrite(const Node& node, int i, int result = 0);
// True for nodes whose value is known when the graph is called.
bool is_given(const Node& node);

}  // namespace cairn
