// cairn probe: what this machine can do, measured: the limits that benchmarks quote percent of.
#include <fmt/format.h>

#include <algorithm>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/roofline.h"
#include "cairn/base/environment.h"
#include "cairn/base/file.h"

namespace cairn::app {
namespace {

struct Options {
  double seconds = 6;
  std::optional<std::string> svg;
};

struct Flops {
  std::string unit;  // "scalar" or the name of a target
  Arithmetic type;
  int threads;
  double per_second;
};
struct Bandwidth {
  std::string kind, level;
  uint64_t bytes;
  int threads;
  double per_second;
};
struct Latency {
  std::string level;
  uint64_t bytes;
  double seconds;
};

struct Figures {
  MachineInfo machine;
  CpuTarget target;
  std::vector<Flops> flops;
  std::vector<Bandwidth> bandwidth;
  std::vector<Latency> latency;
};

std::string_view name(Traffic traffic) {
  return traffic == Traffic::read ? "read" : traffic == Traffic::copy ? "copy" : "triad";
}

std::string threads_text(int threads) {
  return threads == 1 ? "1 thread" : fmt::format("{} threads", threads);
}

// The level in which a working set of one thread lies.
std::string level_of(uint64_t bytes, const std::vector<CacheInfo>& caches) {
  for (const CacheInfo& cache : caches)
    if (bytes <= cache.bytes) return fmt::format("L{}", cache.level);
  return "DRAM";
}

class Prober {
 public:
  Prober(const Options& options, Session& session)
      : progress_(session.progress()),
        unit_(options.seconds / 60),
        one_(1),
        all_(session.threads()) {}

  Figures run() {
    figures_.machine = machine_info();
    figures_.target = choose_cpu_target(read_environment().target);
    caches_ = data_caches(figures_.machine);
    for (int threads : thread_counts()) {
      flops("scalar", CpuTarget::baseline, false, threads);
      for (CpuTarget target : kCpuTargets)
        if (target <= figures_.target)
          flops(std::string(cairn::name(target)), target, true, threads);
    }
    const uint64_t memory = memory_working_set(figures_.machine);
    for (int threads : thread_counts()) {
      for (const CacheInfo& cache : caches_) {
        // Half of it, so that it stays there.
        bandwidth(Traffic::read, fmt::format("L{}", cache.level), room_in(cache, threads) / 2,
                  threads, 1);
      }
      for (Traffic traffic : {Traffic::read, Traffic::copy, Traffic::triad})
        bandwidth(traffic, "DRAM", memory, threads, 3);
    }
    const uint64_t last = std::min(memory, uint64_t{256} << 20);
    for (uint64_t bytes = uint64_t{8} << 10; bytes <= last; bytes *= 2) latency(bytes);
    progress_.clear();
    return std::move(figures_);
  }

 private:
  std::vector<int> thread_counts() const {
    if (all_.threads() == 1) return {1};
    return {1, all_.threads()};
  }
  ThreadPool& pool(int threads) { return threads == 1 ? one_ : all_; }

  void flops(const std::string& unit, CpuTarget target, bool vector, int threads) {
    for (Arithmetic type : {Arithmetic::f32, Arithmetic::f64, Arithmetic::bf16, Arithmetic::i8}) {
      if (!can_measure(target, vector, type)) continue;
      progress_.update([&] {
        return fmt::format("measuring arithmetic: {} {}, {}", unit, name(type),
                           threads_text(threads));
      });
      figures_.flops.push_back(
          {unit, type, threads, measure_flops(target, vector, type, pool(threads), unit_)});
    }
  }
  void bandwidth(Traffic traffic, const std::string& level, uint64_t bytes, int threads,
                 double share) {
    progress_.update([&] {
      return fmt::format("measuring memory: {} in {}, {}", name(traffic), level,
                         threads_text(threads));
    });
    figures_.bandwidth.push_back(
        {std::string(name(traffic)), level, bytes, threads,
         measure_bandwidth(traffic, figures_.target, bytes, pool(threads), share * unit_)});
  }
  void latency(uint64_t bytes) {
    progress_.update(
        [&] { return fmt::format("measuring latency: {}", plot::human_bytes(bytes)); });
    figures_.latency.push_back({level_of(bytes, caches_), bytes, measure_latency(bytes, unit_)});
  }

