#include "cairn/runtime/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

#include "cairn/compiler/fuse.h"
#include "cairn/compiler/pointwise.h"
#include "cairn/compiler/product.h"
#include "cairn/compiler/reduction.h"
#include "cairn/core/dispatch.h"
#include "cairn/runtime/cpu/kernel_cache.h"

namespace cairn {
namespace {

// A launch: a kernel and all of its arguments but the buffers.
struct CpuLaunch {
  std::shared_ptr<const CompiledKernel> kernel;
  std::shared_ptr<const PointwiseBinding> binding = nullptr;  // of a pointwise group
  ProductBlock block = {};                                    // of a product
  ReductionForm form = {};                                    // of a reduction
  std::vector<KernelSlot> scalars;
  int64_t programs = 0;
  int64_t grain = 1;  // programs that one thread takes at a time
};

// Elements that a thread takes at a time at least: some 10 us of a short chain, ten times what
// handing them over costs. Of a product as much work.
constexpr int64_t kGrainElements = 32 * 1024;
constexpr int64_t kGrainProducts = 1 << 20;

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

// The sizes of the group, for its kernel; false when they do not fit the binding.
bool bind_pointwise(CpuLaunch& launch, const LaunchGroup& group) {
  const auto sizes = launch.binding->sizes(group);
  if (!sizes) return false;
  for (const int64_t size : *sizes) launch.scalars.push_back(slot_of(size));
  for (const int place : launch.binding->constants) {
    const Node& node = *group.nodes[static_cast<size_t>(place)];
    launch.scalars.push_back(slot_of(node.attrs().number(Attr::value), node.output().dtype));
  }
  launch.programs = pointwise_programs(*sizes);
  launch.grain = std::max<int64_t>(1, kGrainElements / pointwise_block(sizes->size()));
  return true;
}

void run_kernel(const KernelArgs& args) {
  const auto& launch = *static_cast<const CpuLaunch*>(args.code);
  constexpr size_t kFew = 48;
  KernelSlot few[kFew];
  std::vector<KernelSlot> many;
  const size_t count = args.inputs.size() + args.outputs.size() + launch.scalars.size();
  KernelSlot* slots = few;
  if (count > kFew) {
    many.resize(count);
    slots = many.data();
  }
  KernelSlot* at = slots;
  for (const void* p : args.inputs) (at++)->address = p;
  for (void* p : args.outputs) (at++)->address = p;
  std::copy(launch.scalars.begin(), launch.scalars.end(), at);
  const CompiledFunction run = launch.kernel->run;
  args.pool.parallel_for(launch.programs, launch.grain,
                         [&](int64_t begin, int64_t end) { run(slots, begin, end); });
}

class CpuBackend : public Backend {
 public:
  CpuBackend(CpuTarget target, ThreadPool& pool, const std::string& cache,
             std::unique_ptr<Backend> fallback)
      : pool_(pool), fallback_(std::move(fallback)), kernels_(target, DiskCache(cache)) {}

  std::string_view name() const override { return "cpu"; }

  std::string_view backend_of(const LaunchGroup& group) const override {
    return is_ours(group) ? name() : fallback_->backend_of(group);
  }
  LaunchCode code(const LaunchGroup& group) const override {
    if (is_product(group)) return product(group.node(), nullptr);
    if (is_reduction(group)) return reduction(group.node(), nullptr);
    if (!group.is_fused()) return fallback_->code(group);
    auto launch = std::make_shared<CpuLaunch>();
    auto made = make_pointwise_kernel(group);
    launch->kernel = kernels_.get(made.kernel);
    launch->binding = std::make_shared<const PointwiseBinding>(std::move(made.binding));
    CAIRN_ASSERT(bind_pointwise(*launch, group));
    return {run_kernel, std::move(launch)};
  }
  std::optional<LaunchCode> rebind(const LaunchCode& code,
                                   const LaunchGroup& group) const override {
    if (!is_ours(group)) return fallback_->rebind(code, group);
    const auto& before = *static_cast<const CpuLaunch*>(code.data.get());
    if (is_product(group)) return product(group.node(), &before);
    if (is_reduction(group)) return reduction(group.node(), &before);
    auto launch = std::make_shared<CpuLaunch>();
    launch->kernel = before.kernel;
    launch->binding = before.binding;
    if (!bind_pointwise(*launch, group)) return std::nullopt;
    return LaunchCode{run_kernel, std::move(launch)};
  }
  bool same_code(const LaunchCode& a, const LaunchCode& b) const override {
    if (a.run != run_kernel || b.run != run_kernel) return fallback_->same_code(a, b);
    const auto& x = *static_cast<const CpuLaunch*>(a.data.get());
    const auto& y = *static_cast<const CpuLaunch*>(b.data.get());
    return x.kernel == y.kernel && x.programs == y.programs &&
           std::ranges::equal(x.scalars, y.scalars, [](const KernelSlot& s, const KernelSlot& t) {
             return s.integer == t.integer;
           });
  }
  void fuse(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
            Schedule& schedule, bool eager) const override {
    FuseOptions options;
    options.eager = eager;
    cairn::fuse(graph, overwrites, schedule, options);
    compile(schedule);
  }
  size_t workspace_bytes(const LaunchGroup& group) const override {
    return is_ours(group) ? 0 : fallback_->workspace_bytes(group);
  }

