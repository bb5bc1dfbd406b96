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

template <class V>
V erfc(const V& x) {
  const V a = at_most(magnitude(x), 10.1f);
  // e^(-a^2) P(u) with u = (a - 3) / (a + 3); fit to 2^-26.9.
  const V u = (a - 3.0f) / (a + 3.0f);
  V p = fma(u, 5.54711005e-05f, 3.33073694e-05f);
  p = fma(p, u, -0.000586473499f);
  p = fma(p, u, 0.000715057307f);
  p = fma(p, u, 0.00426335959f);
  p = fma(p, u, -0.0243947525f);
  p = fma(p, u, 0.0716671497f);
  p = fma(p, u, -0.150115684f);
  p = fma(p, u, 0.245603696f);
  p = fma(p, u, -0.326233566f);
  p = fma(p, u, 0.179001153f);
  // What a^2 loses in rounding joins the remainder.
  const V square = a * a;
  const ExpParts<V> e = exp_parts(-square);
  const V power = exp_of_rest(e.r - fma(a, a, -square));
  const V tail = scale(p * power, e.n, e.shifted);
  const V large = where(x < 0.0f, 2.0f - tail, tail);
  // 1 - (x + x Q(x^2)) below 7/8, where an error of u counts more; fit to 2^-26.7.
  V q = fma(square, -0.000593173609f, 0.00497394754f);
  q = fma(q, square, -0.0267457534f);
  q = fma(q, square, 0.112808697f);
  q = fma(q, square, -0.37612322f);
  q = fma(q, square, 0.128379062f);
  return where(a < 0.875f, 1.0f - fma(q, x, x), large);
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
