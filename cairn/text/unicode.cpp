#include "cairn/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "cairn/base/error.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// Those whose capitals are several characters (SpecialCasing.txt), that are met in text.
struct Special {
  char32_t from;
  const char* upper;
  const char* title;
};
constexpr Special kSpecials[] = {
    {0xDF, "SS", "Ss"},
    {0x149, "\u02BCN", "\u02BCN"},
    {0x1F0, "J\u030C", "J\u030C"},
    {0x390, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x3B0, "\u03A5\u0308\u0301", "\u03A5\u0308\u0301"},
    {0x587, "\u0535\u0552", "\u0535\u0582"},
    {0x1E96, "H\u0331", "H\u0331"},
    {0x1E97, "T\u0308", "T\u0308"},
    {0x1E98, "W\u030A", "W\u030A"},
    {0x1E99, "Y\u030A", "Y\u030A"},
    {0x1E9A, "A\u02BE", "A\u02BE"},
    {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"},
    {0xFB02, "FL", "Fl"},
    {0xFB03, "FFI", "Ffi"},
    {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"},
    {0xFB06, "ST", "St"},
};

const Special* find_special(char32_t c) {
  if (c < 0xDF) return nullptr;
  for (const Special& special : kSpecials) {
    if (special.from == c) return &special;
  }
  return nullptr;
}

template <class Append>
std::string map_characters(std::string_view text, Append append) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character character = decode_utf8(text);
    if (character.valid) {
      append(out, character.code_point, text);
    } else {
      out += text.substr(0, character.size);
    }
    text.remove_prefix(character.size);
  }
  return out;
}

}  // namespace

std::string normalize(std::string_view text, NormalForm form) {
  const bool compat = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
      (compat ? UTF8PROC_COMPAT : 0));
  std::string out;
  while (!text.empty()) {
    const std::string_view valid = text.substr(0, valid_utf8_prefix(text));
    if (!valid.empty()) {
      utf8proc_uint8_t* mapped = nullptr;
      const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()),
                                     static_cast<utf8proc_ssize_t>(valid.size()), &mapped, options);
      const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
      if (size < 0) throw_error(std::string("[normalize] ") + utf8proc_errmsg(size));
      out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
    }
    text.remove_prefix(valid.size());
    if (text.empty()) break;
    const size_t invalid = decode_utf8(text).size;
    out += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
  return out;
}

std::string to_upper(std::string_view text) {
  return map_characters(text, [](std::string& out, char32_t c, std::string_view) {
    if (const Special* special = find_special(c)) {
      out += special->upper;
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
    }
  });
}

std::string to_lower(std::string_view text) {
  char32_t before = ' ';
  return map_characters(text, [&](std::string& out, char32_t c, std::string_view rest) {
    if (c == 0x130) {  // capital I with a dot
      out += "i\u0307";
    } else if (c == 0x3A3) {  // sigma has another form at the end of a word
      const std::string_view next = rest.substr(2);
      const bool ends =
          is_alphabetic(before) && (next.empty() || !is_alphabetic(decode_utf8(next).code_point));
      append_utf8(out, ends ? 0x3C2 : 0x3C3);
    } else {
      append_utf8(out, lower_character(c));
    }
    before = c;
  });
}

std::string to_title(char32_t c) {
  std::string out;
  if (const Special* special = find_special(c)) return special->title;
  append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  return out;
}

char32_t lower_character(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

void for_each_cluster(std::string_view text, const std::function<void(std::string_view)>& cluster) {
  utf8proc_int32_t state = 0;
  char32_t before = 0;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = decode_utf8(text.substr(at));
    const bool breaks = at > 0 && utf8proc_grapheme_break_stateful(
                                      static_cast<utf8proc_int32_t>(before),
                                      static_cast<utf8proc_int32_t>(character.code_point), &state);
    if (breaks) {
      cluster(text.substr(begin, at - begin));
      begin = at;
    }
    before = character.code_point;
    at += character.size;
  }
  if (begin < text.size()) cluster(text.substr(begin));
}

bool is_alphabetic(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_number(c); }
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }

bool is_mark(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

bool is_combining_mark(char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }

bool is_punctuation(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_control(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_CN || kind >= UTF8PROC_CATEGORY_CC;
}

bool is_assigned_control(char32_t c) {
  return is_control(c) && category(c) != UTF8PROC_CATEGORY_CN;
}

bool is_printable(char32_t c) {
  const auto kind = category(c);
  const bool separator = kind >= UTF8PROC_CATEGORY_ZS && kind <= UTF8PROC_CATEGORY_ZP;
  return c == ' ' || (!separator && !is_control(c));
}

bool is_word(char32_t c) {
  // Letters in circles and squares are symbols, but Alphabetic; joiners stand inside of words.
  const bool symbol = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  const auto kind = category(c);
  return is_alphabetic(c) || is_mark(c) || kind == UTF8PROC_CATEGORY_ND ||
         kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_PC || symbol || c == 0x200C ||
         c == 0x200D;
}

bool is_python_space(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

}  // namespace cairn::text
