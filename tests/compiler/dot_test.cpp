// Products of tiles: blocks of registers, edges, transposed and computed operands, for each type
// and instruction set the same bits as the interpreter.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cairn/runtime/runtime.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/rows.h"
#include "tests/compiler/run_kernel.h"

namespace cairn {
namespace {

using tile::Builder;
using tile::Tile;

struct Sizes {
  int64_t m, k, n;
};
constexpr Sizes kSizes[] = {{1, 1, 1},    {1, 7, 16},   {5, 8, 17},  {13, 33, 70},
                            {48, 64, 64}, {3, 64, 160}, {16, 96, 32}};

class Dot : public ::testing::TestWithParam<std::tuple<CpuTarget, DType>> {
 protected:
  static CpuTarget target() { return std::get<0>(GetParam()); }
  static DType dtype() { return std::get<1>(GetParam()); }
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
    if (target() > detect_cpu_target()) GTEST_SKIP() << "needs " << name(target());
  }
  // `operand(k, buffer, rows, columns, row, column)`: a tile of `rows` x `columns`.
  using Operand = std::function<Tile(Builder&, tile::Buffer, const Tile& row, const Tile& column,
                                     int64_t rows, int64_t columns)>;
  static void expect_interpreted(const Operand& left, const Operand& right) {
    for (const auto& [m, depth, n] : kSizes) {
      SCOPED_TRACE(fmt::format("{} x {} x {}", m, depth, n));
      const tile::Kernel kernel = tile::build("product", [&](Builder& k) {
        const tile::Buffer x = k.input("x", dtype()), y = k.input("y", dtype());
        const DType wide = is_float(dtype()) ? tile::compute_type(dtype()) : DType::i32;
        const tile::Buffer out = k.output("out", wide);
        const auto down = [&](int64_t count) { return expand_dims(k.arange(count), 1); };
        const auto across = [&](int64_t count) { return expand_dims(k.arange(count), 0); };
        const Tile z = k.full({m, n}, is_float(dtype()) ? 0.25 : 3, wide);
        const Tile product = dot(left(k, x, down(m), across(depth), m, depth),
                                 right(k, y, down(depth), across(n), depth, n), z);
        k.store(out, down(m) * n + across(n), product);
      });
      const std::vector<test::RandomArgument> arguments = {
          {m * depth, {}, true}, {depth * n, {}, true}, {m * n, {}, true}};
      const auto difference = test::find_difference(kernel, arguments, 3, target());
      EXPECT_FALSE(difference) << *difference;
    }
  }
  static Tile plain(Builder& k, tile::Buffer from, const Tile& row, const Tile& column, int64_t,
                    int64_t columns) {
    return k.load(from, row * columns + column);
  }
  static Tile transposed(Builder& k, tile::Buffer from, const Tile& row, const Tile& column,
                         int64_t rows, int64_t) {
    return k.load(from, column * rows + row);
  }
  static Tile masked(Builder& k, tile::Buffer from, const Tile& row, const Tile& column,
                     int64_t rows, int64_t columns) {
    return k.load(from, row * columns + column, (row < rows - 1) & (column < columns - 1));
  }
  static Tile computed(Builder& k, tile::Buffer from, const Tile& row, const Tile& column,
                       int64_t rows, int64_t columns) {
    return plain(k, from, row, column, rows, columns) * (is_float(dtype()) ? 0.5 : 3);
  }
};

TEST_P(Dot, PlainOperands) { expect_interpreted(plain, plain); }
TEST_P(Dot, TransposedOperands) { expect_interpreted(transposed, transposed); }
TEST_P(Dot, MaskedOperands) { expect_interpreted(masked, masked); }
TEST_P(Dot, ComputedOperands) { expect_interpreted(computed, computed); }

// Bytes and bf16 as words of several rows, whose masks may end where that of x does not.
struct WordCase {
  DType x, words;
};
class WordDot : public ::testing::TestWithParam<std::tuple<CpuTarget, WordCase>> {};

TEST_P(WordDot, AddsWhatTheirElementsDo) {
  const auto [target, types] = GetParam();
  if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
  if (target > detect_cpu_target()) GTEST_SKIP() << "needs " << name(target);
  const int64_t together = types.x == DType::bf16 ? 2 : 4;
  const DType wide = types.x == DType::bf16 ? DType::f32 : DType::i32;
  for (const auto& [m, words, n] : kSizes)
    for (const int64_t ends : {0, 1, 5}) {
      const int64_t depth = words * together;
      SCOPED_TRACE(fmt::format("{} x {} x {}, {} less", m, depth, n, ends));
      const tile::Kernel kernel =
          tile::build("product", [&, m = m, words = words, n = n](Builder& k) {
            const tile::Buffer x = k.input("x", types.x), y = k.input("y", types.words);
            const tile::Buffer out = k.output("out", wide);
            const auto down = [&](int64_t count) { return expand_dims(k.arange(count), 1); };
            const auto across = [&](int64_t count) { return expand_dims(k.arange(count), 0); };
            const Tile along = across(depth) + 0 * down(m), row = down(words) + 0 * across(n);
            const Tile left = k.load(x, down(m) * depth + across(depth), along < depth - ends);
            const Tile right = k.load(y, down(words) * n + across(n), row < words - ends / 4);
            k.store(out, down(m) * n + across(n), dot(left, right, k.full({m, n}, 3, wide)));
          });
      const std::vector<test::RandomArgument> arguments = {
          {m * depth, {}, true}, {words * n, {}, true}, {m * n, {}, true}};
      const auto difference = test::find_difference(kernel, arguments, 3, target);
      EXPECT_FALSE(difference) << *difference;
    }
}

INSTANTIATE_TEST_SUITE_P(All, WordDot,
                         ::testing::Combine(::testing::Values(CpuTarget::avx2, CpuTarget::avx512),
                                            ::testing::Values(WordCase{DType::i8, DType::i32},
                                                              WordCase{DType::u8, DType::i32},
                                                              WordCase{DType::i8, DType::u32},
                                                              WordCase{DType::u8, DType::u32},
                                                              WordCase{DType::bf16, DType::u32})),
                         [](const auto& info) {
                           const WordCase types = std::get<1>(info.param);
                           return fmt::format("{}_{}_{}", name(std::get<0>(info.param)),
                                              name(types.x), name(types.words));
                         });

INSTANTIATE_TEST_SUITE_P(All, Dot,
                         ::testing::Combine(::testing::Values(CpuTarget::avx2, CpuTarget::avx512),
                                            ::testing::Values(DType::f32, DType::bf16, DType::f16,
                                                              DType::f64, DType::i8, DType::u8)),
                         [](const auto& info) {
                           return fmt::format("{}_{}", name(std::get<0>(info.param)),
                                              name(std::get<1>(info.param)));
                         });

}  // namespace
}  // namespace cairn
