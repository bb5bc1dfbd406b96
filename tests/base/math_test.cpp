// Special values of cairn/base/math.h, and the bits of its results.
#include "cairn/base/math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "tests/base/math_samples.h"

namespace cairn {
namespace {

using math::kInfinity;
using math::kNaN;
using math_samples::Samples;

bool same(double a, double b) {
  return (a != a && b != b) || (a == b && std::signbit(a) == std::signbit(b));
}

using Function = double (*)(double);
struct Case {
  const char* name;
  Function function;
  std::vector<std::pair<double, double>> values;  // argument, result
};

TEST(Math, SpecialValues) {
  constexpr double kTiny = 0x1p-1074;
  const Case cases[] = {
      {"exp",
       math::exp,
       {{0, 1},
        {-0.0, 1},
        {kInfinity, kInfinity},
        {-kInfinity, 0},
        {710, kInfinity},
        {709.782712893384, 0x1.fffffffffff2ap+1023},
        {-746, 0},
        {-745.13, kTiny},
        {1e308, kInfinity},
        {-1e308, 0},
        {kTiny, 1}}},
      {"exp2",
       math::exp2,
       {{0, 1},
        {-0.0, 1},
        {10, 1024},
        {-1074, kTiny},
        {-1075, 0},
        {-1074.5, kTiny},
        {1024, kInfinity},
        {1023, 0x1p1023},
        {kInfinity, kInfinity},
        {-kInfinity, 0},
        {0.5, 0x1.6a09e667f3bcdp+0}}},
      {"expm1",
       math::expm1,
       {{0.0, 0.0},
        {-0.0, -0.0},
        {kTiny, kTiny},
        {-kTiny, -kTiny},
        {kInfinity, kInfinity},
        {-kInfinity, -1},
        {-50, -1},
        {710, kInfinity}}},
      {"log",
       math::log,
       {{1, 0.0},
        {0, -kInfinity},
        {-0.0, -kInfinity},
        {-1, kNaN},
        {-kInfinity, kNaN},
        {-kTiny, kNaN},
        {kInfinity, kInfinity},
        {kTiny, -0x1.74385446d71c3p+9}}},
      {"log2",
       math::log2,
       {{1, 0.0},
        {0, -kInfinity},
        {-0.0, -kInfinity},
        {-1, kNaN},
        {kInfinity, kInfinity},
        {kTiny, -1074},
        {0x1p1023, 1023},
        {0.125, -3}}},
      {"log1p",
       math::log1p,
       {{0.0, 0.0},
        {-0.0, -0.0},
        {kTiny, kTiny},
        {-kTiny, -kTiny},
        {-1, -kInfinity},
        {-2, kNaN},
        {kInfinity, kInfinity}}},
      {"sin",
       math::sin,
       {{0.0, 0.0}, {-0.0, -0.0}, {kTiny, kTiny}, {kInfinity, kNaN}, {-kInfinity, kNaN}}},
      {"cos", math::cos, {{0.0, 1}, {-0.0, 1}, {kTiny, 1}, {kInfinity, kNaN}, {-kInfinity, kNaN}}},
      {"tan",
       math::tan,
       {{0.0, 0.0}, {-0.0, -0.0}, {kTiny, kTiny}, {kInfinity, kNaN}, {-kInfinity, kNaN}}},
      {"tanh",
       math::tanh,
       {{0.0, 0.0},
        {-0.0, -0.0},
        {kTiny, kTiny},
        {-kTiny, -kTiny},
        {kInfinity, 1},
        {-kInfinity, -1},
        {1e300, 1},
        {-20, -1}}},
      {"logistic",
       math::logistic,
       {{0.0, 0.5},
        {-0.0, 0.5},
        {kInfinity, 1},
        {-kInfinity, 0},
        {40, 1},
        {-746, 0},
        {-745.13, kTiny}}},
      {"erf",
       math::erf,
       {{0.0, 0.0},
        {-0.0, -0.0},
        {kTiny, kTiny},
        {kInfinity, 1},
        {-kInfinity, -1},
        {7, 1},
        {-7, -1}}},
      {"erfc",
       math::erfc,
       {{0.0, 1}, {-0.0, 1}, {kInfinity, 0}, {-kInfinity, 2}, {30, 0}, {-30, 2}}},
      {"erf_inv",
       math::erf_inv,
       {{0.0, 0.0},
        {-0.0, -0.0},
        {1, kInfinity},
        {-1, -kInfinity},
        {1.5, kNaN},
        {-kInfinity, kNaN},
        {kTiny, kTiny}}},
  };
  for (const Case& c : cases) {
    EXPECT_TRUE(std::isnan(c.function(kNaN))) << c.name;
    EXPECT_TRUE(std::isnan(c.function(-kNaN))) << c.name;
    for (const auto& [x, y] : c.values)
      EXPECT_TRUE(same(c.function(x), y)) << c.name << "(" << x << ") = " << c.function(x);
  }
}

// Every pair of interesting values, against the C library, whose results for them are exact.
TEST(Math, SpecialPairs) {
  const double values[] = {0.0,       -0.0,       1,      -1,         2,         -2,         3,
                           -3,        0.5,        -0.5,   2.5,        -2.5,      1e300,      -1e300,
                           0x1p-1074, -0x1p-1074, 0x1p53, 0x1p52 + 1, kInfinity, -kInfinity, kNaN};
  for (double x : values)
    for (double y : values) {
      const double power = std::pow(x, y);
      if (power != power || power == 0 || std::isinf(power) || std::fabs(power) == 1) {
        EXPECT_TRUE(same(math::pow(x, y), power)) << x << " ^ " << y << " = " << math::pow(x, y);
      }
      EXPECT_TRUE(same(math::fmod(x, y), std::fmod(x, y))) << "fmod " << x << ", " << y;
      const double angle = std::atan2(x, y), ours = math::atan2(x, y);
      // Zeros, NaN and the multiples of pi/4 are fixed; the rest is measured elsewhere.
      if (x == 0 || y == 0 || std::isinf(x) || std::isinf(y) || x != x || y != y) {
        EXPECT_TRUE(same(ours, angle)) << "atan2 " << x << ", " << y << " = " << ours;
      }
    }
}

TEST(Math, ExactPowers) {
  for (int base = 2; base <= 20; ++base) {
    double exact = 1;
    for (int n = 0; exact < 0x1p53; ++n, exact *= base) {
      EXPECT_EQ(math::pow(base, n), exact) << base << "^" << n;
      EXPECT_EQ(math::pow(-base, n), n % 2 ? -exact : exact);
    }
  }
  for (int n = -1074; n < 1024; ++n) EXPECT_EQ(math::pow(2, n), std::ldexp(1.0, n));
  for (int n = 0; n < 3000; ++n) EXPECT_EQ(math::pow(double(n) * n, 0.5), n);
}

// FNV-1a over the bits of results on fixed arguments; NaNs count as one.
class Hash {
 public:
  void add(double value) {
    uint64_t bits = value != value ? 0x7ff8000000000000u : std::bit_cast<uint64_t>(value);
    for (int i = 0; i < 8; ++i, bits >>= 8) hash_ = (hash_ ^ (bits & 0xff)) * 0x100000001b3u;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

uint64_t hash_of(Function f) {
  Samples s(11);
  Hash hash;
  for (int i = 0; i < 4000; ++i) {
    hash.add(f(s.uniform(-1, 1)));
    hash.add(f(s.uniform(-30, 30)));
    hash.add(f(s.uniform(-760, 760)));
    hash.add(f(std::bit_cast<double>(s.bits())));  // any exponent
  }
  return hash.value();
}

uint64_t hash_of(double (*f)(double, double)) {
  Samples s(12);
  Hash hash;
  for (int i = 0; i < 4000; ++i) {
    const double x = s.uniform(-4, 4), y = s.uniform(-4, 4);
    hash.add(f(x, y));
    hash.add(f(std::fabs(x) * 100, y * 100));
    const double a = std::bit_cast<double>(s.bits()), b = std::bit_cast<double>(s.bits());
    hash.add(f(a, b));
  }
  return hash.value();
}

// The same bits from any compiler, with any flags that keep IEEE arithmetic, on any x86-64. A
// change of a formula changes these numbers and must say so.
TEST(Math, SameBitsEverywhere) {
  const std::pair<const char*, std::pair<uint64_t, uint64_t>> table[] = {
      {"exp", {hash_of(math::exp), 0x4d76899ee1b90baf}},
      {"exp2", {hash_of(math::exp2), 0x684bc0f972fb6c4b}},
      {"expm1", {hash_of(math::expm1), 0xe7c1a97beee8acf6}},
      {"log", {hash_of(math::log), 0x049e82e73e71a2d8}},
      {"log2", {hash_of(math::log2), 0x6f0ac84cc8362251}},
      {"log1p", {hash_of(math::log1p), 0x8c2eace418752dbe}},
      {"sin", {hash_of(math::sin), 0x80cf6daeed556f31}},
      {"cos", {hash_of(math::cos), 0x1adf0ac3942d2733}},
      {"tan", {hash_of(math::tan), 0xdf208cabe9ca0d59}},
      {"tanh", {hash_of(math::tanh), 0xddfa1817bd98e1b6}},
      {"logistic", {hash_of(math::logistic), 0x2aaa7e140b1c9568}},
      {"erf", {hash_of(math::erf), 0xaf13223531101e20}},
      {"erfc", {hash_of(math::erfc), 0xf55401b95aff951a}},
      {"erf_inv", {hash_of(math::erf_inv), 0x3b255c3a248aab9b}},
      {"pow", {hash_of(math::pow), 0xb6d341748fbdea11}},
      {"atan2", {hash_of(math::atan2), 0x789d3005caf53800}},
      {"fmod", {hash_of(math::fmod), 0x5c8cae7575e18701}},
  };
  for (const auto& [name, hashes] : table) EXPECT_EQ(hashes.first, hashes.second) << name;
}

// An array in one go (SIMD code, where the compiler makes it) has the bits of single calls.
TEST(Math, ArraysHaveTheBitsOfSingleCalls) {
  Samples s(13);
  std::vector<double> x(1003), y(x.size());
  for (double& v : x) v = s.uniform(-8, 8);
  const auto check = [&](auto function) {
    for (size_t i = 0; i < x.size(); ++i) y[i] = function(x[i]);
    for (size_t i = 0; i < x.size(); ++i) {
      const volatile double one = x[i];
      EXPECT_TRUE(same(y[i], function(one)));
    }
  };
  check([](double v) { return math::exp(v); });
  check([](double v) { return math::log(v); });
  check([](double v) { return math::tanh(v); });
  check([](double v) { return math::logistic(v); });
  check([](double v) { return math::erf(v); });
}

}  // namespace
}  // namespace cairn
