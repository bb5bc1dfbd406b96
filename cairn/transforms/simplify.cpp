#include "cairn/transforms/simplify.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/clock.h"
#include "cairn/graph/verify.h"
#include "cairn/transforms/rewrite.h"

namespace cairn {
namespace {

constexpr SimplifyPass kPasses[] = {
    {"stop_gradient", "drops stop_gradient, which has done its work", detail::remove_stop_gradient},
    {"algebra", "x*1, x-0, double negation, transposes and reshapes that cancel",
     detail::simplify_algebra},
    {"fold", "computes operations on constants", detail::fold_constants},
    {"cse", "computes equal operations once", detail::merge_equal},
    {"dead", "drops results of loop, cond and barrier that nobody reads", detail::remove_dead},
};

}  // namespace

std::span<const SimplifyPass> simplify_passes() { return kPasses; }

Graph simplify(const Graph& graph, const SimplifyOptions& options, SimplifyReport* report) {
  for (const std::string& name : options.disabled) {
    if (std::none_of(std::begin(kPasses), std::end(kPasses),
                     [&](const SimplifyPass& p) { return p.name == name; }))
      throw_error(fmt::format("[simplify] there is no pass '{}' to disable", name));
  }
  SimplifyReport local;
  SimplifyReport& made = report ? *report : local;
  made = {};
  for (const SimplifyPass& pass : kPasses) made.passes.push_back({pass.name});
  Graph current = graph;
  for (bool found = true; found && made.rounds < options.max_rounds; ++made.rounds) {
    found = false;
    for (size_t i = 0; i < std::size(kPasses); ++i) {
      const SimplifyPass& pass = kPasses[i];
      if (std::find(options.disabled.begin(), options.disabled.end(), pass.name) !=
          options.disabled.end())
        continue;
      const double start = monotonic_seconds();
      int64_t rewrites = 0;
      Graph next = pass.run(current, rewrites);
      if (options.verify) {
        try {
          verify(next);
        } catch (const Error& e) {
          throw InternalError(
              fmt::format("after the pass '{}' of simplify: {}", pass.name, e.what()));
        }
      }
      current = std::move(next);
      found |= rewrites > 0;
      made.passes[i].rewrites += rewrites;
      made.passes[i].seconds += monotonic_seconds() - start;
    }
  }
  return current;
}

}  // namespace cairn
