#include "cairn/runtime/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "cairn/base/probe.h"
#include "cairn/compiler/fuse.h"
#include "cairn/compiler/group_kernel.h"
#include "cairn/compiler/prepare.h"
#include "cairn/core/dispatch.h"
#include "cairn/graph/cost.h"
#include "cairn/runtime/cpu/cpu_launch.h"
#include "cairn/runtime/cpu/group_tuner.h"
#include "cairn/runtime/cpu/kernel_cache.h"
#include "cairn/runtime/cpu/loop_program.h"
#include "cairn/tile/custom_kernel.h"
#include "cairn/tile/interpreter.h"

namespace cairn {
namespace {

// Elements, times what each costs, that a thread takes at a time at least: some 10 us, ten times
// what handing them over costs. Of a product as much work.
constexpr int64_t kGrainElements = 32 * 1024;
constexpr int64_t kGrainProducts = 1 << 19;
// Of a custom operation, by what its fallback multiplies; attention takes several times longer for
// each. With less, the launches of a model of 260 thousand weights wait for each other: two threads
// were slower than one.
constexpr double kGrainCustom = 1 << 17;

KernelSlot slot_of(int64_t value) {
  KernelSlot slot;
  slot.integer = value;
  return slot;
}

KernelSlot slot_of(const Number& value, DType dtype) {
  KernelSlot slot = slot_of(0);
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T stored;
    if constexpr (std::is_same_v<T, bool>)
      stored = value.as_double() != 0;
    else if constexpr (std::is_integral_v<T>)
      stored = static_cast<T>(value.as_integer());
    else if constexpr (std::is_floating_point_v<T>)
      stored = static_cast<T>(value.as_double());
    else
      stored = T(static_cast<float>(value.as_double()));
    std::memcpy(&slot, &stored, sizeof(T));
  });
  return slot;
}

// Sets the scalar arguments and the grid for a group.
void bind_group(CpuLaunch& launch, const LaunchGroup& group, const GroupForm& form,
                std::span<const int64_t> sizes, int threads) {
  const GroupBinding& binding = launch.kernels->binding;
  launch.scalars.reserve(sizes.size() + 2 * binding.steps.size() + binding.constants.size());
  for (const int64_t size : sizes) launch.scalars.push_back(slot_of(size));
  if (!binding.steps.empty())
    for (const int64_t value : binding.step_values(group)) launch.scalars.push_back(slot_of(value));
  for (const int place : binding.constants) {
    const Node& node = *group.nodes[static_cast<size_t>(place)];
    launch.scalars.push_back(slot_of(node.attrs().number(Attr::value), node.output().dtype));
  }
  launch.tables = binding.tables(group);
  const GroupWork work = work_of(binding, form, sizes);
  launch.programs = work.programs;
  launch.grain = std::max<int64_t>(
      1, work.products ? kGrainProducts / work.products
                       : kGrainElements / std::max<int64_t>(1, work.elements * binding.cost));
  // Memory likes to be read in long pieces; eight a thread even out what a thread is held up
  // (AdamW of 38 million numbers on two threads: 24.5 ms in pieces of 10 us, 21.1).
  if (!work.products)
    launch.grain = std::max(launch.grain, launch.programs / (int64_t{8} * threads));
}

CustomTypes types_of(const Node& node, std::vector<TensorType>& inputs) {
  for (const Tensor& t : node.inputs()) inputs.push_back(t.type());
  return {inputs, node.outputs()};
}

