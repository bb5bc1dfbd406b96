// cairn kernel run: a named kernel on numbers made for it, checked against its reference and timed.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "apps/cairn/json.h"
#include "apps/cairn/kernel_commands.h"
#include "apps/cairn/kernel_cuda.h"
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

// What runs the kernel.
struct Runner {
  std::string where;                    // "the CPU (2 threads)"
  std::function<double()> run;          // once; in seconds
  std::function<void()> fetch = [] {};  // results to the call
  double compile_seconds = 0;
};

// A launch here, measured by the clock.
std::function<double()> clocked(Launch launch) {
  return [launch = std::move(launch)] {
    const double start = monotonic_seconds();
    launch();
    return monotonic_seconds() - start;
  };
}

struct Measured {
  double seconds = 0;  // the median
  Worst worst;
};

// The first run is checked; what others do in place no longer is what the reference expects.
Measured measure(const ChosenKernel& chosen, tile::KernelCall& call, const Runner& runner,
                 int64_t repeat, Progress& progress) {
  const std::vector<tile::Expected> expected =
      chosen.named.expect(chosen.dtype, chosen.shape, call);
  std::vector<double> seconds;
  Measured result;
  // With several runs, the first warms up and does not count.
  for (int64_t i = repeat > 1 ? -1 : 0; i < repeat; ++i) {
    const double time = runner.run();
    if (i >= 0) seconds.push_back(time);
    if (result.worst.buffer.empty()) {
      runner.fetch();
      result.worst = check_results(chosen.kernel, expected, call);
    }
    progress.update([&] { return fmt::format("run {} of {}", i + 1, repeat); });
  }
  progress.clear();
  result.seconds = median(seconds);
  return result;
}

// What is said of a GPU beside the time.
struct OnGpu {
  std::string name;
  double copy_bandwidth = 0;  // bytes a second
  InterpreterComparison interpreter;
  std::optional<double> cublas;  // seconds
};

void print(const ChosenKernel& chosen, const tile::KernelCall& call, const std::string& device,
           const Runner& runner, const Measured& measured, int64_t repeat,
           const std::optional<OnGpu>& gpu, Session& session) {
  const double time = measured.seconds;
  const double rate = static_cast<double>(traffic(chosen.kernel, call)) / time / 1e9;
  const double gflops =
      chosen.named.flops ? chosen.named.flops(chosen.shape, call) / time / 1e9 : 0;
  const double percent = gpu ? 100 * rate * 1e9 / gpu->copy_bandwidth : 0;
  const tile::Difference& d = measured.worst.difference;
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
                 {"compile_seconds", runner.compile_seconds},
                 {"gbytes_per_s", rate}};
    if (chosen.named.flops) json["gflops"] = gflops;
    if (gpu) {
      json["gpu"] = gpu->name;
      json["copy_gbytes_per_s"] = gpu->copy_bandwidth / 1e9;
      json["percent_of_copy"] = percent;
      json["interpreter"] = {{"shape", shape_text(gpu->interpreter.shape)},
                             {"elements", gpu->interpreter.elements},
                             {"different", gpu->interpreter.different}};
      json["peers"] = {{"cublas", gpu->cublas ? Json(*gpu->cublas) : Json(nullptr)}};
    }
    print_json(session.out, json);
    return;
  }
  session.out.line(fmt::format(
      "{} on {}: {} ms, {} GB/s{}{}", title(chosen), runner.where, plot::short_number(1e3 * time),
      plot::short_number(rate, 3),
      chosen.named.flops ? fmt::format(", {} GFLOP/s", plot::short_number(gflops, 3)) : "",
      repeat > 1 ? fmt::format(" (median of {})", repeat) : ""));
  session.out.line(fmt::format("largest error {}; the nearest to its tolerance is at {} % of it",
                               plot::short_number(d.error, 3),
                               plot::short_number(100 * d.ratio, 3)));
  if (!gpu) return;
  session.out.line(fmt::format("{} % of the {} GB/s that a copy in its memory reaches",
                               plot::short_number(percent, 3),
                               plot::short_number(gpu->copy_bandwidth / 1e9)));
  session.out.line(fmt::format("{}: {} of {} elements have other bits than in the interpreter",
                               shape_text(gpu->interpreter.shape), gpu->interpreter.different,
                               gpu->interpreter.elements));
  if (gpu->cublas)
    session.out.line(fmt::format("cuBLAS takes {} ms, {:.2f} x as long",
                                 plot::short_number(1e3 * *gpu->cublas), *gpu->cublas / time));
}

int run(const Options& options, Session& session) {
  const std::string device = session.common.device.empty() ? "cpu" : session.common.device;
  const bool interpreted = device == "interpreter";
  const uint64_t seed = session.common.seed.value_or(0);
  const ChosenKernel chosen = choose_kernel(
      options.kernel, interpreted ? &tile::NamedKernel::small_shape : &tile::NamedKernel::shape);
  tile::KernelCall call = chosen.named.call(chosen.dtype, chosen.shape, seed);
  Progress progress = session.progress();

  std::optional<CudaDevice> gpu;  // outlives what is on it
  std::optional<CudaRun> gpu_run;
  std::optional<OnGpu> on_gpu;
  ThreadPool pool(device == "cpu" ? session.threads() : 1);
  Runner runner;
  const double compiling = monotonic_seconds();
  if (device == "cuda") {
    gpu.emplace();
    gpu_run.emplace(*gpu, chosen, call);
    runner = {gpu->name(), [&] { return gpu_run->run(); }, [&] { gpu_run->fetch(call); }};
  } else if (interpreted) {
    runner = {"the interpreter",
              clocked([&] { tile::interpret(chosen.kernel, call.arguments()); })};
  } else {
    runner = {fmt::format("the CPU ({} threads)", pool.threads()),
              clocked(compiled_launch(chosen, call, pool, best_choice(chosen, pool.threads())))};
  }
  if (!interpreted) runner.compile_seconds = monotonic_seconds() - compiling;

  const Measured measured = measure(chosen, call, runner, options.repeat, progress);
  if (gpu)
    on_gpu = {gpu->name(), gpu->copy_bandwidth(), compare_with_interpreter(*gpu, chosen, seed),
              gpu_run->cublas_seconds(options.repeat)};
  print(chosen, call, device, runner, measured, options.repeat, on_gpu, session);
  const tile::Difference& d = measured.worst.difference;
  if (d.ratio <= 1) return 0;
  session.out.flush();
  throw_error(
      fmt::format("{} is wrong: element {} of '{}' misses the reference by {} times its "
                  "tolerance of {}",
                  title(chosen), d.element, measured.worst.buffer, plot::short_number(d.ratio, 3),
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
