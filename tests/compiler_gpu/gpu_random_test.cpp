// Code for GPUs against the interpreter, on random programs, in simulation. What the lowering
// refuses with its reason is no difference. CAIRN_TEST_LONG=1 (./test --long) tries for a minute
// each.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cairn/base/error.h"
#include "cairn/tile/print.h"
#include "tests/compiler/run_kernel.h"
#include "tests/compiler_gpu/simulated_gpu.h"

namespace cairn::test {
namespace {

bool test_long() {
  const char* longer = std::getenv("CAIRN_TEST_LONG");
  return longer && std::string_view(longer) == "1";
}

bool is_refusal(std::string_view problem) {
  return problem.find("lowering for a GPU") != problem.npos ||
         problem.find("bytes of shared memory") != problem.npos;
}

std::optional<std::string> wrong(const tile::Kernel& kernel, const RandomKernel& random,
                                 uint64_t seed, GpuTarget target) {
  return find_difference(kernel, random.arguments, seed, [&](const tile::Kernel& expanded) {
    return simulated_gpu_kernel(expanded, target);
  });
}

void try_seeds(uint64_t first, int count, const GeneratorOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  int tried = 0, refused = 0;
  for (; tried < count || (test_long() && seconds() < 60); ++tried) {
    const uint64_t seed = first + static_cast<uint64_t>(tried);
    const RandomKernel random = random_kernel(seed, options);
    const GpuTarget target = seed % 2 == 0 ? GpuTarget::sm_80 : GpuTarget::gfx942;
    const auto problem = wrong(random.kernel, random, seed, target);
    if (!problem) continue;
    if (is_refusal(*problem)) {
      ++refused;
      continue;
    }
    const tile::Kernel small = shrink(random.kernel, [&](const tile::Kernel& kernel) {
      try {
        const auto still = wrong(kernel, random, seed, target);
        return still && !is_refusal(*still);
      } catch (const Error&) {
        return false;
      }
    });
    FAIL() << "seed " << seed << " for " << name(target) << ": " << *problem << "\n"
           << tile::to_text(small);
  }
  EXPECT_LT(refused, tried / 2) << "of " << tried;
}

// Threads have no order: which of several stores to a place is the last is not known.
GeneratorOptions without_repeats() {
  GeneratorOptions options;
  options.repeated_offsets = false;
  return options;
}

TEST(GpuRandom, ElementwiseAsInterpreted) { try_seeds(0, 60, without_repeats()); }

TEST(GpuRandom, StructuredAsInterpreted) {
  GeneratorOptions options = without_repeats();
  options.elements = 200;
  options.reductions = options.scans = options.dots = options.loops = true;
  try_seeds(10000, 40, options);
}

}  // namespace
}  // namespace cairn::test
