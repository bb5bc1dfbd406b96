// The components of tokenizer.json that work on text, each made from its JSON: normalizers,
// pre-tokenizers, decoders. What is not known is an Error that names it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/text/json_view.h"

namespace cairn::text {

// Text is valid UTF-8 on both sides.
using Normalize = std::function<std::string(std::string)>;
// The root's "normalizer", Sequences unrolled.
std::vector<Normalize> read_normalizers(JsonView root);

// With `to` wherever `from` stands; an empty `from` stands nowhere.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

struct TextPiece {
  std::string text;
  bool first = false;  // begins where the whole text does
};
using Cut = std::function<void(std::vector<TextPiece>&)>;
// The root's "pre_tokenizer".
std::vector<Cut> read_cuts(JsonView root);

// What tokens become in a text, by their keys: the sum of what each gives, the first one and the
// text as a whole apart.
struct Decoding {
  // Of a token that is, or is not, the first.
  std::vector<std::function<std::string(std::string, bool first)>> steps;
  std::string text(std::string key, bool first) const;
  // Goes between two tokens of which the one before has this end.
  std::string word_end;
  // So many of this character go at the text's start.
  std::string strip;
  size_t strip_count = 0;
};
Decoding read_decoding(JsonView root);

}  // namespace cairn::text
