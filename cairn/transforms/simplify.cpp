#include "cairn/transforms/simplify.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/clock.h"
#include "cairn/graph/verify.h"
#include "cairn/transforms/rewrite.h"

namespace cairn {
namespace {

constexpr SimplifyPass kPasses[] = {
    {"stop_gradient", "drops stop_gradient, which has done its work"},
    {"algebra", "x*1, x-0, double negation, transposes and reshapes that cancel"},
    {"fold", "computes operations on constants"},
    {"cse", "computes equal operations once"},
    {"dead", "drops results of loop, cond and barrier that nobody reads"},
};
// Those of the common walk, in the same order; `dead` looks at readers and has a walk of its own.
constexpr detail::LocalRule kRules[] = {detail::drop_stop_gradient, detail::simplify_algebra,
                                        detail::fold_constants, detail::merge_equal};
constexpr size_t kDead = std::size(kRules);
static_assert(kDead + 1 == std::size(kPasses));

bool is_enabled(const SimplifyOptions& options, size_t pass) {
  return std::find(options.disabled.begin(), options.disabled.end(), kPasses[pass].name) ==
         options.disabled.end();
}

void check(const Graph& graph, const SimplifyOptions& options, std::string_view after) {
  if (!options.verify) return;
  try {
    verify(graph);
  } catch (const Error& e) {
    throw InternalError(fmt::format("after {} of simplify: {}", after, e.what()));
  }
}

}  // namespace

std::span<const SimplifyPass> simplify_passes() { return kPasses; }

Graph simplify(const Graph& graph, const SimplifyOptions& options, SimplifyReport* report) {
  for (const std::string& name : options.disabled)
    if (std::none_of(std::begin(kPasses), std::end(kPasses),
                     [&](const SimplifyPass& p) { return p.name == name; }))
      throw_error(fmt::format("[simplify] there is no pass '{}' to disable", name));
  const double start = monotonic_seconds();
  SimplifyReport local;
  SimplifyReport& made = report ? *report : local;
  made = {};
  for (const SimplifyPass& pass : kPasses) made.passes.push_back({pass.name});
  std::vector<detail::CountedRule> rules;
  for (size_t i = 0; i < kDead; ++i)
    if (is_enabled(options, i)) rules.push_back({kRules[i], &made.passes[i].rewrites});

  Graph current = graph;
  // Only what `dead` changes gives the common walk something new.
  for (bool again = true; again && made.rounds < options.max_rounds; ++made.rounds) {
    bool may_trim = false;
    current = detail::rewrite_graph(current, rules, may_trim);
    check(current, options, "the walk of local rules");
    int64_t trimmed = 0;
    if (may_trim && is_enabled(options, kDead)) {
      current = detail::remove_dead(current, trimmed);
      check(current, options, "the pass 'dead'");
    }
    made.passes[kDead].rewrites += trimmed;
    again = trimmed > 0;
  }
  made.seconds = monotonic_seconds() - start;
  return current;
}

}  // namespace cairn
