// Compiled kernels against the interpreter, on random programs: as many as a processor tries in
// about a minute; CAIRN_TEST_LONG=1 (./test --long) tries as many as it can in an hour.
#include "tests/compiler/random_kernel.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/parse.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"
#include "cairn/tile/verify.h"
#include "tests/compiler/run_kernel.h"

namespace cairn::test {
namespace {

bool test_long() {
  const char* longer = std::getenv("CAIRN_TEST_LONG");
  return longer && std::string_view(longer) == "1";
}

std::vector<CpuTarget> targets() {
  std::vector<CpuTarget> result;
  for (const CpuTarget target : {CpuTarget::avx2, CpuTarget::avx512})
    if (target <= detect_cpu_target()) result.push_back(target);
  return result;
}

// The kernel's text says all that it is, and its parts are accepted.
void expect_round_trip(const tile::Kernel& kernel) {
  const std::string text = tile::to_text(kernel);
  EXPECT_EQ(tile::to_text(tile::parse_kernel(text)), text);
  EXPECT_NO_THROW(tile::verify(kernel));
}

// Whether the compiled kernel is wrong; one that the interpreter refuses is no kernel at all.
bool is_wrong(const tile::Kernel& kernel, const RandomKernel& random, uint64_t seed,
              CpuTarget target) {
  try {
    return find_difference(kernel, random.arguments, seed, target).has_value();
  } catch (const Error&) {
    return false;
  }
}

void expect_right(uint64_t seed, const GeneratorOptions& options) {
  const RandomKernel random = random_kernel(seed, options);
  expect_round_trip(random.kernel);
  for (const CpuTarget target : targets()) {
    const auto difference = find_difference(random.kernel, random.arguments, seed, target);
    if (!difference) continue;
    const tile::Kernel small = shrink(random.kernel, [&](const tile::Kernel& kernel) {
      return is_wrong(kernel, random, seed, target);
    });
    FAIL() << "seed " << seed << ": " << *difference << "\n"
           << to_text(random.kernel)
           << "\nsmaller: " << find_difference(small, random.arguments, seed, target).value_or("")
           << "\n"
           << tile::to_text(small);
  }
}

constexpr double kLongSeconds = 1800;  // of each of the two kinds

// Seeds first, first + 1, ...
void try_seeds(uint64_t first, int count, const GeneratorOptions& options) {
  if (!can_compile_kernels() || targets().empty()) GTEST_SKIP() << "needs LLVM and AVX2";
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  for (int i = 0; i < count || (test_long() && seconds() < kLongSeconds); ++i) {
    ASSERT_NO_FATAL_FAILURE(expect_right(first + static_cast<uint64_t>(i), options));
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(RandomKernel, ElementwiseAsInterpreted) { try_seeds(0, 500, {}); }

// Smaller tiles: an element of one is a whole tile inside a loop or a reduction.
GeneratorOptions structured() {
  GeneratorOptions options;
  options.elements = 200;
  options.reductions = options.scans = options.dots = options.loops = true;
  return options;
}

TEST(RandomKernel, StructuredAsInterpreted) { try_seeds(10000, 1500, structured()); }

// Sums that begin with subnormal numbers, which count as 0 where bf16 is multiplied.
TEST(RandomKernel, SubnormalNumbersInProductsOfBf16) {
  if (!can_compile_kernels() || targets().empty()) GTEST_SKIP() << "needs LLVM and AVX2";
  expect_right(12289, structured());
}

// What no back end has yet is valid, too: the interpreter finds no access outside of a buffer.
TEST(RandomKernel, AreValidWhateverIsSwitchedOn) {
  GeneratorOptions options = structured();
  options.longest_reduction = 9000;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const RandomKernel random = random_kernel(seed, options);
    expect_round_trip(random.kernel);
    EXPECT_NO_THROW(interpret(random.kernel, random.arguments, seed)) << "seed " << seed;
  }
}

// The same kernel from the same seed, and others from others.
TEST(RandomKernel, FollowsFromItsSeed) {
  std::set<std::string> texts;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::string text = tile::to_text(random_kernel(seed).kernel);
    EXPECT_EQ(tile::to_text(random_kernel(seed).kernel), text);
    texts.insert(text);
  }
  EXPECT_EQ(texts.size(), 50u);
}

// A condition on the kernel's text stands for a failure.
TEST(Shrink, KeepsWhatFails) {
  const auto has = [](const tile::Kernel& kernel, std::string_view word) {
    return tile::to_text(kernel).find(word) != std::string::npos;
  };
  int shrunk = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const tile::Kernel kernel = random_kernel(seed).kernel;
    if (!has(kernel, "= divide(")) continue;
    const tile::Kernel small =
        shrink(kernel, [&](const tile::Kernel& k) { return has(k, "= divide("); });
    EXPECT_NO_THROW(tile::verify(small));
    EXPECT_TRUE(has(small, "= divide("));
    EXPECT_LE(small.body.code.size(), kernel.body.code.size());
    ++shrunk;
  }
  EXPECT_GT(shrunk, 5);
}

}  // namespace
}  // namespace cairn::test
