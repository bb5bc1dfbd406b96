// The interpreter: whole kernels against plain C++, memory, loops, grids, and what it refuses.
#include "cairn/tile/interpreter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/tile/tiles.h"

namespace cairn::tile {
namespace {

using namespace tile::test;
using testing::Each;
using testing::ElementsAre;
using Tiles = std::vector<Tile>;

constexpr double kEpsilon = 0x1p-23;  // of f32
constexpr float kInf = std::numeric_limits<float>::infinity();

Kernel vector_add() {
  return build("vector_add", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), y = k.input("y", DType::f32);
    const Buffer out = k.output("out", DType::f32);
    const Tile n = k.size("n");
    k.grid([&] { return Tiles{ceil_div(n, 64)}; });
    const Tile i = k.program_id(0) * 64 + k.arange(64);
    k.store(out, i, k.load(x, i, i < n) + k.load(y, i, i < n), i < n);
  });
}

TEST(Kernels, VectorAdd) {
  const Kernel kernel = vector_add();
  for (int64_t n : {0, 1, 63, 64, 65, 1000}) {
    const HostArray x = random_array({n}, 1), y = random_array({n}, 2);
    HostArray out(DType::f32, {n + 1});
    for (float& v : out.mutable_span<float>()) v = 7;
    interpret(kernel, {x, y, out, n});
    for (size_t i = 0; i < static_cast<size_t>(n); ++i)
      EXPECT_EQ(out.span<float>()[i], x.span<float>()[i] + y.span<float>()[i]);
    EXPECT_EQ(out.at(n), 7) << "a lane that the mask switched off was written";
  }
}

TEST(Kernels, RowSoftmaxInBlocks) {
  const Kernel kernel = build("softmax", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
    const Tile rows = k.size("rows"), n = k.size("n");
    k.grid([&] { return Tiles{rows}; });
    const Tile row = k.program_id(0) * n;
    const auto block = [&](const Tile& begin) {
      const Tile i = begin + k.arange(64);
      return k.load(x, row + i, i < n, -kInf);
    };
    const Tile largest = k.loop(0, n, 64, k.constant(-kInf, DType::f32),
                                [&](Tile i, Tile m) { return maximum(m, max(block(i), 0)); });
    const Tile total = k.loop(0, n, 64, k.constant(0, DType::f32),
                              [&](Tile i, Tile s) { return s + sum(exp(block(i) - largest), 0); });
    k.loop(0, n, 64, Tiles{}, [&](const Tile& begin, const Tiles&) {
      const Tile i = begin + k.arange(64);
      k.store(out, row + i, exp(block(begin) - largest) / total, i < n);
      return Tiles{};
    });
  });
  const int64_t rows = 5, n = 150;
  const HostArray x = random_array({rows, n}, 3);
  HostArray out(DType::f32, {rows, n});
  interpret(kernel, {x, out, rows, n});
  for (int64_t r = 0; r < rows; ++r) {
    double largest = x.at(r * n), total = 0;
    for (int64_t i = 0; i < n; ++i) largest = std::max(largest, x.at(r * n + i));
    for (int64_t i = 0; i < n; ++i) total += std::exp(x.at(r * n + i) - largest);
    for (int64_t i = 0; i < n; ++i) {
      const double expected = std::exp(x.at(r * n + i) - largest) / total;
      // Roundings of the difference (|x - max| < 8, which exp multiplies), exp, quotient, and of
      // each sum: its 1 + 6 + 3 additions.
      EXPECT_NEAR(out.at(r * n + i), expected, (8 + 2 + 10) * kEpsilon * expected);
    }
  }
}

