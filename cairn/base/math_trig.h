// Reduction by pi/2 and the kernels of sin and cos; included through math.h, whose rules hold.
#pragma once

#include <cstdint>

#include "cairn/base/math_detail.h"

namespace cairn::math::detail {

// x = n pi/2 + high + low, |high| <= pi/4 (a rounding more), quadrant = n mod 4.
struct Angle {
  double high, low;
  unsigned quadrant;
};

// Any finite |x| beyond what `reduce` does itself: Payne and Hanek's method. NaN for infinities.
Angle reduce_huge(double x);

// |x| < 2^19 pi/2: n times pi/2 in three parts of 33 bits, whose products are exact, and a rest.
inline Angle reduce(double x) {
  if (!(magnitude(x) < 8.0e5)) return reduce_huge(x);
  const double shifted = x * 0.6366197723675814 + kRound;
  const double n = shifted - kRound;
  const double a = x - n * 0x1.921fb544p+0;
  // a - b and the sum with c may cancel; their errors are kept.
  const double b = -n * 0x1.0b4611a6p-34;
  const double ab = a + b;
  const double b_part = ab - a;
  const double ab_error = (a - (ab - b_part)) + (b - b_part);
  const double c = -n * 0x1.3198a2ep-69;
  const double abc = ab + c;
  const double c_part = abc - ab;
  const double abc_error = (ab - (abc - c_part)) + (c - c_part);
  const double rest = (ab_error + abc_error) - n * 0x1.b839a252049c1p-104;
  const double high = abc + rest;
  return {high, (abc - high) + rest, static_cast<unsigned>(bits(shifted)) & 3};
}

// sin(x + low) for |x| <= pi/4; fit to 2^-58.
inline double sin_kernel(double x, double low) {
  const double z = x * x;
  const double z2 = z * z;
  const double a = -0.16666666666666632 + z * 0.008333333333322314;
  const double b = -0.00019841269829725088 + z * 2.755731366202052e-06;
  const double c = -2.5050753259280512e-08 + z * 1.5896504671878549e-10;
  return x + (x * z * (a + z2 * (b + z2 * c)) + low * (1.0 - 0.5 * z));
}

// cos(x + low) for |x| <= pi/4; fit to 2^-64.
inline double cos_kernel(double x, double low) {
  const double z = x * x;
  const double z2 = z * z;
  const double a = 0.0416666666666666 + z * -0.001388888888887399;
  const double b = 2.4801587289394964e-05 + z * -2.755731432603969e-07;
  const double c = 2.0875719559701536e-09 + z * -1.1359448721324198e-11;
  const double half = 0.5 * z;
  const double head = 1.0 - half;
  return head + (((1.0 - head) - half) + (z2 * (a + z2 * (b + z2 * c)) - x * low));
}

}  // namespace cairn::math::detail
