// How far the functions of cairn/base/math.h are from the true values, in units in the last place.
//
// The reference is the C library in long double: 64 bits of significand and errors below 2 of its
// own ulp, so what is measured is right to 2^-10 ulp of a double. The bounds are the worst errors
// that runs over a thousand times more points have shown, rounded up; all are under 1.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cairn/base/math.h"
#include "tests/base/math_samples.h"

namespace cairn {
namespace {

using Long = long double;
using math_samples::Samples;
static_assert(std::numeric_limits<Long>::digits == 64, "the reference needs the x87 format");

double ulps(double got, Long want) {
  const double rounded = static_cast<double>(want);
  if (std::isnan(rounded) || std::isnan(got))
    return std::isnan(rounded) == std::isnan(got) ? 0 : math::kInfinity;
  if (std::isinf(rounded) || std::isinf(got)) return rounded == got ? 0 : math::kInfinity;
  int exponent;
  std::frexp(rounded, &exponent);
  const double ulp = std::ldexp(1.0, rounded == 0 ? -1074 : std::max(exponent - 53, -1074));
  return static_cast<double>(std::fabs(static_cast<Long>(got) - want) / ulp);
}

constexpr int kPoints = 20000;  // for each range

struct Worst {
  double error = 0, x = 0, y = 0;
};

template <class F, class R, class Draw>
void expect_within(double bound, F function, R reference, Draw draw) {
  Worst worst;
  for (int i = 0; i < kPoints; ++i) {
    const double x = draw();
    const double error = ulps(function(x), reference(static_cast<Long>(x)));
    if (error > worst.error) worst = {error, x};
  }
  EXPECT_LE(worst.error, bound) << "at " << std::hexfloat << worst.x;
}

template <class F, class R, class Draw>
void expect_within_2(double bound, F function, R reference, Draw draw) {
  Worst worst;
  for (int i = 0; i < kPoints; ++i) {
    const auto [x, y] = draw();
    const double error =
        ulps(function(x, y), reference(static_cast<Long>(x), static_cast<Long>(y)));
    if (error > worst.error) worst = {error, x, y};
  }
  EXPECT_LE(worst.error, bound) << "at " << std::hexfloat << worst.x << ", " << worst.y;
}

// Generators of arguments.
auto uniform(double a, double b) {
  return [s = Samples(1), a, b]() mutable { return s.uniform(a, b); };
}
auto magnitudes(int low, int high) {
  return [s = Samples(2), low, high]() mutable { return s.magnitude(low, high); };
}
auto either_sign(int low, int high) {
  return [s = Samples(3), low, high]() mutable { return s.either_sign(low, high); };
}
// 1 plus or minus 2^-53 .. 2^-1.
auto near_one() {
  return [s = Samples(4)]() mutable { return 1 + s.either_sign(-53, -1); };
}

TEST(MathAccuracy, Exp) {
  const auto reference = [](Long x) { return expl(x); };
  expect_within(0.65, math::exp, reference, uniform(-707, 709.7));
  expect_within(0.65, math::exp, reference, uniform(-2, 2));
  expect_within(0.65, math::exp, reference, either_sign(-70, 0));
  expect_within(0.80, math::exp, reference, uniform(-746, -707));  // rounded twice, to a subnormal
}

TEST(MathAccuracy, Exp2) {
  const auto reference = [](Long x) { return exp2l(x); };
  expect_within(0.65, math::exp2, reference, uniform(-1021, 1024));
  expect_within(0.65, math::exp2, reference, either_sign(-70, 1));
  expect_within(0.80, math::exp2, reference, uniform(-1080, -1021));
}

TEST(MathAccuracy, Expm1) {
  const auto reference = [](Long x) { return expm1l(x); };
  expect_within(0.70, math::expm1, reference, uniform(-2, 2));
  expect_within(0.70, math::expm1, reference, uniform(-45, 710));
  expect_within(0.70, math::expm1, reference, either_sign(-1074, 6));
}

TEST(MathAccuracy, Log) {
  const auto reference = [](Long x) { return logl(x); };
  expect_within(0.87, math::log, reference, magnitudes(-1074, 1024));
  expect_within(0.87, math::log, reference, uniform(0.3, 4));
  expect_within(0.87, math::log, reference, near_one());
}

TEST(MathAccuracy, Log2) {
  const auto reference = [](Long x) { return log2l(x); };
  expect_within(0.51, math::log2, reference, magnitudes(-1074, 1024));
  expect_within(0.51, math::log2, reference, uniform(0.3, 4));
  expect_within(0.51, math::log2, reference, near_one());
}

TEST(MathAccuracy, Log1p) {
  const auto reference = [](Long x) { return log1pl(x); };
  expect_within(0.87, math::log1p, reference, uniform(-1, 4));
  expect_within(0.87, math::log1p, reference, either_sign(-1074, -1));
  expect_within(0.87, math::log1p, reference, magnitudes(-2, 1024));
  expect_within(0.87, math::log1p, reference,
                [s = Samples(5)]() mutable { return s.magnitude(-53, 0) - 1; });
}

TEST(MathAccuracy, SinCosTan) {
  const auto sine = [](Long x) { return sinl(x); };
  const auto cosine = [](Long x) { return cosl(x); };
  const auto tangent = [](Long x) { return tanl(x); };
  const auto all = [&](auto draw) {
    expect_within(0.88, math::sin, sine, draw);
    expect_within(0.88, math::cos, cosine, draw);
    expect_within(0.96, math::tan, tangent, draw);
  };
  all(uniform(-10, 10));
  all(either_sign(0, 22));  // over the border between the two reductions
  all(either_sign(-1074, 1024));
  // Multiples of pi/2 rounded to doubles, where the reduction cancels most.
  all([s = Samples(6)]() mutable {
    return static_cast<double>(std::floor(s.magnitude(0, 40)) * 1.57079632679489661923132L);
  });
  // The double closest to a multiple of pi/2 of all (to 2^-61), and some of its kin.
  for (double x : {0x1.6ac5b262ca1ffp+849, 0x1.921fb54442d18p+0, 0x1.921fb54442d18p+1,
                   0x1.6a8fafaed8ab8p+16, 0x1.bab62ed655019p+970, 0x1.fffffffffffffp+1023}) {
    EXPECT_LE(ulps(math::sin(x), sinl(x)), 0.88) << x;
    EXPECT_LE(ulps(math::cos(x), cosl(x)), 0.88) << x;
    EXPECT_LE(ulps(math::tan(x), tanl(x)), 0.96) << x;
  }
}

TEST(MathAccuracy, Tanh) {
  const auto reference = [](Long x) { return tanhl(x); };
  expect_within(0.83, math::tanh, reference, uniform(-23, 23));
  expect_within(0.83, math::tanh, reference, uniform(-1, 1));
  expect_within(0.83, math::tanh, reference, either_sign(-1074, 1));
}

TEST(MathAccuracy, Logistic) {
  const auto reference = [](Long x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
  };
  expect_within(0.62, math::logistic, reference, uniform(-707, 40));
  expect_within(0.62, math::logistic, reference, uniform(-3, 3));
  expect_within(0.62, math::logistic, reference, either_sign(-70, 0));
  expect_within(0.80, math::logistic, reference, uniform(-760, -707));
}

TEST(MathAccuracy, Erf) {
  const auto reference = [](Long x) { return erfl(x); };
  expect_within(0.96, math::erf, reference, uniform(-6.5, 6.5));
  expect_within(0.96, math::erf, reference, uniform(-1.2, 1.2));
  expect_within(0.96, math::erf, reference, either_sign(-1074, 0));
}

TEST(MathAccuracy, Erfc) {
  const auto reference = [](Long x) { return erfcl(x); };
  expect_within(0.85, math::erfc, reference, uniform(-7, 28));
  expect_within(0.85, math::erfc, reference, uniform(-2, 2));
  expect_within(0.85, math::erfc, reference, either_sign(-70, 4));
}

// The reference: our own result, refined in long double by Halley's method until it stands still.
Long erf_inv_reference(Long x) {
  const bool tail = std::fabs(x) >= 0.5L;
  const Long sign = x < 0 ? -1 : 1, a = std::fabs(x);
  Long y = std::fabs(math::erf_inv(static_cast<double>(x)));
  for (int i = 0; i < 3; ++i) {
    const Long residual = tail ? (1 - a) - erfcl(y) : erfl(y) - a;
    const Long step = residual / (1.128379167095512573896158903121545171L * expl(-y * y));
    y -= step / (1 + y * step);
  }
  return sign * y;
}

TEST(MathAccuracy, ErfInv) {
  expect_within(0.80, math::erf_inv, erf_inv_reference, uniform(-1, 1));
  expect_within(0.80, math::erf_inv, erf_inv_reference, either_sign(-900, -1));
  expect_within(0.80, math::erf_inv, erf_inv_reference,
                [s = Samples(7)]() mutable { return 1 - s.magnitude(-53, -1); });
}

TEST(MathAccuracy, Pow) {
  using Pair = std::pair<double, double>;
  const auto reference = [](Long x, Long y) { return powl(x, y); };
  Samples s(8);
  expect_within_2(0.80, math::pow, reference,
                  [&] { return Pair{s.magnitude(-3, 3), s.uniform(-250, 250)}; });
  expect_within_2(0.80, math::pow, reference,
                  [&] { return Pair{s.magnitude(-1074, 1024), s.uniform(-3, 3)}; });
  // Results over the whole range, subnormals included.
  expect_within_2(0.80, math::pow, reference, [&] {
    const double x = s.magnitude(-1074, 1024);
    return Pair{x, s.uniform(-746, 710) / std::log(x)};
  });
  expect_within_2(0.80, math::pow, reference, [&] {
    const double x = 1 + s.either_sign(-53, -2);
    return Pair{x, s.uniform(-746, 710) / std::log(x)};
  });
  expect_within_2(0.80, math::pow, reference,
                  [&] { return Pair{s.uniform(-10, 10), std::floor(s.uniform(-20, 20))}; });
}

TEST(MathAccuracy, Atan2) {
  using Pair = std::pair<double, double>;
  const auto reference = [](Long y, Long x) { return atan2l(y, x); };
  Samples s(9);
  expect_within_2(0.52, math::atan2, reference,
                  [&] { return Pair{s.uniform(-1, 1), s.uniform(-1, 1)}; });
  expect_within_2(0.52, math::atan2, reference,
                  [&] { return Pair{s.either_sign(-1074, 1024), s.either_sign(-1074, 1024)}; });
  expect_within_2(0.52, math::atan2, reference, [&] {
    const double x = s.either_sign(-960, 960);
    return Pair{x * s.either_sign(-40, 40), x};
  });
}

TEST(MathAccuracy, FmodIsExact) {
  Samples s(10);
  for (int i = 0; i < kPoints; ++i) {
    const double x = s.either_sign(-1074, 1024);
    const double y = i % 2 ? s.either_sign(-1074, 1024) : x * s.magnitude(-60, 4);
    const double got = math::fmod(x, y), want = std::fmod(x, y);
    ASSERT_TRUE(got == want || (got != got && want != want)) << std::hexfloat << x << " " << y;
    if (got == got) {
      ASSERT_EQ(std::signbit(got), std::signbit(want));
    }
  }
}

}  // namespace
}  // namespace cairn
