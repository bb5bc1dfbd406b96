// Makes llama2.c tokenizer files for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace cairn::text {

// A file with these tokens after the 259 that each has; earlier ones have better scores.
inline std::string llama2c_file(const std::vector<std::string>& tokens, int32_t longest = 64) {
  std::string out;
  const auto number = [&](auto value) {
    char bytes[sizeof(value)];
    std::memcpy(bytes, &value, sizeof(value));
    out.append(bytes, sizeof(value));
  };
  const auto token = [&](const std::string& bytes, float score) {
    number(score);
    number(static_cast<int32_t>(bytes.size()));
    out += bytes;
  };
  number(longest);
  token("<unk>", 0);
  token("\n<s>\n", 0);
  token("\n</s>\n", 0);
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    token(name, 0);
  }
  for (size_t i = 0; i < tokens.size(); ++i) token(tokens[i], -static_cast<float>(i));
  return out;
}

}  // namespace cairn::text