 private:
  static bool is_product(const LaunchGroup& group) {
    return !group.is_fused() && cairn::is_product(group.node());
  }
  static bool is_reduction(const LaunchGroup& group) {
    return !group.is_fused() && cairn::is_reduction(group.node());
  }
  static bool is_ours(const LaunchGroup& group) {
    return group.is_fused() || is_product(group) || is_reduction(group);
  }

  // `before`: a launch of the same structure, whose kernel serves where the block is the same.
  LaunchCode product(const Node& node, const CpuLaunch* before) const {
    const ProductSizes sizes = product_sizes(node);
    const ProductBlock block = product_block(sizes);
    auto launch = std::make_shared<CpuLaunch>();
    launch->kernel = before && before->block == block
                         ? before->kernel
                         : kernels_.get(make_product_kernel(node, block));
    launch->block = block;
    for (const int64_t size : {sizes.batch, sizes.m, sizes.n, sizes.k})
      launch->scalars.push_back(slot_of(size));
    launch->programs = product_programs(sizes, block);
    launch->grain = std::max<int64_t>(
        1, kGrainProducts / std::max<int64_t>(1, block.rows * block.columns * sizes.k));
    return {run_kernel, std::move(launch)};
  }
  LaunchCode reduction(const Node& node, const CpuLaunch* before) const {
    const ReductionSizes sizes = reduction_sizes(node);
    const ReductionForm form = reduction_form(sizes);
    auto launch = std::make_shared<CpuLaunch>();
    launch->kernel = before && before->form == form
                         ? before->kernel
                         : kernels_.get(make_reduction_kernel(node, form));
    launch->form = form;
    for (const int64_t size : {sizes.outer, sizes.n, sizes.inner})
      launch->scalars.push_back(slot_of(size));
    launch->programs = reduction_programs(sizes, form);
    launch->grain =
        std::max<int64_t>(1, kGrainElements / std::max<int64_t>(1, reduction_block(sizes, form)));
    return {run_kernel, std::move(launch)};
  }
  tile::Kernel kernel_of(const LaunchGroup& group) const {
    if (is_reduction(group))
      return make_reduction_kernel(group.node(), reduction_form(reduction_sizes(group.node())));

    if (!is_product(group)) return make_pointwise_kernel(group).kernel;
    return make_product_kernel(group.node(), product_block(product_sizes(group.node())));
  }

  // All kernels of a schedule, in parallel; code() then finds them.
  void compile(const Schedule& schedule) const {
    std::vector<const LaunchGroup*> groups;
    for (const LaunchGroup& group : schedule.launches)
      if (is_ours(group)) groups.push_back(&group);
    pool_.parallel_for(static_cast<int64_t>(groups.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        kernels_.get(kernel_of(*groups[static_cast<size_t>(i)]));
    });
  }

  ThreadPool& pool_;
  std::unique_ptr<Backend> fallback_;
  mutable KernelCache kernels_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(CpuTarget target, ThreadPool& pool,
                                          const std::string& cache,
                                          std::unique_ptr<Backend> fallback) {
  if (!can_compile_kernels())
    throw_error("device 'cpu' is not in this build, which has no LLVM; use ref");
  if (target == CpuTarget::baseline)
    throw_error(
        "device 'cpu' needs a processor with AVX2 and FMA (or CAIRN_TARGET allows less); use ref");
  return std::make_unique<CpuBackend>(target, pool, cache, std::move(fallback));
}

}  // namespace cairn
