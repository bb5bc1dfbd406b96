// SHA-256 and SHA-1 (FIPS 180-4), to check downloads against what their server lists. SHA-1 is
// git's name of a file, not a protection. About 250 MB/s.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cairn {

class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  // The hash in lower-case hexadecimal; the object is then used up.
  std::string finish();

 private:
  void block(const uint8_t* bytes);
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> held_{};
  uint64_t size_ = 0;
  friend struct ShaBlocks;
};

class Sha1 {
 public:
  void update(std::span<const std::byte> bytes);
  std::string finish();

 private:
  void block(const uint8_t* bytes);
  std::array<uint32_t, 5> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  std::array<uint8_t, 64> held_{};
  uint64_t size_ = 0;
  friend struct ShaBlocks;
};

}  // namespace cairn
