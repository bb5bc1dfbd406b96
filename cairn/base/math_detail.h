// Pieces that the functions of math.h share; not for use elsewhere. The rules are in math.h.
#pragma once

#include <bit>
#include <cstdint>

namespace cairn::math::detail {

inline constexpr double kLog2E = 1.4426950408889634;
// ln 2 in two parts; the first has 42 bits, so its product with an integer below 2^11 is exact.
inline constexpr double kLn2High = 0x1.62e42fefa3800p-1;
inline constexpr double kLn2Low = 0x1.ef35793c76730p-45;
// Adding and taking away rounds to an integer (ties to even) for |x| < 2^51, and leaves that
// integer in the low bits of the sum.
inline constexpr double kRound = 0x1.8p52;

inline constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;  // the bits of sqrt(1/2)

[[gnu::always_inline]] inline uint64_t bits(double x) { return std::bit_cast<uint64_t>(x); }
[[gnu::always_inline]] inline double from_bits(uint64_t b) { return std::bit_cast<double>(b); }
[[gnu::always_inline]] inline double magnitude(double x) {
  return from_bits(bits(x) & 0x7fffffffffffffffu);
}
[[gnu::always_inline]] inline double with_sign(double magnitude, double sign) {
  return from_bits(bits(magnitude) | (bits(sign) & 0x8000000000000000u));
}
// The upper 26 bits of a significand: what is left fits 27, so products of halves are exact.
[[gnu::always_inline]] inline double upper_half(double x) {
  return from_bits(bits(x) & 0xfffffffff8000000u);
}

// high + low, where low is below an ulp of high.
struct Pair {
  double high, low;
};

// a + b exactly.
[[gnu::always_inline]] inline Pair add(double a, double b) {
  const double sum = a + b;
  const double part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
// a + b exactly, for |a| >= |b| or a = 0.
[[gnu::always_inline]] inline Pair add_ordered(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}
// a * b to about 2^-106.
[[gnu::always_inline]] inline Pair multiply(double a, double b) {
  const double product = a * b;
  const double ah = upper_half(a), bh = upper_half(b);
  const double al = a - ah, bl = b - bh;
  return {product, ((ah * bh - product) + (ah * bl + al * bh)) + al * bl};
}
[[gnu::always_inline]] inline Pair multiply(Pair a, Pair b) {
  const Pair p = multiply(a.high, b.high);
  return add_ordered(p.high, p.low + (a.high * b.low + a.low * b.high));
}

// num / den to about 2^-77 of the quotient: the upper half of an approximation leaves an exact
// remainder.
[[gnu::always_inline]] inline Pair divide(Pair num, Pair den) {
  const double inverse = 1.0 / den.high;
  const double q = upper_half(num.high * inverse);
  const double den_upper = upper_half(den.high);
  const double rest = (num.high - q * den_upper) - q * (den.high - den_upper);
  return add_ordered(q, (rest + (num.low - q * den.low)) * inverse);
}

// e^x = (1 + r + tail) * first * second: the scale 2^n comes in two factors so that n may reach
// from -1080 to 1024. |r| <= ln(2) / 2; low is the part of the tail that belongs to r.
struct ExpParts {
  double r, low, tail;
  double first, second;
};

// P of e^r = 1 + r + r^2 / 2 + r^3 P(r); fit of (e^r - 1) / r to 2^-61.7.
[[gnu::always_inline]] inline double exp_cubic(double r) {
  const double r2 = r * r;
  const double a = 0.16666666666666677 + r * 0.04166666666666669;
  const double b = 0.008333333333321695 + r * 0.0013888888888870226;
  const double c = 0.0001984126988598554 + r * 2.4801587355950103e-05;
  const double d = 2.755724433641883e-06 + r * 2.755724571628604e-07;
  const double e = 2.5108996031111592e-08 + r * 2.09237176761914e-09;
  const double r4 = r2 * r2;
  return (a + r2 * b) + r4 * ((c + r2 * d) + r4 * e);
}
// e^r - 1 - r
[[gnu::always_inline]] inline double exp_tail(double r) { return r * r * (0.5 + r * exp_cubic(r)); }

// Needs |x| < 750.
[[gnu::always_inline]] inline ExpParts exp_parts(double x) {
  const double shifted = x * kLog2E + kRound;
  const double n = shifted - kRound;
  const double high = x - n * kLn2High;
  const double low = n * kLn2Low;
  const double r = high - low;
  const double half = n * 0.5 + kRound;
  const uint64_t one = bits(1.0);
  const double r_low = (high - r) - low;
  return {r, r_low, exp_tail(r) + r_low, from_bits((bits(half) << 52) + one),
          from_bits(((bits(shifted) - bits(half)) << 52) + one)};
}

// k ln 2 + log(1 + f) + low, for 1 + f in [sqrt(1/2), sqrt(2)) and `low` below an ulp of the
// result.
[[gnu::always_inline]] inline double log_sum(double k, double f, double low) {
  // log(1 + f) = f - f^2/2 + s (f^2/2 + z R(z)) with s = f / (2 + f), z = s^2; R to 2^-59.5.
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double z2 = z * z;
  const double a = 0.6666666666666735 + z * 0.3999999999941288;
  const double b = 0.28571428742826827 + z * 0.22222198524411776;
  const double c = (0.1818356704172043 + z * 0.15313976681984418) + z2 * 0.14796730847132883;
  const double half_square = 0.5 * f * f;
  const double product = s * (half_square + z * (a + z2 * (b + z2 * c)));
  const double base = k * kLn2High;
  const double high = base + f;
  return high + (((base - high) + f) - (half_square - (product + (k * kLn2Low + low))));
}

// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for positive finite x.
struct LogParts {
  double k, f;
};
[[gnu::always_inline]] inline LogParts log_parts(double x) {
  const bool subnormal = x < 0x1p-1022;
  const uint64_t u = bits(subnormal ? x * 0x1p54 : x) - kSqrtHalf;
  // The exponent as a double without an integer conversion (SSE2 has none for 64 bits): it goes
  // into the low bits of 2^52, made positive by 1024.
  const double k = from_bits(((u + 0x4000000000000000u) >> 52) | 0x4330000000000000u) -
                   (0x1p52 + 1024 + (subnormal ? 54.0 : 0.0));
  return {k, from_bits((u & 0x000fffffffffffffu) + kSqrtHalf) - 1.0};
}

// erf(x) = x (9/8 + R(x^2)) for |x| <= 1/2; fit to 2^-65.
[[gnu::always_inline]] inline double erf_series(double z) {
  const double z2 = z * z;
  const double z4 = z2 * z2;
  const double a = 0.0033791670955125737 + z * -0.3761263890318375;
  const double b = 0.11283791670954867 + z * -0.026866170644998615;
  const double c = 0.005223977621991094 + z * -0.0008548326507380897;
  const double d = 0.00012055285950808814 + z * -1.4922992474985012e-05;
  const double e = 1.6370981695878379e-06 + z * -1.4618486492347745e-07;
  return (a + z2 * b) + z4 * ((c + z2 * d) + z4 * e);
}

}  // namespace cairn::math::detail
