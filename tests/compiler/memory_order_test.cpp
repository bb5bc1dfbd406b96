// Loads and stores of one buffer: a compiled kernel, which computes a tile where it is needed,
// reads what was there when the program says.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/parse.h"
#include "tests/compiler/run_kernel.h"

namespace cairn::test {
namespace {

// `elements` of each buffer.
void expect_interpreted(std::string_view text, const std::vector<int64_t>& elements) {
  if (!can_compile_kernels()) GTEST_SKIP() << "needs LLVM";
  std::vector<RandomArgument> arguments;
  for (const int64_t n : elements) arguments.push_back({n, {}});
  for (const CpuTarget target : {CpuTarget::avx2, CpuTarget::avx512}) {
    if (target > detect_cpu_target()) continue;
    EXPECT_EQ(find_difference(tile::parse_kernel(text), arguments, 1, target).value_or("equal"),
              "equal");
  }
}

TEST(MemoryOrder, AValueLoadedBeforeAStoreIsTheOldOne) {
  expect_interpreted(R"(kernel @k(%io: inout i32, %out: output i32) {
    %0 = arange() : i64[16]
    %1 = load(%io, %0) : i32[16]
    %2 = add(%1, %1) : i32[16]
    store(%io, %0, %2)
    %3 = reshape(%1) : i32[4,4]
    %4 = transpose(%3) {axes=[1,0]} : i32[4,4]
    %5 = reshape(%0) : i64[4,4]
    store(%out, %5, %4)
  })",
                     {16, 16});
}

TEST(MemoryOrder, AScalarToo) {
  expect_interpreted(R"(kernel @k(%io: inout i32, %out: output i32) {
    %0 = constant() {value=0} : i64[]
    %1 = load(%io, %0) : i32[]
    %2 = add(%1, %1) : i32[]
    store(%io, %0, %2)
    store(%out, %0, %1)
  })",
                     {1, 1});
}

// Each pack would read what the one before it wrote.
TEST(MemoryOrder, ATileMovedByOneInPlace) {
  expect_interpreted(R"(kernel @k(%io: inout i32) {
    %0 = arange() : i64[64]
    %1 = load(%io, %0) : i32[64]
    %2 = constant() {value=1} : i64[64]
    %3 = add(%0, %2) : i64[64]
    store(%io, %3, %1)
  })",
                     {65});
}

TEST(MemoryOrder, ALoopReadsWhatItWrote) {
  expect_interpreted(R"(kernel @k(%io: inout i32, %out: output i32) {
    %0 = arange() : i64[16]
    %begin = constant() {value=0} : i64[]
    %end = constant() {value=3} : i64[]
    %step = constant() {value=1} : i64[]
    %1 = load(%io, %0) : i32[16]
    %2 = loop(%begin, %end, %step, %1) (%i: i64[], %c: i32[16]) {
      %3 = add(%c, %c) : i32[16]
      store(%io, %0, %3)
      %4 = load(%io, %0) : i32[16]
      yield %4
    } : i32[16]
    %5 = add(%2, %1) : i32[16]
    store(%out, %0, %5)
  })",
                     {16, 16});
}

// Two packs and a shuffle, which read neither behind the last element nor where the mask is off.
TEST(MemoryOrder, EverySecondElement) {
  for (const std::string_view dtype : {"f32", "f64", "bf16", "i8", "i64"})
    for (const int lanes : {28, 64})
      for (const int read : {lanes, 5}) {
        const std::string text = fmt::format(
            R"(kernel @k(%x: input {0}, %out: output {0}) {{
    %0 = arange() : i64[{1}]
    %two = constant() {{value=2}} : i64[{1}]
    %1 = multiply(%0, %two) : i64[{1}]
    %end = constant() {{value={2}}} : i64[{1}]
    %2 = less(%0, %end) : bool[{1}]
    %3 = load(%x, %1, %2) : {0}[{1}]
    store(%out, %0, %3)
  }})",
            dtype, lanes, read);
        expect_interpreted(text, {2 * read - 1, lanes});
      }
}

}  // namespace
}  // namespace cairn::test
