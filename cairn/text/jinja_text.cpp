#include "cairn/text/jinja_text.h"

#include <algorithm>

#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> which) {
  const auto stripped = [&](std::string_view character) {
    return which ? which->find(character) != which->npos
                 : is_python_space(decode_utf8(character).code_point);
  };
  while (side != Side::right && !text.empty()) {
    const size_t size = decode_utf8(text).size;
    if (!stripped(text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (side != Side::left && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!stripped(text.substr(begin))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  const Utf8Character first = decode_utf8(text);
  return to_title(first.code_point) + to_lower(text.substr(first.size));
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t count) {
  std::string out;
  while (count != 0) {
    // An empty text stands before each character and at the end.
    const size_t found = text.find(from);
    if (found == text.npos) break;
    out += text.substr(0, found);
    out += to;
    text.remove_prefix(found + from.size());
    if (count > 0) --count;
    if (from.empty()) {
      if (text.empty()) return out;
      const size_t size = decode_utf8(text).size;
      out += text.substr(0, size);
      text.remove_prefix(size);
    }
  }
  out += text;
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = decode_utf8(text.substr(at));
    const char32_t c = character.code_point;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    size_t size = character.size;
    if (ends && text.substr(at).starts_with("\r\n")) size = 2;
    if (ends) {
      lines.push_back(text.substr(begin, at - begin + (keep_ends ? size : 0)));
      begin = at + size;
    }
    at += size;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string center(std::string_view text, int64_t width, std::string_view fill) {
  const auto missing = width - static_cast<int64_t>(characters(text));
  if (missing <= 0) return std::string(text);
  const int64_t left = missing / 2 + (missing & width & 1);  // as CPython rounds
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

size_t prefix(std::string_view text, size_t count) {
  size_t size = 0;
  for (; count > 0 && size < text.size(); --count) size += decode_utf8(text.substr(size)).size;
  return size;
}

}  // namespace cairn::text::jinja
