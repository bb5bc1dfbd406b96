// exp, expm1, tanh and logistic in f32: one core, e^x = 2^n e^r. Included through tile/math.h,
// whose rules hold.
#pragma once

#include "cairn/tile/math_values.h"

namespace cairn::tile::f32 {

inline constexpr uint32_t kSignBit = 0x80000000u;
inline constexpr uint32_t kOneBits = 0x3f800000u;
// Adding it rounds to an integer (ties to even) for |x| < 2^22, and leaves that integer in the low
// bits of the sum: cheaper than a rounding instruction and a conversion, which must saturate.
inline constexpr float kRound = 0x1.8p23f;

template <class V>
V magnitude(const V& x) {
  return as_f32(as_u32(x) & 0x7fffffffu);
}
// x with the sign bit of `sign` set too; x has none of its own.
template <class V>
V with_sign(const V& x, const V& sign) {
  return as_f32(as_u32(x) | (as_u32(sign) & kSignBit));
}
// x, moved up to `low` or down to `high`; NaN stays. A compare and a select, and one instruction on
// x86, whose min and max are these selections.
template <class V>
V at_least(const V& x, float low) {
  return where(x < low, low, x);
}
template <class V>
V at_most(const V& x, float high) {
  return where(x > high, high, x);
}

// x = n ln 2 + r, |r| <= ln(2) / 2 and a rounding. The first two roundings are exact: n times the
// upper part of ln 2 is close to x.
template <class V>
struct ExpParts {
  V shifted;  // n + kRound: the low bits hold n
  V n, r;
};
template <class V>
ExpParts<V> exp_parts(const V& x) {
  const V shifted = fma(x, 0x1.715476p+0f, kRound);
  const V n = shifted - kRound;
  return {shifted, n, fma(n, 0x1.05c610p-29f, fma(n, -0x1.62e430p-1f, x))};
}

// P of e^r = 1 + r + r^2 P(r); fit to 2^-28.3 of e^r.
template <class V>
V exp_tail(const V& r) {
  V p = fma(r, 0.00138207595f, 0.00836867839f);
  p = fma(p, r, 0.0416682661f);
  p = fma(p, r, 0.166665211f);
  return fma(p, r, 0.49999994f);
}
template <class V>
V exp_of_rest(const V& r) {
  return fma(fma(exp_tail(r), r, 1.0f), r, 1.0f);
}
template <class V>
V expm1_of_rest(const V& r) {
  return fma(exp_tail(r) * r, r, r);
}

// 2^n for n in [-126, 127], from n in the low bits of `shifted`.
template <class V>
V power_of_two(const V& shifted) {
  return as_f32((as_u32(shifted) << 23u) + kOneBits);
}
// p 2^n for n in [-252, 254]: two factors, so that an overflow or a subnormal result is rounded
// once.
template <class V>
V scale(const V& p, const V& n, const V& shifted) {
  const V half = fma(n, 0.5f, kRound);
  const auto rest = as_u32(shifted) - as_u32(half);
  return p * power_of_two(half) * as_f32((rest << 23u) + kOneBits);
}

// 2^f for |f| <= 1/2; fit to 2^-28.3.
template <class V>
V exp2_of_rest(const V& f) {
  V p = fma(f, 0.00015328599f, 0.00133909879f);
  p = fma(p, f, 0.00961850118f);
  p = fma(p, f, 0.0555035956f);
  p = fma(p, f, 0.240226477f);
  p = fma(p, f, 0.693147182f);
  return fma(p, f, 1.0f);
}

template <class V>
V exp(const V& x) {
  const ExpParts<V> e = exp_parts(at_most(at_least(x, -104.0f), 89.0f));
  return scale(exp_of_rest(e.r), e.n, e.shifted);
}

template <class V>
V expm1(const V& x) {
  // 2^n (e^r - 1) + (2^n - 1). Above 88, 2^n may be 2^128: half of it, and the sum doubled.
  const ExpParts<V> e = exp_parts(at_most(at_least(x, -20.0f), 89.0f));
  const auto large = x > 88.0f;
  const V two_n = power_of_two(where(large, e.shifted - 1.0f, e.shifted));
  const V sum = fma(expm1_of_rest(e.r), two_n, two_n - 1.0f);
  return with_sign(where(large, sum + sum, sum), x);
}

template <class V>
V tanh(const V& x) {
  const V a = at_most(magnitude(x), 10.0f);
  // 1 - 2 / (1 + e^2a) from 0.55 on, where it is above 1/2 and the quotient below. e^2a is
  // 2^n e^2r, fit to 2^-28.3; an error of r counts half, so that one part of ln 2 is enough.
  const V shifted = fma(a, 0x1.715476p+1f, kRound);
  const V r = fma(shifted - kRound, -0x1.62e430p-2f, a);
  V p = fma(r, 0.0884528607f, 0.267797709f);
  p = fma(p, r, 0.666692257f);
  p = fma(p, r, 1.33332169f);
  p = fma(p, r, 1.99999976f);
  p = fma(p, r, 2.0f);
  const V two_n = power_of_two(shifted);
  const V large = 1.0f - 2.0f / fma(p, two_n * r, two_n + 1.0f);
  // a + a^3 Q(a^2) up to there; fit to 2^-24.7.
  const V z = a * a;
  V q = fma(z, 0.0164378788f, -0.0526720099f);
  q = fma(q, z, 0.133207291f);
  q = fma(q, z, -0.333329469f);
  return with_sign(where(a < 0.55f, fma(q * z, a, a), large), x);
}

// 1 / (1 + e^-x).
template <class V>
V logistic(const V& x) {
  // e^-x = (1 + q) 2^n, n = a + b: 2^-b / (2^-b + 2^a + q 2^a), the largest summand last. Neither
  // power leaves the range of normal numbers, and a subnormal result is rounded once, by the
  // division.
  const ExpParts<V> e = exp_parts(at_most(at_least(-x, -104.0f), 104.0f));
  const V half = fma(e.n, 0.5f, kRound);
  const auto rest = as_u32(half) - as_u32(e.shifted);
  const V up = power_of_two(half);
  const V down = as_f32((rest << 23u) + kOneBits);
  const V sum = up + down;
  const V lost = where(up < down, up, down) - (sum - where(up > down, up, down));
  return down / (fma(expm1_of_rest(e.r), up, lost) + sum);
}

}  // namespace cairn::tile::f32
