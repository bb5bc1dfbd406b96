// erf, erfc and erf_inv in f32. Included through tile/math.h, whose rules hold.
#pragma once

#include "cairn/tile/math_log.h"

namespace cairn::tile::f32 {

template <class V>
V erf(const V& x) {
  const V a = at_most(magnitude(x), 4.0f);
  // 1 - 2^L with L = log2(erfc(a)), from 0.92 on; fit to 2^-29.3 of erf.
  V l = fma(a, 0.000282691501f, -0.00439052284f);
  l = fma(l, a, 0.0320668891f);
  l = fma(l, a, -0.149941877f);
  l = fma(l, a, -0.919259489f);
  l = fma(l, a, -1.62689209f);
  l = fma(l, a, -0.000282293913f);
  const V shifted = l + kRound;
  const V p = exp2_of_rest(l - (shifted - kRound));
  const V large = fma(-p, power_of_two(shifted), 1.0f);
  // a + a P(a^2) up to there; fit to 2^-25.1.
  const V z = a * a;
  V q = fma(z, -0.000579183979f, 0.00495235063f);
  q = fma(q, z, -0.0267375931f);
  q = fma(q, z, 0.112809844f);
  q = fma(q, z, -0.376124114f);
  q = fma(q, z, 0.128379136f);
  return with_sign(where(a < 0.92f, fma(q, a, a), large), x);
}

// A subnormal result is rounded once: it is formed times 2^24, which rounding to an integer adds to
// n.
template <class V>
V erfc(const V& x) {
  const V a = at_most(magnitude(x), 10.1f);
  // e^(-a^2) = 2^n e^r. n is small: its product with the upper part of ln 2 is exact, and what
  // that leaves of a^2 is rounded once.
  const float round = kRound + 24.0f;
  const V shifted = fma(a * -0x1.715476p+0f, a, round);
  const V n = shifted - round;
  const V r = fma(n, -0x1.7f7d1cp-20f, fma(-a, a, n * -0x1.62e4p-1f));
  // D / (a D + N) / sqrt(pi) of e^(a^2) erfc(a); fit to 2^-24.3. No term is negative, and where a
  // is large the roundings of D cancel.
  V d = fma(a, 1.14986491f, 7.21844196f);
  d = fma(d, a, 21.3097763f);
  d = fma(d, a, 33.7232437f);
  d = fma(d, a, 25.0f);
  V q = fma(a, 0.574470818f, 3.62173605f);
  q = fma(q, a, 9.94184208f);
  q = fma(q, a, 14.1047401f);
  q = fma(d, a, q);
  const V above = fma(fma(exp_tail(r), r, 1.0f), d * r, d);
  const V scaled = as_f32(as_u32(above) + (as_u32(shifted) << 23u));
  const V tail = scaled / q * (0.564189613f * 0x1p-24f);
  // x < a where x is negative: one constant less, of 32 registers.
  return where(x < a, 2.0f - tail, tail);
}

// The y with erf(y) = x: x P(w) with w = -log(1 - x^2).
template <class V>
V erf_inv(const V& x) {
  const V w = -log(fma(-x, x, 1.0f));
  // For w <= 5; fit to 2^-24.7.
  V p = fma(w, -8.42741166e-09f, 2.13738645e-07f);
  p = fma(p, w, -1.91514346e-06f);
  p = fma(p, w, 3.69759505e-06f);
  p = fma(p, w, 4.53875364e-05f);
  p = fma(p, w, -0.000129004096f);
  p = fma(p, w, -0.00233254768f);
  p = fma(p, w, 0.0115475589f);
  p = fma(p, w, 0.232014135f);
  p = fma(p, w, 0.886226892f);
  // For w up to 16.7, the last before 1, in sqrt(w) - 3; fit to 2^-23.4.
  const V v = sqrt(w) - 3.0f;
  V q = fma(v, -0.000163913821f, 7.51760526e-05f);
  q = fma(q, v, 0.00130465976f);
  q = fma(q, v, -0.0036450543f);
  q = fma(q, v, 0.00575666735f);
  q = fma(q, v, -0.00763234356f);
  q = fma(q, v, 0.00943663251f);
  q = fma(q, v, 1.00167525f);
  q = fma(q, v, 2.83297706f);
  const V y = where(w < 5.0f, p, q) * x;
  return where(magnitude(x) == 1.0f, x * kInfinity, y);
}

}  // namespace cairn::tile::f32
