// What `cairn bench ops` shows: tables, and a page with rooflines.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "apps/cairn/bench_commands.h"
#include "apps/cairn/kernel_commands.h"

namespace cairn::app {
namespace {

constexpr Family kFamilies[] = {Family::product, Family::attention, Family::convolution,
                                Family::other};

std::string threads_text(int threads) {
  return threads == 1 ? "1 thread" : fmt::format("{} threads", threads);
}

std::string time_text(double seconds) {
  if (seconds < 1e-3) return plot::short_number(seconds * 1e6, 3) + " us";
  if (seconds < 1) return plot::short_number(seconds * 1e3, 3) + " ms";
  return plot::short_number(seconds, 3) + " s";
}

std::string percent_text(double percent) {
  return percent < 10 ? plot::short_number(percent, 2) + " %" : fmt::format("{:.0f} %", percent);
}

std::string ratio_text(std::optional<double> ratio) {
  return ratio ? fmt::format("{:.2f}", *ratio) : "--";
}

// Nothing without values.
std::optional<double> geometric_mean(const std::vector<double>& values) {
  if (values.empty()) return {};
  double sum = 0;
  for (const double v : values) sum += std::log(v);
  return std::exp(sum / static_cast<double>(values.size()));
}

plot::Table table_of(const BenchRun& run, std::optional<int> threads) {
  plot::Table table{"", {"operation", "shape", "type"}, {}};
  if (!threads) table.header.emplace_back("threads");
  for (const char* column : {"time", "rate", "of limit", "limit"})
    table.header.emplace_back(column);
  for (const std::string& peer : run.peers) table.header.push_back(peer);
  for (const BenchResult& r : run.results) {
    if (threads && r.threads != *threads) continue;
    std::vector<std::string> row = {r.work.op->name, shape_text(r.work.sizes),
                                    std::string(name(r.work.dtype))};
    if (!threads) row.push_back(std::to_string(r.threads));
    row.push_back(time_text(r.seconds) + (r.measured_rows ? " *" : ""));
    row.push_back(fmt::format("{} {}", plot::short_number(r.rate() * 1e-9, 3),
                              r.counts_flops() ? "GFLOP/s" : "GB/s"));
    row.push_back(percent_text(r.percent_of_limit()));
    row.push_back(r.limit.what);
    for (const auto& theirs : r.peers)
      row.push_back(ratio_text(theirs ? std::optional(*theirs / r.seconds) : std::nullopt));
    table.rows.push_back(std::move(row));
  }
  return table;
}

// The roofs, and on them each operation by what it reached.
plot::Chart chart_of(const BenchRun& run, const Roofs& roofs) {
  Roofs shown = roofs;
  if (shown.places.size() > 1)
    shown.places.erase(shown.places.begin());  // the first cache holds none of the cases
  plot::Chart chart = roofline(shown);
  chart.title = fmt::format("Roofline, {}", threads_text(roofs.threads));
  for (const Family family : kFamilies) {
    plot::Series points;
    points.label = name(family);
    points.kind = plot::Series::Kind::scatter;
    for (const BenchResult& r : run.results) {
      if (r.threads != roofs.threads || r.work.op->family != family) continue;
      points.xs.push_back(r.cost.flops / r.cost.bytes());
      points.ys.push_back(r.cost.flops / r.seconds * 1e-9);
      points.names.push_back(
          fmt::format("{} ({} of limit)", r.work.title(), percent_text(r.percent_of_limit())));
    }
    if (!points.xs.empty()) chart.series.push_back(std::move(points));
  }
  return chart;
}

}  // namespace

std::optional<double> BenchResult::ratio() const {
  std::optional<double> best;
  for (const auto& theirs : peers)
    if (theirs && (!best || *theirs < *best)) best = theirs;
  return best ? std::optional(*best / seconds) : std::nullopt;
}

plot::Table bench_table(const BenchRun& run) { return table_of(run, std::nullopt); }

plot::Table bench_summary(const BenchRun& run) {
  plot::Table table{"Geometric means: the best peer's time / ours",
                    {"operations", "type", "threads", "cases", "mean", "least", "of limit"},
                    {}};
  for (const Family family : kFamilies)
    for (const DType dtype : {DType::f32, DType::bf16, DType::i8})
      for (const Roofs& roofs : run.roofs) {
        std::vector<double> ratios, percents;
        for (const BenchResult& r : run.results) {
          if (r.work.op->family != family || r.work.dtype != dtype || r.threads != roofs.threads ||
              !r.ratio())
            continue;
          ratios.push_back(*r.ratio());
          percents.push_back(r.percent_of_limit());
        }
        if (ratios.empty()) continue;
        table.rows.push_back({std::string(name(family)), std::string(name(dtype)),
                              std::to_string(roofs.threads), std::to_string(ratios.size()),
                              ratio_text(geometric_mean(ratios)),
                              ratio_text(*std::ranges::min_element(ratios)),
                              fmt::format("{:.0f} %", *geometric_mean(percents))});
      }
  return table;
}

std::vector<std::string> bench_remarks(const BenchRun& run) {
  std::vector<std::string> lines = {
      fmt::format("Device {}; medians of {} turns that all contenders take one after the other.",
                  run.device, run.repeat),
      "The limit is the time at the measured peak of arithmetic or, where it is longer, at the "
      "bandwidth of the place in which operands and results find room."};
  if (!run.peers.empty()) lines.emplace_back("Peers: their time / ours; above 1 we are faster.");
  if (run.load > 1)
    lines.push_back(fmt::format(
        "The machine was busy (load {:.1f} before the run): ratios are uncertain, most of "
        "all of peers whose threads wait for each other.",
        run.load));
  if (std::ranges::any_of(run.results, [](const BenchResult& r) { return r.measured_rows > 0; }))
    lines.push_back(fmt::format(
        "* {} rows were computed; the time of all rows is reckoned from them.", kSlabRows));
  return lines;
}

std::string bench_html(const BenchRun& run) {
  plot::Report report;
  report.title = "cairn bench ops";
  report.subtitle = fmt::format("{}, device {}", run.machine.cpu_name, run.device);
  report.charts_title = "Rooflines";
  for (const Roofs& roofs : run.roofs) {
    report.summary.push_back({"f32 peak, " + threads_text(roofs.threads),
                              fmt::format("{:.0f} GFLOP/s", roofs.f32 * 1e-9)});
    report.summary.push_back({"copying in memory, " + threads_text(roofs.threads),
                              fmt::format("{:.1f} GB/s", roofs.places.back().copy * 1e-9)});
    report.charts.push_back(chart_of(run, roofs));
  }
  if (plot::Table means = bench_summary(run); !means.rows.empty())
    report.tables.push_back(std::move(means));
  for (const Roofs& roofs : run.roofs) {
    plot::Table table = table_of(run, roofs.threads);
    table.title = threads_text(roofs.threads);
    if (!table.rows.empty()) report.tables.push_back(std::move(table));
  }
  report.machine = {{"Processor", run.machine.cpu_name},
                    {"Cores", std::to_string(run.machine.cores)},
                    {"Memory", plot::human_bytes(run.machine.memory_bytes)}};
  report.machine.insert(report.machine.end(), run.found.begin(), run.found.end());
  report.footer = fmt::format("{}", fmt::join(bench_remarks(run), " "));
  return to_html(report);
}

}  // namespace cairn::app
