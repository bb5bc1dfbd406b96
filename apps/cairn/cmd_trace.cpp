// cairn trace: another command with every launch recorded, as a file for ui.perfetto.dev or
// chrome://tracing, and what stood idle.
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "cairn/base/clock.h"
#include "cairn/base/file.h"
#include "cairn/graph/cost.h"
#include "cairn/graph/infer.h"

namespace cairn::app {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double thread_cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Writes events as they come: a training run has millions.
class Tracer {
 public:
  Tracer(FileWriter& file, Session& session)
      : file_(file), session_(session), begin_(monotonic_seconds()), begin_cpu_(cpu_seconds()) {
    file_.write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    event({{"name", "thread_name"},
           {"ph", "M"},
           {"pid", 1},
           {"tid", 1},
           {"args", {{"name", "launches"}}}});
    event({{"name", "thread_name"},
           {"ph", "M"},
           {"pid", 1},
           {"tid", 2},
           {"args", {{"name", "executions"}}}});
  }

  void record(const Plan& plan, std::span<const LaunchRecord> records) {
    const std::lock_guard lock(mutex_);
    // The records count from the beginning of the execution, whose last launch has just ended.
    const double now = monotonic_seconds();
    const double cpu = thread_cpu_seconds();
    double length = 0;
    for (const LaunchRecord& r : records) length = std::max(length, r.start + r.seconds);
    const double start = now - length;
    double end_of_last = 0;
    std::map<const Node*, const LaunchGroup*> groups;
    add_groups(plan, groups);
    for (const LaunchRecord& r : order(records)) {
      launch(r, start, groups);
      // What a loop or branch contains has been counted with it.
      if (r.start + r.seconds <= end_of_last) continue;
      gaps_inside_ += std::max(r.start - end_of_last, 0.0);
      end_of_last = r.start + r.seconds;
    }
    event({{"name", plan.graph.name.empty() ? "execution" : plan.graph.name},
           {"cat", "execution"},
           {"ph", "X"},
           {"pid", 1},
           {"tid", 2},
           {"ts", microseconds(start)},
           {"dur", length * 1e6},
           {"args",
            {{"launches", records.size()},
             {"peak_bytes", plan.peak_bytes()},
             {"arena_bytes", plan.arena_bytes}}}});
    if (executions_ > 0) gaps_between_ += std::max(start - own_ - last_end_, 0.0);
    last_end_ = now - own_;
    executing_ += length;
    ++executions_;
    launches_ += static_cast<int64_t>(records.size());
    // Writing this down takes longer than many launches do; it is taken out of the trace's time.
    own_ += monotonic_seconds() - now;
    own_cpu_ += thread_cpu_seconds() - cpu;
    // A command that does not look at Ctrl-C by itself ends here, with the trace written.
    if (session_.stop.owners() == 1) session_.stop.check();
  }

  void finish() { file_.write("\n]}\n"); }

  // What took the time, what stood idle, and what to do about it.
  void report(const std::string& file) const {
    if (executions_ == 0) {
      session_.note(
          fmt::format("{}: the command ran no graph, so there is nothing to see in it", file));
      return;
    }
    const double wall = monotonic_seconds() - begin_ - own_;
    const double busy = cpu_seconds() - begin_cpu_ - own_cpu_;
    const int threads = session_.threads();
    const auto share = [wall](double seconds) {
      return fmt::format("{} ({:.0f} %)", plot::human_duration(seconds), 100 * seconds / wall);
    };
    plot::Table table{"", {"operation", "launches", "time", "of executing"}, {}};
    std::vector<std::pair<std::string_view, Total>> sorted(totals_.begin(), totals_.end());
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    for (size_t i = 0; i < std::min<size_t>(sorted.size(), 8); ++i)
      table.rows.push_back(
          {std::string(sorted[i].first), std::to_string(sorted[i].second.count),
           plot::human_duration(sorted[i].second.seconds),
           fmt::format("{:.0f} %", 100 * sorted[i].second.seconds / std::max(executing_, 1e-9))});
    session_.note("");
    session_.note(plot::to_text(table, session_.err_terminal.style()));
    session_.note(fmt::format("{} executions, {} launches in {}: open {} in ui.perfetto.dev",
                              executions_, launches_, plot::human_duration(wall), file));
    session_.note(fmt::format("  executing           {}", share(executing_)));
    session_.note(fmt::format("    between launches  {}", share(gaps_inside_)));
    session_.note(fmt::format("  between executions  {}", share(gaps_between_)));
    session_.note(fmt::format("  before and after    {}",
                              share(std::max(wall - executing_ - gaps_between_, 0.0))));
    session_.note(fmt::format("  {} of {} threads were busy on average",
                              plot::short_number(busy / wall, 2), threads));
    session_.note(advice(wall, busy, threads));
  }

 private:
  struct Total {
    int64_t count = 0;
    double seconds = 0;
  };

  // By start, outer before inner: a loop is recorded after what it contains.
  static std::vector<LaunchRecord> order(std::span<const LaunchRecord> records) {
    std::vector<LaunchRecord> sorted(records.begin(), records.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const LaunchRecord& a, const LaunchRecord& b) {
                       return a.start != b.start ? a.start < b.start : a.seconds > b.seconds;
                     });
    return sorted;
  }

  // The launches of a plan and its regions, by the node that stands for them.
  static void add_groups(const Plan& plan, std::map<const Node*, const LaunchGroup*>& groups) {
    for (const Launch& launch : plan.launches) {
      groups[launch.node()] = &launch.group;
      for (const auto& region : launch.regions) add_groups(*region, groups);
    }
  }

