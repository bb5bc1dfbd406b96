// Training a byte-level BPE (Sennrich et al. 2016, with GPT-2's bytes and pattern).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cairn/text/tokenizer.h"

namespace cairn::text {

// Ids are the special tokens in the given order, the 256 bytes in GPT-2's order, then a token for
// each merge. Each step merges the most frequent pair of neighbours inside pieces of the pattern;
// of equally frequent ones, the pair (left bytes, right bytes) that compares greater. So the same
// documents give the same tokenizer.
//
// Special tokens are cut out of the documents and never merge. `<|endoftext|>` among them is BOS
// and EOS. A text with too few pairs gives fewer tokens than `vocabulary_size`. Throws Error when
// `vocabulary_size` cannot hold the bytes and the special tokens, or these are empty or repeat.
//
// Pair counts are kept up to date by each merge: 1.1 MB of English (tiny Shakespeare) and 1,024
// tokens take 0.05 s on one core.
std::unique_ptr<Tokenizer> train_bpe(std::span<const std::string_view> documents,
                                     int32_t vocabulary_size,
                                     std::span<const std::string> special_tokens = {});

}  // namespace cairn::text
