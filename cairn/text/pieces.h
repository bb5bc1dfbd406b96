// SentencePiece's vocabularies: pieces with scores, as tokenizer.model and GGUF have them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/text/bpe_tokenizer.h"

namespace cairn::text {

// The numbers are those of both files.
enum class PieceKind : int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

struct Piece {
  std::string text;  // U+2581 stands for a space
  float score = 0;
  PieceKind kind = PieceKind::normal;
};

struct PieceVocabulary {
  std::vector<Piece> pieces;
  bool space_before = true;  // a space goes before each text
  bool squeeze_spaces = false;
  std::optional<int32_t> bos, eos;
  bool add_bos = true, add_eos = false;
  // What describe_pieces does not read (sentencepiece_tokenizer.h does).
  std::optional<int32_t> unknown;
  bool byte_fallback = false;
  std::string character_map;  // precompiled_charsmap
};

// SentencePiece's BPE: neighbours merge to the piece of the highest score. Throws Error for
// vocabularies that contradict themselves, or that lack the 256 bytes.
BpeDescription describe_pieces(const PieceVocabulary& vocabulary);

// Every way in which two tokens make a third, of the higher score first. Only the ids in `usable`.
std::vector<Merge> merges_from_scores(std::span<const std::string> tokens,
                                      std::span<const float> scores,
                                      std::span<const int32_t> usable);

// "<0x0A>" is 10; -1 for other keys.
int byte_of_key(std::string_view key);
// U+2581 as a space.
std::string without_space_marks(std::string_view key);

}  // namespace cairn::text
