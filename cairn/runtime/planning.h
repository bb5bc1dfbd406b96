// What make_plan and Recipe share. Not part of the public interface.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "cairn/graph/numbering.h"
#include "cairn/runtime/plan.h"

namespace cairn::detail {

// The graph of these outputs with a further input for each leaf, in their order.
Graph close(std::span<const Tensor> outputs, const Numbering& numbering);

// The graph as the backend runs it: leaves are inputs, custom operations that it has no kernel for
// are their fallbacks, and the backend's own rewriting is done. Of such a graph it is the graph.
Graph prepared(const Graph& graph, const Backend& backend);

// Which donated argument gives its memory to which result: (argument, result), each the first free
// one of its type. An argument that is returned itself gives nothing.
std::vector<std::pair<size_t, size_t>> pair_donations(const Graph& graph,
                                                      const std::vector<bool>& donated);

// The function that a loop is, where the backend makes it one. The launch has all but that.
void set_loop_code(Launch& loop, const Backend& backend);

// Gives every buffer of the arena its place, and the arena its size.
void place_arena(Plan& plan);

// Finds neighbouring launches that may run at once. Places are known.
void find_together(Plan& plan);

}  // namespace cairn::detail
