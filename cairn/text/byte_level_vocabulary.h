// What tokenizer.json, GPT-2's files and GGUF share: keys and merges, written in GPT-2's byte map.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cairn/text/bpe_tokenizer.h"

namespace cairn::text {

using TokenKeys = std::unordered_map<std::string_view, int32_t>;

// Sizes `tokens` for the largest id, and says which ids are taken. Throws Error on an id that is
// negative, taken twice, or so large that it must be a mistake.
class TokenList {
 public:
  explicit TokenList(size_t entries) : limit_(entries + kHoles) {}
  void put(int64_t id, std::string bytes, std::string_view key);
  std::vector<std::string> take() { return std::move(tokens_); }

 private:
  // Ids may leave holes (reserved ids), but a vocabulary of 10 tokens has no id of a billion.
  static constexpr size_t kHoles = 1 << 16;
  size_t limit_;
  std::vector<std::string> tokens_;
  std::vector<bool> taken_;
};

// The bytes of a key; a key with characters outside of the map stands for its own UTF-8 (as in
// Hugging Face's decoder) and never comes from text.
std::string bytes_of_key(std::string_view key);

// How files spell each token of a BPE: GPT-2's byte map, "▁" for a space, "<0x0A>" for a byte;
// empty for ids without a token. Added tokens are their text.
std::vector<std::string> keys_of(const Vocabulary& vocabulary, const BpeDescription& description);

// byte_ids of a byte-level vocabulary; -1 where a byte has no token.
std::array<int32_t, 256> byte_ids_of(const TokenKeys& keys);

// Merges in the order of their ranks. Throws Error when one names or makes an unknown token.
// `prefix` stands before keys that do not begin a word, and falls away where two are joined.
std::vector<Merge> make_merges(
    const std::vector<std::pair<std::string_view, std::string_view>>& pairs, const TokenKeys& keys,
    std::string_view prefix = "");

}  // namespace cairn::text
