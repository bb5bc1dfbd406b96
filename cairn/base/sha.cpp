#include "cairn/base/sha.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cairn {

// What both have in common: blocks of 64 bytes, and the padding at the end.
struct ShaBlocks {
  template <class Hash>
  static void update(Hash& hash, std::span<const std::byte> bytes) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    size_t left = bytes.size();
    while (left > 0) {
      const size_t held = hash.size_ % 64;
      if (held == 0 && left >= 64) {
        hash.block(data);
        hash.size_ += 64;
        data += 64;
        left -= 64;
        continue;
      }
      const size_t take = std::min(left, 64 - held);
      std::memcpy(hash.held_.data() + held, data, take);
      hash.size_ += take;
      data += take;
      left -= take;
      if (held + take == 64) hash.block(hash.held_.data());
    }
  }

  template <class Hash>
  static std::string finish(Hash& hash) {
    const uint64_t bits = hash.size_ * 8;
    const auto put = [&](uint8_t byte) { update(hash, std::as_bytes(std::span(&byte, 1))); };
    put(0x80);
    while (hash.size_ % 64 != 56) put(0);
    for (int shift = 56; shift >= 0; shift -= 8) put(static_cast<uint8_t>(bits >> shift));
    std::string text;
    constexpr char kDigits[] = "0123456789abcdef";
    for (const uint32_t word : hash.state_)
      for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[word >> shift & 15];
    return text;
  }
};

namespace {

constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t word_at(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

void Sha256::block(const uint8_t* bytes) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i) w[i] = word_at(bytes + 4 * i);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t one = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                         ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const uint32_t two =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + one, d = c, c = b, b = a, a = one + two;
  }
  const std::array<uint32_t, 8> more = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state_[i] += more[i];
}

void Sha256::update(std::span<const std::byte> bytes) { ShaBlocks::update(*this, bytes); }
std::string Sha256::finish() { return ShaBlocks::finish(*this); }

void Sha1::block(const uint8_t* bytes) {
  std::array<uint32_t, 80> w;
  for (size_t i = 0; i < 16; ++i) w[i] = word_at(bytes + 4 * i);
  for (size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  auto [a, b, c, d, e] = state_;
  for (size_t i = 0; i < 80; ++i) {
    uint32_t f = b ^ c ^ d, k = 0x6ed9eba1;
    if (i < 20)
      f = (b & c) | (~b & d), k = 0x5a827999;
    else if (i >= 40 && i < 60)
      f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
    else if (i >= 60)
      k = 0xca62c1d6;
    const uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
    e = d, d = c, c = std::rotl(b, 30), b = a, a = next;
  }
  const std::array<uint32_t, 5> more = {a, b, c, d, e};
  for (size_t i = 0; i < 5; ++i) state_[i] += more[i];
}

void Sha1::update(std::span<const std::byte> bytes) { ShaBlocks::update(*this, bytes); }
std::string Sha1::finish() { return ShaBlocks::finish(*this); }

}  // namespace cairn
