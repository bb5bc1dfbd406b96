// Transformer families: reading and writing Hugging Face's config.json, and the names of tensors.
#pragma once

#include <string>

#include "cairn/models/name_map.h"
#include "cairn/models/transformer.h"

namespace cairn {

// What a config.json describes.
struct HfConfig {
  TransformerConfig transformer;
  std::string left_out;  // parts that cairn does not run ("vision"), beside the text part
};
// The Error names the key or the family.
Result<HfConfig> parse_hf_config(std::string_view json);
// What transformers loads. bos, eos: token ids, -1 for none.
std::string to_hf_config(const TransformerConfig& config, int bos, int eos);
// Names of the family's tensors in model.safetensors. `prefix` stands before those of the decoder:
// "model." as a rule, more where it is a part of a larger model.
NameMap hf_names(const TransformerConfig& config, const std::string& prefix = "model.");

}  // namespace cairn
