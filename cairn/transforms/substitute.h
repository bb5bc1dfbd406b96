// Graphs with some tensors replaced: what every walk of this folder is made of.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn::detail {

// The roots with each tensor of `map` replaced; nodes between are built again, in the order of
// building, and keep scope and location. What lies behind a replaced tensor is not visited. Nodes
// that were built again join `map`, so that a second call with it shares them.
std::vector<Tensor> substitute(std::span<const Tensor> roots, TensorMap<Tensor>& map);

// What becomes of an operation on its new operands; nothing: the same operation.
using Replacement =
    std::function<std::vector<Tensor>(const Node& node, const std::vector<Tensor>& inputs)>;
// The roots with a replacement for every operation, in the order of building, those in regions
// included; custom operations with a definition keep theirs unless `into_definitions`. Scope and
// location are kept. Where nothing changes, nothing is built.
std::vector<Tensor> replace(std::span<const Tensor> roots, const Replacement& replacement,
                            bool into_definitions = false);

// The graphs that a node holds: branches or body.
std::vector<const Graph*> regions(const Node& node);

// Ranks along each mesh axis, as far as collectives of the graph name them, in regions too. `vary`
// does not know the size of its axis, but its transpose must.
using MeshSizes = std::map<std::string, int64_t>;
void add_mesh_sizes(std::span<const Node* const> nodes, MeshSizes& sizes);

// Nodes of `roots` that depend on one of `tensors`.
std::unordered_set<const Node*> dependents(std::span<const Tensor> roots,
                                           std::span<const Tensor> tensors);

// A node must not read `tensors` inside its regions, where no derivative would reach them. Throws
// Error.
void check_regions(std::string_view transform, const Node& node, std::span<const Tensor> tensors);

}  // namespace cairn::detail