// A kernel must have the parameters that a launch passes.
void check_custom(const tile::Kernel& kernel, const CustomTypes& types,
                  const std::string& operation) {
  const auto fail = [&](const std::string& what) {
    throw_error(fmt::format("[{}] its tile kernel {}", operation, what));
  };
  const size_t buffers = types.inputs.size() + types.outputs.size();
  for (size_t i = 0; i < std::max(buffers, kernel.parameters.size()); ++i) {
    const bool is_buffer = i < buffers;
    if (i >= kernel.parameters.size() || kernel.parameters[i].is_buffer() != is_buffer)
      fail(
          fmt::format("has not {} buffers, one per operand and result, and then scalars", buffers));
    if (!is_buffer) continue;
    const bool is_result = i >= types.inputs.size();
    const DType dtype =
        is_result ? types.outputs[i - types.inputs.size()].dtype : types.inputs[i].dtype;
    // Bytes may be read and written as numbers of another type.
    const bool is_type = kernel.parameters[i].dtype == dtype || dtype == DType::u8;
    if (!is_type || kernel.parameters[i].is_written() != is_result)
      fail(fmt::format(
          "takes buffer '{}' as {} {}; the operation has {} {} there", kernel.parameters[i].name,
          kernel.parameters[i].is_written() ? "result" : "operand",
          name(kernel.parameters[i].dtype), is_result ? "result" : "operand", name(dtype)));
  }
}

// A custom operation's kernel, and its code.
struct MadeCustom {
  std::shared_ptr<const tile::Kernel> kernel;
  std::shared_ptr<const CompiledKernel> compiled;
};

// Sets the scalar arguments and the grid for a custom operation.
void bind_custom(CpuLaunch& launch, const Node& node, const CustomTypes& types, int threads) {
  const tile::Kernel& kernel = *launch.custom;
  const std::vector<Number> scalars = kernel_of(node)->scalars(types);
  const size_t buffers = types.inputs.size() + types.outputs.size();
  if (scalars.size() != kernel.parameters.size() - buffers)
    throw_error(fmt::format("[{}] its tile kernel has {} scalar parameters, not {}",
                            node.attrs().text(Attr::name), kernel.parameters.size() - buffers,
                            scalars.size()));
  for (size_t i = 0; i < scalars.size(); ++i)
    launch.scalars.push_back(slot_of(scalars[i], kernel.parameters[buffers + i].dtype));
  const auto grid = tile::grid_of(kernel, scalars);
  launch.programs = grid[0] * grid[1] * grid[2];
  // Eight pieces a thread even out programs of unequal work, where each is worth handing over.
  const double worth = std::max(1.0, cost_of(node).flops / 2 / kGrainCustom);
  const int64_t pieces = static_cast<int64_t>(std::min(worth, 8.0 * static_cast<double>(threads)));
  launch.grain = std::max<int64_t>(1, (launch.programs + pieces - 1) / pieces);
}

size_t slots_of(const KernelArgs& args) {
  const auto& launch = *static_cast<const CpuLaunch*>(args.code);
  return args.inputs.size() + args.outputs.size() + launch.scalars.size() + launch.tables.size() +
         1;
}

// Writes a launch's arguments and gives the place behind them.
KernelSlot* fill_slots(const KernelArgs& args, KernelSlot* at) {
  const auto& launch = *static_cast<const CpuLaunch*>(args.code);
  for (const void* p : args.inputs) (at++)->address = p;
  for (void* p : args.outputs) (at++)->address = p;
  at = std::copy(launch.scalars.begin(), launch.scalars.end(), at);
  for (const std::vector<int64_t>& table : launch.tables) (at++)->address = table.data();
  // What was just read is in the caches; writing past them would have to take it out first.
  const bool in_place = launch.streams && std::ranges::any_of(args.outputs, [&](const void* p) {
                          return std::ranges::find(args.inputs, p) != args.inputs.end();
                        });
  (at++)->integer = launch.streams && !in_place;
  return at;
}

void run_kernel(const KernelArgs& args) {
  const auto& launch = *static_cast<const CpuLaunch*>(args.code);
  constexpr size_t kFew = 48;
  KernelSlot few[kFew];
  std::vector<KernelSlot> many;
  const size_t count = slots_of(args);
  KernelSlot* slots = few;
  if (count > kFew) {
    many.resize(count);
    slots = many.data();
  }
  fill_slots(args, slots);
  const CompiledFunction run = launch.kernel->run;
  args.pool.parallel_for(launch.programs, launch.grain,
                         [&](int64_t begin, int64_t end) { run(slots, begin, end); });
}

