// Numbering: the nodes of a graph counted, as hashing, comparing and printing see them.
//
// Leaves and inputs come first, so that a graph of placeholders and the same computation on live
// leaves are numbered alike: the inputs that are given, then all others in the order in which
// operations first read them (not by age: state is younger after each step). Operations follow in
// the order of building (Node::id), as for eager evaluation and collectives. Regions are graphs of
// their own and are numbered by themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cairn/graph/graph.h"
#include "cairn/graph/node_map.h"

namespace cairn {

struct Numbering {
  std::vector<const Node*> leaves;      // Op::input and Op::leaf; what a plan binds, in order
  std::vector<const Node*> operations;  // all others, operands first
  NodeMap<uint32_t> places;             // 1 + number of each

  // The number of one of these nodes: leaves count from 0, operations from leaves.size().
  uint32_t of(const Node* node) const;
};

// Empty handles are left out. Iterative.
Numbering number_nodes(std::span<const Tensor> outputs, std::span<const Tensor> inputs = {});
inline Numbering number_nodes(const Graph& graph) {
  return number_nodes(graph.outputs, graph.inputs);
}

// What the roots depend on, operands first, in the order of building; nodes that `seen` holds
// already are left out together with what only they depend on. Adds all others to `seen`.
std::vector<const Node*> collect_nodes(std::span<const Tensor> roots, NodeMap<uint32_t>& seen);

// True for the operations that own regions: cond, loop and custom.
constexpr bool owns_regions(Op op) { return op == Op::cond || op == Op::loop || op == Op::custom; }
// The regions of a node, in the order of its attributes in ops.def.
std::vector<const Graph*> regions_of(const Node& node);
// The node again on these operands, with fn(region) in the place of each of its regions.
std::vector<Tensor> rebuild_with_regions(const Node& node, std::span<const Tensor> inputs,
                                         const std::function<Graph(const Graph&)>& fn);

}  // namespace cairn
