#include "apps/cairn/kernel_launch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "cairn/base/environment.h"
#include "cairn/base/error.h"
#include "cairn/base/probe.h"
#include "cairn/runtime/cpu/cpu_backend.h"
#include "cairn/runtime/cpu/tuning.h"
#include "cairn/tile/evaluate.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"

namespace cairn::app {
namespace {

// Whether the caches cannot hold what the kernel writes; products read more than they write.
bool streams(const ChosenKernel& chosen, const tile::KernelCall& call) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < call.values.size(); ++i)
    if (chosen.kernel.parameters[i].kind == tile::Parameter::Kind::output)
      bytes += call.array(static_cast<int>(i)).bytes();
  return bytes >= last_cache_bytes() && !chosen.named.flops;
}

}  // namespace

KernelSlot slot_of(const Number& number, DType dtype) {
  KernelSlot slot;
  slot.integer = 0;
  tile::write_number(number, dtype, &slot);
  return slot;
}

std::string to_string(const KernelChoice& choice) {
  std::string text =
      choice.block.empty()
          ? "as it is"
          : fmt::format("{}", fmt::join(choice.block.begin(), choice.block.end(), "x"));
  if (choice.version.unroll > 1) text += fmt::format(", unrolled {} times", choice.version.unroll);
  if (choice.grain != 1) text += fmt::format(", {} x the work at a time", choice.grain);
  return text;
}

std::vector<KernelChoice> choices_of(const tile::NamedKernel& named, int threads) {
  std::vector<KernelChoice> choices;
  for (const Ints& block : named.blocks) choices.push_back({block});
  if (choices.empty()) choices.push_back({});
  const Ints usual = choices[0].block;
  for (const int unroll : {2, 4}) choices.push_back({usual, {unroll}});
  if (threads > 1)
    for (const double grain : {0.25, 4.0}) choices.push_back({usual, {}, grain});
  return choices;
}

tile::Kernel kernel_of(const ChosenKernel& chosen, const KernelChoice& choice) {
  return chosen.named.make_in(chosen.dtype, chosen.shape, choice.block);
}

Timings timings(int threads) {
  return {timings_folder(read_environment().cache_directory), choose_arch({}), threads};
}

std::string work_of(const ChosenKernel& chosen) {
  return fmt::format("{}\n{}", title(chosen), tile::to_text(chosen.kernel));
}

KernelChoice best_choice(const ChosenKernel& chosen, int threads) {
  const std::vector<KernelChoice> choices = choices_of(chosen.named, threads);
  std::vector<std::string> names;
  for (const KernelChoice& choice : choices) names.push_back(to_string(choice));
  return choices[best_known(work_of(chosen), names, timings(threads))];
}

Launch compiled_launch(const ChosenKernel& chosen, const tile::KernelCall& call, ThreadPool& pool,
                       const KernelChoice& choice) {
  if (choose_cpu_target(read_environment().target) < CpuTarget::avx2)
    throw_error("compiled kernels need a processor with AVX2; use --device interpreter");
  const tile::Kernel kernel = kernel_of(chosen, choice);
  KernelVersion version = choice.version;
  version.streams = streams(chosen, call);
  CompiledKernel code;
  try {
    code = link_kernel(compile_kernel(tile::run_passes(kernel), choose_arch({}), version),
                       kernel.name);
  } catch (const Error& error) {
    throw_error(fmt::format("{}; `--device interpreter` runs every kernel, slowly", error.what()));
  }
  std::vector<KernelSlot> slots;
  for (size_t i = 0; i < call.values.size(); ++i) {
    if (const auto* number = std::get_if<Number>(&call.values[i])) {
      slots.push_back(slot_of(*number, kernel.parameters[i].dtype));
    } else {
      KernelSlot slot;
      slot.address = std::get<HostArray>(call.values[i]).data();
      slots.push_back(slot);
    }
  }
  if (version.streams) slots.emplace_back().integer = 1;
  const auto grid = tile::grid_of(kernel, call.scalars());
  const int64_t programs = grid[0] * grid[1] * grid[2];
  // Eight pieces a thread even out what others take of a core.
  const int64_t piece = programs / (8 * pool.threads());
  const int64_t grain =
      std::max<int64_t>(1, static_cast<int64_t>(choice.grain * static_cast<double>(piece)));
  return [code, slots, programs, grain, &pool] {
    pool.parallel_for(programs, grain,
                      [&](int64_t begin, int64_t end) { code.run(slots.data(), begin, end); });
  };
}

}  // namespace cairn::app
