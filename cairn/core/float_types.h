// f16, bf16 and the two 8-bit floats as storage types: convertible from and to float, nothing else.
//
// Rounding is to nearest, ties to even. Overflow: f16, bf16 and f8e5m2 go to infinity; f8e4m3 is
// OCP's e4m3fn, which has no infinity, so overflow and infinities become NaN (0x7f). Subnormals are
// kept. NaN stays NaN with its sign.
#pragma once

#include <bit>
#include <cstdint>

namespace cairn {

namespace detail {

// Rounds a float to a format of `kExponent` and `kMantissa` bits.
template <int kExponent, int kMantissa, bool kHasInfinity>
inline uint32_t encode_float(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 31) << (kExponent + kMantissa);
  const uint32_t magnitude = bits & 0x7fffffffu;
  constexpr int kBias = (1 << (kExponent - 1)) - 1;
  constexpr uint32_t kInfinity = ((1u << kExponent) - 1) << kMantissa;
  constexpr uint32_t kNan =
      kHasInfinity ? kInfinity | (1u << (kMantissa - 1)) : (1u << (kExponent + kMantissa)) - 1;
  if (magnitude > 0x7f800000u) return sign | kNan;
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  // The largest exponent that a finite number may have before rounding.
  if (magnitude == 0x7f800000u || exponent > kBias + 1)
    return sign | (kHasInfinity ? kInfinity : kNan);
  uint32_t mantissa = (magnitude & 0x7fffffu) | (magnitude >= 0x00800000u ? 0x800000u : 0);
  int shift = 23 - kMantissa;
  int biased = exponent + kBias;
  if (biased <= 0) {  // subnormal in the target
    shift += 1 - biased;
    biased = 0;
    if (shift > 24) return sign;
  }
  const uint32_t half = 1u << (shift - 1);
  uint32_t rounded = mantissa >> shift;
  const uint32_t rest = mantissa & ((half << 1) - 1);
  if (rest > half || (rest == half && (rounded & 1))) ++rounded;
  // For a normal number `rounded` carries the implicit bit; adding lets a carry move the exponent.
  uint32_t result =
      biased > 0 ? (static_cast<uint32_t>(biased - 1) << kMantissa) + rounded : rounded;
  if constexpr (kHasInfinity) {
    if (result >= kInfinity) result = kInfinity;
  } else {
    if (result >= kNan) result = kNan;
  }
  return sign | result;
}

template <int kExponent, int kMantissa, bool kHasInfinity>
inline float decode_float(uint32_t bits) {
  constexpr int kBias = (1 << (kExponent - 1)) - 1;
  constexpr uint32_t kTop = (1u << kExponent) - 1;
  const uint32_t sign = (bits >> (kExponent + kMantissa)) << 31;
  const uint32_t exponent = (bits >> kMantissa) & kTop;
  const uint32_t mantissa = bits & ((1u << kMantissa) - 1);
  if (kHasInfinity ? exponent == kTop : (exponent == kTop && mantissa == (1u << kMantissa) - 1)) {
    const uint32_t payload = kHasInfinity ? mantissa << (23 - kMantissa) : 0x400000u;
    return std::bit_cast<float>(sign | 0x7f800000u | payload);
  }
  if (exponent == 0) {
    const float scale =
        std::bit_cast<float>(static_cast<uint32_t>(127 - kBias + 1 - kMantissa) << 23);
    const float magnitude = static_cast<float>(mantissa) * scale;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 127 - kBias) << 23) |
                              (mantissa << (23 - kMantissa)));
}

}  // namespace detail

struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float v) : bits(static_cast<uint16_t>(detail::encode_float<5, 10, true>(v))) {}
  explicit operator float() const { return detail::decode_float<5, 10, true>(bits); }
};

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float v) {
    const uint32_t b = std::bit_cast<uint32_t>(v);
    if ((b & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((b >> 16) | 0x40);
    } else {
      bits = static_cast<uint16_t>((b + 0x7fff + ((b >> 16) & 1)) >> 16);
    }
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

struct Float8E4M3 {
  uint8_t bits = 0;
  Float8E4M3() = default;
  explicit Float8E4M3(float v) : bits(static_cast<uint8_t>(detail::encode_float<4, 3, false>(v))) {}
  explicit operator float() const { return detail::decode_float<4, 3, false>(bits); }
};

struct Float8E5M2 {
  uint8_t bits = 0;
  Float8E5M2() = default;
  explicit Float8E5M2(float v) : bits(static_cast<uint8_t>(detail::encode_float<5, 2, true>(v))) {}
  explicit operator float() const { return detail::decode_float<5, 2, true>(bits); }
};

}  // namespace cairn
