// cairn kernel run: a named kernel on numbers made for it, checked against its reference and timed.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "apps/cairn/json.h"
#include "apps/cairn/kernel_commands.h"
#include "apps/cairn/kernel_launch.h"
#include "apps/cairn/median.h"
#include "cairn/base/clock.h"
#include "cairn/base/environment.h"
#include "cairn/base/error.h"
#include "cairn/base/thread_pool.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/plot/terminal.h"
#include "cairn/tile/evaluate.h"

namespace cairn::app {
namespace {

struct Options {
  KernelOptions kernel;
  int64_t repeat = 1;
};

// Of the buffers, each once a direction: what must cross the memory bus when nothing is cached.
uint64_t traffic(const tile::Kernel& kernel, const tile::KernelCall& call) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < call.values.size(); ++i) {
    const tile::Parameter& p = kernel.parameters[i];
    if (!p.is_buffer()) continue;
    const auto directions =
        static_cast<uint64_t>(p.is_read()) + static_cast<uint64_t>(p.is_written());
    bytes += directions * std::get<HostArray>(call.values[i]).bytes();
  }
  return bytes;
}

struct Worst {
  std::string buffer;
  tile::Difference difference;
};
Worst check_results(const tile::Kernel& kernel, const std::vector<tile::Expected>& expected,
                    const tile::KernelCall& call) {
  Worst worst;
  for (const tile::Expected& e : expected) {
    const tile::Difference d = tile::compare(e, call.array(e.parameter));
    if (!worst.buffer.empty() && d.ratio <= worst.difference.ratio) continue;
    worst = {kernel.parameters[size_t(e.parameter)].name, d};
  }
  return worst;
}

int run(const Options& options, Session& session) {
  const std::string device = session.common.device.empty() ? "cpu" : session.common.device;
  const bool interpreted = device == "interpreter";
  const ChosenKernel chosen = choose_kernel(
      options.kernel, interpreted ? &tile::NamedKernel::small_shape : &tile::NamedKernel::shape);
  tile::KernelCall call =
      chosen.named.call(chosen.dtype, chosen.shape, session.common.seed.value_or(0));
  ThreadPool pool(interpreted ? 1 : session.threads());
  const double compiling = monotonic_seconds();
  const Launch launch =
      interpreted ? Launch([&] { tile::interpret(chosen.kernel, call.arguments()); })
                  : compiled_launch(chosen, call, pool, best_choice(chosen, pool.threads()));
  const double compile_seconds = interpreted ? 0 : monotonic_seconds() - compiling;

  // The first run is checked; what others do in place no longer is what the reference expects.
  const std::vector<tile::Expected> expected =
      chosen.named.expect(chosen.dtype, chosen.shape, call);
  std::vector<double> seconds;
  Progress progress = session.progress();
  Worst worst;
  // With several runs, the first warms up and does not count.
  for (int64_t i = options.repeat > 1 ? -1 : 0; i < options.repeat; ++i) {
    const double start = monotonic_seconds();
    launch();
    if (i >= 0) seconds.push_back(monotonic_seconds() - start);
    if (worst.buffer.empty()) worst = check_results(chosen.kernel, expected, call);
    progress.update([&] { return fmt::format("run {} of {}", i + 1, options.repeat); });
  }
  progress.clear();

  const double time = median(seconds);
  const double rate = static_cast<double>(traffic(chosen.kernel, call)) / time / 1e9;
  const double gflops =
      chosen.named.flops ? chosen.named.flops(chosen.shape, call) / time / 1e9 : 0;
  const tile::Difference& d = worst.difference;
  if (session.common.json) {
    Json json = {{"name", chosen.named.name},
                 {"dtype", name(chosen.dtype)},
                 {"shape", shape_text(chosen.shape)},
                 {"device", device},
                 {"correct", d.ratio <= 1},
                 {"max_error", d.error},
                 {"tolerance", d.tolerance},
                 {"error_of_tolerance", d.ratio},
                 {"seconds", time},
                 {"compile_seconds", compile_seconds},
                 {"gbytes_per_s", rate}};
    if (chosen.named.flops) json["gflops"] = gflops;
    print_json(session.out, json);
  } else {
    session.out.line(fmt::format(
        "{} on {}: {} ms, {} GB/s{}{}", title(chosen),
        interpreted ? "the interpreter" : fmt::format("the CPU ({} threads)", pool.threads()),
        plot::short_number(1e3 * time), plot::short_number(rate, 3),
        chosen.named.flops ? fmt::format(", {} GFLOP/s", plot::short_number(gflops, 3)) : "",
        options.repeat > 1 ? fmt::format(" (median of {})", options.repeat) : ""));
    session.out.line(fmt::format("largest error {}; the nearest to its tolerance is at {} % of it",
                                 plot::short_number(d.error, 3),
                                 plot::short_number(100 * d.ratio, 3)));
  }
  if (d.ratio <= 1) return 0;
  session.out.flush();
  throw_error(
      fmt::format("{} is wrong: element {} of '{}' misses the reference by {} times its "
                  "tolerance of {}",
                  title(chosen), d.element, worst.buffer, plot::short_number(d.ratio, 3),
                  plot::short_number(d.tolerance, 3)));
}

}  // namespace

void add_kernel_run(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command =
      group.command("run", "Run a kernel on numbers made for it, and check what comes out.",
                    "Commands", Runs::kernels);
  options->kernel.declare(command);
  command.option("--repeat", "N", options->repeat,
                 "run so often and give the median time (default: 1)", 1);
  command.example("cairn kernel run attention --shape 2x70x20 --device interpreter");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
