#include "cairn/runtime/runtime.h"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <set>

#include "cairn/base/clock.h"
#include "cairn/base/environment.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/hash.h"
#include "cairn/graph/infer.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/verify.h"
#include "cairn/runtime/cpu/cpu_backend.h"
#include "cairn/runtime/null/null_backend.h"
#include "cairn/runtime/plan_cache.h"
#include "cairn/runtime/planning.h"
#include "cairn/runtime/recipe.h"
#include "cairn/runtime/ref/ref_backend.h"
#include "cairn/runtime/verify_plan.h"
#include "cairn/transforms/simplify.h"

namespace cairn {

struct Runtime::State {
  std::unique_ptr<ThreadPool> pool;
  HostAllocator allocator;
  std::unique_ptr<Backend> backend;
  CpuTarget target;
  Mesh mesh;
  PlanCache plans;
  std::function<void(const Plan&, std::span<const LaunchRecord>)> profiler;
  std::function<void(const Graph&)> on_graph;
  std::function<void(const Plan&, size_t)> on_run;
  std::atomic<int64_t> schedules_made{0};
  std::atomic<int64_t> plans_made{0};
  std::atomic<int64_t> executions{0};
  std::atomic<int64_t> launches{0};

  // Arenas at rest, kept for the next execution of their plan from its second one on: what runs
  // once (initialisation) leaves no memory behind.
  struct Arenas {
    std::weak_ptr<const Plan> plan;
    int64_t executions = 0;
    std::vector<std::shared_ptr<Buffer>> free;
  };
  std::mutex mutex;
  std::unordered_map<const Plan*, Arenas> arenas;

  // A plan that was not made before: after a recipe that is known, or after a new one.
  std::shared_ptr<Plan> make(const GraphCode& code, std::span<const Tensor> outputs,
                             const Numbering& numbering, const std::vector<bool>& donated,
                             bool eager);

  void drop_arenas_of_dead_plans() {
    const std::lock_guard lock(mutex);
    std::erase_if(arenas, [](const auto& entry) { return entry.second.plan.expired(); });
  }
  std::shared_ptr<Buffer> take_arena(const std::shared_ptr<const Plan>& plan) {
    if (plan->arena_bytes == 0) return nullptr;
    {
      const std::lock_guard lock(mutex);
      Arenas& mine = arenas[plan.get()];
      mine.plan = plan;
      ++mine.executions;
      if (!mine.free.empty()) {
        auto arena = std::move(mine.free.back());
        mine.free.pop_back();
        return arena;
      }
    }
    return allocator.allocate(plan->arena_bytes);
  }
  void give_arena(const std::shared_ptr<const Plan>& plan, std::shared_ptr<Buffer> arena) {
    if (!arena) return;
    const std::lock_guard lock(mutex);
    Arenas& mine = arenas[plan.get()];
    if (mine.executions > 1) mine.free.push_back(std::move(arena));
  }
};

namespace {

std::unique_ptr<Backend> make_backend(const std::string& device, CpuTarget target, ThreadPool& pool,
                                      const Environment& environment) {
  if (device == "ref") return make_ref_backend();
  if (device == "null") return make_null_backend();
  if (device == "cpu")
    return make_cpu_backend(target, pool,
                            {.cache = environment.cache_directory,
                             .perf_map = environment.perf_map,
                             .fuse = environment.fuse,
                             .odd_tiles = environment.odd_tiles,
                             .tune_seconds = environment.tune_seconds},
                            make_ref_backend());
  throw_error(fmt::format("device '{}' is not in this build; use cpu, ref or null", device));
}

// The first value that is not finite, as an Error of the node that made it.
void check_finite(const Launch& launch, std::span<void* const> outputs) {
  if (!launch.node()) return;
  for (size_t j = 0; j < outputs.size(); ++j) {
    const TensorType& type = launch.group.outputs[j].type();
    if (!is_float(type.dtype)) continue;
    visit_dtype(type.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (kIsFloatType<T>) {
        const T* values = static_cast<const T*>(outputs[j]);
        for (int64_t i = 0; i < type.shape.elements(); ++i) {
          if (std::isfinite(static_cast<double>(static_cast<float>(values[i])))) continue;
          const Node& node = launch.group.outputs[j].node();
          std::string text = fmt::format(
              "[{}] the first value that is not finite: element {} of a result of type {}",
              name(node.op()), i, to_string(type));
          if (node.location().line()) text += fmt::format(" (at {})", locate(node.location()));
          if (node.scope()) text += fmt::format(" in '{}'", *node.scope());
          throw Error(text);
        }
      }
    });
  }
}

// Mesh axes over which the graph exchanges messages, in regions too.
void add_mesh_axes(std::span<const Tensor> outputs, std::set<std::string>& axes) {
  for (const Node* node : topological_order(outputs)) {
    if (is_collective(node->op())) axes.insert(node->attrs().text(Attr::mesh_axis));
    for (const auto& [key, value] : node->attrs())
      if (const auto* region = std::get_if<GraphPtr>(&value))
        add_mesh_axes((*region)->outputs, axes);
  }
}

// In Debug builds every plan is checked, and the graph that it computes.
void check([[maybe_unused]] const Plan& plan, [[maybe_unused]] const Backend& backend) {
#ifndef NDEBUG
  verify(plan.graph);
  verify(plan, backend);
#endif
}

}  // namespace