// The pieces of all launches, shared out as if they were one launch's.
void run_kernels(std::span<const KernelArgs> all) {
  struct Part {
    const CpuLaunch* launch;
    const KernelSlot* slots;
    int64_t end;  // of its pieces, which begin where those before it end
  };
  size_t count = 0;
  for (const KernelArgs& args : all) count += slots_of(args);
  std::vector<KernelSlot> slots(count);
  std::vector<Part> parts;
  parts.reserve(all.size());
  KernelSlot* at = slots.data();
  int64_t pieces = 0;
  for (const KernelArgs& args : all) {
    const auto& launch = *static_cast<const CpuLaunch*>(args.code);
    pieces += (launch.programs + launch.grain - 1) / launch.grain;
    parts.push_back({&launch, at, pieces});
    at = fill_slots(args, at);
  }
  all[0].pool.parallel_for(pieces, 1, [&](int64_t piece, int64_t) {
    const auto part = std::ranges::upper_bound(parts, piece, {}, &Part::end);
    const int64_t first = part == parts.begin() ? 0 : std::prev(part)->end;
    const auto& [launch, arguments, end] = *part;
    const int64_t begin = (piece - first) * launch->grain;
    launch->kernel->run(arguments, begin, std::min(launch->programs, begin + launch->grain));
  });
}

LaunchCode code_of(std::shared_ptr<const CpuLaunch> launch) {
  const double work = static_cast<double>(launch->programs) / static_cast<double>(launch->grain);
  return {run_kernel, std::move(launch), run_kernels, work};
}

void run_loop_program(const KernelArgs& args) {
  const auto& launch = *static_cast<const CpuLaunch*>(args.code);
  std::vector<KernelSlot> slots;
  slots.reserve(args.inputs.size() + args.outputs.size() + 1 + launch.scalars.size());
  for (const void* p : args.inputs) slots.emplace_back().address = p;
  for (void* p : args.outputs) slots.emplace_back().address = p;
  slots.emplace_back().address = args.workspace;
  slots.insert(slots.end(), launch.scalars.begin(), launch.scalars.end());
  launch.kernel->run(slots.data(), 0, 1);
}

// Of a group whose results have no elements, for which nothing is compiled.
void run_nothing(const KernelArgs&) {}

bool writes_nothing(const LaunchGroup& group) {
  return std::ranges::all_of(group.outputs,
                             [](const Tensor& t) { return t.shape().elements() == 0; });
}

class CpuBackend : public Backend {
 public:
  CpuBackend(CpuTarget target, ThreadPool& pool, const CpuBackendOptions& options,
             std::unique_ptr<Backend> fallback)
      : pool_(pool),
        fallback_(std::move(fallback)),
        kernels_(target, DiskCache(kernels_folder(options.cache)), options.perf_map),
        tuner_(Timings(timings_folder(options.cache), target, pool.threads()), target, pool,
               options.tune_seconds),
        fuse_(options.fuse),
        odd_tiles_(options.odd_tiles),
        stream_bytes_(options.stream_bytes ? options.stream_bytes : last_cache_bytes()) {}

  std::string_view name() const override { return "cpu"; }

