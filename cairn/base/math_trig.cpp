#include "cairn/base/math_trig.h"

#include <bit>

#include "cairn/base/math.h"

namespace cairn::math {
namespace detail {
namespace {

__extension__ typedef unsigned __int128 Wide;

// The bits of 2/pi after the point, behind 64 zeros.
constexpr uint64_t kTwoOverPi[21] = {0,
                                     0xa2f9836e4e441529,
                                     0xfc2757d1f534ddc0,
                                     0xdb6295993c439041,
                                     0xfe5163abdebbc561,
                                     0xb7246e3a424dd2e0,
                                     0x06492eea09d1921c,
                                     0xfe1deb1cb129a73e,
                                     0xe88235f52ebb4484,
                                     0xe99c7026b45f7e41,
                                     0x3991d639835339f4,
                                     0x9c845f8bbdf9283b,
                                     0x1ff897ffde05980f,
                                     0xef2f118b5a0a6d1f,
                                     0x6d367ecf27cb09b7,
                                     0x4f463f669e5fea2d,
                                     0x7527bac7ebe5f17b,
                                     0x3d0739f78a5292ea,
                                     0x6bfb5fb11f8d5d08,
                                     0x56033046fc7b6bab,
                                     0xf0cfbc209af4361d};

// The 64 bits of 2/pi that begin `at` bits after the point; at >= -64.
uint64_t two_over_pi(int at) {
  const int word = (at + 64) / 64, shift = (at + 64) % 64;
  return shift ? (kTwoOverPi[word] << shift) | (kTwoOverPi[word + 1] >> (64 - shift))
               : kTwoOverPi[word];
}

}  // namespace

Angle reduce_huge(double x) {
  const uint64_t u = bits(magnitude(x));
  if (u >= 0x7ff0000000000000u) return {kNaN, kNaN, 0};
  // |x| = m 2^e. Whole multiples of 4 in x 2/pi do not matter, so 192 bits of 2/pi that begin e - 2
  // bits after the point give x 2/pi / 4 modulo 1 to 2^-139; no double is nearer than 2^-62 to a
  // multiple of pi/2. Here e >= -33.
  const uint64_t m = (u & 0x000fffffffffffffu) | 0x0010000000000000u;
  const int at = static_cast<int>(u >> 52) - 1075 - 2;
  const Wide low = Wide{m} * two_over_pi(at + 128);
  const Wide middle = Wide{m} * two_over_pi(at + 64) + static_cast<uint64_t>(low >> 64);
  const uint64_t top = m * two_over_pi(at) + static_cast<uint64_t>(middle >> 64);
  // Quarter turns in the top two bits, then the fraction of one.
  unsigned quadrant = static_cast<unsigned>(top >> 62);
  Wide fraction = (Wide{top} << 66) | (Wide{static_cast<uint64_t>(middle)} << 2) |
                  (static_cast<uint64_t>(low) >> 62);
  bool negative = x < 0;
  if (fraction >> 127) {  // nearer to the next one
    ++quadrant;
    fraction = ~fraction;  // the negative but for the last of 128 bits
    negative = !negative;
  }
  if (x < 0) quadrant = 0u - quadrant;
  // The leading 64 bits, and the next 53, as doubles.
  const auto upper = static_cast<uint64_t>(fraction >> 64);
  const int zeros = upper ? std::countl_zero(upper) : 64;
  fraction <<= zeros;
  const auto lead = static_cast<uint64_t>(fraction >> 64);
  const double scale = from_bits(static_cast<uint64_t>(1023 - zeros - 64) << 52);
  const Pair f = add_ordered(
      static_cast<double>(static_cast<int64_t>(lead >> 11)) * 0x1p11,
      static_cast<double>(
          static_cast<int64_t>(((lead & 0x7ff) << 42) | (static_cast<uint64_t>(fraction) >> 22))) *
          0x1p-42);
  const Pair r =
      multiply({f.high * scale, f.low * scale}, {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54});
  return {negative ? -r.high : r.high, negative ? -r.low : r.low, quadrant & 3};
}

}  // namespace detail

double tan(double x) {
  using namespace detail;
  if (x == 0) return x;
  const Angle a = reduce(x);
  // sin / cos, each in two doubles.
  const double r = a.high;
  const Pair square = multiply(r, r);
  const double z = square.high;
  const double z2 = z * z;
  const double s = (-0.16666666666666632 + z * 0.008333333333322314) +
                   z2 * ((-0.00019841269829725088 + z * 2.755731366202052e-06) +
                         z2 * (-2.5050753259280512e-08 + z * 1.5896504671878549e-10));
  const Pair cube = multiply(square, {r, 0});
  const Pair sine = add_ordered(r, cube.high * s + (cube.low * s + a.low * (1.0 - 0.5 * z)));
  const double c = (0.0416666666666666 + z * -0.001388888888887399) +
                   z2 * ((2.4801587289394964e-05 + z * -2.755731432603969e-07) +
                         z2 * (2.0875719559701536e-09 + z * -1.1359448721324198e-11));
  const Pair head = add_ordered(1.0, -0.5 * z);
  const Pair cosine = add_ordered(head.high, head.low + (z2 * c - r * a.low - 0.5 * square.low));
  return a.quadrant & 1 ? -divide(cosine, sine).high : divide(sine, cosine).high;
}

}  // namespace cairn::math