  void launch(const LaunchRecord& record, double start,
              const std::map<const Node*, const LaunchGroup*>& groups) {
    const std::string_view name = record.node ? record.node->info().name : std::string_view("copy");
    Json args = Json::object();
    if (record.node) {
      const Node& node = *record.node;
      std::vector<std::string> types;
      for (const TensorType& type : node.outputs()) types.push_back(to_string(type));
      args["type"] = fmt::format("{}", fmt::join(types, ", "));
      if (node.scope()) args["scope"] = *node.scope();
      if (node.location().line()) args["source"] = locate(node.location());
      const LaunchGroup& group = *groups.at(record.node);
      const auto [flops, bytes] = work_of(group);
      args["bytes"] = bytes;
      args["flops"] = flops;
      if (group.is_fused()) args["operations"] = operations_of(group);
      // A loop's time is that of its body, which is recorded too.
      if (node.op() != Op::loop && node.op() != Op::cond) {
        Total& total = totals_[name];
        ++total.count;
        total.seconds += record.seconds;
      }
    }
    event({{"name", name},
           {"cat", "launch"},
           {"ph", "X"},
           {"pid", 1},
           {"tid", 1},
           {"ts", microseconds(start + record.start)},
           {"dur", record.seconds * 1e6},
           {"args", args}});
  }

  // Operations of all nodes, and bytes that go to and from memory.
  static std::pair<double, double> work_of(const LaunchGroup& group) {
    double flops = 0, bytes = 0;
    for (const Node* node : group.nodes) {
      const Cost cost = cost_of(*node);
      flops += cost.flops;
      bytes += cost.bytes_read + cost.bytes_written;
    }
    if (!group.is_fused()) return {flops, bytes};
    bytes = 0;
    for (const auto* list : {&group.inputs, &group.outputs})
      for (const Tensor& t : *list) bytes += static_cast<double>(t.type().bytes());
    return {flops, bytes};
  }
  static std::string operations_of(const LaunchGroup& group) {
    std::vector<std::string_view> names;
    for (const Node* node : group.nodes) names.push_back(node->info().name);
    return fmt::format("{}", fmt::join(names, " "));
  }

  void event(const Json& json) {
    if (any_) file_.write(",\n");
    any_ = true;
    file_.write(json.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  double microseconds(double at) const { return (at - begin_ - own_) * 1e6; }

  std::string advice(double wall, double busy, int threads) const {
    const double outside = wall - executing_;
    if (outside > 0.5 * wall)
      return "Most of the time no graph was running: larger graphs or batches, or more steps, make "
             "starting and preparing count less.";
    if (gaps_between_ > 0.2 * wall)
      return "The runtime waited for the program between executions: prepare the next batch ahead, "
             "or put more work into one execution.";
    if (gaps_inside_ > 0.2 * executing_)
      return "Launches are so small that starting them takes a fifth of the time: larger batches, "
             "or fewer and larger operations.";
    if (threads > 1 && busy < 0.6 * wall * threads)
      return fmt::format(
          "Threads stood idle: operations too small to share among {}; try --threads {}, or larger "
          "batches.",
          threads, std::max(1, threads / 2));
    return "The threads were busy; the table says with what.";
  }

  FileWriter& file_;
  Session& session_;
  std::mutex mutex_;
  double begin_, begin_cpu_;
  bool any_ = false;
  int64_t executions_ = 0, launches_ = 0;
  double last_end_ = 0;
  double own_ = 0, own_cpu_ = 0;  // what recording took, by the clock and of the processor
  double executing_ = 0, gaps_inside_ = 0, gaps_between_ = 0;
  std::map<std::string_view, Total> totals_;
};

int trace(const std::string& path, const std::vector<std::string>& command, Session& session) {
  int status = 0;
  const Status written = write_file_atomically(path, [&](FileWriter& file) -> Status {
    Tracer tracer(file, session);
    // Ctrl-C ends the command, and the trace so far is kept.
    const StopFlag::TakeOver take_over(session.stop);
    session.runtime_made = [&tracer](Runtime& runtime) {
      runtime.set_profiler([&tracer](const Plan& plan, std::span<const LaunchRecord> records) {
        tracer.record(plan, records);
      });
    };
    status = run_command_line(command, session);
    session.runtime_made = nullptr;
    tracer.finish();
    if (status != 2) tracer.report(path);
    return status == 2 ? Status(Error("the command line of the traced command is wrong"))
                       : Status(Nothing{});
  });
  if (status == 2) return status;
  written.value();
  return status;
}

}  // namespace

int run_traced(const std::string& file, const std::vector<std::string>& command, Session& session) {
  try {
    if (session.runtime_made) throw UsageError("cairn trace does not trace itself");
    return trace(file, command, session);
  } catch (const UsageError& error) {
    session.complain(error.what());
    return 2;
  } catch (const Error& error) {
    session.complain(error.what());
    return 1;
  }
}

void add_trace(const Command& program) {
  struct Options {
    std::string file;
    std::vector<std::string> command;
  };
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "trace", "Run a command and record every launch, for ui.perfetto.dev.", kMachine);
  command.positional("FILE.json", options->file, "where to write the trace");
  command.positional("COMMAND", options->command, "a command of cairn with its arguments");
  command.example(
      "cairn trace trace.json graph run step.graph --in x=x.npy w=w.npy lr=lr.npy --repeat 20");
  // With a file and a command, run_command_line has called run_traced before any option was read.
  command.run([options](Session&) -> int {
    throw UsageError("cairn trace FILE.json COMMAND: the command and its options come last");
  });
}

}  // namespace cairn::app
