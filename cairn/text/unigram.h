// Unigram: of all ways to cut a text into tokens, the one of the highest sum of scores.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cairn/text/prefix_trie.h"

namespace cairn::text {

class Unigram {
 public:
  struct Token {
    std::string_view text;  // not read after the constructor
    int32_t id = 0;
    double score = 0;
  };
  // A character that no token begins with counts `unknown_score`. Sums round to f32 with `single`,
  // as SentencePiece's do, else they are f64.
  Unigram(const std::vector<Token>& tokens, double unknown_score, bool single);

  struct Part {
    size_t begin, end;
    int32_t id;  // -1: no token
  };
  // The parts of valid UTF-8, in order; neighbours without a token are one. Of equal sums the one
  // that was found first, going through the text from its front, shorter tokens first.
  std::vector<Part> cut(std::string_view text) const;

 private:
  PrefixTrie trie_;
  std::vector<double> scores_;  // by id
  double unknown_score_;
  bool single_;
};

}  // namespace cairn::text