  std::string_view backend_of(const LaunchGroup& group) const override {
    return has_kernel(group) ? name() : fallback_->backend_of(group);
  }
  bool packs_weights() const override { return true; }
  bool has_kernel(const Node& custom) const override {
    return can_compile_kernels() && kernel_of(custom);
  }
  LaunchCode code(const LaunchGroup& group) const override {
    if (!has_kernel(group)) return fallback_->code(group);
    if (writes_nothing(group)) return {run_nothing, nullptr};
    if (is_custom(group)) return custom_code(group.node(), nullptr);
    GroupKernel made = usual_kernel(group);
    const auto kernels = std::make_shared<const CpuKernels>(
        std::move(made.binding),
        tuner_.is_used() ? GroupTuner::work_of_structure(group) : std::string());
    const KernelVersion version{.streams = is_large(group)};
    kernels->get(made.form, version, [&] { return kernels_.get(made.kernel, version); });
    return group_code(group, kernels, kernels->binding.sizes(group).value());
  }
  std::optional<LaunchCode> rebind(const LaunchCode& code,
                                   const LaunchGroup& group) const override {
    if (!has_kernel(group)) return fallback_->rebind(code, group);
    if (code.run == run_nothing) return code;
    const auto& before = *static_cast<const CpuLaunch*>(code.data.get());
    if (is_custom(group)) return custom_code(group.node(), &before);
    const auto sizes = before.kernels->binding.sizes(group);
    if (!sizes) return std::nullopt;
    return group_code(group, before.kernels, *sizes);
  }
  bool same_code(const LaunchCode& a, const LaunchCode& b) const override {
    if (a.run == run_nothing || b.run == run_nothing) return a.run == b.run;
    if (a.run != run_kernel || b.run != run_kernel) return fallback_->same_code(a, b);
    const auto& x = *static_cast<const CpuLaunch*>(a.data.get());
    const auto& y = *static_cast<const CpuLaunch*>(b.data.get());
    return x.kernel == y.kernel && x.programs == y.programs && x.tables == y.tables &&
           std::ranges::equal(x.scalars, y.scalars, [](const KernelSlot& s, const KernelSlot& t) {
             return s.integer == t.integer;
           });
  }
  Graph prepare(const Graph& graph) const override { return cairn::prepare(graph); }
  void fuse(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
            Schedule& schedule, bool eager) const override {
    FuseOptions options;
    options.eager = eager || !fuse_;
    cairn::fuse(graph, overwrites, schedule, options);
    compile(schedule);
  }
  LoopCode loop_code(const Launch& loop) const override {
    const LoopProgram made = make_loop_program(loop, run_kernel);
    if (!made.problem.empty()) return {{}, "not one kernel: " + made.problem};
    auto launch = std::make_shared<CpuLaunch>();
    launch->kernel = kernels_.get(made.program);
    launch->scalars = made.constants;
    return {{run_loop_program, std::move(launch)},
            made.launches == 1 ? "One kernel: loop of one launch"
                               : fmt::format("One kernel: loop of {} launches", made.launches)};
  }
  size_t workspace_bytes(const LaunchGroup& group) const override {
    return has_kernel(group) ? 0 : fallback_->workspace_bytes(group);
  }

