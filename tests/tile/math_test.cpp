// The error budget of each f32 function of tile/math.h, against f64, and its special values.
//
// The functions run on native numbers here; expand_math_test.cpp shows that kernels give their
// bits. Of functions of one operand every 4001st f32 is tried; all of them, in 80 minutes, with
// CAIRN_TEST_LONG=1 (./test --long).
#include "cairn/tile/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/graph/scalar.h"

namespace cairn::tile {
namespace {

using f32::Float;
using Limits = std::numeric_limits<float>;

bool test_long() {
  const char* longer = std::getenv("CAIRN_TEST_LONG");
  return longer && std::string_view(longer) == "1";
}

// The distance in units in the last place of f32 at `want`; infinite where a NaN or a sign is
// wrong. Past the largest f32 the numbers go on as if there were no infinity, which stands for
// 2^128.
double ulps(float got, double want) {
  if (std::isnan(got) || std::isnan(want))
    return std::isnan(got) == std::isnan(want) ? 0 : math::kInfinity;
  if (std::signbit(got) != std::signbit(want)) return math::kInfinity;
  if (got == static_cast<float>(want) && std::isinf(got)) return 0;
  const double g = std::min(std::fabs(static_cast<double>(got)), 0x1p128);
  const double w = std::min(std::fabs(want), 0x1p128);
  const int exponent = std::max(w > 0 ? std::ilogb(w) : -126, -126);
  return std::fabs(g - w) / std::ldexp(1.0, std::min(exponent, 127) - 23);
}

float native(Op op, float x, float y) { return f32::compute(op, Float(x), Float(y)).value; }
double reference(Op op, double x, double y) {
  double result = 0;
  const auto unary = [&](auto row) { result = Scalar<row()>::of(x); };
  const auto binary = [&](auto row) {
    if constexpr (applies<row(), double>()) result = static_cast<double>(Scalar<row()>::of(x, y));
  };
  if (!visit_unary(op, unary)) visit_binary(op, binary);
  return result;
}

struct Worst {
  Op op;
  double error = 0;
  float x = 0, y = 0;
  void add(float at_x, float at_y) {
    const double e = ulps(native(op, at_x, at_y), reference(op, at_x, at_y));
    if (e > error) *this = {op, e, at_x, at_y};
  }
};

class OfEveryFunction : public testing::TestWithParam<f32::Function> {};

TEST_P(OfEveryFunction, StaysWithinItsBudget) {
  const auto [op, bound] = GetParam();
  Worst worst{op};
  if (info(op).operands == 1) {
    const uint64_t stride = test_long() ? 1 : 4001;
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += stride)
      worst.add(std::bit_cast<float>(static_cast<uint32_t>(bits)), 0);
  } else {
    const int pairs = test_long() ? 20'000'000 : 200'000;
    std::mt19937 random(1);
    std::uniform_real_distribution<float> unit(0, 1);
    for (int i = 0; i < pairs; ++i) {
      const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
      const float y = std::bit_cast<float>(static_cast<uint32_t>(random()));
      worst.add(x, y);
      const float near = 0.5f + unit(random), scale = unit(random);
      if (op == Op::power) {
        // Results over the whole range, from bases everywhere and bases near 1.
        for (float base : {std::fabs(x), near, 1 + (near - 1) * std::exp2(-20 * scale)})
          worst.add(base, (unit(random) * 278 - 150) / std::log2(base));
        worst.add(near * 10 - 10, std::floor(scale * 40) - 20);
      } else {
        worst.add(x, x * near);
        worst.add(x, x * std::exp2(40 * scale - 20));
      }
    }
  }
  EXPECT_LE(worst.error, bound) << std::hexfloat << "at " << worst.x << ", " << worst.y << ": "
                                << native(op, worst.x, worst.y) << ", not "
                                << reference(op, worst.x, worst.y);
}

// Infinities, zeros, the ends of the subnormal, normal and finite numbers, whole numbers, odd ones
// up to the largest, and arguments at which some function begins to overflow or vanish.
TEST_P(OfEveryFunction, HasItsSpecialValues) {
  const auto [op, bound] = GetParam();
  std::vector<float> values = {0,
                               Limits::infinity(),
                               Limits::quiet_NaN(),
                               Limits::denorm_min(),
                               0x1p-127f,
                               Limits::min(),
                               Limits::max(),
                               1,
                               0x1.fffffep-1f,
                               0x1.000002p+0f,
                               0.5f,
                               1.5f,
                               2,
                               3,
                               4,
                               10,
                               88.7f,
                               88.75f,
                               103.9f,
                               104.1f,
                               150,
                               0x1p17f,
                               0x1.fffffep16f,
                               8388607,
                               8388607.5f,
                               16777215,
                               16777216,
                               16777218,
                               0x1.2ced32p126f,
                               0x1.6ac5b2p76f};
  for (size_t i = 0, n = values.size(); i < n; ++i) values.push_back(-values[i]);
  Worst worst{op};
  for (float x : values)
    for (float y : values) worst.add(x, y);
  EXPECT_LE(worst.error, bound) << std::hexfloat << "at " << worst.x << ", " << worst.y << ": "
                                << native(op, worst.x, worst.y) << ", not "
                                << reference(op, worst.x, worst.y);
}

INSTANTIATE_TEST_SUITE_P(F32, OfEveryFunction, testing::ValuesIn(f32::kFunctions),
                         [](const auto& info) { return std::string(name(info.param.op)); });

// All floats within 2 ulp of a multiple of pi/2 are where the reduction cancels most.
TEST(F32, SineAndCosineNextToMultiplesOfAQuarterTurn) {
  Worst sine{Op::sin}, cosine{Op::cos};
  for (double n = 1; n < 0x1p127; n = std::floor(n * 1.001) + 1) {
    const auto bits = std::bit_cast<uint32_t>(static_cast<float>(n * (math::kPi / 2)));
    for (uint32_t b = bits - 2; b <= bits + 2; ++b) {
      sine.add(std::bit_cast<float>(b), 0);
      cosine.add(std::bit_cast<float>(b), 0);
    }
  }
  EXPECT_LE(sine.error, 1.65) << std::hexfloat << sine.x;
  EXPECT_LE(cosine.error, 1.65) << std::hexfloat << cosine.x;
}

// What holds exactly, not just within the budget.
TEST(F32, ExactValues) {
  EXPECT_EQ(native(Op::exp, 0, 0), 1.0f);
  EXPECT_EQ(native(Op::log, 1, 0), 0.0f);
  EXPECT_EQ(native(Op::cos, 0, 0), 1.0f);
  EXPECT_EQ(native(Op::logistic, 0, 0), 0.5f);
  EXPECT_EQ(native(Op::erfc, 0, 0), 1.0f);
  EXPECT_EQ(native(Op::tanh, 20, 0), 1.0f);
  EXPECT_EQ(native(Op::erf, -5, 0), -1.0f);
  EXPECT_EQ(native(Op::expm1, -40, 0), -1.0f);
  for (int n = -149; n < 128; ++n)
    EXPECT_EQ(native(Op::power, 2, static_cast<float>(n)), std::ldexp(1.0f, n));
}

}  // namespace
}  // namespace cairn::tile
