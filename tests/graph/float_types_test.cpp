// f16, bf16 and the 8-bit floats: every code, and rounding against a search for the nearest number.
#include "cairn/core/float_types.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace cairn {
namespace {

template <class T>
struct Format;
template <>
struct Format<Float16> {
  static constexpr int kExponent = 5, kMantissa = 10;
  static constexpr bool kInfinity = true;
};
template <>
struct Format<BFloat16> {
  static constexpr int kExponent = 8, kMantissa = 7;
  static constexpr bool kInfinity = true;
};
template <>
struct Format<Float8E4M3> {
  static constexpr int kExponent = 4, kMantissa = 3;
  static constexpr bool kInfinity = false;
};
template <>
struct Format<Float8E5M2> {
  static constexpr int kExponent = 5, kMantissa = 2;
  static constexpr bool kInfinity = true;
};

template <class T>
T from_code(uint32_t code) {
  T value;
  value.bits = static_cast<decltype(value.bits)>(code);
  return value;
}

// The number that a code without its sign stands for, from the definition of the format; what lies
// past the largest finite number is computed as if the exponent went on.
template <class T>
double number(uint32_t code) {
  using F = Format<T>;
  constexpr int kBias = (1 << (F::kExponent - 1)) - 1;
  const int exponent = static_cast<int>(code >> F::kMantissa);
  const double fraction = std::ldexp(code & ((1u << F::kMantissa) - 1), -F::kMantissa);
  return exponent == 0 ? std::ldexp(fraction, 1 - kBias)
                       : std::ldexp(1 + fraction, exponent - kBias);
}

// The first code, without sign, that is no finite number.
template <class T>
uint32_t first_special() {
  using F = Format<T>;
  const uint32_t top = ((1u << F::kExponent) - 1) << F::kMantissa;
  return F::kInfinity ? top : top | ((1u << F::kMantissa) - 1);
}

// The code nearest to a float, ties to the even code, by binary search in the table of all numbers.
template <class T>
class Nearest {
 public:
  Nearest() {
    for (uint32_t code = 0; code <= first_special<T>(); ++code) numbers_.push_back(number<T>(code));
  }
  uint32_t operator()(float value) const {
    const double x = std::fabs(static_cast<double>(value));
    const auto above = std::lower_bound(numbers_.begin(), numbers_.end(), x);
    uint32_t code;
    if (above == numbers_.end()) {
      code = first_special<T>();
    } else {
      const auto high = static_cast<uint32_t>(above - numbers_.begin());
      const uint32_t low = high == 0 ? 0 : high - 1;
      const double below = x - numbers_[low];  // exact: all are floats with few bits
      const double over = numbers_[high] - x;
      code = below < over || (below == over && low % 2 == 0) ? low : high;
    }
    return code | (std::signbit(value) ? 1u << (8 * sizeof(T) - 1) : 0);
  }

 private:
  std::vector<double> numbers_;
};

template <class T>
class FloatTypes : public testing::Test {};
using All = testing::Types<Float16, BFloat16, Float8E4M3, Float8E5M2>;
TYPED_TEST_SUITE(FloatTypes, All);

TYPED_TEST(FloatTypes, EveryCode) {
  using T = TypeParam;
  const uint32_t sign = 1u << (8 * sizeof(T) - 1);
  for (uint32_t code = 0; code < 2 * sign; ++code) {
    const float value = static_cast<float>(from_code<T>(code));
    const uint32_t magnitude = code & (sign - 1);
    EXPECT_EQ(std::signbit(value), code >= sign) << code;
    if (magnitude < first_special<T>()) {
      ASSERT_EQ(std::fabs(static_cast<double>(value)), number<T>(magnitude)) << code;
    } else if (Format<T>::kInfinity && magnitude == first_special<T>()) {
      ASSERT_TRUE(std::isinf(value)) << code;
    } else {
      // A NaN stays one and keeps its sign; a signalling one comes back quiet.
      ASSERT_TRUE(std::isnan(value)) << code;
      const uint32_t back = T(value).bits;
      EXPECT_TRUE(std::isnan(static_cast<float>(from_code<T>(back)))) << code;
      EXPECT_EQ(back >= sign, code >= sign) << code;
      continue;
    }
    ASSERT_EQ(T(value).bits, code);
  }
}

TYPED_TEST(FloatTypes, RoundsToTheNearest) {
  using T = TypeParam;
  const Nearest<T> nearest;
  const auto check = [&](float value) {
    for (const float x : {value, -value}) ASSERT_EQ(T(x).bits, nearest(x)) << x;
  };
  constexpr float kHuge = std::numeric_limits<float>::max();
  // Around each number and around the middle between each and the next, the one past the end
  // included.
  for (uint32_t code = 0; code < first_special<T>(); ++code) {
    const double low = number<T>(code);
    const double high = number<T>(code + 1);
    for (const double x : {low, low + (high - low) / 2}) {
      if (x > kHuge) continue;  // bf16: past the last float
      const auto exact = static_cast<float>(x);
      ASSERT_EQ(exact, x);
      check(exact);
      check(std::nextafter(exact, kHuge));
      check(std::nextafter(exact, -kHuge));
    }
  }
  std::mt19937 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isnan(value)) check(value);
  }
  check(kHuge);
  check(std::numeric_limits<float>::denorm_min());
  check(std::numeric_limits<float>::min());
}

TYPED_TEST(FloatTypes, InfinityAndNan) {
  using T = TypeParam;
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float x : {kInf, -kInf}) {
    const float back = static_cast<float>(T(x));
    EXPECT_EQ(std::signbit(back), std::signbit(x));
    if (Format<T>::kInfinity) {
      EXPECT_EQ(back, x);
    } else {
      EXPECT_TRUE(std::isnan(back));
    }
  }
  // Quiet and signalling, with payloads in any bit.
  for (int bit = 0; bit < 23; ++bit)
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float nan = std::bit_cast<float>(sign | 0x7F800000u | 1u << bit);
      const float back = static_cast<float>(T(nan));
      EXPECT_TRUE(std::isnan(back)) << bit;
      EXPECT_EQ(std::signbit(back), sign != 0) << bit;
    }
}

TEST(FloatTypes8, OcpE4M3) {
  EXPECT_EQ(static_cast<float>(from_code<Float8E4M3>(0x7E)), 448.0f);
  EXPECT_EQ(Float8E4M3(464.0f).bits, 0x7E);  // the middle to 480, which is no number; 448 is even
  EXPECT_EQ(Float8E4M3(std::nextafter(464.0f, 1e9f)).bits, 0x7F);
  EXPECT_EQ(Float8E4M3(-1e30f).bits, 0xFF);
  EXPECT_EQ(static_cast<float>(from_code<Float8E4M3>(0x01)), 0x1p-9f);
  EXPECT_EQ(static_cast<float>(from_code<Float8E5M2>(0x7B)), 57344.0f);
  EXPECT_EQ(Float8E5M2(61440.0f).bits, 0x7C);  // the middle to 65536: infinity is even
}

}  // namespace
}  // namespace cairn
