// cairn graph run: a graph file on .npy files.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "apps/cairn/arrays.h"
#include "apps/cairn/graph_commands.h"
#include "apps/cairn/graph_file.h"
#include "apps/cairn/json.h"
#include "apps/cairn/median.h"
#include "cairn/base/clock.h"
#include "cairn/base/names.h"
#include "cairn/io/npy.h"
#include "cairn/transforms/precision.h"

namespace cairn::app {
namespace {

struct Options {
  std::string file;
  std::vector<std::string> in, out, grad;
  int64_t repeat = 1;
};

using Assignments = std::map<std::string, std::string>;

Assignments parse_assignments(const std::string& option, const std::vector<std::string>& items) {
  Assignments result;
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == item.size())
      throw UsageError(fmt::format("{} takes NAME=FILE.npy, not '{}'", option, item));
    if (!result.emplace(item.substr(0, equals), item.substr(equals + 1)).second)
      throw UsageError(fmt::format("{} names '{}' twice", option, item.substr(0, equals)));
  }
  return result;
}

// NumPy has neither bf16 nor 8-bit floats: in files they are f32, which holds each of them exactly.
bool is_f32_in_files(DType dtype) { return dtype == DType::bf16 || is_float8(dtype); }

Tensor read_input(const Tensor& input, const std::string& path, Runtime& runtime) {
  HostArray array = io::read_npy(path).value();
  const TensorType& type = input.type();
  if (array.dtype() == DType::f32 && is_f32_in_files(type.dtype))
    array = from_f32(array, type.dtype);
  if (array.dtype() != type.dtype || array.shape() != type.shape) {
    const std::string wanted = is_f32_in_files(type.dtype)
                                   ? fmt::format("{} (f32 in a .npy)", to_string(type))
                                   : to_string(type);
    throw_error(fmt::format("input '{}' is {}; '{}' holds {}{}", input.name(), wanted, path,
                            name(array.dtype()), to_string(array.shape())));
  }
  return runtime.upload(array, input.name());
}

// The graph's arguments in its order.
std::vector<Tensor> read_inputs(const Graph& graph, const Assignments& files, Runtime& runtime) {
  const std::vector<std::string> known = input_names(graph);
  for (const auto& [name, path] : files)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw_error(fmt::format("--in {}={}: the graph has no such input; {}", name, path,
                              suggest(name, known)));
  std::vector<Tensor> arguments;
  for (const Tensor& input : graph.inputs) {
    const auto file = files.find(input.name());
    if (file != files.end()) {
      arguments.push_back(read_input(input, file->second, runtime));
    } else if (!runtime.backend().executes()) {
      auto nothing = std::make_shared<Buffer>();
      nothing->bytes = input.type().bytes();
      arguments.push_back(Tensor::leaf(input.type(), std::move(nothing), input.name()));
    } else {
      throw_error(fmt::format("input '{}' ({}) has no value; give it with --in {}=FILE.npy",
                              input.name(), to_string(input.type()), input.name()));
    }
  }
  return arguments;
}

int run(const Options& options, Session& session) {
  const Assignments in = parse_assignments("--in", options.in);
  const Assignments out = parse_assignments("--out", options.out);
  Graph graph = with_precision(read_graph(options.file), session.precision());
  if (!options.grad.empty()) graph = with_gradients(graph, options.grad);
  for (const auto& [name, path] : out)
    if (std::find(graph.output_names.begin(), graph.output_names.end(), name) ==
        graph.output_names.end())
      throw_error(fmt::format("--out {}={}: the graph has no such output; {}", name, path,
                              suggest(name, graph.output_names)));

  const auto runtime = session.make_runtime();
  if (!out.empty() && !runtime->backend().executes())
    throw_error(fmt::format("the device {} computes no values to write; leave --out away",
                            runtime->backend().name()));
  const double planning = monotonic_seconds();
  const auto plan = runtime->plan(graph, {}, false);
  const double compile_seconds = monotonic_seconds() - planning;
  const std::vector<Tensor> arguments = read_inputs(graph, in, *runtime);

  std::vector<Tensor> results;
  std::vector<double> seconds;
  Progress progress = session.progress();
  // With several runs, the first warms caches and arena up and does not count.
  for (int64_t i = options.repeat > 1 ? -1 : 0; i < options.repeat; ++i) {
    results.clear();  // a second set of results would be memory that the plan does not have
    const double start = monotonic_seconds();
    results = runtime->run(plan, arguments);
    if (i >= 0) seconds.push_back(monotonic_seconds() - start);
    progress.update([&] { return fmt::format("run {} of {}", i + 1, options.repeat); });
  }
  progress.clear();
  const size_t peak = runtime->allocator().peak_bytes();

  Json outputs = Json::object();
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string& name = graph.output_names[i];
    const TensorType& type = results[i].type();
    outputs[name] = {{"dtype", cairn::name(type.dtype)},
                     {"shape", std::vector<int64_t>(type.shape.begin(), type.shape.end())}};
    if (const auto file = out.find(name); file != out.end()) {
      const HostArray array = results[i].host();
      io::write_npy(file->second, is_f32_in_files(type.dtype) ? to_f32(array) : array).value();
    }
  }
  const double replay = median(seconds);
  if (session.common.json) {
    print_json(session.out, {{"outputs", outputs},
                             {"peak_bytes_planned", plan->peak_bytes()},
                             {"peak_bytes_allocated", peak},
                             {"compile_seconds", compile_seconds},
                             {"seconds", replay}});
    return 0;
  }
  plot::Table table{"", {"output", "type", "file"}, {}};
  for (size_t i = 0; i < results.size(); ++i) {
    const auto file = out.find(graph.output_names[i]);
    table.rows.push_back({graph.output_names[i], to_string(results[i].type()),
                          file == out.end() ? "" : file->second});
  }
  session.out.write(plot::to_text(table, session.out_terminal.table_style()));
  session.out.line("");
  session.out.line(
      fmt::format("{} launches in {}{}; planned in {}; peak memory {} planned, {} allocated",
                  plan->launches.size(), plot::human_duration(replay),
                  options.repeat > 1 ? fmt::format(" (median of {})", options.repeat) : "",
                  plot::human_duration(compile_seconds), plot::human_bytes(plan->peak_bytes()),
                  plot::human_bytes(peak)));
  return 0;
}

}  // namespace

void add_graph_run(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command = group.command("run", "Run a graph file on .npy files.");
  command.positional("FILE", options->file, "the graph's text form");
  command.option("--in", "NAME=FILE.npy", options->in, "the value of an input", true);
  command.option("--out", "NAME=FILE.npy", options->out, "where to write an output", true);
  command.option("--grad", "NAME", options->grad,
                 "also compute d(sum of the first output) / d NAME, as output grad.NAME", true);
  command.option("--repeat", "N", options->repeat,
                 "run so often and give the median time (default: 1)", 1);
  command.example(
      "cairn graph run step.graph --in x=x.npy w=w.npy lr=lr.npy --out y=y.npy grad.w=gw.npy "
      "--grad w");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
