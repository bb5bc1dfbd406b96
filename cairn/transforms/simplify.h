// simplify: fewer operations with the same results, bit for bit.
//
// A rewrite is allowed only when no input can tell: -0, NaN and infinities included (x + 0 stays,
// because it turns -0 into +0; x * 0 stays). One exception: a signalling NaN, which no operation
// gives, may be passed on where an operation would have made it quiet.
//
// Run it after differentiation: it removes stop_gradient. What it never does: merge or reorder
// collectives, look through `barrier` (checkpoint relies on it), or touch the bodies of custom
// operations. Nodes keep their order, scope and source line.
//
// Most passes look at one operation and the operations before it. Those share one walk in the order
// of building, in which operands are final when their reader comes, so one walk finds all there is;
// a walk for each would cost as much each time.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

struct SimplifyPass {
  std::string_view name;
  std::string_view summary;
};
// In the order in which they are tried.
std::span<const SimplifyPass> simplify_passes();

struct SimplifyOptions {
  // Names of passes to leave out; an unknown one is an Error.
  std::vector<std::string> disabled = {};
  // Walks are repeated until none finds anything, at most so often.
  int max_rounds = 8;
  // Calls verify() (graph/verify.h) after each walk; the error names what ran.
#ifdef NDEBUG
  bool verify = false;
#else
  bool verify = true;
#endif
};

struct SimplifyReport {
  struct Entry {
    std::string_view pass;
    int64_t rewrites = 0;
  };
  std::vector<Entry> passes;
  int rounds = 0;
  double seconds = 0;
};

Graph simplify(const Graph& graph, const SimplifyOptions& options = {},
               SimplifyReport* report = nullptr);

}  // namespace cairn
