#include "cairn/text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <unordered_map>

#include "cairn/text/gguf_vocabulary.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

// Pieces of a text that were seen before in it, with the place of their ids in the output. Text
// repeats its words, so most pieces never reach the merge loop. Direct-mapped: a collision costs
// one more merge and forgets the older piece. One per call of encode, so the tokenizer has no
// state; at most 1 MiB, which stays in L2.
class PieceCache {
 public:
  explicit PieceCache(size_t text_size)
      : slots_(std::bit_ceil(std::clamp<size_t>(text_size / 16, 16, 1 << 15))) {}

  // Appends the ids of `piece` if it was stored; else remembers that they will begin at ids.size().
  bool append(std::string_view piece, std::vector<int32_t>& ids) {
    Slot& slot = slots_[std::hash<std::string_view>()(piece) & (slots_.size() - 1)];
    if (slot.piece == piece) {
      const size_t end = ids.size();
      ids.resize(end + slot.count);
      std::copy_n(ids.data() + slot.first, slot.count, ids.data() + end);
      return true;
    }
    pending_ = &slot;
    slot = {piece, ids.size(), 0};
    return false;
  }
  // Called when the ids of the piece that was not stored have been appended.
  void store(size_t end) { pending_->count = end - pending_->first; }

 private:
  struct Slot {
    std::string_view piece;  // never empty once used
    size_t first = 0, count = 0;
  };
  std::vector<Slot> slots_;
  Slot* pending_ = nullptr;
};

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeDescription description)
      : Tokenizer(std::move(description.vocabulary)),
        description_(std::move(description)),
        table_(description_.merges),
        splitter_(Splitter::make(description_.splits).value()) {
    const auto& tokens = vocabulary().tokens;
    std::vector<bool> usable(tokens.size(), true);
    for (const AddedToken& token : vocabulary().added)
      usable[static_cast<size_t>(token.id)] = false;
    if (description_.symbols == BpeDescription::Symbols::characters) {
      for (const int32_t id : description_.byte_ids) {
        if (id >= 0) usable[static_cast<size_t>(id)] = false;
      }
      for (size_t id = 0; id < tokens.size(); ++id) {
        if (usable[id]) add_character(tokens[id], static_cast<int32_t>(id));
      }
      // To SentencePiece U+2581 in a text is a space.
      if (description_.space_marks && characters_.size() > ' ') {
        add_character("\xE2\x96\x81", characters_[' ']);
      }
    }
    if (description_.whole_pieces_first) {
      for (size_t id = 0; id < tokens.size(); ++id) {
        if (usable[id]) whole_.try_emplace(tokens[id], static_cast<int32_t>(id));
      }
    }
  }

  std::string to_json() const override { return write_tokenizer_json(vocabulary(), description_); }
  GgufVocabulary to_gguf() const override {
    return write_gguf_vocabulary(vocabulary(), description_);
  }

 protected:
  void encode_segments(std::string_view text, std::span<const Segment> segments, EncodeOptions,
                       std::vector<int32_t>& ids) const override {
    PieceCache cache(description_.splits.empty() ? 0 : text.size());
    std::vector<int32_t> symbols;
    std::deque<std::string> changed;  // kept to the end, because the cache points into them
    for (const Segment& segment : segments) {
      if (segment.token) {
        ids.push_back(*segment.token);
        continue;
      }
      Origin origin{text, segment.text, segment.text};
      if (description_.normal_form || description_.squeeze_spaces) {
        changed.push_back(normalized(segment.text));
        origin.encoded = changed.back();
        if (origin.encoded.empty()) continue;
      }
      if (wants_space(origin.encoded)) {
        changed.push_back(' ' + std::string(origin.encoded));
        origin.encoded = changed.back();
      }
      splitter_.split(origin.encoded, [&](std::string_view piece) {
        if (description_.splits.empty()) {
          encode_piece(piece, origin, symbols, ids);
        } else if (!cache.append(piece, ids)) {
          encode_piece(piece, origin, symbols, ids);
          cache.store(ids.size());
        }
      });
    }
  }

  std::string decode_ids(std::span<const int32_t> ids,
                         std::span<const int32_t> after) const override {
    const bool sentencepiece = description_.prefix_space == BpeDescription::PrefixSpace::always;
    bool drop_space = sentencepiece && starts_text(after);
    std::string out;
    for (const int32_t id : ids) {
      std::string_view bytes = token_bytes(id);
      // SentencePiece's control tokens stand for no text; and llama2.c drops the space after BOS.
      if (sentencepiece && is_special(id)) {
        drop_space = drop_space || id == bos();
        continue;
      }
      if (drop_space && bytes.starts_with(' ')) bytes.remove_prefix(1);
      drop_space = false;
      out += bytes;
    }
    return out;
  }

 private:
  // Where a piece lies in the caller's text: `encoded` is `segment`, a copy with a space before, or
  // one that normalizing changed, where places are known to the segment only.
  struct Origin {
    std::string_view text, segment, encoded;
    size_t position(const char* at) const {
      const auto begin = static_cast<size_t>(segment.data() - text.data());
      if (!encoded.ends_with(segment)) return begin;
      const auto inside = static_cast<size_t>(at - encoded.data());
      return begin + inside - (encoded.size() - segment.size());
    }
  };

  std::string normalized(std::string_view text) const {
    std::string out =
        description_.normal_form ? normalize(text, *description_.normal_form) : std::string(text);
    if (!description_.squeeze_spaces) return out;
    size_t size = 0;
    for (const char c : out) {
      if (c != ' ' || (size > 0 && out[size - 1] != ' ')) out[size++] = c;
    }
    if (size > 0 && out[size - 1] == ' ') --size;
    out.resize(size);
    return out;
  }

  void add_character(std::string_view token, int32_t id) {
    if (token.empty()) return;
    const Utf8Character character = decode_utf8(token);
    if (!character.valid || character.size != token.size()) return;
    if (characters_.size() <= character.code_point)
      characters_.resize(character.code_point + 1, -1);
    if (characters_[character.code_point] < 0) characters_[character.code_point] = id;
  }

  bool wants_space(std::string_view segment) const {
    switch (description_.prefix_space) {
      case BpeDescription::PrefixSpace::never: return false;
      case BpeDescription::PrefixSpace::if_missing: return !segment.starts_with(' ');
      case BpeDescription::PrefixSpace::always: return true;
    }
    return false;
  }

  void encode_piece(std::string_view piece, const Origin& origin, std::vector<int32_t>& symbols,
                    std::vector<int32_t>& ids) const {
    if (!whole_.empty()) {
      const auto whole = whole_.find(piece);
      if (whole != whole_.end()) {
        ids.push_back(whole->second);
        return;
      }
    }
    if (piece.size() >= UINT32_MAX) {
      throw_error(fmt::format(
          "[encode] a piece of {} bytes without a place to cut it; at most 4 GiB can be merged",
          piece.size()));
    }
    symbols.clear();
    if (description_.symbols == BpeDescription::Symbols::bytes) {
      append_bytes(piece, origin, symbols);
    } else {
      append_characters(piece, origin, symbols);
    }
    table_.apply(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  void append_bytes(std::string_view bytes, const Origin& origin,
                    std::vector<int32_t>& symbols) const {
    for (const char& byte : bytes) {
      const int32_t id = description_.byte_ids[static_cast<uint8_t>(byte)];
      if (id < 0) {
        throw_error(fmt::format(
            "[encode] byte 0x{:02X} at byte {} is not in the vocabulary of this tokenizer; remove "
            "it from the text or use a tokenizer that has all 256 bytes",
            static_cast<uint8_t>(byte), origin.position(&byte)));
      }
      symbols.push_back(id);
    }
  }

  void append_characters(std::string_view text, const Origin& origin,
                         std::vector<int32_t>& symbols) const {
    const bool fallback = description_.byte_ids[0] >= 0;
    while (!text.empty()) {
      const Utf8Character character = decode_utf8(text);
      const bool known = character.valid && character.code_point < characters_.size() &&
                         characters_[character.code_point] >= 0;
      if (known) {
        symbols.push_back(characters_[character.code_point]);
      } else if (fallback) {
        append_bytes(text.substr(0, character.size), origin, symbols);
      } else {
        const std::string name =
            character.valid
                ? "character " + describe_character(character.code_point)
                : fmt::format("byte 0x{:02X}, which is not UTF-8,", static_cast<uint8_t>(text[0]));
        throw_error(fmt::format(
            "[encode] {} at byte {} is not among the {} characters of this tokenizer; remove it "
            "from the text, or make the tokenizer from a text that has it",
            name, origin.position(&text.front()), vocabulary_size()));
      }
      text.remove_prefix(character.size);
    }
  }

  BpeDescription description_;  // its vocabulary is in the base
  MergeTable table_;
  Splitter splitter_;
  std::vector<int32_t> characters_;  // ids by code point, -1 where none
  std::unordered_map<std::string_view, int32_t> whole_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(BpeDescription description) {
  const Vocabulary& vocabulary = description.vocabulary;
  const auto require = [&](int32_t id, const char* role, int32_t lowest = 0) {
    if (id < lowest || static_cast<size_t>(std::max(id, 0)) >= vocabulary.tokens.size()) {
      throw_error(fmt::format("[tokenizer] the id {} of {} is not in the vocabulary of {} tokens",
                              id, role, vocabulary.tokens.size()));
    }
  };
  if (std::all_of(vocabulary.tokens.begin(), vocabulary.tokens.end(),
                  [](const std::string& token) { return token.empty(); })) {
    throw_error("[tokenizer] the vocabulary is empty");
  }
  for (const Merge& merge : description.merges) {
    require(merge.left, "a merge");
    require(merge.right, "a merge");
    require(merge.result, "a merge");
  }
  for (const int32_t id : description.byte_ids) require(id, "a byte", -1);
  for (const int32_t id : vocabulary.prefix) require(id, "the template");
  for (const int32_t id : vocabulary.suffix) require(id, "the template");
  if (vocabulary.bos) require(*vocabulary.bos, "BOS");
  if (vocabulary.eos) require(*vocabulary.eos, "EOS");
  for (const AddedToken& token : vocabulary.added) {
    require(token.id, "an added token");
    if (token.content.empty()) throw_error("[tokenizer] an added token has no text");
  }
  return std::make_unique<BpeTokenizer>(std::move(description));
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() {
  BpeDescription description;
  for (int32_t byte = 0; byte < 256; ++byte) {
    description.vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
    description.byte_ids[static_cast<size_t>(byte)] = byte;
  }
  return make_bpe_tokenizer(std::move(description));
}

std::unique_ptr<Tokenizer> make_character_tokenizer(std::span<const std::string_view> documents) {
  std::vector<bool> seen(0x110000);
  for (size_t i = 0; i < documents.size(); ++i) {
    const std::string_view text = documents[i];
    for (size_t at = 0; at < text.size();) {
      const Utf8Character character = decode_utf8(text.substr(at));
      if (!character.valid) {
        throw_error(fmt::format(
            "[character tokenizer] byte 0x{:02X} at byte {} of document {} is not UTF-8; convert "
            "the text, or use the tokenizer 'bytes' or 'bpe:N', which take any bytes",
            static_cast<uint8_t>(text[at]), at, i));
      }
      seen[character.code_point] = true;
      at += character.size;
    }
  }
  BpeDescription description;
  description.symbols = BpeDescription::Symbols::characters;
  for (char32_t c = 0; c < seen.size(); ++c) {
    if (!seen[c]) continue;
    append_utf8(description.vocabulary.tokens.emplace_back(), c);
  }
  if (description.vocabulary.tokens.empty()) {
    throw_error("[character tokenizer] the text is empty; it takes at least one character");
  }
  return make_bpe_tokenizer(std::move(description));
}

}  // namespace cairn::text