TEST(Kernels, TiledMatmulOfOddSizes) {
  const Kernel kernel = build("matmul", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), y = k.input("y", DType::f32);
    const Buffer out = k.output("out", DType::f32);
    const Tile m = k.size("m"), n = k.size("n"), depth = k.size("k");
    k.grid([&] { return Tiles{ceil_div(n, 16), ceil_div(m, 8)}; });
    const Tile row = expand_dims(k.program_id(1) * 8 + k.arange(8), 1);
    const Tile column = expand_dims(k.program_id(0) * 16 + k.arange(16), 0);
    const Tile product = k.loop(0, depth, 12, k.full({8, 16}, 0, DType::f32), [&](Tile i, Tile z) {
      const Tile across = expand_dims(i + k.arange(12), 0), down = expand_dims(i + k.arange(12), 1);
      const Tile a = k.load(x, row * depth + across, (row < m) & (across < depth));
      const Tile b = k.load(y, down * n + column, (down < depth) & (column < n));
      return dot(a, b, z);
    });
    k.store(out, row * n + column, product, (row < m) & (column < n));
  });
  for (const auto& [m, n, depth] : {std::array<int64_t, 3>{1, 1, 1}, {17, 35, 29}, {8, 16, 12}}) {
    const HostArray x = random_array({m, depth}, 4), y = random_array({depth, n}, 5);
    HostArray out(DType::f32, {m, n});
    interpret(kernel, {x, y, out, m, n, depth});
    for (int64_t r = 0; r < m; ++r)
      for (int64_t c = 0; c < n; ++c) {
        // Zeros beyond the edge add nothing, so the chain is that of the plain product.
        float sum = 0;
        for (int64_t i = 0; i < depth; ++i)
          sum = std::fma(static_cast<float>(x.at(r * depth + i)),
                         static_cast<float>(y.at(i * n + c)), sum);
        EXPECT_EQ(out.at(r * n + c), sum) << m << " " << n << " " << depth;
      }
  }
}

// Attention with a running maximum and sum (Milakov and Gimelshein 2018; FlashAttention, Dao et al.
// 2022): causal, blocks of 16 queries by 8 keys.
Kernel attention(int64_t width) {
  return build("attention", [&](Builder& k) {
    const Buffer q = k.input("q", DType::f32), key = k.input("k", DType::f32);
    const Buffer v = k.input("v", DType::f32), out = k.output("out", DType::f32);
    const Tile n = k.size("n"), scale = k.scalar("scale", DType::f32);
    k.grid([&] { return Tiles{ceil_div(n, 16)}; });
    const Tile i = expand_dims(k.program_id(0) * 16 + k.arange(16), 1);  // [16, 1]
    const Tile feature = expand_dims(k.arange(width), 0);
    const Tile query = k.load(q, i * width + feature, i < n);  // [16, width]
    const Tiles end = k.loop(
        0, n, 8,
        {k.full({16, 1}, -kInf, DType::f32), k.full({16, 1}, 0, DType::f32),
         k.full({16, width}, 0, DType::f32)},
        [&](const Tile& begin, const Tiles& carried) {
          const Tile j = begin + k.arange(8);
          const Tile rows = expand_dims(j, 1);
          const Tile keys = k.load(key, rows * width + feature, rows < n);
          const Tile values = k.load(v, rows * width + feature, rows < n);
          const Tile seen = (expand_dims(j, 0) <= i) & (expand_dims(j, 0) < n);
          const Tile product = dot(query, transpose(keys, {1, 0}), k.full({16, 8}, 0, DType::f32));
          const Tile score = where(seen, product * scale, -kInf);
          const Tile largest = maximum(carried[0], expand_dims(max(score, 1), 1));
          const Tile weight = exp(score - largest), keep = exp(carried[0] - largest);
          return Tiles{largest, carried[1] * keep + expand_dims(sum(weight, 1), 1),
                       dot(weight, values, carried[2] * keep)};
        });
    k.store(out, i * width + feature, end[2] / end[1], i < n);
  });
}

