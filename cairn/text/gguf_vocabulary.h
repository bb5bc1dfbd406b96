// The tokenizer of a GGUF file, from its metadata tokenizer.ggml.*.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/text/tokenizer.h"

namespace cairn::text {

struct GgufVocabulary {
  std::string model;  // llama, gpt2, bert
  std::string pre;    // of gpt2: how text is cut
  std::vector<std::string> tokens;
  std::vector<float> scores;         // of llama
  std::vector<int32_t> token_types;  // PieceKind's numbers; all normal when empty
  std::vector<std::string> merges;   // of gpt2: "left right"
  std::optional<int32_t> bos_id, eos_id, unknown_id, cls_id, separator_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

// Ids equal those of llama.cpp. The Error says what of the metadata is missing or wrong.
Result<std::unique_ptr<Tokenizer>> make_gguf_tokenizer(const GgufVocabulary& vocabulary);

}  // namespace cairn::text
