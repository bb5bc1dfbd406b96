// WordPiece (BERT): words by white space and punctuation, each cut into the longest known pieces.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cairn/text/tokenizer.h"

namespace cairn::text {

struct WordPieceDescription {
  struct Token {
    std::string text;        // without the mark "##"
    bool continues = false;  // stands inside of a word, not at its start
  };
  std::vector<Token> tokens;  // by id
  Vocabulary vocabulary;      // all but `tokens`, which are made from those above
  int32_t unknown = 0;        // what a word that cannot be cut becomes
  bool lowercase = true;      // with it, accents are stripped
  size_t longest_word = 100;  // characters; longer ones are unknown
};

// Throws Error when ids are outside of the vocabulary. to_json throws Error: not written yet.
std::unique_ptr<Tokenizer> make_wordpiece_tokenizer(WordPieceDescription description);

}  // namespace cairn::text
