// The autotuner: of several ways to compute the same bits, the one that is fastest here.
//
// Candidates are compiled in parallel, those that spill more than the usual one are dropped, the
// rest are run in turn, round after round, so that other load on the machine hits all alike; a
// candidate's time is its median. Each time is kept (timings.h) and not measured again. The first
// candidate is the usual one, good without a search: another must beat it by more than noise.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/clock.h"
#include "cairn/base/thread_pool.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/runtime/cpu/timings.h"

namespace cairn {

struct TuneCandidate {
  std::string name;
  // Gets it ready to run; gives how many instructions spill (spills_of). Called from any thread.
  std::function<int()> prepare;
  // Seconds of a run.
  std::function<double()> measure;
};

// What became of a candidate.
struct TuneRow {
  std::string name;
  double seconds = 0;     // the median; 0 where there is none
  int runs = 0;           // that were measured now
  bool is_known = false;  // from an earlier sweep
  std::string dropped;    // why it was not tried
};

struct TuneOptions {
  double seconds = 10;  // the round in which they are over is the last
  int rounds = 15;
  bool again = false;  // measure what is known, too
  std::function<double()> clock = monotonic_seconds;
  std::function<void(std::string_view)> progress = nullptr;
};

struct Tuned {
  std::vector<TuneRow> rows;  // one for each candidate, in their order
  size_t best = 0;
};

// `work`: what the candidates compute, with its sizes. Throws what the first candidate throws; of
// the others it is why they are dropped.
Tuned tune(std::string_view work, std::span<const TuneCandidate> candidates, const Timings& timings,
           ThreadPool& pool, const TuneOptions& options = {});

// The best of the candidates with a time above 0: the first unless another beats it by 3 %.
size_t best_of(std::span<const double> seconds);
// By what is kept; the first where its time is not known, which says that nothing was measured.
size_t best_known(std::string_view work, std::span<const std::string> candidates,
                  const Timings& timings);

// Seconds of one call, of as many as take a millisecond.
double seconds_of(const std::function<void()>& run);

// Instructions of the kernel's machine code that move vectors to or from the stack for want of
// registers.
int spills_of(const tile::Kernel& kernel, CpuTarget target, const KernelVersion& version);

}  // namespace cairn