TEST(Kernels, FusedAttention) {
  const int64_t n = 37, width = 10;
  const double scale = 1 / std::sqrt(10.0);
  const HostArray q = random_array({n, width}, 6), key = random_array({n, width}, 7);
  const HostArray v = random_array({n, width}, 8);
  HostArray out(DType::f32, {n, width});
  interpret(attention(width), {q, key, v, out, n, scale});
  for (int64_t i = 0; i < n; ++i) {
    std::vector<double> weights;
    double total = 0, size = 0;
    for (int64_t j = 0; j <= i; ++j) {
      double score = 0;
      for (int64_t d = 0; d < width; ++d) score += q.at(i * width + d) * key.at(j * width + d);
      weights.push_back(std::exp(score * scale));
      total += weights.back();
    }
    for (int64_t d = 0; d < width; ++d) {
      double expected = 0;
      size = 0;
      for (size_t j = 0; j < weights.size(); ++j) {
        const double value = v.at(static_cast<int64_t>(j) * width + d);
        expected += weights[j] / total * value;
        size = std::max(size, std::abs(value));
      }
      // A score has `width` roundings of numbers below 8, a weight and a sum as many as keys and
      // rescalings; in all under 100, each of a mean of values.
      EXPECT_NEAR(out.at(i * width + d), expected, 100 * kEpsilon * size);
    }
  }
}

// --- memory and order
TEST(Interpreter, LastOfRepeatedOffsetsWins) {
  const Kernel kernel = build("repeat", [](Builder& k) {
    const Tile i = k.arange(10);
    k.store(k.output("out", DType::i64), i % 3, i);
  });
  HostArray out(DType::i64, {3});
  interpret(kernel, {out});
  EXPECT_THAT(numbers_of(out), ElementsAre(9, 7, 8));
}

TEST(Interpreter, MaskedLanesTouchNoMemoryAndGiveOther) {
  const Kernel kernel = build("masked", [](Builder& k) {
    const Buffer x = k.input("x", DType::i32), out = k.output("out", DType::i32);
    const Tile i = k.arange(4), far = where(i == 2, i, i * 1000000 - 1);
    k.store(out, i, k.load(x, far, i == 2));
    k.store(out, i + 4, k.load(x, far, i == 2, -9));
    k.store(out, far, 5, i == 9);
  });
  const HostArray x = array_of<int32_t>({10, 11, 12});
  HostArray out(DType::i32, {8});
  interpret(kernel, {x, out});
  EXPECT_THAT(numbers_of(out), ElementsAre(0, 0, 12, 0, -9, -9, 12, -9));
}

TEST(Interpreter, Int32Offsets) {
  const Kernel kernel = build("narrow", [](Builder& k) {
    const Tile i = k.arange(4, DType::i32);
    k.store(k.output("out", DType::i32), 3 - i, i);
  });
  HostArray out(DType::i32, {4});
  interpret(kernel, {out});
  EXPECT_THAT(numbers_of(out), ElementsAre(3, 2, 1, 0));
}

TEST(Interpreter, AtomicsCombineOneAfterTheOther) {
  const auto run = [](Combine kind, auto start, std::vector<decltype(start)> values) {
    using T = decltype(start);
    const auto count = static_cast<int64_t>(values.size());
    const Kernel kernel = build("atomic", [&](Builder& k) {
      const Buffer x = k.input("x", dtype_of<T>()), sum = k.inout("sum", dtype_of<T>());
      const Buffer old = k.output("old", dtype_of<T>());
      const Tile i = k.arange(count);
      k.store(old, i, k.atomic(kind, sum, i % 2, k.load(x, i), i < count - 1));
    });
    const HostArray x = array_of<T>(values);
    HostArray sum = array_of<T>({start, start}), old(dtype_of<T>(), {count});
    interpret(kernel, {x, sum, old});
    std::vector<double> all = numbers_of(old);
    for (double v : numbers_of(sum)) all.push_back(v);
    return all;  // what was there before each, then the results
  };
  EXPECT_THAT(run(Combine::sum, 10, {1, 2, 3, 4, 99}), ElementsAre(10, 10, 11, 12, 0, 14, 16));
  EXPECT_THAT(run(Combine::prod, 2.0, {3, 4, 5, 6, 99}), ElementsAre(2, 2, 6, 8, 0, 30, 48));
  EXPECT_THAT(run(Combine::max, 2.5f, {3, 1, 2, 9, 99}), ElementsAre(2.5, 2.5, 3, 2.5, 0, 3, 9));
  EXPECT_THAT(run(Combine::min, int8_t{2}, {3, 1, -2, 9, 99}), ElementsAre(2, 2, 2, 1, 0, -2, 1));
}

