// sin, cos and atan2 in f32. Included through tile/math.h, whose rules hold.
#pragma once

#include "cairn/tile/math_exp.h"

namespace cairn::tile::f32 {

// a = n pi/2 + r, |r| <= pi/4 and a rounding; n is right modulo 4. U is V's unsigned integer.
template <class V, class U>
struct Angle {
  V r;
  U n;
};

// For a in [2^17, 2^128): Payne and Hanek's method. a is m 2^e with a 32-bit m, so that the turns,
// a / (2 pi) modulo 1, are m times 96 bits of 1 / (2 pi) from bit e on, modulo 1. They come out
// with 62 bits; no f32 is within 2^-31 turns of a multiple of a quarter turn.
template <class V>
auto reduce_huge(const V& a) {
  const auto bits = as_u32(a);
  using U = std::remove_const_t<decltype(bits)>;
  const U m = (bits << 8u) | kSignBit;
  // Words 0 to 6: 32 zero bits, then the binary places of 1 / (2 pi). The window begins at bit
  // `from` + 1 of them, in word 0 to 3.
  const U from = (bits >> 23u) - 127u;
  const auto odd = ((from >> 5u) & 1u) == 1u, high = ((from >> 6u) & 1u) == 1u;
  const auto pick = [&](uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3) -> U {
    return where(high, where(odd, like(bits, w3), like(bits, w2)),
                 where(odd, like(bits, w1), like(bits, w0)));
  };
  const U w0 = pick(0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u);
  const U w1 = pick(0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u);
  const U w2 = pick(0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u);
  const U w3 = pick(0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);
  const U left = (from & 31u) + 1u, right = 31u - (from & 31u);
  const U b0 = (w0 << left) | (w1 >> right);
  const U b1 = (w1 << left) | (w2 >> right);
  const U b2 = (w2 << left) | (w3 >> right);
  // The turns: high 32 bits and low 32 bits.
  const U middle = m * b1;
  const U low = middle + multiply_high(m, b2);
  const U carry = where(low < middle, like(bits, 1u), like(bits, 0u));
  const U turns = m * b0 + multiply_high(m, b1) + carry;
  // What is beyond the nearest quarter turn, as a magnitude: 31 bits and 30 more below.
  const U rest = (turns << 2u) | (low >> 30u);
  const U sign = rest & kSignBit;
  const U flip = like(bits, 0u) - (rest >> 31u);
  const U r1 = rest ^ flip, r0 = (low << 2u) ^ flip;
  // The first 23 bits convert without a rounding.
  const V head = to_f32(as_i32(r1 & 0x7fffff00u));
  const V tail = to_f32(as_i32(((r1 << 24u) | (r0 >> 8u)) >> 1u));
  const V r = fma(head, 0x1.921fb6p-32f, fma(head, -0x1.777a5cp-57f, tail * 0x1.921fb6p-55f));
  return Angle<V, U>{as_f32(as_u32(r) | sign), (turns + 0x20000000u) >> 30u};
}

// Of a >= 0; r is NaN for infinity.
template <class V>
auto reduce(const V& a) {
  // pi/2 in three parts. n times the first is close to a, so that the difference is exact.
  const V shifted = fma(a, 0x1.45f306p-1f, kRound);
  const V n = shifted - kRound;
  V r = fma(n, -0x1.921fb6p+0f, a);
  r = fma(n, 0x1.777a5cp-25f, r);
  r = fma(n, 0x1.ee59dap-50f, r);
  auto angle = reduce_huge(a);
  constexpr uint32_t kHuge = 0x48000000u;  // the bits of 2^17
  const auto huge = (as_u32(a) - kHuge) < (0x7f800000u - kHuge);
  angle.r = where(huge, angle.r, r);
  angle.n = where(huge, angle.n, as_u32(shifted));
  return angle;
}

// sin r for |r| <= pi/4; fit to 2^-27.9.
template <class V>
V sin_kernel(const V& r, const V& z) {
  V p = fma(z, -0.000195179004f, 0.00833218731f);
  p = fma(p, z, -0.166666552f);
  return fma(p, r * z, r);
}
// cos r for |r| <= pi/4; fit to 2^-33.0.
template <class V>
V cos_kernel(const V& z) {
  V p = fma(z, 2.44323273e-05f, -0.00138873095f);
  p = fma(p, z, 0.0416666456f);
  p = fma(p, z, -0.5f);
  return fma(p, z, 1.0f);
}

template <class V>
V sin(const V& x) {
  const auto angle = reduce(magnitude(x));
  const V z = angle.r * angle.r;
  const V y = where((angle.n & 1u) == 1u, cos_kernel(z), sin_kernel(angle.r, z));
  return as_f32(as_u32(y) ^ (((angle.n << 30u) ^ as_u32(x)) & kSignBit));
}

template <class V>
V cos(const V& x) {
  const auto angle = reduce(magnitude(x));
  const V z = angle.r * angle.r;
  const V y = where((angle.n & 1u) == 1u, sin_kernel(angle.r, z), cos_kernel(z));
  return as_f32(as_u32(y) ^ (((angle.n + 1u) << 30u) & kSignBit));
}

// The angle of the point (x, y).
template <class V>
V atan2(const V& y, const V& x) {
  const V ay = magnitude(y), ax = magnitude(x);
  const auto steep = ax < ay;
  const V larger = where(steep, ay, ax), smaller = where(steep, ax, ay);
  // At equal magnitudes also 0 / 0 and infinity / infinity.
  const V one_or_zero = where(larger == 0.0f, larger, 1.0f);
  const V t = where(larger == smaller, one_or_zero, smaller / larger);
  // The arc tangent of t in [0, 1]: t + t^3 P(t^2); fit to 2^-25.8.
  const V z = t * t;
  V p = fma(z, 0.00291950116f, -0.0163634121f);
  p = fma(p, z, 0.0432049558f);
  p = fma(p, z, -0.0755167007f);
  p = fma(p, z, 0.106657706f);
  p = fma(p, z, -0.14211002f);
  p = fma(p, z, 0.199937671f);
  p = fma(p, z, -0.333331525f);
  V angle = fma(p, z * t, t);
  angle = where(steep, 0x1.921fb6p+0f - angle, angle);
  angle = where(as_u32(x) < kSignBit, angle, 0x1.921fb6p+1f - angle);
  return with_sign(angle, y);
}

}  // namespace cairn::tile::f32