  Progress progress_;
  double unit_;  // of time
  ThreadPool one_, all_;
  Figures figures_;
  std::vector<CacheInfo> caches_;
};

double peak_flops(const Figures& figures, Arithmetic type) {
  double best = 0;
  for (const Flops& f : figures.flops)
    if (f.type == type) best = std::max(best, f.per_second);
  return best;
}

double peak_bandwidth(const Figures& figures, std::string_view level) {
  double best = 0;
  for (const Bandwidth& b : figures.bandwidth)
    if (b.level == level) best = std::max(best, b.per_second);
  return best;
}

// Of all threads, as far as they were measured.
Roofs roofs_of(const Figures& figures) {
  Roofs roofs;
  roofs.f32 = peak_flops(figures, Arithmetic::f32);
  roofs.f64 = peak_flops(figures, Arithmetic::f64);
  roofs.bf16 = peak_flops(figures, Arithmetic::bf16);
  const auto place = [&](const std::string& level, uint64_t bytes) {
    const double bandwidth = peak_bandwidth(figures, level);
    roofs.places.push_back({level, bytes, bandwidth, bandwidth});
  };
  for (const CacheInfo& cache : data_caches(figures.machine))
    place(fmt::format("L{}", cache.level), cache.bytes);
  place("DRAM", figures.machine.memory_bytes);
  return roofs;
}

Json to_json(const Figures& figures) {
  const MachineInfo& machine = figures.machine;
  Json caches = Json::array();
  for (const CacheInfo& c : machine.caches)
    caches.push_back(
        {{"level", c.level}, {"kind", c.kind}, {"bytes", c.bytes}, {"shared_by", c.shared_by}});
  Json flops = Json::array();
  for (const Flops& f : figures.flops)
    flops.push_back({{"unit", f.unit},
                     {"dtype", name(f.type)},
                     {"threads", f.threads},
                     {"flops_per_second", f.per_second}});
  Json bandwidth = Json::array();
  for (const Bandwidth& b : figures.bandwidth)
    bandwidth.push_back({{"kind", b.kind},
                         {"level", b.level},
                         {"working_set_bytes", b.bytes},
                         {"threads", b.threads},
                         {"bytes_per_second", b.per_second}});
  Json latency = Json::array();
  for (const Latency& l : figures.latency)
    latency.push_back({{"working_set_bytes", l.bytes}, {"level", l.level}, {"seconds", l.seconds}});
  return {{"cpu",
           {{"name", machine.cpu_name},
            {"cores", machine.cores},
            {"hardware_threads", machine.hardware_threads},
            {"target", name(figures.target)},
            {"caches", caches},
            {"flops", flops},
            {"peak_f32_flops_per_second", peak_flops(figures, Arithmetic::f32)},
            {"peak_f64_flops_per_second", peak_flops(figures, Arithmetic::f64)}}},
          {"memory",
           {{"bytes", machine.memory_bytes},
            {"available_bytes", machine.memory_available_bytes},
            {"peak_bytes_per_second", peak_bandwidth(figures, "DRAM")},
            {"bandwidth", bandwidth},
            {"latency", latency}}},
          {"gpus", Json::array()},
          {"links", Json::array()}};
}

std::string per_second(double value, const char* unit) {
  return fmt::format("{:.1f} {}", value * 1e-9, unit);
}

void print_tables(const Figures& figures, Session& session) {
  const auto style = session.out_terminal.table_style();
  const MachineInfo& machine = figures.machine;
  Output& out = session.out;
  out.line(session.out_terminal.bold(machine.cpu_name));
  std::string caches;
  for (const CacheInfo& c : machine.caches)
    caches += fmt::format(", L{}{} {}", c.level,
                          c.kind == "data"          ? "d"
                          : c.kind == "instruction" ? "i"
                                                    : "",
                          plot::human_bytes(c.bytes));
  out.line(fmt::format("{} cores, {} hardware threads, {}{}, memory {}", machine.cores,
                       machine.hardware_threads, name(figures.target), caches,
                       plot::human_bytes(machine.memory_bytes)));
  out.line("");

  std::vector<int> counts;
  for (const Flops& f : figures.flops)
    if (std::find(counts.begin(), counts.end(), f.threads) == counts.end())
      counts.push_back(f.threads);
  const auto with_threads = [&](std::vector<std::string> header) {
    for (int threads : counts) header.push_back(threads_text(threads));
    return header;
  };
  plot::Table arithmetic{"Arithmetic", with_threads({"unit", "type"}), {}};
  for (const Flops& f : figures.flops) {
    if (f.threads != counts[0]) continue;
    std::vector<std::string> row = {f.unit, std::string(name(f.type))};
    for (const Flops& other : figures.flops)
      if (other.unit == f.unit && other.type == f.type)
        row.push_back(
            per_second(other.per_second, other.type == Arithmetic::i8 ? "Gop/s" : "GFLOP/s"));
    arithmetic.rows.push_back(std::move(row));
  }
  out.write(plot::to_text(arithmetic, style));
  out.line("");
  plot::Table memory{"Memory bandwidth", with_threads({"place", "traffic"}), {}};
  for (const Bandwidth& b : figures.bandwidth) {
    if (b.threads != counts[0]) continue;
    std::vector<std::string> row = {b.level, b.kind};
    for (const Bandwidth& other : figures.bandwidth)
      if (other.level == b.level && other.kind == b.kind)
        row.push_back(per_second(other.per_second, "GB/s"));
    memory.rows.push_back(std::move(row));
  }
  out.write(plot::to_text(memory, style));
  out.line("");
  plot::Table latency{"Latency of a load", {"working set", "place", "latency"}, {}};
  for (const Latency& l : figures.latency)
    latency.rows.push_back(
        {plot::human_bytes(l.bytes), l.level, fmt::format("{:.1f} ns", l.seconds * 1e9)});
  out.write(plot::to_text(latency, style));
  out.line("");
  out.write(plot::to_text(roofline(roofs_of(figures)), session.out_terminal.style(90, 22)));
  out.line(
      fmt::format("An operation with less than {:.1f} FLOP per byte of memory waits for memory.",
                  peak_flops(figures, Arithmetic::f32) / peak_bandwidth(figures, "DRAM")));
}

int run(const Options& options, Session& session) {
  if (!(options.seconds > 0 && options.seconds <= 600))
    throw UsageError("--seconds takes a number above 0 and at most 600");
  const Figures figures = Prober(options, session).run();
  if (session.common.json) {
    print_json(session.out, to_json(figures));
  } else {
    print_tables(figures, session);
  }
  if (options.svg) {
    write_file_atomically(*options.svg, plot::to_svg(roofline(roofs_of(figures)))).value();
    session.note(fmt::format("the roofline is in {}", *options.svg));
  }
  return 0;
}

}  // namespace

void add_probe(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "probe", "Measure what this machine can do: arithmetic, memory bandwidth, latency.",
      kMachine);
  command.option("--seconds", "S", options->seconds, "about how long to measure (default: 6)");
  command.option("--svg", "FILE", options->svg, "write the roofline as a picture");
  command.example("cairn probe --seconds 2 --svg roofline.svg");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
