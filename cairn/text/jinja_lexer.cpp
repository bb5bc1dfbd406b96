#include "cairn/text/jinja_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

size_t leading_space(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const Utf8Character character = decode_utf8(text.substr(size));
    if (!is_python_space(character.code_point)) break;
    size += character.size;
  }
  return size;
}

size_t without_trailing_space(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = decode_utf8(text.substr(at));
    at += character.size;
    if (!is_python_space(character.code_point)) end = at;
  }
  return end;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t begin = find_tag();
      if (begin == source_.npos) {
        data(at_, source_.substr(at_));
        break;
      }
      const char kind = source_[begin + 1];
      std::string_view before = source_.substr(at_, begin - at_);
      at_ = begin + 2;
      const char sign = peek();
      const bool signed_tag = sign == '-' || sign == '+';
      if (signed_tag) ++at_;
      data(begin - before.size(), strip_before(before, signed_tag ? sign : ' ', kind == '{'));
      if (kind == '#') {
        comment(begin);
      } else if (kind == '{') {
        tag(begin, Token::Kind::print_begin, Token::Kind::print_end, "}}");
      } else if (!raw(begin)) {
        tag(begin, Token::Kind::tag_begin, Token::Kind::tag_end, "%}");
      }
      line_start_ = at_ > 0 && source_[at_ - 1] == '\n';
    }
    tokens_.push_back({Token::Kind::end, "", source_.size()});
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool rest_starts_with(std::string_view text) const {
    return source_.substr(at_).starts_with(text);
  }

  size_t find_tag() const {
    for (size_t i = source_.find('{', at_); i != source_.npos; i = source_.find('{', i + 1)) {
      const char next = i + 1 < source_.size() ? source_[i + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return source_.npos;
  }

  void data(size_t at, std::string_view text) {
    if (!text.empty()) tokens_.push_back({Token::Kind::data, std::string(text), at});
  }

  // The text before a tag, without what the tag strips from it.
  std::string_view strip_before(std::string_view text, char sign, bool prints) const {
    if (sign == '-') return text.substr(0, without_trailing_space(text));
    if (sign == '+' || prints) return text;
    const size_t line = text.rfind('\n') + 1;  // 0 when there is none
    if (line == 0 && !line_start_) return text;
    return leading_space(text.substr(line)) == text.size() - line ? text.substr(0, line) : text;
  }

  // Behind the end of a tag or comment: "-" takes white space along, "+" keeps the newline.
  void after_end(char sign) {
    if (sign == '-') {
      at_ += leading_space(source_.substr(at_));
    } else if (sign != '+' && peek() == '\n') {
      ++at_;
    }
  }

  void comment(size_t begin) {
    const size_t end = source_.find("#}", at_);
    if (end == source_.npos) throw_at(source_, begin, "this comment has no end '#}'");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    at_ = end + 2;
    after_end(sign);
  }

  // Whether "%}" follows, with a sign before it; moves behind it.
  bool end_of_tag(char& sign) {
    sign = peek() == '-' || peek() == '+' ? peek() : ' ';
    const size_t length = sign == ' ' ? 0 : 1;
    if (!source_.substr(std::min(at_ + length, source_.size())).starts_with("%}")) return false;
    at_ += length + 2;
    return true;
  }

  // {% raw %} ... {% endraw %}: text as it stands.
  bool raw(size_t begin) {
    const size_t start = at_;
    const auto word = [&](std::string_view name) {
      at_ += leading_space(source_.substr(at_));
      if (!rest_starts_with(name)) return false;
      at_ += name.size();
      at_ += leading_space(source_.substr(at_));
      return true;
    };
    char sign = ' ';
    if (!word("raw") || !end_of_tag(sign)) {
      at_ = start;
      return false;
    }
    if (sign == '-') at_ += leading_space(source_.substr(at_));
    const size_t text = at_;
    for (size_t end = source_.find("{%", at_); end != source_.npos;
         end = source_.find("{%", end + 1)) {
      at_ = end + 2;
      const char before = peek();
      if (before == '-' || before == '+') ++at_;
      if (!word("endraw") || !end_of_tag(sign)) continue;
      line_start_ = text > 0 && source_[text - 1] == '\n';
      data(text, strip_before(source_.substr(text, end - text), before, false));
      after_end(sign);
      return true;
    }
    throw_at(source_, begin, "this {% raw %} has no {% endraw %}");
  }

  void tag(size_t begin, Token::Kind opens, Token::Kind closes, std::string_view end) {
    tokens_.push_back({opens, std::string(source_.substr(begin, 2)), begin});
    brackets_.clear();
    for (;;) {
      at_ += leading_space(source_.substr(at_));
      if (at_ >= source_.size())
        throw_at(source_, begin, fmt::format("this tag has no end '{}'", end));
      if (brackets_.empty()) {
        const size_t close = at_;
        const char first = peek();
        const bool with_sign = first == '-' || (first == '+' && end == "%}");
        if (source_.substr(at_ + (with_sign ? 1 : 0)).starts_with(end)) {
          at_ += end.size() + (with_sign ? 1 : 0);
          const char sign = with_sign ? first : ' ';
          if (end == "%}" || sign == '-') after_end(sign);
          tokens_.push_back({closes, std::string(end), close});
          return;
        }
      }
      token();
    }
  }

  void token() {
    const char c = peek();
    if (is_digit(c)) return number();
    if (c == '"' || c == '\'') return string(c);
    const size_t name = name_size();
    if (name > 0) return take(Token::Kind::name, name);
    static constexpr std::array<std::string_view, 26> kSigns = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view sign : kSigns) {
      if (!rest_starts_with(sign)) continue;
      if (sign == "(" || sign == "[" || sign == "{") {
        brackets_ += sign == "(" ? ')' : sign == "[" ? ']' : '}';
      } else if (sign == ")" || sign == "]" || sign == "}") {
        if (brackets_.empty()) throw_at(source_, at_, fmt::format("'{}' closes nothing", sign));
        if (brackets_.back() != sign[0])
          throw_at(source_, at_, fmt::format("expected '{}', found '{}'", brackets_.back(), sign));
        brackets_.pop_back();
      }
      return take(Token::Kind::sign, sign.size());
    }
    throw_at(source_, at_,
             fmt::format("{} is no part of an expression",
                         describe_character(decode_utf8(source_.substr(at_)).code_point)));
  }

  void take(Token::Kind kind, size_t size) {
    tokens_.push_back({kind, std::string(source_.substr(at_, size)), at_});
    at_ += size;
  }

  size_t name_size() const {
    size_t size = 0;
    while (at_ + size < source_.size()) {
      const Utf8Character character = decode_utf8(source_.substr(at_ + size));
      const char32_t c = character.code_point;
      if (!character.valid || (c != '_' && !is_alphanumeric(c) && !is_mark(c))) break;
      size += character.size;
    }
    return size;
  }

  // Python's numbers, with "_" between digits; a point needs digits on both sides.
  void number() {
    const size_t begin = at_;
    std::string digits;
    const auto read_digits = [&](int base) {
      bool any = false;
      while (digit_value(peek()) < base || (any && peek() == '_' && digit_value(peek(1)) < base)) {
        any = true;
        if (peek() != '_') digits += peek();
        ++at_;
      }
      return any;
    };
    const char kind = static_cast<char>(peek(1) | 0x20);
    if (peek() == '0' && (kind == 'x' || kind == 'o' || kind == 'b')) {
      const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
      at_ += 2;
      if (peek() == '_') ++at_;
      if (!read_digits(base)) throw_at(source_, begin, "this number has no digits");
      uint64_t value = 0;
      for (const char digit : digits) {
        if (value > INT64_MAX / 16) throw_at(source_, begin, "this number is too large");
        value = value * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit_value(digit));
      }
      tokens_.push_back({Token::Kind::integer, std::to_string(value), begin});
      return;
    }
    read_digits(10);
    Token::Kind token = Token::Kind::integer;
    if (peek() == '.' && is_digit(peek(1))) {
      token = Token::Kind::real;
      digits += '.';
      ++at_;
      read_digits(10);
    }
    const size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
    if ((peek() | 0x20) == 'e' && is_digit(peek(1 + sign))) {
      token = Token::Kind::real;
      digits += source_.substr(at_, 1 + sign);
      at_ += 1 + sign;
      read_digits(10);
    }
    tokens_.push_back({token, digits, begin});
  }

  void string(char quote) {
    const size_t begin = at_++;
    std::string out;
    for (;;) {
      if (at_ >= source_.size()) throw_at(source_, begin, "this string has no end");
      const char c = source_[at_++];
      if (c == quote) break;
      if (c == '\\') {
        escape(out);
      } else {
        out += c;
      }
    }
    tokens_.push_back({Token::Kind::string, std::move(out), begin});
  }

  // Python's escapes in strings; an unknown one stays as it is.
  void escape(std::string& out) {
    const size_t begin = at_ - 1;
    if (at_ >= source_.size()) return;  // the string has no end, which is told
    const char c = source_[at_++];
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t known = kLetters.find(c); known != kLetters.npos) {
      out += kMeanings[known];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      code_point(out, begin, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c <= '7') {
      char32_t value = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && peek() >= '0' && peek() <= '7'; ++i) {
        value = value * 8 + static_cast<char32_t>(source_[at_++] - '0');
      }
      append_utf8(out, value);
    } else if (c != '\n') {
      out += '\\';
      out += c;
    }
  }

  void code_point(std::string& out, size_t begin, int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = digit_value(peek());
      if (digit > 15 || value > 0x10FFFF)
        throw_at(source_, begin, fmt::format("this escape needs {} hexadecimal digits", digits));
      value = value * 16 + static_cast<uint32_t>(digit);
      ++at_;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      throw_at(source_, begin, "this escape is no character of Unicode");
    append_utf8(out, value);
  }

  std::string_view source_;
  size_t at_ = 0;
  bool line_start_ = true;  // whether at_ begins a line
  std::string brackets_;    // those that are still to be closed
  std::vector<Token> tokens_;
};

}  // namespace

void throw_at(std::string_view source, size_t at, std::string_view message) {
  const std::string_view before = source.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::string_view start = before.substr(before.rfind('\n') + 1);
  const auto column =
      std::count_if(start.begin(), start.end(),
                    [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }) +
      1;
  throw_error(fmt::format("line {}, column {}: {}", line, column, message));
}

std::string normalize_source(std::string_view source) {
  const std::string valid = replace_invalid_utf8(source);
  std::string out;
  out.reserve(valid.size());
  for (size_t i = 0; i < valid.size(); ++i) {
    if (valid[i] == '\r') {
      out += '\n';
      if (i + 1 < valid.size() && valid[i + 1] == '\n') ++i;
    } else {
      out += valid[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view normalized) { return Lexer(normalized).run(); }

}  // namespace cairn::text::jinja
