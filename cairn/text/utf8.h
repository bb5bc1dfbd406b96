// UTF-8: validation, decoding, replacement, and a stream that never splits a character.
//
// Bytes that are not UTF-8 are data here, not an error: each maximal subpart of an ill-formed
// sequence (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts") counts as one
// invalid unit of 1 to 3 bytes. Python's errors="replace" and the WHATWG decoder do the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::text {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

struct Utf8Character {
  char32_t code_point;  // kReplacementCharacter when not valid
  uint8_t size;         // bytes taken from the text; at least 1
  bool valid;
  bool truncated;  // not valid, and more bytes after the end of the text could make it so
};

// The character at the front of `text`, which is not empty.
Utf8Character decode_utf8(std::string_view text);

// Bytes of the longest valid prefix; text.size() when all of it is UTF-8.
size_t valid_utf8_prefix(std::string_view text);
inline bool is_valid_utf8(std::string_view text) { return valid_utf8_prefix(text) == text.size(); }

// Bytes without the start of a character at the end, which more bytes could complete.
size_t whole_characters(std::string_view text);

// `code_point` is a Unicode scalar value (below 0x110000 and no surrogate).
void append_utf8(std::string& out, char32_t code_point);

// The text with U+FFFD for each invalid unit.
std::string replace_invalid_utf8(std::string_view text);

// Unicode's White_Space property (Unicode 6.3 to 16 agree).
bool is_white_space(char32_t code_point);

// "'x' (U+0078)" for error texts; control characters by number alone.
std::string describe_character(char32_t code_point);

// Turns bytes that arrive in arbitrary cuts into text in whole characters: the concatenation of
// everything returned equals replace_invalid_utf8 of everything pushed.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  // What is still held back, as U+FFFD; the stream is then empty again.
  std::string finish();

 private:
  std::string held_;  // the start of one character, at most 3 bytes
};

}  // namespace cairn::text
