// Transcendental functions in f64 with the same bits on any x86-64.
//
// The C library's versions pick FMA variants at run time and change between releases, so a result
// of the reference backend would depend on the machine. These use only + - * /, which IEEE 754
// defines to the bit, and integer operations on the representation. They need rounding to nearest
// and code without contraction (-ffp-contract=off) or -ffast-math.
//
// Every function is within 1 ulp of the true value over its whole domain (the bound of each is in
// tests/base/math_accuracy_test.cpp, which measures against long double), keeps signed zeros and
// subnormals, and gives NaN for NaN.
//
// The functions of elementwise layers are inline and without branches or tables. In a loop over an
// array, in a function marked [[gnu::flatten]] (the larger ones are not inlined otherwise), GCC
// makes SIMD code of them with -O3 -fno-trapping-math (no effect on values; without it the
// selections stay branches) at two to four times the speed; Clang does with -O2.
//
// Coefficients are minimax fits (Remez) made with 200 bits; the error beside each is that of the
// fit.
#pragma once

#include "cairn/base/math_detail.h"
#include "cairn/base/math_trig.h"

namespace cairn::math {

inline constexpr double kInfinity = __builtin_inf();
inline constexpr double kNaN = __builtin_nan("");
inline constexpr double kPi = 3.141592653589793;

inline double exp(double x) {
  x = x > 710.0 ? 710.0 : x;
  x = x < -746.0 ? -746.0 : x;
  const detail::ExpParts p = detail::exp_parts(x);
  const double sum = 1.0 + p.r;
  return (sum + ((p.r - (sum - 1.0)) + p.tail)) * p.first * p.second;
}

inline double log(double x) {
  const detail::LogParts p = detail::log_parts(x);
  double result = detail::log_sum(p.k, p.f, 0.0);
  result = x > 0 ? result : (x == 0 ? -kInfinity : kNaN);
  return x == kInfinity ? x : result;
}

inline double tanh(double x) {
  using namespace detail;
  double a = magnitude(x);
  a = a > 22.0 ? 22.0 : a;
  // t = e^(-2a) - 1; tanh = -t / (2 + t).
  const ExpParts p = exp_parts(-2.0 * a);
  const double scale = p.first * p.second;
  const double base = scale - 1.0;
  const Pair sum = add_ordered(base, p.r * scale);
  const Pair t = add_ordered(sum.high, sum.low + (scale - (base + 1.0)) + p.tail * scale);
  const Pair d = add_ordered(2.0, t.high);
  return with_sign(magnitude(divide(t, {d.high, d.low + t.low}).high), x);
}

// 1 / (1 + e^-x).
inline double logistic(double x) {
  using namespace detail;
  double a = magnitude(x);
  a = a > 746.0 ? 746.0 : a;
  // E = e^-a = 2^n h. The result is 1 / (1 + E), and E / (1 + E) for a negative x; there the scale
  // comes last, so that a subnormal result is rounded once.
  const ExpParts p = exp_parts(-a);
  const Pair sum = add_ordered(1.0, p.r);
  const Pair h = add_ordered(sum.high, sum.low + p.tail);
  const double scale = p.first * p.second;
  const Pair d = add_ordered(1.0, h.high * scale);
  const bool negative = x < 0;
  const Pair num{negative ? h.high : 1.0, negative ? h.low : 0.0};
  const double q = divide(num, {d.high, d.low + h.low * scale}).high;
  return negative ? q * p.first * p.second : q;
}

inline double erf(double x) {
  using namespace detail;
  double a = magnitude(x);
  a = a > 6.0 ? 6.0 : a;
  // a^2 = b^2 + d, the first exact.
  const double b = upper_half(a);
  const double d = (a - b) * (a + b);
  // a + a Q(a^2) for a <= 1, in powers of t = a^2 - 1/2; fit to 2^-62.7. The largest terms keep
  // what they lose in rounding.
  const double z = a * a;
  const double z_low = (b * b - z) + d;
  const double t = z - 0.5;
  const double t2 = t * t;
  const double q1 = 0.07940998675593483 + t * -0.018283884489152906;
  const double q2 = 0.0034802744966653835 + t * -0.0005611894221160199;
  const double q3 = 7.829649525857178e-05 + t * -9.614808686662975e-06;
  const double q4 = 1.0536449217632785e-06 + t * -1.0420369489011409e-07;
  const double q5 =
      (9.387741215109742e-09 + t * -7.798538405422476e-10) + t2 * 5.943900885088612e-11;
  const double q_rest =
      t * -0.0310721780454342 +
      (t2 * (q1 + t2 * ((q2 + t2 * q3) + t2 * t2 * (q4 + t2 * q5))) - 0.25 * z_low);
  const Pair q = add(t * -0.25, -0.03453126133013269);
  const double small = a + (a * q.high + a * (q.low + q_rest));
  // 1 - e^(-a^2) G(u) with u = (a - 1.125) / (a + 3), for a in [1, 6]; fit to 0.03 ulp of the
  // result. u is 0 near 1, where the errors of G count most.
  const double u = (a - 1.125) / (a + 3.0);
  const double u2 = u * u;
  const double u4 = u2 * u2;
  const double g1 = 1.1940056646781667 + u * -1.0374703053274597;
  const double g2 = 0.6098402326518397 + u * -0.19479670551154404;
  const double g3 = -0.011142658175789848 + u * 0.03373133663240389;
  const double g4 = -0.003489006480869923 + u * -0.006162063874175092;
  const double g5 = 0.0005212976084362419 + u * 0.0018863308198797748;
  const double g6 = -0.0005590219060264841 + u * -7.661931451091606e-05;
  const double g_rest = u2 * g1 + u4 * ((g2 + u2 * g3) + u4 * ((g4 + u2 * g5) + u4 * g6));
  const double g = 0.3956980795529959 + (u * -0.9819912634177449 + g_rest);
  const ExpParts p = exp_parts(-b * b);
  const Pair sum = add_ordered(1.0, p.r);
  const double tail = p.tail - (d - 0.5 * d * d) * (sum.high + p.tail);
  const double large = 1.0 - g * ((sum.high + (sum.low + tail)) * (p.first * p.second));
  // A subnormal result must be rounded once.
  const double tiny = a * 1.1283791670955126;
  return with_sign(a < 1.0 ? (a < 0x1p-1000 ? tiny : small) : large, x);
}

inline double sin(double x) {
  const detail::Angle a = detail::reduce(x);
  const double y =
      a.quadrant & 1 ? detail::cos_kernel(a.high, a.low) : detail::sin_kernel(a.high, a.low);
  return x == 0 ? x : (a.quadrant & 2 ? -y : y);
}

inline double cos(double x) {
  const detail::Angle a = detail::reduce(x);
  const double y =
      a.quadrant & 1 ? detail::sin_kernel(a.high, a.low) : detail::cos_kernel(a.high, a.low);
  return (a.quadrant + 1) & 2 ? -y : y;
}

// The rest is for smaller arrays and lives in math.cpp, math_power.cpp, math_error.cpp,
// math_trig.cpp.

double exp2(double x);
double expm1(double x);  // e^x - 1
double log2(double x);
double log1p(double x);  // log(1 + x)
// IEEE 754's pow with all its special cases; exact results are exact.
double pow(double x, double y);
double tan(double x);
// The angle of the point (x, y), in [-pi, pi]; zeros and infinities as in IEEE 754.
double atan2(double y, double x);
// 1 - erf(x), accurate in the tail.
double erfc(double x);
// The y with erf(y) = x; NaN outside [-1, 1], infinite at the ends.
double erf_inv(double x);
// x - trunc(x / y) y, always exact; has the sign of x.
double fmod(double x, double y);

}  // namespace cairn::math
