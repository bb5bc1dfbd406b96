// log, log1p and power in f32. Included through tile/math.h, whose rules hold.
#pragma once

#include <limits>

#include "cairn/tile/math_exp.h"

namespace cairn::tile::f32 {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr uint32_t kSqrtHalfBits = 0x3f3504f3u;
inline constexpr uint32_t kTwoThirdsBits = 0x3f2aaaabu;
inline constexpr uint32_t kExponentMask = 0xff800000u;

// log(1 + f) + exponent 2^-23 ln 2 for 1 + f in [2/3, 4/3] (and a rounding); fit to 2^-27.7 of
// log(1 + f). `exponent` is a multiple of 2^23.
template <class V>
V log_sum(const V& f, const V& exponent) {
  V p = fma(f, -0.128804713f, 0.139854938f);
  p = fma(p, f, -0.121872298f);
  p = fma(p, f, 0.140055686f);
  p = fma(p, f, -0.166802317f);
  p = fma(p, f, 0.200104341f);
  p = fma(p, f, -0.249998048f);
  p = fma(p, f, 0.333332151f);
  p = fma(p, f, -0.5f);
  p = fma(p, f * f, f);
  // One part of ln 2 is enough: as an f32 it is right to 2^-28.
  return fma(exponent, 0x1.62e430p-24f, p);
}

template <class V>
V log(const V& x) {
  const auto subnormal = x < 0x1p-126f;
  const auto bits = as_u32(where(subnormal, x * 0x1p23f, x));
  // The exponent k of x = 2^k m with m in [2/3, 4/3), in place.
  const auto k = (bits - kTwoThirdsBits) & kExponentMask;
  const V exponent = to_f32(as_i32(k));
  V y = log_sum(as_f32(bits - k) - 1.0f, where(subnormal, exponent - 23 * 0x1p23f, exponent));
  y = where(x < kInfinity, y, x);
  return where(x < 0.0f, kNaN, where(x == 0.0f, -kInfinity, y));
}

template <class V>
V log1p(const V& x) {
  // 1 + x = 2^k (1 + f): f = 2^-k x + (2^-k - 1), where k is that of the rounded sum.
  const auto k = (as_u32(1.0f + x) - kTwoThirdsBits) & kExponentMask;
  const V four = as_f32(0x40800000u - k);  // 2^(2-k), normal where 2^-k is not
  const V f = as_f32(as_u32(x) - k) + fma(four, 0.25f, -1.0f);
  V y = log_sum(f, to_f32(as_i32(k)));
  y = where(x < kInfinity, y, x);
  y = where(x < -1.0f, kNaN, where(x == -1.0f, -kInfinity, y));
  return where(x == 0.0f, x, y);
}

// x to the power y, as IEEE 754 pow: 2^(y log2 |x|), with the logarithm in two parts because an
// error of it counts up to 128 times.
template <class V>
V power(const V& x, const V& y) {
  const V a = magnitude(x);
  // |x| = 2^k m with m in [sqrt(1/2), sqrt(2)).
  const auto subnormal = a < 0x1p-126f;
  const auto bits = as_u32(where(subnormal, a * 0x1p23f, a));
  const auto k_bits = (bits - kSqrtHalfBits) & kExponentMask;
  V k = to_f32(as_i32(k_bits)) * 0x1p-23f;
  k = where(subnormal, k - 23.0f, k);
  const V m = as_f32(bits - k_bits);
  // s + s_low = (m - 1) / (m + 1); log2 m = (2 / ln 2) (s + s^3 / 3 + s^5 / 5 + ...).
  const V f = m - 1.0f, g = m + 1.0f;
  const V inverse = 1.0f / g;
  const V s = f * inverse;
  const V s_low = fma(-s, m - (g - 1.0f), fma(-s, g, f)) * inverse;
  const V z = s * s;
  const V z_low = fma(s, s, -z) + (s + s) * s_low;
  // c = 2 / (3 ln 2) + z P(z); P fits to 2^-36.8 of log2 m.
  V p = fma(z, 0.337820917f, 0.411849916f);
  p = fma(p, z, 0.57708019f) * z;
  const V c = p + 0x1.ec709ep-1f;
  const V c_low = (p - (c - 0x1.ec709ep-1f)) - 0x1.e2fe02p-28f;
  const V cube = z * s;
  const V cube_low = fma(z, s, -cube) + fma(z, s_low, z_low * s);
  const V rest = cube * c;
  const V rest_low = fma(cube, c, -rest) + fma(cube, c_low, cube_low * c);
  const V head = s * 0x1.715476p+1f;
  const V head_low =
      fma(s, 0x1.715476p+1f, -head) + fma(s, 0x1.4ae0c0p-25f, s_low * 0x1.715476p+1f);
  const V sum = head + rest;
  const V sum_low = (rest - (sum - head)) + (head_low + rest_low);
  V log = k + sum;
  const V log_low = (sum - (log - k)) + sum_low;
  log = where(a == 0.0f, -kInfinity, where(a < kInfinity, log, a));
  // Beyond 2^60, y acts as 2^60, and stays finite for log = 0.
  const V exponent = at_most(at_least(y, -0x1p60f), 0x1p60f);
  const V product = exponent * log;
  const V e = at_most(at_least(product, -160.0f), 160.0f);
  const V e_low = where(e == product, fma(exponent, log, -product) + exponent * log_low, 0.0f);
  const V shifted = e + kRound;
  const V n = shifted - kRound;
  const V result = scale(exp2_of_rest((e - n) + e_low), n, shifted);
  // Of a negative x: -result for an odd y; NaN for a y that is not whole, but at infinity and -0.
  const V half = y * 0.5f;
  const auto bits_of_x = as_u32(x);
  const auto parity = where(round(half) == half, like(bits_of_x, 0u), like(bits_of_x, kSignBit));
  const V of_whole = as_f32(as_u32(result) | (bits_of_x & parity));
  const V of_other = where(x < 0.0f, where(a < kInfinity, kNaN, result), result);
  const V signed_result = where(round(y) == y, of_whole, of_other);
  return where(y == 0.0f, 1.0f, where(x == 1.0f, 1.0f, signed_result));
}

}  // namespace cairn::tile::f32
