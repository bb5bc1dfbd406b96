// Every instruction that computes a tile from tiles, against plain C++.
#include "cairn/tile/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "cairn/base/math.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/reduction_order.h"
#include "tests/support/message_of.h"
#include "tests/tile/tiles.h"

namespace cairn::tile {
namespace {

using namespace tile::test;
using cairn::test::message_of;
using testing::ElementsAre;
using Tiles = std::vector<Tile>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int32_t kMin = std::numeric_limits<int32_t>::min();
constexpr int32_t kMax = std::numeric_limits<int32_t>::max();

TEST(Evaluate, Constants) {
  const auto full = [](Number value, DType dtype) {
    const OneTile body = [&](Builder& k, const Tiles&) { return k.full({2}, value, dtype); };
    return numbers_of(run_one({}, body));
  };
  EXPECT_THAT(full(2.5, DType::f32), ElementsAre(2.5, 2.5));
  EXPECT_THAT(full(0.1, DType::f32), ElementsAre(0.1f, 0.1f));
  EXPECT_THAT(full(-7, DType::i8), ElementsAre(-7, -7));
  EXPECT_THAT(full(true, DType::b8), ElementsAre(1, 1));
  EXPECT_THAT(full(-1, DType::u32), ElementsAre(4294967295.0, 4294967295.0));
  // Halfway between two f16 but for the last bit of the double: one rounding goes up, two go down.
  EXPECT_THAT(full(1 + 0x1p-11 + 0x1p-40, DType::f16), ElementsAre(1 + 0x1p-10, 1 + 0x1p-10));
  const HostArray large = run_one(
      {}, [](Builder& k, const Tiles&) { return k.constant(int64_t{1} << 62, DType::i64); });
  EXPECT_EQ(large.span<int64_t>()[0], int64_t{1} << 62);
}

TEST(Evaluate, Arange) {
  for (DType dtype : {DType::i32, DType::i64})
    EXPECT_THAT(
        numbers_of(run_one({}, [&](Builder& k, const Tiles&) { return k.arange(4, dtype); })),
        ElementsAre(0, 1, 2, 3));
}

TEST(Evaluate, ArithmeticOfFloats) {
  const HostArray x = random_array({3, 5}, 1), y = random_array({3, 5}, 2);
  const HostArray out = run_one(
      {x, y}, [](Builder&, const Tiles& t) { return exp(t[0]) / (t[1] * t[1] + 1) - tanh(t[0]); });
  EXPECT_EQ(out.shape(), (Shape{3, 5}));
  for (size_t i = 0; i < 15; ++i) {
    const float a = x.span<float>()[i], b = y.span<float>()[i];
    const float e = static_cast<float>(math::exp(a)), t = static_cast<float>(math::tanh(a));
    EXPECT_EQ(out.span<float>()[i], e / (b * b + 1) - t);
  }
}

TEST(Evaluate, SmallFloatsRoundAfterEachInstruction) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    const T x(1.01f), y(3.3f), z(0.07f);
    const HostArray out = run_one({array_of<T>({x}), array_of<T>({y}), array_of<T>({z})},
                                  [](Builder&, const Tiles& t) { return t[0] * t[1] + t[2]; });
    const T product(static_cast<float>(x) * static_cast<float>(y));
    const T sum(static_cast<float>(product) + static_cast<float>(z));
    EXPECT_EQ(out.span<T>()[0].bits, sum.bits);
  };
  check(Float16());
  check(BFloat16());
}

TEST(Evaluate, IntegersWrapAndDivideAsDefined) {
  const HostArray x = array_of<int32_t>({kMax, kMin, 7, -7, 5});
  const HostArray y = array_of<int32_t>({1, -1, 2, 2, 0});
  const auto run = [&](auto f) {
    return values_of<int32_t>(
        run_one({x, y}, [&](Builder&, const Tiles& t) { return f(t[0], t[1]); }));
  };
  EXPECT_THAT(run([](Tile a, Tile b) { return a + b; }), ElementsAre(kMin, kMax, 9, -5, 5));
  EXPECT_THAT(run([](Tile a, Tile b) { return a / b; }), ElementsAre(kMax, kMin, 3, -3, -1));
  EXPECT_THAT(run([](Tile a, Tile b) { return a % b; }), ElementsAre(0, 0, 1, -1, 5));
  EXPECT_THAT(run([](Tile a, Tile b) { return a << b; }), ElementsAre(-2, 0, 28, -28, 5));
  EXPECT_THAT(run([](Tile a, Tile b) { return a >> b; }), ElementsAre(kMax >> 1, -1, 1, -2, 5));
  EXPECT_THAT(run([](Tile a, Tile b) { return (a & b) | (a ^ b); }),
              ElementsAre(kMax, -1, 7, -5, 5));
}