 private:
  GroupForm usual_form(const GroupBinding& binding, std::span<const int64_t> sizes) const {
    const GroupForm form = form_of(binding, sizes);
    return odd_tiles_ ? odd_form(binding, form) : form;
  }
  GroupKernel usual_kernel(const LaunchGroup& group) const {
    GroupKernel made = make_group_kernel(group);
    return odd_tiles_ ? make_group_kernel(group, odd_form(made.binding, made.form))
                      : std::move(made);
  }
  // Whether the caches cannot hold what a group writes. Products read more than they write.
  bool is_large(const LaunchGroup& group) const {
    uint64_t bytes = 0;
    for (const Tensor& t : group.outputs)
      bytes += static_cast<uint64_t>(t.shape().elements()) * size_of(t.dtype());
    return bytes >= stream_bytes_ &&
           domain_of(*group.nodes[static_cast<size_t>(anchor_of(group))]).kind !=
               GroupKind::product;
  }
  bool is_custom(const LaunchGroup& group) const {
    return group.node().op() == Op::custom && has_kernel(group.node());
  }
  bool has_kernel(const LaunchGroup& group) const { return group.is_fused() || is_custom(group); }
  LaunchCode group_code(const LaunchGroup& group, const std::shared_ptr<const CpuKernels>& kernels,
                        const Ints& sizes) const {
    const auto launch_of = [&](const GroupChoice& choice) {
      auto launch = std::make_shared<CpuLaunch>();
      launch->kernels = kernels;
      launch->form = choice.form;
      KernelVersion version = choice.version;
      version.streams = launch->streams = is_large(group);
      launch->kernel = kernels->get(choice.form, version, [&] {
        return kernels_.get(make_group_kernel(group, choice.form).kernel, version);
      });
      bind_group(*launch, group, choice.form, sizes, pool_.threads());
      launch->grain = std::max<int64_t>(
          1, static_cast<int64_t>(static_cast<double>(launch->grain) * choice.grain));
      return code_of(std::move(launch));
    };
    const GroupBinding& binding = kernels->binding;
    return launch_of(tuner_.is_used() && !odd_tiles_
                         ? tuner_.choose(group, kernels->structure, binding, sizes, launch_of)
                         : GroupChoice{usual_form(binding, sizes)});
  }
  // `before`: a launch of the same structure, whose kernel may do.
  LaunchCode custom_code(const Node& node, const CpuLaunch* before) const {
    const Origin origin(node.scope(), node.location());
    const CustomKernel& made = *kernel_of(node);
    std::vector<TensorType> inputs;
    const CustomTypes types = types_of(node, inputs);
    auto launch = std::make_shared<CpuLaunch>();
    if (made.key) launch->key = made.key(types);
    if (before && before->key == launch->key) {
      launch->custom = before->custom;
      launch->kernel = before->kernel;
    } else {
      const MadeCustom found = made_custom(made, types, launch->key, node);
      launch->custom = found.kernel;
      launch->kernel = found.compiled;
    }
    bind_custom(*launch, node, types, pool_.threads());
    return code_of(std::move(launch));
  }
  // A layer's products are many nodes with the same few kernels, of thousands of instructions (a
  // step of 22 layers of Q2_K: 0.8 s and 130 MB when each was made anew).
  MadeCustom made_custom(const CustomKernel& made, const CustomTypes& types, const Ints& key,
                         const Node& node) const {
    std::vector<int64_t> facts(key.begin(), key.end());
    for (const auto& list : {types.inputs, types.outputs})
      for (const TensorType& t : list) facts.push_back(static_cast<int64_t>(t.dtype));
    const auto place = std::pair(made.name, std::move(facts));
    if (!made.name.empty()) {
      const std::lock_guard lock(customs_mutex_);
      if (const auto known = customs_.find(place); known != customs_.end()) return known->second;
    }
    MadeCustom result;
    result.kernel = std::make_shared<const tile::Kernel>(made.make(types));
    check_custom(*result.kernel, types, node.attrs().text(Attr::name));
    result.compiled = kernels_.get(*result.kernel);
    if (made.name.empty()) return result;
    const std::lock_guard lock(customs_mutex_);
    return customs_.emplace(place, std::move(result)).first->second;
  }
  // All kernels of a schedule, in parallel; code() then finds them.
  void compile(const Schedule& schedule) const {
    std::vector<const LaunchGroup*> groups;
    for (const LaunchGroup& group : schedule.launches)
      if (has_kernel(group) && !writes_nothing(group)) groups.push_back(&group);
    pool_.parallel_for(static_cast<int64_t>(groups.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const LaunchGroup& group = *groups[static_cast<size_t>(i)];
        if (is_custom(group))
          custom_code(group.node(), nullptr);
        else
          kernels_.get(usual_kernel(group).kernel, {.streams = is_large(group)});
      }
    });
  }

  ThreadPool& pool_;
  std::unique_ptr<Backend> fallback_;
  mutable KernelCache kernels_;
  mutable std::mutex customs_mutex_;
  // By name, key and dtypes.
  mutable std::map<std::pair<std::string, std::vector<int64_t>>, MadeCustom> customs_;
  GroupTuner tuner_;
  bool fuse_, odd_tiles_;
  uint64_t stream_bytes_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(CpuTarget target, ThreadPool& pool,
                                          const CpuBackendOptions& options,
                                          std::unique_ptr<Backend> fallback) {
  if (!can_compile_kernels())
    throw_error("device 'cpu' is not in this build, which has no LLVM; use ref");
  if (target == CpuTarget::baseline)
    throw_error(
        "device 'cpu' needs a processor with AVX2 and FMA (or CAIRN_TARGET allows less); use ref");
  return std::make_unique<CpuBackend>(target, pool, options, std::move(fallback));
}

}  // namespace cairn