TEST(Interpreter, LoopsNestAndCarry) {
  // Sum of i * j for i in 0, 3, 6 and j in 0..i-1: 0 + 3 * 3 + 6 * 15.
  const Kernel kernel = build("nest", [](Builder& k) {
    const Tile total = k.loop(0, k.size("n"), 3, k.constant(0, DType::i64), [&](Tile i, Tile s) {
      return k.loop(0, i, 1, s, [&](Tile j, Tile t) { return t + i * j; });
    });
    k.store(k.output("out", DType::i64), k.constant(0, DType::i64), total);
  });
  HostArray out(DType::i64, {1});
  interpret(kernel, {7, out});
  EXPECT_EQ(out.at(0), 99);
  interpret(kernel, {-5, out});  // no iteration: what is carried stays
  EXPECT_EQ(out.at(0), 0);
}

TEST(Interpreter, LoopNearTheLargestIntegerEnds) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const Kernel kernel = build("edge", [](Builder& k) {
    const Tile begin = k.size("begin"), end = k.size("end"), step = k.size("step");
    const Tile count =
        k.loop(begin, end, step, k.constant(0, DType::i64), [&](Tile, Tile c) { return c + 1; });
    k.store(k.output("out", DType::i64), k.constant(0, DType::i64), count);
  });
  HostArray out(DType::i64, {1});
  interpret(kernel, {kMax - 5, kMax, 2, out});
  EXPECT_EQ(out.at(0), 3);
  interpret(kernel, {-kMax, kMax, kMax, out});
  EXPECT_EQ(out.at(0), 2);
}

TEST(Interpreter, GridOfThreeAxes) {
  const Kernel kernel = build("grid", [](Builder& k) {
    const Tile a = k.size("a"), b = k.size("b");
    const Buffer out = k.inout("out", DType::i64);
    k.grid([&] { return Tiles{a, b, a * b}; });
    const Tile at = (k.program_id(2) * b + k.program_id(1)) * a + k.program_id(0);
    k.store(out, at, k.atomic(Combine::sum, out, a * b * a * b, 1));
  });
  const std::array<Number, 2> scalars = {2, 3};
  EXPECT_THAT(grid_of(kernel, scalars), ElementsAre(2, 3, 6));
  HostArray out = array_of<int64_t>(std::vector<int64_t>(37));
  interpret(kernel, {2, 3, out});
  for (int64_t i = 0; i < 36; ++i) EXPECT_EQ(out.at(i), i) << "axis 0 is the fastest";
}

TEST(Interpreter, WithoutAGridThereIsOneProgram) {
  const Kernel kernel = build("one", [](Builder&) {});
  EXPECT_THAT(grid_of(kernel, {}), Each(1));
}

TEST(Interpreter, PrintGoesWhereTheCallerSays) {
  const Kernel kernel = build("show", [](Builder& k) {
    k.grid([&] { return Tiles{k.size("n")}; });
    const Tile p = k.program_id(0);
    k.print(p, "p");
    k.print(reshape(k.arange(4, DType::i32), {2, 2}) < 2, "small");
    k.print(k.full({1}, 0.1, DType::f32), "tenth");
  });
  std::vector<std::string> lines;
  interpret(kernel, {2}, {.print = [&](std::string_view line) { lines.emplace_back(line); }});
  EXPECT_THAT(lines, ElementsAre("show (0, 0, 0) p: i64[] 0",
                                 "show (0, 0, 0) small: bool[2,2] [[true, true], [false, false]]",
                                 "show (0, 0, 0) tenth: f32[1] [0.1]", "show (1, 0, 0) p: i64[] 1",
                                 "show (1, 0, 0) small: bool[2,2] [[true, true], [false, false]]",
                                 "show (1, 0, 0) tenth: f32[1] [0.1]"));
  interpret(kernel, {2});
}

}  // namespace
}  // namespace cairn::tile