std::vector<std::string> devices() {
  const bool compiled =
      can_compile_kernels() && choose_cpu_target(read_environment().target) != CpuTarget::baseline;
  return compiled ? std::vector<std::string>{"cpu", "ref", "null"}
                  : std::vector<std::string>{"ref", "null"};
}

Runtime::Runtime(const RuntimeOptions& options) : state_(std::make_shared<State>()) {
  const Environment environment = read_environment();
  int threads = options.threads;
  if (threads == 0) threads = environment.threads.value_or(physical_cores());
  state_->target = choose_cpu_target(environment.target);
  state_->pool = std::make_unique<ThreadPool>(threads);
  std::string device = options.device;
  if (device.empty()) device = environment.device.value_or(devices()[0]);
  state_->backend = make_backend(device, state_->target, *state_->pool, environment);
  state_->on_graph = options.on_graph;
  state_->on_run = options.on_run;
}
Runtime::~Runtime() = default;

ThreadPool& Runtime::pool() { return *state_->pool; }
Allocator& Runtime::allocator() { return state_->allocator; }
const Backend& Runtime::backend() const { return *state_->backend; }
Mesh& Runtime::mesh() { return state_->mesh; }
RuntimeStats Runtime::stats() const {
  return {state_->schedules_made.load(), state_->plans_made.load(), state_->executions.load(),
          state_->launches.load()};
}
void Runtime::set_profiler(
    std::function<void(const Plan&, std::span<const LaunchRecord>)> profiler) {
  state_->profiler = std::move(profiler);
}

Tensor Runtime::upload(const HostArray& values, std::string name) {
  auto buffer = state_->allocator.allocate(values.bytes());
  if (values.bytes()) std::memcpy(buffer->data, values.data(), values.bytes());
  return Tensor::leaf({values.dtype(), values.shape()}, std::move(buffer), std::move(name));
}

void Runtime::separate(std::span<Tensor> leaves) {
  for (Tensor& t : leaves)
    if (t.buffer().use_count() > 1) t = upload(t.host(), t.name());
}

std::shared_ptr<Plan> Runtime::State::make(const GraphCode& code, std::span<const Tensor> outputs,
                                           const Numbering& numbering,
                                           const std::vector<bool>& donated, bool eager) {
  ++plans_made;
  if (on_graph) on_graph(detail::close(outputs, numbering));
  // Before the first message: ranks with different graphs would take each other's for their own.
  // Ranks that run one program make the same plans in the same order.
  if (!mesh.empty()) {
    std::set<std::string> axes;
    add_mesh_axes(outputs, axes);
    for (const std::string& axis : axes)
      if (const auto found = mesh.find(axis); found != mesh.end())
        found->second->check_equal(code.hash().sizes,
                                   fmt::format("the graph that all ranks of '{}' evaluate", axis));
  }
  const auto known = plans.find_recipes(code, eager, donated);
  for (const auto& recipe : known)
    if (auto plan = recipe->plan(outputs, numbering)) {
      check(*plan, *backend);
      return plan;
    }
  ++schedules_made;
  if (known.empty() || known[0]->is_complete()) {
    auto recipe = std::make_shared<const Recipe>(outputs, numbering, donated, eager, *backend,
                                                 known.empty() ? nullptr : known[0].get());
    plans.insert_recipe(code, eager, donated, recipe);
    if (auto plan = recipe->plan(outputs, numbering)) {
      check(*plan, *backend);
      return plan;
    }
  }
  const Graph closed = detail::close(outputs, numbering);
  PlanOptions options;
  options.donated = donated;
  options.eager = eager;
  return make_plan(eager ? closed : simplify(closed), *backend, options);
}

std::shared_ptr<const Plan> Runtime::plan(const Graph& graph, const std::vector<bool>& donated,
                                          bool eager) {
  Numbering numbering = number_nodes(graph);
  std::vector<Tensor> outputs = graph.outputs;
  if (numbering.leaves.size() > graph.inputs.size()) {
    const Graph closed = without_leaves(graph);
    outputs = closed.outputs;
    numbering = number_nodes(closed);
  }
  const GraphCode code = encode_graph(outputs, numbering);
  auto plan = state_->make(code, outputs, numbering, donated, eager);
  plan->graph.name = graph.name;
  plan->graph.output_names = graph.output_names;
  return plan;
}

