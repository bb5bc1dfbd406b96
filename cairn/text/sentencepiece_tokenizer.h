// SentencePiece as its own library runs it: normalizing with a map of characters, then Unigram or
// BPE, with the unknown token or bytes for what the vocabulary lacks.
//
// BPE over all bytes without a map, which is what language models have, is describe_pieces
// (pieces.h): many times as fast on long texts, and it can be written as tokenizer.json.
#pragma once

#include <memory>

#include "cairn/text/pieces.h"
#include "cairn/text/tokenizer.h"

namespace cairn::text {

struct SentencePieceKind {
  bool unigram = true;  // else BPE
  // What a user-defined piece counts in Unigram; nothing: a little more than any other.
  std::optional<double> user_defined_score;
  bool single = true;  // sums in f32, as SentencePiece has them; llama.cpp's are f64
};

// `vocabulary.unknown` defaults to the piece of that kind. to_json throws Error: tokenizer.json
// looks up characters in another way. Throws Error on a vocabulary that contradicts itself.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const PieceVocabulary& vocabulary,
                                                        SentencePieceKind kind);

}  // namespace cairn::text
