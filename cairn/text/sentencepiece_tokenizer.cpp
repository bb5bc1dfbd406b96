#include "cairn/text/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "cairn/text/character_map.h"
#include "cairn/text/merge_table.h"
#include "cairn/text/prefix_trie.h"
#include "cairn/text/unigram.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

bool is_text(PieceKind kind) {
  return kind == PieceKind::normal || kind == PieceKind::user_defined;
}

Vocabulary vocabulary_of(const PieceVocabulary& from) {
  Vocabulary out;
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < from.pieces.size(); ++i) {
    const Piece& piece = from.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (piece.text.empty() || !std::isfinite(piece.score) || !is_valid_utf8(piece.text) ||
        !seen.emplace(piece.text, i).second) {
      throw_error(
          fmt::format("piece {} is empty, no UTF-8, there twice, or its score is no number", i));
    }
    const int byte = byte_of_key(piece.text);
    if (piece.kind == PieceKind::byte) {
      if (byte < 0) throw_error(fmt::format("piece {} is a byte, but it is '{}'", i, piece.text));
      out.tokens.emplace_back(1, static_cast<char>(byte));
      continue;
    }
    out.tokens.push_back(without_space_marks(piece.text));
    // User-defined pieces are found by normalizing, which does not change them.
    if (piece.kind == PieceKind::control || piece.kind == PieceKind::unknown)
      out.added.push_back({.id = id, .content = piece.text});
  }
  out.bos = from.bos;
  out.eos = from.eos;
  if (from.add_bos && from.bos) out.prefix = {*from.bos};
  if (from.add_eos && from.eos) out.suffix = {*from.eos};
  for (const std::optional<int32_t> id : {from.bos, from.eos, from.unknown}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= from.pieces.size())) {
      throw_error(fmt::format("a special token has the id {}, which is not in the vocabulary of {}",
                              *id, from.pieces.size()));
    }
  }
  return out;
}

// Keys of the pieces of these kinds.
template <class Wanted>
PrefixTrie trie_of(const PieceVocabulary& from, Wanted wanted) {
  std::vector<std::pair<std::string_view, int32_t>> keys;
  for (size_t i = 0; i < from.pieces.size(); ++i)
    if (wanted(from.pieces[i].kind))
      keys.emplace_back(from.pieces[i].text, static_cast<int32_t>(i));
  return PrefixTrie(std::move(keys));
}

