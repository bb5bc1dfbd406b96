#include "cairn/runtime/cpu/group_tuner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cairn/core/buffer.h"
#include "cairn/core/dispatch.h"
#include "cairn/tile/print.h"

namespace cairn {
namespace {

// Buffers of ones for what a group reads and writes: no index is out of range, nothing overflows.
class Buffers {
 public:
  explicit Buffers(const LaunchGroup& group) {
    for (const Tensor& t : group.inputs) inputs_.push_back(make(t.type()));
    for (const Tensor& t : group.outputs) outputs_.push_back(make(t.type()));
  }
  std::span<const void* const> inputs() const { return inputs_; }
  std::span<void* const> outputs() const { return outputs_; }

 private:
  void* make(const TensorType& type) {
    const auto count = static_cast<size_t>(type.shape.elements());
    owners_.push_back(memory_.allocate(count * size_of(type.dtype)));
    void* data = owners_.back()->data;
    visit_dtype(type.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      std::fill_n(static_cast<T*>(data), count, static_cast<T>(1.0F));
    });
    return data;
  }
  HostAllocator memory_;
  std::vector<std::shared_ptr<Buffer>> owners_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace

std::vector<GroupChoice> choices_of(const GroupBinding& binding, std::span<const int64_t> sizes,
                                    int threads) {
  std::vector<GroupChoice> choices;
  for (const GroupForm& form : forms_of(binding, sizes)) choices.push_back({form});
  const GroupForm usual = choices[0].form;
  if (binding.kind != GroupKind::product)
    for (const int unroll : {2, 4}) choices.push_back({usual, {unroll}});
  if (threads > 1)
    for (const double grain : {0.25, 4.0, 16.0}) choices.push_back({usual, {}, grain});
  return choices;
}

std::string to_string(const GroupChoice& choice) {
  std::string text = to_string(choice.form);
  if (choice.version.unroll > 1) text += fmt::format(", unrolled {} times", choice.version.unroll);
  if (choice.grain != 1) text += fmt::format(", {} x the work at a time", choice.grain);
  return text;
}

GroupTuner::GroupTuner(const Timings& timings, CpuTarget target, ThreadPool& pool, double seconds)
    : timings_(timings), target_(target), pool_(pool), seconds_(seconds) {}

std::string GroupTuner::work_of_structure(const LaunchGroup& group) {
  GroupForm form;
  form.lanes = tile::kReduceLanes;
  form.columns = 64;
  form.block = {48, 64, 256};
  return tile::to_text(make_group_kernel(group, form).kernel);
}

std::string GroupTuner::work_of(const std::string& structure, std::span<const int64_t> sizes) {
  return fmt::format("{}\n{}", structure, fmt::join(sizes, " "));
}

GroupChoice GroupTuner::choose(const LaunchGroup& group, const std::string& structure,
                               const GroupBinding& binding, std::span<const int64_t> sizes,
                               const std::function<LaunchCode(const GroupChoice&)>& launch) const {
  const std::vector<GroupChoice> choices = choices_of(binding, sizes, pool_.threads());
  const std::string work = work_of(structure, sizes);
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = chosen_.emplace(work, 0);
  if (is_new) {
    if (spent_ < seconds_) {
      found->second = sweep(group, work, choices, launch);
    } else {
      std::vector<std::string> names;
      for (const GroupChoice& choice : choices) names.push_back(to_string(choice));
      found->second = best_known(work, names, timings_);
    }
  }
  return choices[found->second];
}

size_t GroupTuner::sweep(const LaunchGroup& group, const std::string& work,
                         std::span<const GroupChoice> choices,
                         const std::function<LaunchCode(const GroupChoice&)>& launch) const {
  const double start = monotonic_seconds();
  std::optional<Buffers> buffers;  // made when a time is missing
  const Mesh mesh;
  ErrorSlot error;
  std::vector<LaunchCode> codes(choices.size());
  std::vector<TuneCandidate> candidates;
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto prepare = [&, i] {
      const GroupChoice& choice = choices[i];
      codes[i] = launch(choice);
      return spills_of(make_group_kernel(group, choice.form).kernel, target_, choice.version);
    };
    const auto measure = [&, i] {
      if (!buffers) buffers.emplace(group);
      const KernelArgs args{group.node(),
                            codes[i].data.get(),
                            buffers->inputs(),
                            buffers->outputs(),
                            pool_,
                            target_,
                            mesh,
                            error,
                            nullptr};
      return seconds_of([&] { codes[i].run(args); });
    };
    candidates.push_back({to_string(choices[i]), prepare, measure});
  }
  TuneOptions options;
  options.seconds = seconds_ - spent_;
  const size_t best = tune(work, candidates, timings_, pool_, options).best;
  spent_ += monotonic_seconds() - start;
  return best;
}

}  // namespace cairn
