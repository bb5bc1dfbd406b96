// Schedule: the graph's nodes as an ordered list of launches. The reference backend launches one
// node at a time; fusion (compiler/fuse.h) changes only the grouping.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

struct LaunchGroup {
  std::vector<const Node*> nodes;  // operands first
  // What the launch reads and writes, a buffer each. Of one node: its operands and results as they
  // are. Of several: each value from outside once, under the name of its root; the values that
  // others read.
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
  // Why neighbours are not in it, for people.
  std::vector<std::string> notes = {};

  bool is_fused() const { return is_fused_; }
  // The last node, which stands for the launch in messages.
  const Node& node() const { return *nodes.back(); }

 private:
  friend LaunchGroup group_of(const Node& node);
  friend LaunchGroup fused_group(std::vector<const Node*> nodes, std::vector<Tensor> outputs);
  bool is_fused_ = false;
};

LaunchGroup group_of(const Node& node);
// One launch of these nodes, operands first. A node that several groups compute for themselves (a
// broadcast, a constant) is in each.
LaunchGroup fused_group(std::vector<const Node*> nodes, std::vector<Tensor> outputs);

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
bool may_overwrite(const LaunchGroup& group, int i, int result = 0);
// True for nodes whose value is known when the graph is called.
bool is_given(const Node& node);

}  // namespace cairn
