// Tokenizers: text to ids and back.
//
// `Tokenizer` is a plug point: byte-level BPE, characters, bytes and llama2.c's BPE are one class
// behind it (bpe_tokenizer.h); tokenizer.json's other forms, WordPiece among them, are another
// (pipeline_tokenizer.h), SentencePiece's Unigram a third (sentencepiece_tokenizer.h). The base
// finds added tokens in the text and adds BOS and EOS; a kind encodes the plain text between them.
//
// Ids are int32 and bytes are std::string: a token may be part of a character. Utf8Stream (utf8.h)
// makes text of a stream of tokens.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::text {

// A token that is found in the text as it stands, before anything else.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = true;       // found only with parse_special; others are always found
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool single_word = false;  // not within a word
  bool normalized = false;   // looked for in the normalized text, by kinds that have a normalizer
};

// A part of a text: plain text, or an added token.
struct TextSegment {
  std::string_view text;
  std::optional<int32_t> token;
};

// Finds added tokens: the leftmost, of those the longest.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  // Those that are not `normalized`; they must outlive this.
  explicit AddedTokenFinder(std::span<const AddedToken> tokens);
  // `plain_at`: places, in order, where no special token begins all the same.
  std::vector<TextSegment> find(std::string_view text, bool parse_special,
                                std::span<const size_t> plain_at = {}) const;

 private:
  std::span<const AddedToken> tokens_;
  // Indices of tokens by first byte, longest content first.
  std::array<std::vector<uint32_t>, 256> by_byte_;
};

// What every kind has: its tokens and what surrounds a text.
struct Vocabulary {
  std::vector<std::string> tokens;  // bytes by id; an id without a token is empty
  std::vector<AddedToken> added;    // contents differ and are not empty
  std::vector<int32_t> prefix;      // ids that add_special puts before a text
  std::vector<int32_t> suffix;      // and after it
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
};

struct EncodeOptions {
  bool add_special = false;    // add what the model expects around a text (BOS, EOS)
  bool parse_special = false;  // read special tokens in the text as tokens, not as plain text
  // With parse_special: places in the text, in order, where none begins all the same.
  std::span<const size_t> plain_at = {};
};

struct GgufVocabulary;

class Tokenizer {
 public:
  explicit Tokenizer(Vocabulary vocabulary);
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Every method is const, keeps no state and may be called from many threads.

  // `text` is any bytes; what happens to bytes that are not UTF-8 is up to the kind. Throws Error
  // on a character or byte that the vocabulary cannot express, naming it and its position.
  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;

  // The bytes that `ids` add to a text whose ids so far are `after` (streaming; only the last of
  // them matters). Special tokens give their text. For SentencePiece kinds it is not the sum of
  // the tokens: a text begins with a space, which is dropped at its start and after BOS, and
  // special tokens give nothing. Throws Error on an id outside of the vocabulary.
  std::string decode(std::span<const int32_t> ids, std::span<const int32_t> after = {}) const;

  // Ids are below this.
  int32_t vocabulary_size() const { return static_cast<int32_t>(vocabulary_.tokens.size()); }
  // The token's bytes; an added token's text. Throws Error on an id outside of the vocabulary.
  std::string_view token_bytes(int32_t id) const;
  // The id of an added token's text ("<|endoftext|>"), else of a token's bytes.
  std::optional<int32_t> token_id(std::string_view bytes) const;
  bool is_special(int32_t id) const;
  std::optional<int32_t> bos() const { return vocabulary_.bos; }
  std::optional<int32_t> eos() const { return vocabulary_.eos; }
  const Vocabulary& vocabulary() const { return vocabulary_; }

  // The whole tokenizer as a Hugging Face tokenizer.json, which `tokenizers` and load_tokenizer
  // read with equal results. Throws Error when that form cannot express it.
  virtual std::string to_json() const = 0;
  // The same as a GGUF file's metadata (gguf_vocabulary.h), which llama.cpp and make_gguf_tokenizer
  // read.
  virtual GgufVocabulary to_gguf() const;

 protected:
  using Segment = TextSegment;
  // Appends the ids of the segments of one text; error positions count from text.data().
  virtual void encode_segments(std::string_view text, std::span<const Segment> segments,
                               EncodeOptions options, std::vector<int32_t>& ids) const = 0;
  // As decode.
  virtual std::string decode_ids(std::span<const int32_t> ids,
                                 std::span<const int32_t> after) const = 0;
  // Whether a text begins behind these: none, or BOS.
  bool starts_text(std::span<const int32_t> after) const {
    return after.empty() || after.back() == bos();
  }

 private:
  Vocabulary vocabulary_;
  AddedTokenFinder added_;
};

// Reads what people have: a folder (tokenizer.json with tokenizer_config.json where there is one;
// vocab.json or encoder.json with merges.txt or vocab.bpe; one llama2.c tok*.bin), or one of these
// files (the partner of a vocabulary or merges file lies beside it). The Error names the file.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& path);

// Writes tokenizer.json and tokenizer_config.json into an existing folder, so that transformers'
// AutoTokenizer and load_tokenizer give this tokenizer, BOS, EOS and chat template included.
Status save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& folder,
                      std::string_view chat_template = {});

}  // namespace cairn::text
