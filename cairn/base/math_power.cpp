// exp2, expm1, log2, log1p and pow: the logarithm in two doubles.
#include <cmath>

#include "cairn/base/math.h"

namespace cairn::math {
namespace {

using detail::add_ordered;
using detail::ExpParts;
using detail::multiply;
using detail::Pair;

constexpr Pair kLog2EPair{0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
constexpr Pair kLn2Pair{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
constexpr Pair kThird{0x1.5555555555555p-2, 0x1.5555555555555p-56};

// log(1 + f) to about 2^-65 of itself: 2 atanh(s) = 2 s (1 + z (1/3 + z T(z))), z = s^2, with all
// but T in two doubles.
Pair log1p_pair(double f) {
  const Pair s = detail::divide({f, 0}, add_ordered(2.0, f));
  const Pair z = multiply(s, s);
  const double x = z.high, x2 = x * x;
  const double a = 0.2000000000000113 + x * 0.14285714285047987;
  const double b = 0.1111111126029472 + x * 0.09090892153399294;
  const double c = (0.0769338009844153 + x * 0.06628374554671931) + x2 * 0.06598491252666425;
  const Pair u = add_ordered(kThird.high, x * (a + x2 * (b + x2 * c)));
  const Pair w = multiply(s, multiply(z, {u.high, u.low + kThird.low}));
  const Pair sum = add_ordered(s.high, w.high);
  return {2 * sum.high, 2 * (sum.low + (s.low + w.low))};
}

double finish(const ExpParts& p, double low) {
  const Pair sum = add_ordered(1.0, p.r);
  return (sum.high + (sum.low + (p.tail + (low + low * (p.r + p.tail))))) * p.first * p.second;
}

bool is_integer(double y) {
  return detail::magnitude(y) >= 0x1p52 || (y + detail::kRound) - detail::kRound == y;
}
bool is_odd(double y) {
  return detail::magnitude(y) < 0x1p53 && is_integer(y) && !is_integer(y * 0.5);
}

}  // namespace

double exp2(double x) {
  if (x != x) return x;
  if (x >= 1024) return kInfinity;
  if (x < -1076) return 0;
  const double shifted = x + detail::kRound;
  const double n = shifted - detail::kRound;
  const Pair r = multiply(x - n, kLn2Pair.high);
  const double half = n * 0.5 + detail::kRound;
  const uint64_t one = detail::bits(1.0);
  return finish(
      {r.high, 0, detail::exp_tail(r.high), detail::from_bits((detail::bits(half) << 52) + one),
       detail::from_bits(((detail::bits(shifted) - detail::bits(half)) << 52) + one)},
      r.low + (x - n) * kLn2Pair.low);
}

double expm1(double x) {
  // Beyond these the 1, or e^x, is under a quarter of an ulp.
  if (x > 40) return exp(x);
  if (x < -40) return -1;
  // 2^n - 1 + 2^n (r + r^2 / 2 + ...), where up to n = 1 the terms are as large as the result and
  // what each addition loses counts.
  const ExpParts p = detail::exp_parts(x);
  const double scale = p.first * p.second;
  const Pair base = detail::add(scale, -1.0);
  const Pair sum = add_ordered(base.high, p.r * scale);
  const Pair square = multiply(p.r, p.r);
  const Pair total = detail::add(sum.high, 0.5 * square.high * scale);
  const double rest =
      (p.low + p.low * p.r) + (0.5 * square.low + square.high * p.r * detail::exp_cubic(p.r));
  const double result = total.high + ((total.low + (sum.low + base.low)) + rest * scale);
  return detail::with_sign(detail::magnitude(result), x);
}

double log2(double x) {
  if (!(x > 0)) return x == 0 ? -kInfinity : kNaN;
  if (x == kInfinity) return x;
  const detail::LogParts p = detail::log_parts(x);
  const Pair m = multiply(log1p_pair(p.f), kLog2EPair);
  const Pair sum = add_ordered(p.k, m.high);
  return sum.high + (sum.low + m.low);
}

double log1p(double x) {
  if (!(x > -1)) return x == -1 ? -kInfinity : kNaN;
  if (x == 0 || x == kInfinity) return x;
  if (x > -0.29 && x < 0.41) return detail::log_sum(0, x, 0);
  const Pair sum = detail::add(1.0, x);
  const detail::LogParts p = detail::log_parts(sum.high);
  return detail::log_sum(p.k, p.f, sum.low / sum.high);
}

double pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return kNaN;
  const double a = detail::magnitude(x);
  const bool odd = is_odd(y);
  const double sign = x < 0 && odd ? -1.0 : 1.0;
  if (detail::magnitude(y) == kInfinity) {
    if (a == 1) return 1;
    return (a > 1) == (y > 0) ? kInfinity : 0;
  }
  if (a == 0 || a == kInfinity)
    return detail::with_sign((a == 0) == (y > 0) ? 0 : kInfinity, odd ? x : 1.0);
  if (x < 0 && !is_integer(y)) return kNaN;

  const detail::LogParts p = detail::log_parts(a);
  const Pair m = log1p_pair(p.f);
  const Pair high = add_ordered(p.k * detail::kLn2High, m.high);
  const Pair log = add_ordered(high.high, high.low + (p.k * detail::kLn2Low + m.low));
  const double product = y * log.high;
  if (product > 710) return sign * kInfinity;
  if (product < -746) return sign * 0.0;
  // Too near 1 for anything but its last bit.
  if (detail::magnitude(product) < 0x1p-60) return sign * (1.0 + product);
  const Pair exact = multiply(y, log.high);
  return sign * finish(detail::exp_parts(product), exact.low + y * log.low);
}

}  // namespace cairn::math
