// What the passes of simplify share. Not part of the public interface.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn::detail {

// A cheaper equivalent of the results of `node`, or nothing. Its operands have been rewritten
// already.
using Rewrite = std::function<std::vector<Tensor>(const Node& node)>;

// Walks the graph, and the regions of cond and loop, in the order of building, and replaces what
// the rule rewrites. A rule starts afresh in each region: make_rule is called for every graph.
Graph rewrite_graph(const Graph& graph, const std::function<Rewrite()>& make_rule,
                    int64_t& rewrites);

// The passes.
Graph remove_stop_gradient(const Graph& graph, int64_t& rewrites);
Graph simplify_algebra(const Graph& graph, int64_t& rewrites);
Graph fold_constants(const Graph& graph, int64_t& rewrites);
Graph merge_equal(const Graph& graph, int64_t& rewrites);
Graph remove_dead(const Graph& graph, int64_t& rewrites);

// An elementwise operation on `full` operands, as the value of a `full`; nothing when it has no row
// in graph/scalar.h.
std::optional<Number> evaluate(const Node& node);

}  // namespace cairn::detail
