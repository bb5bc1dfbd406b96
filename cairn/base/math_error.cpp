// erfc and the inverse of erf.
#include <cmath>

#include "cairn/base/math.h"
#include "cairn/base/math_erfc_table.h"

namespace cairn::math {
namespace {

using detail::add_ordered;
using detail::multiply;
using detail::Pair;

// erfc(a) = value * first * second for 7/16 <= a < 28.
struct ErfcParts {
  Pair value;
  double first, second;
};

ErfcParts erfc_parts(double a) {
  // The octave and its eighth are the top bits of the representation.
  const uint64_t u = detail::bits(a);
  const uint64_t index = (u >> 49) - (detail::bits(0.4375) >> 49);
  const double h = a - detail::from_bits((u & 0xfffe000000000000u) | 0x0001000000000000u);
  const double* c = detail::kErfcx[index];
  const double h2 = h * h, h4 = h2 * h2;
  const double low = (c[3] + h * c[4]) + h2 * (c[5] + h * c[6]);
  const double high = ((c[7] + h * c[8]) + h2 * (c[9] + h * c[10])) + h4 * (c[11] + h * c[12]);
  const Pair g = add_ordered(c[0], h * (c[2] + h * (low + h4 * high)));
  const Pair square = multiply(a, a);
  const detail::ExpParts p = detail::exp_parts(-square.high);
  const Pair sum = add_ordered(1.0, p.r);
  const double tail = p.tail - square.low * (1.0 + (p.r + p.tail));
  const Pair e = add_ordered(sum.high, sum.low + tail);
  return {multiply(e, {g.high, g.low + c[1]}), p.first, p.second};
}

}  // namespace

double erfc(double x) {
  if (x != x) return x;
  const double a = detail::magnitude(x);
  if (a < 0.5) {
    const Pair sum = add_ordered(1.0, -x);
    return sum.high + (sum.low - x * (0.125 + detail::erf_series(x * x)));
  }
  if (x < 0) {
    if (a > 6) return 2;
    const ErfcParts e = erfc_parts(a);
    return 2.0 - e.value.high * (e.first * e.second);
  }
  if (a >= 27.5) return 0;
  const ErfcParts e = erfc_parts(a);
  return (e.value.high + e.value.low) * e.first * e.second;
}

double erf_inv(double x) {
  const double a = detail::magnitude(x);
  if (!(a < 1)) return a == 1 ? detail::with_sign(kInfinity, x) : kNaN;
  // An approximation y to 2^-23, then one step of Halley's method with the residual in two doubles:
  // cubic, so what is left is below 2^-60.
  double y, residual;
  if (a < 0.5) {
    const double z = a * a;
    y = a * (0.8862269135853111 +
             z * (0.23201694798066214 +
                  z * (0.12740960103035906 +
                       z * (0.08892119906055626 +
                            z * (0.04808243555366276 + z * 0.10350170628620216)))));
    residual = ((y - a) + 0.125 * y) + y * detail::erf_series(y * y);
  } else {
    const double w = 1.0 - a;
    const double t = std::sqrt(-log(w));
    const double u = 1.0 / (t + 1.0);
    y = (t + 1.0) * (1.0005940624785372 +
                     u * (-1.0376165131069457 +
                          u * (-1.4390287866840796 +
                               u * (2.4721574185914275 +
                                    u * (-4.409394019816161 +
                                         u * (7.1497204793323 + u * -3.87404527979378))))));
    const ErfcParts e = erfc_parts(y);
    const double scale = e.first * e.second;
    residual = (w - e.value.high * scale) - e.value.low * scale;
  }
  const double slope = 1.1283791670955126 * exp(-y * y);  // of erf at y
  const double step = residual / slope;
  return detail::with_sign(y - step / (1.0 + y * step), x);
}

}  // namespace cairn::math
