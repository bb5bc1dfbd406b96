// Byte-pair encoding, in the forms that files have: one class and one plain description of it.
//
//   byte-level (GPT-2)   text is cut by patterns, each byte is a token, tokens merge by rank
//   bytes                the same without patterns and merges
//   characters (nanoGPT) each code point is a token, nothing merges
//   llama2.c             a space before the text, code points, else bytes; tokens merge by score
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "cairn/text/merge_table.h"
#include "cairn/text/splitter.h"
#include "cairn/text/tokenizer.h"
#include "cairn/text/unicode.h"

namespace cairn::text {

struct BpeDescription {
  Vocabulary vocabulary;
  std::vector<Merge> merges;
  std::vector<SplitRule> splits;  // cut the text; nothing merges across pieces

  // What merging starts from. With `bytes` the tokens are written in GPT-2's byte map in files;
  // with `characters` as they are.
  enum class Symbols { bytes, characters };
  Symbols symbols = Symbols::bytes;
  // The token of each byte, -1 where there is none: with `bytes` the symbols; with `characters`
  // what a code point without a token becomes, and a byte that is not UTF-8.
  std::array<int32_t, 256> byte_ids = no_bytes();

  // A space goes before a text: `if_missing` when it does not begin with one (ByteLevel's
  // add_prefix_space), `always` as SentencePiece does, where decoding takes it away again.
  enum class PrefixSpace { never, if_missing, always };
  PrefixSpace prefix_space = PrefixSpace::never;
  // Spaces are U+2581 in files, and in a text U+2581 is a space: SentencePiece's form, with
  // `always` or `never`.
  bool space_marks = false;
  // Runs of spaces become one, and those at both ends go (SentencePiece's
  // remove_extra_whitespaces). tokenizer.json cannot say this.
  bool squeeze_spaces = false;
  // Text is brought into this form before it is cut (Qwen's NFC).
  std::optional<NormalForm> normal_form = std::nullopt;
  // A piece that is a token as a whole is not merged (Llama 3).
  bool whole_pieces_first = false;

  static std::array<int32_t, 256> no_bytes() {
    std::array<int32_t, 256> none;
    none.fill(-1);
    return none;
  }
};

// Throws Error when the description contradicts itself (ids outside of the vocabulary).
std::unique_ptr<Tokenizer> make_bpe_tokenizer(BpeDescription description);

// 256 ids, each the value of a byte. Decodes and encodes any bytes.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

// One id per code point that occurs in the documents, in the order of code points (nanoGPT's
// character setting). Throws Error when the documents hold no character or are not UTF-8.
// Encoding a character that did not occur is an Error that names it.
std::unique_ptr<Tokenizer> make_character_tokenizer(std::span<const std::string_view> documents);

}  // namespace cairn::text
