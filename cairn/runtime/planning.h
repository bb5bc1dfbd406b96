// What make_plan and Recipe share. Not part of the public interface.
#pragma once

#include <utility>
#include <vector>

#include "cairn/runtime/plan.h"

namespace cairn::detail {

// Which donated argument gives its memory to which result: (argument, result), each the first free
// one of its type. An argument that is returned itself gives nothing.
std::vector<std::pair<size_t, size_t>> pair_donations(const Graph& graph,
                                                      const std::vector<bool>& donated);

// Gives every buffer of the arena its place, and the arena its size.
void place_arena(Plan& plan);

}  // namespace cairn::detail
