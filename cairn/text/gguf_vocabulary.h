// The tokenizer of a GGUF file, from its metadata tokenizer.ggml.*.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/text/bpe_tokenizer.h"
#include "cairn/text/tokenizer.h"

namespace cairn::text {

struct GgufVocabulary {
  std::string model;  // llama, gpt2, bert, t5
  std::string pre;    // of gpt2: how text is cut
  std::vector<std::string> tokens;
  std::vector<float> scores;         // of llama and t5
  std::vector<int32_t> token_types;  // PieceKind's numbers; all normal when empty
  std::vector<std::string> merges;   // of gpt2: "left right"
  std::optional<int32_t> bos_id, eos_id, unknown_id, cls_id, separator_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::optional<bool> squeeze_spaces;  // of llama and t5: remove_extra_whitespaces
  std::string character_map;           // of t5: precompiled_charsmap
};

// Ids equal those of llama.cpp. The Error says what of the metadata is missing or wrong.
Result<std::unique_ptr<Tokenizer>> make_gguf_tokenizer(const GgufVocabulary& vocabulary);

// See Tokenizer::to_gguf. `description.vocabulary` is not read. Throws Error for what the metadata
// cannot say: a way to cut text that has no name there, a space before a text of bytes.
GgufVocabulary write_gguf_vocabulary(const Vocabulary& vocabulary,
                                     const BpeDescription& description);

}  // namespace cairn::text
