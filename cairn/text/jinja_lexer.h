// The source of a template as tokens.
//
// White space follows the settings that Hugging Face's transformers uses: a newline right behind a
// tag or comment is dropped (trim_blocks), and so is the white space before one that begins its
// line (lstrip_blocks). `-` in a tag strips all of it, `+` keeps all of it. One newline at the end
// of the source is dropped, and all newlines are "\n".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::text::jinja {

// An Error at a place of the source: "line 3, column 7: ...".
[[noreturn]] void throw_at(std::string_view source, size_t at, std::string_view message);

struct Token {
  enum class Kind {
    data,  // text between tags
    print_begin,
    print_end,
    tag_begin,
    tag_end,
    name,
    string,
    integer,
    real,
    sign,  // operators and brackets
    end,
  };
  Kind kind = Kind::end;
  std::string text;  // a string without quotes and escapes
  size_t at = 0;     // where it begins in the source

  bool is_sign(std::string_view sign) const { return kind == Kind::sign && text == sign; }
  bool is_name(std::string_view name) const { return kind == Kind::name && text == name; }
};

// With newlines as described above; positions of tokens are in this text.
std::string normalize_source(std::string_view source);

// Ends with a token of kind `end`. Throws Error with line and column.
std::vector<Token> tokenize(std::string_view normalized);

}  // namespace cairn::text::jinja
