// Fusion: launches of a schedule joined to groups that one kernel computes.
//
// Nodes join the groups of their operands where one kernel can compute both (group_domain.h) and
// where no path leaves the group and comes back (the launch could not be ordered then): elementwise
// nodes over one shape, what a reduction along rows reads and what is made of it, what is made of a
// product's result. Constants, broadcasts, transposes and slices are computed by each group that
// reads them and have no launch of their own unless something else reads them. So are, once groups
// are made, elementwise values of a few operations that a group would read from another: gelu's
// exp, which forward and gradient both want, is computed twice and never stored.
#pragma once

#include <span>
#include <utility>

#include "cairn/compiler/schedule.h"

namespace cairn {

struct FuseOptions {
  // One launch per node, as written: only how the launches are described changes.
  bool eager = false;
  // A group beyond this is cut: compile time grows with it, and registers run out.
  int max_nodes = 96;
  int max_buffers = 24;
};

// `overwrites`: pairs of an argument and the result that takes its memory (make_schedule); the new
// order keeps each reader of the argument before or in the launch that writes.
void fuse(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
          Schedule& schedule, const FuseOptions& options = {});

}  // namespace cairn
