// Reads all that a reader gave, so that a sanitizer sees what lies outside of its owner.
#pragma once

#include <span>
#include <string>

#include "cairn/io/bytes.h"

namespace cairn::fuzz {

inline SharedBytes shared(const uint8_t* data, size_t size) {
  return SharedBytes(std::string(reinterpret_cast<const char*>(data), size));
}

inline void touch(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte b : bytes) sum += std::to_integer<unsigned>(b);
  // Keeps the compiler from leaving the loop out.
  asm volatile("" : : "r"(sum));
}
inline void touch(const HostArray& array) { touch(io::bytes_of(array)); }
inline void touch(std::string_view text) {
  touch(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace cairn::fuzz