// SentencePiece's scores: characters without a piece count ten less than the lowest.
Unigram unigram_of(const PieceVocabulary& from, SentencePieceKind kind) {
  constexpr float kUnknown = 10;
  float lowest = std::numeric_limits<float>::max(), highest = std::numeric_limits<float>::min();
  for (const Piece& piece : from.pieces) {
    if (piece.kind != PieceKind::normal) continue;
    lowest = std::min(lowest, piece.score);
    highest = std::max(highest, piece.score);
  }
  std::vector<Unigram::Token> tokens;
  for (size_t i = 0; i < from.pieces.size(); ++i) {
    const Piece& piece = from.pieces[i];
    if (!is_text(piece.kind)) continue;
    double score = static_cast<double>(piece.score);
    if (piece.kind == PieceKind::user_defined) {
      const auto size = static_cast<float>(piece.text.size());
      score = kind.user_defined_score.value_or(static_cast<double>(size * highest) - 0.1);
    }
    tokens.push_back({piece.text, static_cast<int32_t>(i), score});
  }
  return Unigram(tokens, static_cast<double>(lowest - kUnknown), kind.single);
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const PieceVocabulary& from, SentencePieceKind kind)
      : Tokenizer(vocabulary_of(from)),
        space_before_(from.space_before),
        squeeze_(from.squeeze_spaces),
        map_(from.character_map),
        user_defined_(trie_of(from, [](PieceKind k) { return k == PieceKind::user_defined; })),
        unigram_(unigram_of(from, kind)) {
    bytes_.fill(-1);
    std::vector<std::string> texts;
    std::vector<float> scores;
    std::vector<int32_t> usable;
    for (size_t i = 0; i < from.pieces.size(); ++i) {
      const Piece& piece = from.pieces[i];
      const auto id = static_cast<int32_t>(i);
      if (piece.kind == PieceKind::unknown && unknown_ < 0) unknown_ = id;
      if (piece.kind == PieceKind::byte) bytes_[static_cast<uint8_t>(byte_of_key(piece.text))] = id;
      texts.push_back(piece.text);
      scores.push_back(piece.score);
      if (is_text(piece.kind)) usable.push_back(id);
    }
    unknown_ = from.unknown.value_or(unknown_);
    byte_fallback_ = from.byte_fallback;
    for (const int32_t id : bytes_) byte_fallback_ = byte_fallback_ && id >= 0;
    if (kind.unigram) return;
    merges_.emplace(merges_from_scores(texts, scores, usable));
    characters_ = trie_of(from, is_text);
  }

  std::string to_json() const override {
    throw_error(
        "[to_json] tokenizer.json cannot say how SentencePiece normalizes; keep the "
        "tokenizer.model");
  }

 protected:
  void encode_segments(std::string_view, std::span<const Segment> segments, EncodeOptions,
                       std::vector<int32_t>& ids) const override {
    for (const Segment& segment : segments) {
      if (segment.token)
        ids.push_back(*segment.token);
      else if (const std::string clean = normalized(segment.text); merges_)
        encode_bpe(clean, ids);
      else
        encode_unigram(clean, ids);
    }
  }

  std::string decode_ids(std::span<const int32_t> ids,
                         std::span<const int32_t> after) const override {
    bool at_start = space_before_ || squeeze_;
    if (at_start && !starts_text(after)) {
      // Spaces at the start may have given nothing so far.
      for (size_t i = 0; at_start && i < after.size(); ++i) (void)text_of(after[i], at_start);
    }
    std::string out;
    for (const int32_t id : ids) out += text_of(id, at_start);
    return out;
  }

 private:
  // While `at_start`, a space before a text is dropped: one, or each that comes where SentencePiece
  // squeezes them.
  std::string_view text_of(int32_t id, bool& at_start) const {
    std::string_view bytes = token_bytes(id);
    if (id == unknown_) {
      at_start = false;
      return " \u2047 ";  // SentencePiece's picture of it
    }
    if (is_special(id)) return {};
    if (at_start && bytes.starts_with(' ')) {
      bytes.remove_prefix(1);
      at_start = squeeze_;
    }
    at_start = at_start && bytes.empty();
    return bytes;
  }

  // What stands at the front of `text`, and what it becomes.
  CharacterMap::Match normalized_front(std::string_view text) const {
    size_t defined = 0;
    user_defined_.match(text, [&](size_t size, int32_t) { defined = size; });
    if (defined > 0) return {defined, text.substr(0, defined)};
    const CharacterMap::Match mapped = map_.longest(text);
    if (mapped.size > 0) return mapped;
    const Utf8Character character = decode_utf8(text);
    if (!character.valid) return {1, "\uFFFD"};
    return {character.size, text.substr(0, character.size)};
  }

  std::string normalized(std::string_view text) const {
    std::string out;
    while (squeeze_ && !text.empty()) {
      const CharacterMap::Match front = normalized_front(text);
      if (front.replacement != " ") break;
      text.remove_prefix(front.size);
    }
    if (text.empty()) return out;
    if (space_before_) out += kSpaceMark;
    bool after_space = squeeze_;
    while (!text.empty()) {
      auto [size, part] = normalized_front(text);
      while (after_space && part.starts_with(' ')) part.remove_prefix(1);
      for (const char c : part) c == ' ' ? out += kSpaceMark : out += c;
      if (!part.empty()) after_space = part.ends_with(' ');
      if (!squeeze_) after_space = false;
      text.remove_prefix(size);
    }
    while (squeeze_ && out.ends_with(kSpaceMark)) out.resize(out.size() - kSpaceMark.size());
    return out;
  }

  // `text` became no piece.
  void append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
    if (byte_fallback_) {
      for (const char byte : text) ids.push_back(bytes_[static_cast<uint8_t>(byte)]);
    } else if (unknown_ >= 0) {
      ids.push_back(unknown_);
    } else {
      throw_error(fmt::format("[encode] '{}' is not in the vocabulary, which has no unknown token",
                              text.substr(0, 40)));
    }
  }

  void encode_unigram(std::string_view text, std::vector<int32_t>& ids) const {
    for (const Unigram::Part& part : unigram_.cut(text)) {
      if (part.id >= 0)
        ids.push_back(part.id);
      else
        append_unknown(text.substr(part.begin, part.end - part.begin), ids);
    }
  }

  // Merges characters, and user-defined pieces as they are; runs between unknown ones apart.
  void encode_bpe(std::string_view text, std::vector<int32_t>& ids) const {
    std::vector<int32_t> symbols;
    const auto flush = [&] {
      merges_->apply(symbols);
      ids.insert(ids.end(), symbols.begin(), symbols.end());
      symbols.clear();
    };
    size_t unknown = 0;  // bytes before `at` without a piece
    for (size_t at = 0; at < text.size();) {
      const std::string_view rest = text.substr(at);
      size_t size = 0;
      int32_t id = -1;
      user_defined_.match(rest, [&](size_t s, int32_t i) { size = s, id = i; });
      const bool defined = size > 0;
      if (!defined) {
        size = decode_utf8(rest).size;
        characters_.match(rest.substr(0, size), [&](size_t s, int32_t i) {
          if (s == size) id = i;
        });
      }
      if (id < 0 || defined) flush();
      if (id < 0) {
        unknown += size;
      } else {
        if (unknown > 0) append_unknown(text.substr(at - unknown, unknown), ids);
        unknown = 0;
        defined ? ids.push_back(id) : symbols.push_back(id);
      }
      at += size;
    }
    flush();
    if (unknown > 0) append_unknown(text.substr(text.size() - unknown), ids);
  }

  bool space_before_, squeeze_;
  CharacterMap map_;
  PrefixTrie user_defined_;
  Unigram unigram_;
  std::optional<MergeTable> merges_;  // of BPE
  PrefixTrie characters_;
  std::array<int32_t, 256> bytes_{};
  int32_t unknown_ = -1;
  bool byte_fallback_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const PieceVocabulary& vocabulary,
                                                        SentencePieceKind kind) {
  return std::make_unique<SentencePieceTokenizer>(vocabulary, kind);
}

}  // namespace cairn::text
