// Reading tests/golden/text, and the hash that stands for long id lists there.
#pragma once

#include <gtest/gtest.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cairn/base/file.h"
#include "tests/support/test_data.h"

namespace cairn::text {

inline std::string golden_text(const std::string& name) {
  return read_file(test::golden_path("text/" + name).string()).value();
}
inline nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(golden_text(name));
}

using Ids = std::vector<int32_t>;

// xxh64 of the ids as little-endian i32 (x86-64's own order), in hexadecimal.
inline std::string digest(const Ids& ids) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx",
                static_cast<unsigned long long>(XXH64(ids.data(), ids.size() * 4, 0)));
  return text;
}

inline std::string repeated(const std::string& unit, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += unit;
  return out;
}

inline std::string all_bytes() {
  std::string out;
  for (int byte = 0; byte < 256; ++byte) out.push_back(static_cast<char>(byte));
  return out;
}

}  // namespace cairn::text
