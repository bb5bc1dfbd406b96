#include "cairn/base/math.h"

#include <cmath>

namespace cairn::math {
namespace {

using detail::Pair;

// atan(i / 16), high and low part.
constexpr Pair kAtan[17] = {{0x0.0p+0, 0x0.0p+0},
                            {0x1.ff55bb72cfdeap-5, -0x1.c934d86d23f1dp-60},
                            {0x1.fd5ba9aac2f6ep-4, -0x1.cd37686760c17p-59},
                            {0x1.7b97b4bce5b02p-3, 0x1.347b0b4f881cap-58},
                            {0x1.f5b75f92c80ddp-3, 0x1.8ab6e3cf7afbdp-57},
                            {0x1.362773707ebccp-2, -0x1.963a544b672d8p-57},
                            {0x1.6f61941e4def1p-2, -0x1.c63aae6f6e918p-56},
                            {0x1.a64eec3cc23fdp-2, -0x1.24dec1b50b7ffp-56},
                            {0x1.dac670561bb4fp-2, 0x1.a2b7f222f65e2p-56},
                            {0x1.0657e94db30d0p-1, -0x1.d5b495f6349e6p-56},
                            {0x1.1e00babdefeb4p-1, -0x1.928df287a668fp-58},
                            {0x1.345f01cce37bbp-1, 0x1.1021137c71102p-55},
                            {0x1.4978fa3269ee1p-1, 0x1.2419a87f2a458p-56},
                            {0x1.5d58987169b18p-1, 0x1.0028e4bc5e7cap-57},
                            {0x1.700a7c5784634p-1, -0x1.8c34d25aadef6p-56},
                            {0x1.819d0b7158a4dp-1, -0x1.bf76229d3b917p-56},
                            {0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55}};
constexpr Pair kHalfPi{0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54};

// atan(num / den) for 0 <= num <= den, finite, den > 0, the quotient above 2^-30.
Pair atan_quotient(double num, double den) {
  // Into the middle of the exponents, so that nothing below over- or underflows.
  const double scale = den > 0x1p500 ? 0x1p-600 : (den < 0x1p-500 ? 0x1p600 : 1.0);
  num *= scale;
  den *= scale;
  // atan(q) = atan(c) + atan((q - c) / (1 + q c)) with c = i / 16 nearest to q.
  const double i = (num / den * 16.0 + detail::kRound) - detail::kRound;
  const double c = i * 0.0625;
  const Pair a = detail::multiply(c, den), b = detail::multiply(c, num);
  const Pair below = detail::add(den, b.high);
  // num - a.high is exact: the two are within a factor of 2, or a is 0.
  const Pair s =
      detail::divide(detail::add_ordered(num - a.high, -a.low), {below.high, below.low + b.low});
  const double z = s.high * s.high;
  // atan(s) = s + s^3 P(s^2) for |s| <= 1/30; fit to 2^-61.
  const double cube = s.high * z *
                      ((-0.3333333333333237 + z * 0.19999999991564335) +
                       z * z * (-0.14285691350656185 + z * 0.11086530067872394));
  const Pair table = kAtan[static_cast<int>(i)];
  const Pair sum = detail::add_ordered(table.high, s.high);
  return detail::add_ordered(sum.high, sum.low + (table.low + s.low + cube));
}

}  // namespace

double atan2(double y, double x) {
  if (x != x || y != y) return kNaN;
  const double ax = detail::magnitude(x), ay = detail::magnitude(y);
  const bool left = std::signbit(x);
  Pair angle;  // of (ax, ay), in [0, pi/2]
  if (ay == 0) {
    angle = {0, 0};
  } else if (ax == 0) {
    angle = kHalfPi;
  } else if (ax == kInfinity || ay == kInfinity) {
    angle = ax != ay ? (ax > ay ? Pair{0, 0} : kHalfPi) : kAtan[16];
  } else if (ay <= ax) {
    const double q = ay / ax;
    // The cube of a small angle is beyond its last bit; this also keeps subnormal results right.
    angle = q < 0x1p-30 ? Pair{q, 0} : atan_quotient(ay, ax);
  } else {
    const double q = ax / ay;
    const Pair a = q < 0x1p-30 ? Pair{q, 0} : atan_quotient(ax, ay);
    const Pair sum = detail::add_ordered(kHalfPi.high, -a.high);
    angle = detail::add_ordered(sum.high, sum.low + (kHalfPi.low - a.low));
  }
  if (left) {
    const Pair sum = detail::add_ordered(2 * kHalfPi.high, -angle.high);
    angle.high = sum.high + (sum.low + (2 * kHalfPi.low - angle.low));
  }
  return detail::with_sign(angle.high, y);
}

double fmod(double x, double y) {
  const uint64_t sign = detail::bits(x) & 0x8000000000000000u;
  const uint64_t a = detail::bits(x) ^ sign, b = detail::bits(detail::magnitude(y));
  constexpr uint64_t kInf = 0x7ff0000000000000u, kImplicit = 0x0010000000000000u;
  if (a >= kInf || b > kInf || b == 0) return kNaN;
  if (a < b) return x;
  // Significands as integers, x = ma 2^ea and y = mb 2^eb, then (ma << (ea - eb)) mod mb by pieces
  // of 11 bits, which is what fits beside 53.
  auto significand = [](uint64_t v) {
    return (v & (kImplicit - 1)) | (v >= kImplicit ? kImplicit : 0);
  };
  auto exponent = [](uint64_t v) { return static_cast<int>(v < kImplicit ? 1 : v >> 52); };
  const uint64_t mb = significand(b);
  int shift = exponent(a) - exponent(b);
  uint64_t rest = significand(a) % mb;
  while (shift > 0 && rest) {
    const int step = shift < 11 ? shift : 11;
    rest = (rest << step) % mb;
    shift -= step;
  }
  if (!rest) return detail::from_bits(sign);
  // Back to a double: exponent of y, normalised as far as the exponent allows.
  int e = exponent(b);
  while (!(rest & kImplicit) && e > 1) {
    rest <<= 1;
    --e;
  }
  const uint64_t result =
      rest & kImplicit ? (static_cast<uint64_t>(e) << 52) | (rest & (kImplicit - 1)) : rest;
  return detail::from_bits(sign | result);
}

}  // namespace cairn::math
