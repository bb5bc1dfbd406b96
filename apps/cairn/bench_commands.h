// The commands of `cairn bench`, and what their reports are made of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/cairn/bench_peers.h"
#include "apps/cairn/command.h"
#include "cairn/plot/report.h"

namespace cairn::app {

void add_bench_ops(const Command& group);
void add_bench_llm(const Command& group);

struct BenchResult {
  BenchCase work;
  int threads = 1;
  Work cost;
  Limit limit;
  double seconds = 0;
  int64_t measured_rows = 0;                 // of a loop: so many, the rest reckoned; else 0
  std::vector<std::optional<double>> peers;  // seconds, in the order of the peers asked for

  bool counts_flops() const { return work.op->flops != nullptr; }
  // Of what it counts, a second.
  double rate() const { return (counts_flops() ? cost.flops : cost.bytes()) / seconds; }
  double percent_of_limit() const { return 100 * limit.seconds / seconds; }
  // How often we are done while the best peer is once.
  std::optional<double> ratio() const;
};

struct BenchRun {
  std::string device;
  int64_t repeat = 1;
  std::vector<std::string> peers;             // asked for
  std::vector<plot::Report::KeyValue> found;  // by peer: its version, or why it is not here
  MachineInfo machine;
  double load = 0;           // of the machine before the run: processes that want to compute
  std::vector<Roofs> roofs;  // by number of threads
  std::vector<BenchResult> results;
};

// A row per result; then geometric means of the ratios.
plot::Table bench_table(const BenchRun& run);
plot::Table bench_summary(const BenchRun& run);
// What a reader of the figures must know, a sentence or two each.
std::vector<std::string> bench_remarks(const BenchRun& run);
// A page with a roofline for each number of threads on which the operations stand.
std::string bench_html(const BenchRun& run);

}  // namespace cairn::app