std::shared_ptr<const Plan> Runtime::cached_plan(std::span<const Tensor> outputs,
                                                 const Numbering& numbering, bool eager) {
  const GraphCode code = encode_graph(outputs, numbering);
  if (auto known = state_->plans.find_plan(code, eager)) return known;
  auto made = state_->make(code, outputs, numbering, {}, eager);
  state_->plans.insert_plan(code, eager, made);
  return made;
}

std::vector<Tensor> Runtime::run(const std::shared_ptr<const Plan>& plan, std::vector<Tensor> args,
                                 const EvalOptions& options) {
  CAIRN_ASSERT(args.size() == plan->arguments.size());
  ++state_->executions;
  state_->launches += static_cast<int64_t>(plan->launches.size());
  const size_t count = plan->results.size();
  std::vector<std::shared_ptr<Buffer>> buffers(count);

  if (!backend().executes()) {
    std::vector<Tensor> results;
    for (size_t j = 0; j < count; ++j) {
      auto nothing = std::make_shared<Buffer>();
      nothing->bytes = plan->graph.outputs[j].type().bytes();
      results.push_back(Tensor::leaf(plan->graph.outputs[j].type(), std::move(nothing)));
    }
    return results;
  }

  state_->drop_arenas_of_dead_plans();
  const size_t held = state_->allocator.bytes_in_use();
  if (state_->on_run) state_->allocator.reset_peak();
  std::vector<const void*> inputs;
  inputs.reserve(args.size());
  for (const Tensor& arg : args) inputs.push_back(arg.buffer()->data);
  std::vector<void*> outputs(count);
  for (size_t j = 0; j < count; ++j) {
    const PlanBuffer& place = plan->buffers[static_cast<size_t>(plan->results[j])];
    if (place.kind == PlanBuffer::Kind::argument) {
      buffers[j] = args[static_cast<size_t>(place.index)].buffer();
    } else if (static_cast<size_t>(place.index) != j) {
      buffers[j] = buffers[static_cast<size_t>(place.index)];
    } else if (const int donor = plan->donor[j]; donor >= 0) {
      buffers[j] = args[static_cast<size_t>(donor)].buffer();
    } else {
      buffers[j] = state_->allocator.allocate(place.bytes);
    }
    outputs[j] = buffers[j]->data;
  }

  ErrorSlot error;
  ExecutionContext context{*state_->pool, state_->target, state_->mesh, error,
                           options.check_finite};
  std::vector<LaunchRecord> records;
  if (options.check_finite || state_->profiler) {
    const double start = monotonic_seconds();
    context.observer = [&, start](const Launch& launch, std::span<void* const> results,
                                  double seconds) {
      if (state_->profiler)
        records.push_back({launch.node(), monotonic_seconds() - start - seconds, seconds});
      if (options.check_finite) check_finite(launch, results);
    };
  }
  const size_t before_arena = state_->allocator.bytes_in_use();
  auto arena = state_->take_arena(plan);
  const bool was_at_rest = arena && state_->allocator.bytes_in_use() == before_arena;
  execute(*plan, inputs, outputs, arena ? static_cast<char*>(arena->data) : nullptr, context);
  if (state_->on_run)
    state_->on_run(*plan, state_->allocator.peak_bytes() - held +
                              (was_at_rest ? round_up_to_alignment(arena->bytes) : 0));
  state_->give_arena(plan, std::move(arena));
  if (state_->profiler) state_->profiler(*plan, records);
  rethrow(error);

  std::vector<Tensor> results;
  results.reserve(count);
  for (size_t j = 0; j < count; ++j)
    results.push_back(Tensor::leaf(plan->graph.outputs[j].type(), buffers[j]));
  return results;
}

std::vector<Tensor> eval(Runtime& runtime, std::span<const Tensor> outputs,
                         const EvalOptions& options) {
  const Numbering numbering = number_nodes(outputs);
  std::vector<Tensor> leaves;
  leaves.reserve(numbering.leaves.size());
  for (const Node* node : numbering.leaves) {
    if (node->op() == Op::input)
      throw_error(
          fmt::format("[eval] the tensors depend on the input '{}', which has no value; call the "
                      "graph or function with arguments",
                      node->name()));
    leaves.emplace_back(const_cast<Node*>(node), 0);
  }
  return runtime.run(runtime.cached_plan(outputs, numbering, options.eager), std::move(leaves),
                     options);
}

Tensor eval(Runtime& runtime, const Tensor& output, const EvalOptions& options) {
  if (output.is_leaf()) return output;
  return eval(runtime, std::span(&output, 1), options)[0];
}

}  // namespace cairn
