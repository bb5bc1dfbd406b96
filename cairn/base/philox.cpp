#include "cairn/base/philox.h"

#include <emmintrin.h>

#include <algorithm>

namespace cairn {
namespace {

PhiloxKey step(PhiloxKey key, uint64_t value, uint32_t use) {
  const PhiloxBlock b =
      philox4x32({static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32), use, 0}, key);
  return {b[0], b[1]};
}

// Blocks n .. n + 7 into out[0..31], two counters to an SSE2 register (part of every x86-64): a
// 32-bit word sits in the low half of a 64-bit lane, and pmuludq ignores what is left in the high
// half. Four registers in flight hide the latency of the multiplications: three times the scalar
// speed.
void eight_blocks(PhiloxKey key, uint64_t n, uint32_t* out) {
  const __m128i m0 = _mm_set1_epi64x(0xD2511F53), m1 = _mm_set1_epi64x(0xCD9E8D57);
  const __m128i low = _mm_set1_epi64x(0xffffffff);
  __m128i c0[4], c1[4], c2[4], c3[4];
  for (int j = 0; j < 4; ++j) {
    const uint64_t i = n + 2 * static_cast<uint64_t>(j);
    c0[j] = _mm_set_epi64x(static_cast<int64_t>(i + 1), static_cast<int64_t>(i));
    c1[j] = _mm_srli_epi64(c0[j], 32);
    c2[j] = c3[j] = _mm_setzero_si128();
  }
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const __m128i w0 = _mm_set1_epi64x(k0), w1 = _mm_set1_epi64x(k1);
    for (int j = 0; j < 4; ++j) {
      const __m128i p0 = _mm_mul_epu32(c0[j], m0), p1 = _mm_mul_epu32(c2[j], m1);
      c0[j] = _mm_xor_si128(_mm_xor_si128(_mm_srli_epi64(p1, 32), c1[j]), w0);
      c2[j] = _mm_xor_si128(_mm_xor_si128(_mm_srli_epi64(p0, 32), c3[j]), w1);
      c1[j] = p1;
      c3[j] = p0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int j = 0; j < 4; ++j) {
    const __m128i a = _mm_or_si128(_mm_and_si128(c0[j], low), _mm_slli_epi64(c1[j], 32));
    const __m128i b = _mm_or_si128(_mm_and_si128(c2[j], low), _mm_slli_epi64(c3[j], 32));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 8 * j), _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 8 * j + 4), _mm_unpackhi_epi64(a, b));
  }
}

}  // namespace

void philox_fill(PhiloxKey key, uint64_t offset, std::span<uint32_t> out) {
  size_t j = 0;
  while (j < out.size() && (offset + j) % 4) {
    out[j] = philox_bits(key, offset + j);
    ++j;
  }
  for (; j + 32 <= out.size(); j += 32) eight_blocks(key, (offset + j) / 4, out.data() + j);
  for (; j < out.size(); ++j) out[j] = philox_bits(key, offset + j);
}

PhiloxKey fold_in(PhiloxKey key, uint64_t number) { return step(key, number, 1); }

PhiloxKey fold_in(PhiloxKey key, std::string_view name) {
  for (size_t i = 0; i < name.size(); i += 8) {
    uint64_t piece = 0;
    for (size_t j = i; j < std::min(i + 8, name.size()); ++j)
      piece |= uint64_t{static_cast<unsigned char>(name[j])} << (8 * (j - i));
    key = step(key, piece, 2);
  }
  return step(key, name.size(), 3);
}

}  // namespace cairn
