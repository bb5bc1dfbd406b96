// Training a byte-level BPE (Sennrich et al. 2016, with GPT-2's bytes and pattern).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/text/tokenizer.h"

namespace cairn::text {

// The distinct pieces (words) of documents and how often each occurs: all that training looks at.
// Documents are counted one after the other and not kept, so a corpus may be larger than memory;
// what is held grows with the number of distinct pieces.
class PieceCounts {
 public:
  // Special tokens are cut out of the documents. Throws Error when one is empty or listed twice.
  explicit PieceCounts(std::span<const std::string> special_tokens);
  PieceCounts(PieceCounts&&) noexcept;
  ~PieceCounts();

  void add(std::string_view document);

  const std::vector<std::string>& special_tokens() const { return special_tokens_; }
  // In the order of their first occurrence.
  std::span<const std::string_view> pieces() const { return pieces_; }
  std::span<const int64_t> counts() const { return counts_; }

 private:
  struct Index;
  std::vector<std::string> special_tokens_;
  std::unique_ptr<Index> index_;
  std::vector<std::string_view> pieces_;  // of strings that the index holds
  std::vector<int64_t> counts_;
};

// Ids are the special tokens in the given order, the 256 bytes in GPT-2's order, then a token for
// each merge. Each step merges the most frequent pair of neighbours inside pieces of the pattern;
// of equally frequent ones, the pair (left bytes, right bytes) that compares greater. So the same
// documents, in any order, give the same tokenizer.
//
// Special tokens never merge. `<|endoftext|>` among them is BOS and EOS. A text with too few pairs
// gives fewer tokens than `vocabulary_size`. Throws Error when `vocabulary_size` cannot hold the
// bytes and the special tokens.
//
// Pair counts are kept up to date by each merge: 1.1 MB of English (tiny Shakespeare) and 1,024
// tokens take 0.05 s on one core.
std::unique_ptr<Tokenizer> train_bpe(const PieceCounts& pieces, int32_t vocabulary_size);
// The same for documents that are in memory.
std::unique_ptr<Tokenizer> train_bpe(std::span<const std::string_view> documents,
                                     int32_t vocabulary_size,
                                     std::span<const std::string> special_tokens = {});

}  // namespace cairn::text