TEST(Evaluate, ComparisonsAndSelect) {
  const HostArray x = array_of<float>({1, kNan, -0.0f, 3}), y = array_of<float>({2, 1, 0, 3});
  const auto run = [&](auto f) {
    return numbers_of(run_one({x, y}, [&](Builder&, const Tiles& t) { return f(t[0], t[1]); }));
  };
  EXPECT_THAT(run([](Tile a, Tile b) { return a < b; }), ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(run([](Tile a, Tile b) { return a <= b; }), ElementsAre(1, 0, 1, 1));
  EXPECT_THAT(run([](Tile a, Tile b) { return a > b; }), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(run([](Tile a, Tile b) { return a == b; }), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(run([](Tile a, Tile b) { return where(a < b, a, -b); }), ElementsAre(1, -1, 0, -3));
  EXPECT_THAT(run([](Tile a, Tile b) { return where(a < b, 1.0f, b); }), ElementsAre(1, 1, 0, 3));
}

TEST(Evaluate, MaximumPrefersNanAndPositiveZero) {
  const HostArray x = array_of<float>({kNan, 1, -0.0f}), y = array_of<float>({1, kNan, 0.0f});
  const HostArray large =
      run_one({x, y}, [](Builder&, const Tiles& t) { return maximum(t[0], t[1]); });
  const HostArray small =
      run_one({x, y}, [](Builder&, const Tiles& t) { return minimum(t[0], t[1]); });
  for (size_t i : {0u, 1u}) {
    EXPECT_TRUE(std::isnan(large.span<float>()[i]));
    EXPECT_TRUE(std::isnan(small.span<float>()[i]));
  }
  EXPECT_FALSE(std::signbit(large.span<float>()[2]));
  EXPECT_TRUE(std::signbit(small.span<float>()[2]));
}

TEST(Evaluate, Casts) {
  const HostArray x = array_of<float>({1.9f, -1.9f, 1e10f, kNan, 0});
  const auto run = [&](DType dtype) {
    return numbers_of(run_one({x}, [&](Builder&, const Tiles& t) { return cast(t[0], dtype); }));
  };
  EXPECT_THAT(run(DType::i32), ElementsAre(1, -1, kMax, 0, 0));
  EXPECT_THAT(run(DType::u8), ElementsAre(1, 0, 255, 0, 0));
  EXPECT_THAT(run(DType::b8), ElementsAre(1, 1, 1, 1, 0));
  const double largest = run(DType::f16)[2];
  EXPECT_TRUE(std::isinf(largest));
  EXPECT_EQ(run(DType::f8e4m3)[0], 1.875);
}

// Whatever inference lets through has a value, and nothing else does.
TEST(Evaluate, EveryElementwisePrimitiveOfEveryType) {
  int pairs = 0;
  for (int op = 0; op < kOpCount; ++op) {
    Instruction in;
    in.op = TileOp::apply;
    in.scalar = static_cast<Op>(op);
    if (cairn::info(in.scalar).trait != Trait::elementwise) continue;
    for (int d = 0; d < kDTypeCount; ++d) {
      const TileType type{static_cast<DType>(d), {2}};
      Kernel kernel;
      std::vector<HostArray> operands;
      in.operands.clear();
      for (int i = 0; i < cairn::info(in.scalar).operands; ++i) {
        const TileType of = in.scalar == Op::select && i == 0 ? TileType{DType::b8, {2}} : type;
        in.operands.push_back(kernel.new_value(of));
        operands.emplace_back(of.dtype, of.shape);
        std::memset(operands.back().mutable_data(), 0, operands.back().bytes());
      }
      TileType result = type;
      const bool infers =
          message_of([&] { result = result_types(kernel, in, {DType::i16, {}})[0]; }) == "no error";
      const std::string message = message_of([&] {
        const HostArray out = evaluate(in, result, operands);
        EXPECT_EQ(out.dtype(), result.dtype);
        EXPECT_EQ(out.shape(), result.shape);
      });
      EXPECT_EQ(message == "no error", infers)
          << spelled(in) << " of " << name(type.dtype) << ": " << message;
      pairs += infers ? 1 : 0;
    }
  }
  EXPECT_GT(pairs, 250);
}

TEST(Evaluate, EveryReductionAndScanOfEveryType) {
  for (TileOp op : {TileOp::reduce, TileOp::scan, TileOp::arg_reduce})
    for (Combine kind : {Combine::sum, Combine::prod, Combine::max, Combine::min})
      for (int d = 0; d < kDTypeCount; ++d) {
        const TileType type{static_cast<DType>(d), {3}};
        Kernel kernel;
        Instruction in;
        in.op = op;
        in.kind = kind;
        in.operands = {kernel.new_value(type)};
        if (op == TileOp::arg_reduce && (kind == Combine::sum || kind == Combine::prod)) continue;
        HostArray x(type.dtype, type.shape);
        std::memset(x.mutable_data(), 0, x.bytes());
        TileType result = type;
        const bool infers =
            message_of([&] { result = result_types(kernel, in, {})[0]; }) == "no error";
        const std::string message = message_of([&] { evaluate(in, result, std::span(&x, 1)); });
        EXPECT_EQ(message == "no error", infers)
            << name(op) << " " << name(kind) << " of " << name(type.dtype) << ": " << message;
      }
}

TEST(Evaluate, FmaRoundsOnce) {
  const float x = 1 + 0x1p-12f;  // x * x needs a bit more than a float has
  const HostArray one = array_of<float>({x}), minus = array_of<float>({-(x * x)});
  const auto fused = [](Builder&, const Tiles& t) { return fma(t[0], t[0], t[1]); };
  EXPECT_EQ(run_one({one, minus}, fused).span<float>()[0], 0x1p-24f);
  EXPECT_EQ(run_one({one, minus}, [](Builder&, const Tiles& t) { return t[0] * t[0] + t[1]; })
                .span<float>()[0],
            0);
  const double y = 1 + 0x1p-27;
  EXPECT_EQ(run_one({array_of<double>({y}), array_of<double>({-(y * y)})}, fused).span<double>()[0],
            0x1p-54);
}

TEST(Evaluate, MultiplyHigh) {
  const HostArray out = run_one({array_of<uint32_t>({0xffffffffu, 0x10000u, 3}),
                                 array_of<uint32_t>({0xffffffffu, 0x10000u, 5})},
                                [](Builder& k, const Tiles& t) {
                                  Instruction in;
                                  in.op = TileOp::multiply_high;
                                  in.operands = {t[0].id(), t[1].id()};
                                  return k.emit_one(in);
                                });
  EXPECT_THAT(values_of<uint32_t>(out), ElementsAre(0xfffffffeu, 1, 0));
}

TEST(Evaluate, Lookup) {
  std::array<uint8_t, 16> table;
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint8_t>(255 - i);
  const HostArray out = run_one({array_of<uint32_t>({0x0f0a0100u, 0x80132301u})},
                                [&](Builder&, const Tiles& t) { return lookup(t[0], table); });
  EXPECT_THAT(values_of<uint32_t>(out), ElementsAre(0xf0f5feffu, 0x00fcfcfeu));
}

TEST(Evaluate, Bitcast) {
  const HostArray out = run_one({array_of<float>({1.0f, -0.0f})},
                                [](Builder&, const Tiles& t) { return bitcast(t[0], DType::u32); });
  EXPECT_THAT(values_of<uint32_t>(out), ElementsAre(0x3f800000u, 0x80000000u));
  const HostArray back = run_one({array_of<int16_t>({0x3c00})}, [](Builder&, const Tiles& t) {
    return bitcast(t[0], DType::f16);
  });
  EXPECT_EQ(back.at(0), 1.0);
}

TEST(Evaluate, BroadcastReshapeTranspose) {
  const HostArray x = array_of<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto run = [&](auto f) {
    return values_of<int32_t>(run_one({x}, [&](Builder&, const Tiles& t) { return f(t[0]); }));
  };
  EXPECT_THAT(run([](Tile t) { return transpose(t, {1, 0}); }), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(run([](Tile t) { return reshape(t, {3, 2}); }), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(run([](Tile t) { return broadcast_to(reshape(t, {2, 1, 3}), {2, 2, 3}); }),
              ElementsAre(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
  EXPECT_THAT(run([](Tile t) { return t + expand_dims(sum(t, 1), 1); }),
              ElementsAre(7, 8, 9, 19, 20, 21));
  // Three axes: out[c, a, b] = x[a, b, c].
  const HostArray cube = run_one({}, [](Builder& k, const Tiles&) {
    return transpose(reshape(k.arange(24), {2, 3, 4}), {2, 0, 1});
  });
  EXPECT_EQ(cube.shape(), (Shape{4, 2, 3}));
  for (int64_t c = 0, i = 0; c < 4; ++c)
    for (int64_t a = 0; a < 2; ++a)
      for (int64_t b = 0; b < 3; ++b, ++i) EXPECT_EQ(cube.at(i), a * 12 + b * 4 + c);
}

TEST(Evaluate, ReduceAlongEachAxis) {
  const HostArray x = random_array({3, 70, 2}, 3);
  const auto element = [&](int64_t i) { return x.span<float>()[static_cast<size_t>(i)]; };
  const HostArray middle = run_one({x}, [](Builder&, const Tiles& t) { return sum(t[0], 1); });
  EXPECT_EQ(middle.shape(), (Shape{3, 2}));
  for (int64_t a = 0; a < 3; ++a)
    for (int64_t c = 0; c < 2; ++c)
      EXPECT_EQ(
          middle.span<float>()[static_cast<size_t>(a * 2 + c)],
          reduce_in_order<float>(70, [&](int64_t b) { return element(a * 140 + b * 2 + c); }));
  const HostArray first = run_one({x}, [](Builder&, const Tiles& t) { return max(t[0], 0); });
  for (int64_t i = 0; i < 140; ++i)
    EXPECT_EQ(first.at(i), std::max({element(i), element(140 + i), element(280 + i)}));
  const HostArray last =
      run_one({x}, [](Builder&, const Tiles& t) { return reduce(Combine::prod, t[0], -1); });
  for (int64_t i = 0; i < 210; ++i) EXPECT_EQ(last.at(i), element(2 * i) * element(2 * i + 1));
}

TEST(Evaluate, SmallFloatsSumInFloatAndRoundOnce) {
  const std::vector<BFloat16> ones(1000, BFloat16(1.0f));
  const auto total = [](Builder&, const Tiles& t) { return sum(t[0], 0); };
  EXPECT_EQ(run_one({array_of<BFloat16>(ones)}, total).at(0),
            1000);  // one chain of bf16 stops at 256
}

TEST(Evaluate, ReduceOfNanAndBool) {
  const HostArray x = array_of<float>({1, kNan, 3, -kInf}, {2, 2});
  const HostArray small = run_one({x}, [](Builder&, const Tiles& t) { return min(t[0], 1); });
  EXPECT_TRUE(std::isnan(small.at(0)));
  EXPECT_EQ(small.at(1), -kInf);
  const HostArray b = bools({0, 1, 0, 0}, {2, 2});
  EXPECT_THAT(numbers_of(run_one({b}, [](Builder&, const Tiles& t) { return max(t[0], 1); })),
              ElementsAre(1, 0));
}

TEST(Evaluate, ArgReduceTakesTheFirstAndNan) {
  const HostArray x = array_of<float>({1, 3, 3, 0, 5, kNan, kNan, 9, -1, -2, -2, 4}, {3, 4});
  const auto run = [&](Combine kind, int axis) {
    return values_of<int32_t>(
        run_one({x}, [&](Builder&, const Tiles& t) { return arg_reduce(kind, t[0], axis); }));
  };
  EXPECT_THAT(run(Combine::max, 1), ElementsAre(1, 1, 3));
  EXPECT_THAT(run(Combine::min, 1), ElementsAre(3, 1, 1));
  EXPECT_THAT(run(Combine::max, 0), ElementsAre(1, 1, 1, 1));
}

TEST(Evaluate, ScanInBothDirections) {
  const HostArray x = array_of<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto run = [&](Combine kind, int axis, bool reverse) {
    return values_of<int32_t>(
        run_one({x}, [&](Builder&, const Tiles& t) { return scan(kind, t[0], axis, reverse); }));
  };
  EXPECT_THAT(run(Combine::sum, 1, false), ElementsAre(1, 3, 6, 4, 9, 15));
  EXPECT_THAT(run(Combine::sum, 1, true), ElementsAre(6, 5, 3, 15, 11, 6));
  EXPECT_THAT(run(Combine::prod, 0, false), ElementsAre(1, 2, 3, 4, 10, 18));
  EXPECT_THAT(run(Combine::max, 1, true), ElementsAre(3, 3, 3, 6, 6, 6));
  EXPECT_THAT(run(Combine::min, 0, true), ElementsAre(1, 2, 3, 4, 5, 6));
  // f16 accumulates in float: 2048 + 1 is no f16, 2048 + 1 + 1 is.
  const HostArray h = array_of<Float16>({Float16(2048), Float16(1), Float16(1)});
  EXPECT_THAT(numbers_of(run_one(
                  {h}, [](Builder&, const Tiles& t) { return scan(Combine::sum, t[0], 0); })),
              ElementsAre(2048, 2048, 2050));
}

// [5, 7] x [7, 3] + [5, 3] of any float type, one fma chain per element; of bf16 the second of each
// pair of k first.
template <class T, class Z>
void check_dot() {
  using A = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const auto cast_to = [](const HostArray& array, auto zero) {
    using To = decltype(zero);
    std::vector<To> values;
    for (float v : array.span<float>()) values.push_back(cast_element<To>(v));
    return array_of<To>(values, array.shape());
  };
  const HostArray x = cast_to(random_array({5, 7}, 4), T{});
  const HostArray y = cast_to(random_array({7, 3}, 5), T{});
  const HostArray z = cast_to(random_array({5, 3}, 6), Z{});
  const HostArray out =
      run_one({x, y, z}, [](Builder&, const Tiles& t) { return dot(t[0], t[1], t[2]); });
  for (int64_t m = 0; m < 5; ++m)
    for (int64_t n = 0; n < 3; ++n) {
      A sum = static_cast<A>(z.at(m * 3 + n));
      constexpr bool kInPairs = std::is_same_v<T, BFloat16>;
      for (const int64_t k :
           kInPairs ? std::array{1, 0, 3, 2, 5, 4, 6} : std::array{0, 1, 2, 3, 4, 5, 6})
        sum = std::fma(static_cast<A>(x.at(m * 7 + k)), static_cast<A>(y.at(k * 3 + n)), sum);
      EXPECT_EQ(out.at(m * 3 + n), static_cast<double>(load_element(cast_element<Z>(sum))));
    }
}

TEST(Evaluate, DotOfFloats) {
  check_dot<float, float>();
  check_dot<double, double>();
  check_dot<double, float>();
  check_dot<Float16, float>();
  check_dot<BFloat16, float>();
  check_dot<Float16, Float16>();
  check_dot<BFloat16, BFloat16>();
  check_dot<Float8E4M3, float>();
}

TEST(Evaluate, DotOfBytes) {
  const HostArray x = array_of<uint8_t>({255, 255, 1, 2}, {2, 2});
  const HostArray y = array_of<int8_t>({-128, 127, -128, 127}, {2, 2});
  const HostArray z = array_of<int32_t>({0, kMax, 10, 20}, {2, 2});
  const HostArray out =
      run_one({x, y, z}, [](Builder&, const Tiles& t) { return dot(t[0], t[1], t[2]); });
  EXPECT_THAT(values_of<int32_t>(out), ElementsAre(-65280, kMin + 64769, 10 - 384, 20 + 381));
}

}  // namespace
}  // namespace cairn::tile
