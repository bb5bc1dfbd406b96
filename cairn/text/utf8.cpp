#include "cairn/text/utf8.h"

#include <fmt/format.h>

#include <cstring>

namespace cairn::text {
namespace {

// Table 3-7 of the Unicode standard: how many bytes a lead byte asks for, and the range of the
// second one (later ones are 80..BF). Size 1 with a lead of 80 or more means never well-formed.
struct Lead {
  uint8_t size, low, high;
};
constexpr Lead lead_of(uint8_t byte) {
  if (byte < 0xC2) return {1, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {1, 0, 0};
}

}  // namespace

Utf8Character decode_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1, true, false};
  const Lead lead = lead_of(first);
  if (lead.size == 1) return {kReplacementCharacter, 1, false, false};
  char32_t code_point = first & (0x7F >> lead.size);
  for (uint8_t i = 1; i < lead.size; ++i) {
    if (i == text.size()) return {kReplacementCharacter, i, false, true};
    const uint8_t low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
    if (byte(i) < low || byte(i) > high) return {kReplacementCharacter, i, false, false};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {code_point, lead.size, true, false};
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    // Eight ASCII bytes at a time: most text is mostly ASCII.
    uint64_t word;
    while (i + sizeof(word) <= text.size()) {
      std::memcpy(&word, text.data() + i, sizeof(word));
      if (word & 0x8080808080808080u) break;
      i += sizeof(word);
    }
    if (i == text.size()) break;
    const Utf8Character character = decode_utf8(text.substr(i));
    if (!character.valid) break;
    i += character.size;
  }
  return i;
}

size_t whole_characters(std::string_view text) {
  // Only the last three bytes can be the start of a character that is not complete yet.
  size_t keep = 0;
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const Utf8Character character = decode_utf8(text.substr(text.size() - back));
    if (character.truncated && character.size == back) keep = back;
  }
  return text.size() - keep;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    out.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    append_utf8(out, kReplacementCharacter);
    text.remove_prefix(decode_utf8(text).size);
  }
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string describe_character(char32_t c) {
  const std::string number = fmt::format("U+{:04X}", static_cast<uint32_t>(c));
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return number;
  std::string text;
  append_utf8(text, c);
  return fmt::format("'{}' ({})", text, number);
}

std::string Utf8Stream::push(std::string_view bytes) {
  held_.append(bytes);
  const std::string_view ready = std::string_view(held_).substr(0, whole_characters(held_));
  std::string out = replace_invalid_utf8(ready);
  held_.erase(0, ready.size());
  return out;
}

std::string Utf8Stream::finish() {
  std::string out = replace_invalid_utf8(held_);
  held_.clear();
  return out;
}

}  // namespace cairn::text
