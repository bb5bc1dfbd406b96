// Transformer families: reading and writing Hugging Face's config.json, and the names of tensors.
#pragma once

#include <string>

#include "cairn/models/name_map.h"
#include "cairn/models/transformer.h"

namespace cairn {

// From config.json's text; model_type gpt2 or llama. The Error names the key or the family.
Result<TransformerConfig> parse_hf_config(std::string_view json);
// What transformers loads. bos, eos: token ids, -1 for none.
std::string to_hf_config(const TransformerConfig& config, int bos, int eos);
// Names of the family's tensors in model.safetensors.
NameMap hf_names(const TransformerConfig& config);

}  // namespace cairn
