#include "cairn/graph/lexer.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/error.h"

namespace cairn::detail {
namespace {

// Not <cctype>: its answers depend on the locale.
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_char(char c) { return is_letter(c) || is_digit(c) || c == '.'; }
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
bool is_hex(char c) { return hex_digit(c) >= 0; }

}  // namespace

std::string position_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  // Bytes 10xxxxxx continue a character of UTF-8.
  const auto column =
      std::count_if(before.begin() + static_cast<std::ptrdiff_t>(start), before.end(),
                    [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }) +
      1;
  return fmt::format("line {}, column {}", line, column);
}

void fail_at(std::string_view text, size_t offset, std::string_view what) {
  throw_error(fmt::format("{}: {}", position_of(text, offset), what));
}

void Lexer::skip_blanks() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '#' || text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return;
    }
  }
}

std::string_view Lexer::take_while(bool (*belongs)(char)) {
  const size_t start = at_;
  while (at_ < text_.size() && belongs(text_[at_])) ++at_;
  if (at_ - start > kMaxNameLength)
    fail(start, fmt::format("a word of more than {} characters", kMaxNameLength));
  return text_.substr(start, at_ - start);
}

// The string that starts with the quote at `at_`.
std::string Lexer::quoted(size_t start) {
  std::string out;
  for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
    char c = text_[at_];
    if (c == '\n') break;
    if (c == '\\') {
      const char escape = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
      if (escape == 'x' && at_ + 3 < text_.size() && is_hex(text_[at_ + 2]) &&
          is_hex(text_[at_ + 3])) {
        c = static_cast<char>(hex_digit(text_[at_ + 2]) * 16 + hex_digit(text_[at_ + 3]));
        at_ += 3;
      } else if (escape == '"' || escape == '\\' || escape == 'n' || escape == 't') {
        c = escape == 'n' ? '\n' : escape == 't' ? '\t' : escape;
        ++at_;
      } else {
        fail(at_, "expected one of the escapes \\\" \\\\ \\n \\t \\xHH");
      }
    }
    out += c;
    if (out.size() > kMaxNameLength)
      fail(start, fmt::format("a string of more than {} characters", kMaxNameLength));
  }
  if (at_ >= text_.size() || text_[at_] != '"') fail(start, "the string has no closing quote");
  ++at_;
  return out;
}

Token Lexer::next() {
  skip_blanks();
  Token token;
  token.offset = at_;
  if (at_ >= text_.size()) return token;
  const char c = text_[at_];
  const char following = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (c == '%' || c == '@') {
    token.kind = c == '%' ? TokenKind::value : TokenKind::symbol;
    ++at_;
    token.quoted = following == '"';
    token.text = token.quoted ? quoted(token.offset) : std::string(take_while(is_name_char));
    if (token.text.empty()) fail(token.offset, fmt::format("expected a name after '{}'", c));
  } else if (c == '"') {
    token.kind = TokenKind::string;
    token.text = quoted(token.offset);
  } else if (c == '-' && following == '>') {
    token.kind = TokenKind::punctuation;
    token.text = "->";
    at_ += 2;
  } else if (is_digit(c) || c == '-') {
    token.kind = TokenKind::number;
    if (c == '-') ++at_;
    if (c == '0' && following == 'x') {
      at_ += 2;
      take_while(is_hex);
    } else {
      take_while(is_name_char);  // 12, 1.5, 1e, inf; whoever reads the number checks it
      const char last = text_[at_ - 1];
      const char sign = at_ < text_.size() ? text_[at_] : '\0';
      if ((last == 'e' || last == 'E') && (sign == '+' || sign == '-')) {
        ++at_;
        take_while(is_digit);
      }
    }
    token.text = std::string(text_.substr(token.offset, at_ - token.offset));
  } else if (is_letter(c)) {
    token.kind = TokenKind::word;
    token.text = std::string(take_while(is_name_char));
  } else if (std::string_view("(){}[]<>,;:=").find(c) != std::string_view::npos) {
    token.kind = TokenKind::punctuation;
    token.text = std::string(1, c);
    ++at_;
  } else {
    const auto byte = static_cast<unsigned char>(c);
    fail(at_, byte >= 0x20 && byte < 0x7F ? fmt::format("'{}' has no meaning here", c)
                                          : fmt::format("byte 0x{:02x} has no meaning here", byte));
  }
  return token;
}

bool is_bare_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_name_char) &&
         !is_automatic_name(name);
}

bool is_word(std::string_view name) {
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), is_name_char);
}

bool is_automatic_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_digit);
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string spell_name(std::string_view name) {
  return is_bare_name(name) ? std::string(name) : quote(name);
}

std::string spell_word(std::string_view text) {
  return is_word(text) ? std::string(text) : quote(text);
}

}  // namespace cairn::detail
