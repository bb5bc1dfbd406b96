// Random bits: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1,
// 2, 3", SC 2011), a keyed bijection of a 128-bit counter.
//
// Counter based, so the bits of element i depend on (key, i) alone: never on threads, tiles or the
// order in which elements are made, and a shard makes its own part from its global offset.
//
// Which counters serve what (word 2 keeps the uses apart, word 3 is zero):
//   word 2 = 0   philox_bits: words 0, 1 are i / 4 (low word first)
//   word 2 = 1   fold_in(key, number): words 0, 1 are the number
//   word 2 = 2   fold_in(key, name): words 0, 1 are eight bytes of the name
//   word 2 = 3   fold_in(key, name): words 0, 1 are the length of the name, the last step
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace cairn {

using PhiloxKey = std::array<uint32_t, 2>;
using PhiloxBlock = std::array<uint32_t, 4>;

// Ten rounds of Philox4x32 on one counter.
inline PhiloxBlock philox4x32(PhiloxBlock c, PhiloxKey key) {
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// The 32 bits of linear index i: lane i % 4 of the block with counter (i / 4, 0).
inline uint32_t philox_bits(PhiloxKey key, uint64_t i) {
  const uint64_t n = i / 4;
  return philox4x32({static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32), 0, 0}, key)[i % 4];
}

// out[j] = philox_bits(key, offset + j), at 0.6 G words a second and core. offset +
// out.size() must not pass 2^64 (it wraps).
void philox_fill(PhiloxKey key, uint64_t offset, std::span<uint32_t> out);

// A new key from a key and a number: the first two words of philox4x32({low, high, 1, 0}, key).
PhiloxKey fold_in(PhiloxKey key, uint64_t number);

// A new key from a key and a name, by chaining: for every eight bytes of the name (little endian,
// the last piece filled up with zeros) key = first two words of philox4x32({low, high, 2, 0}, key),
// then once more with the length in bytes and 3 in word 2.
PhiloxKey fold_in(PhiloxKey key, std::string_view name);

}  // namespace cairn
