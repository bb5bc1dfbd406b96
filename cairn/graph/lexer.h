// The tokens of the text form of graphs, and how names and strings are spelled: the one place that
// the printer and the parser share. Not part of the public interface.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cairn::detail {

enum class TokenKind {
  end,
  value,   // %name or %"any name"; text is the name
  symbol,  // @name or @"any name"; text is the name
  word,    // letter or _, then letters, digits, _ and .
  number,  // digits as written, with sign, point and exponent; -inf and -nan; 0x and hex digits
  string,  // "..." with the escapes \" \\ \n \t \xHH; text is what it stands for
  punctuation,  // ( ) { } [ ] < > , ; : = and ->
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  size_t offset = 0;    // of its first byte
  bool quoted = false;  // a value or symbol whose name was in quotes
};

// Where a byte stands: "line 3, column 9", columns counted in characters.
std::string position_of(std::string_view text, size_t offset);

// Throws Error with the position of what is wrong.
[[noreturn]] void fail_at(std::string_view text, size_t offset, std::string_view what);

// Cuts a text into tokens, one at a time, without looking back. Comments run from // or # to the
// end of the line. Throws Error at a byte that begins no token, an unfinished string, a name or
// string that is too long.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  Token next();

 private:
  void skip_blanks();
  std::string quoted(size_t at);
  std::string_view take_while(bool (*belongs)(char));
  [[noreturn]] void fail(size_t offset, std::string_view what) const {
    fail_at(text_, offset, what);
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Names and strings longer than this are refused: they come back in every error message.
inline constexpr size_t kMaxNameLength = 1024;

// %name, @name and {key=word} without quotes.
bool is_bare_name(std::string_view name);
bool is_word(std::string_view name);
// Made of digits: the printer's own name for a value that has none.
bool is_automatic_name(std::string_view name);
// In double quotes, with escapes.
std::string quote(std::string_view text);
// As it is when is_bare_name or is_word says so, else in quotes.
std::string spell_name(std::string_view name);
std::string spell_word(std::string_view text);

}  // namespace cairn::detail
