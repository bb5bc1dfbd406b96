#include "cairn/runtime/cpu/tuning.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/error.h"
#include "cairn/compiler/assembly_count.h"
#include "cairn/tile/passes.h"

namespace cairn {
namespace {

// What is by so much slower at its best is not run again.
constexpr double kHopeless = 1.25;
constexpr size_t kFewRuns = 3;
// Differences below are noise.
constexpr double kMargin = 0.97;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A candidate that is being measured.
struct Entrant {
  size_t candidate;
  std::vector<double> seconds = {};
  bool is_out = false;
};

void drop_hopeless(std::vector<Entrant>& entrants) {
  double best = 0;
  for (const Entrant& e : entrants)
    if (const double seconds = median(e.seconds); best == 0 || seconds < best) best = seconds;
  for (Entrant& e : entrants) e.is_out |= *std::ranges::min_element(e.seconds) > kHopeless * best;
}

// Compiles all that are not known.
std::vector<Entrant> prepare(std::span<const TuneCandidate> candidates, ThreadPool& pool,
                             std::vector<TuneRow>& rows) {
  const auto count = static_cast<int64_t>(candidates.size());
  if (std::ranges::all_of(rows, [](const TuneRow& row) { return row.is_known; })) return {};
  std::vector<int> spills(candidates.size());
  pool.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      if (rows[i].is_known && i > 0) continue;
      try {
        spills[i] = candidates[i].prepare();
      } catch (const Error& error) {
        if (i == 0) throw;
        rows[i].dropped = error.what();
      }
    }
  });
  std::vector<Entrant> entrants;
  for (size_t i = 0; i < candidates.size(); ++i) {
    TuneRow& row = rows[i];
    if (row.is_known) continue;
    if (spills[i] > spills[0])
      row.dropped = fmt::format("{} spills, usual: {}", spills[i], spills[0]);
    if (row.dropped.empty()) entrants.push_back({i});
  }
  return entrants;
}

}  // namespace

Tuned tune(std::string_view work, std::span<const TuneCandidate> candidates, const Timings& timings,
           ThreadPool& pool, const TuneOptions& options) {
  Tuned result;
  for (const TuneCandidate& candidate : candidates) {
    result.rows.push_back({.name = candidate.name});
    if (options.again) continue;
    if (const auto seconds = timings.load(work, candidate.name)) {
      result.rows.back().seconds = *seconds;
      result.rows.back().is_known = true;
    }
  }
  const double start = options.clock();
  if (options.progress) options.progress(fmt::format("compiling {} candidates", candidates.size()));
  std::vector<Entrant> entrants = prepare(candidates, pool, result.rows);
  for (int round = 0; round < options.rounds && !entrants.empty(); ++round) {
    for (Entrant& entrant : entrants) {
      if (entrant.is_out) continue;
      const TuneCandidate& candidate = candidates[entrant.candidate];
      if (options.progress)
        options.progress(
            fmt::format("round {} of {}: {}", round + 1, options.rounds, candidate.name));
      entrant.seconds.push_back(candidate.measure());
    }
    if (options.clock() - start >= options.seconds) break;
    if (static_cast<size_t>(round) + 1 >= kFewRuns) drop_hopeless(entrants);
  }
  // The first is stored last: it says that the others were measured.
  for (size_t i = entrants.size(); i-- > 0;) {
    TuneRow& row = result.rows[entrants[i].candidate];
    row.seconds = median(entrants[i].seconds);
    row.runs = static_cast<int>(entrants[i].seconds.size());
    timings.store(work, row.name, row.seconds);
  }
  std::vector<double> seconds;
  for (const TuneRow& row : result.rows) seconds.push_back(row.seconds);
  result.best = best_of(seconds);
  return result;
}

size_t best_of(std::span<const double> seconds) {
  size_t best = 0;
  for (size_t i = 1; i < seconds.size(); ++i) {
    const double most = best == 0 ? kMargin * seconds[0] : seconds[best];
    if (seconds[i] > 0 && seconds[i] < most) best = i;
  }
  return best;
}

size_t best_known(std::string_view work, std::span<const std::string> candidates,
                  const Timings& timings) {
  std::vector<double> seconds;
  for (const std::string& candidate : candidates) {
    seconds.push_back(timings.load(work, candidate).value_or(0));
    if (seconds[0] == 0) return 0;
  }
  return best_of(seconds);
}

double seconds_of(const std::function<void()>& run) {
  constexpr double kLeast = 1e-3;
  const double start = monotonic_seconds();
  int64_t runs = 0;
  double spent = 0;
  while (spent < kLeast) {
    run();
    ++runs;
    spent = monotonic_seconds() - start;
  }
  return spent / static_cast<double>(runs);
}

int spills_of(const tile::Kernel& kernel, CpuTarget target, const KernelVersion& version) {
  return count_assembly(
             kernel_text(tile::run_passes(kernel), target, KernelStage::assembly, version))
      .vector_spills;
}

}  // namespace cairn
