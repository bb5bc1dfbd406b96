// A language model with its tokenizer, from the files people have, and back.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cairn/models/transformer.h"
#include "cairn/text/model_template.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

struct LanguageModel {
  std::unique_ptr<Transformer> transformer;
  std::unique_ptr<text::Tokenizer> tokenizer;  // null when there is none beside the weights
  int bos = -1;                                // an id, -1 for none
  std::vector<int> ends;                       // ids after which a text is at its end
  std::string left_out;                        // parts of the files that are not run: "vision"
  bool is_end(int id) const { return std::ranges::find(ends, id) != ends.end(); }
};

// A Hugging Face folder (config.json, generation_config.json, model.safetensors or its shards,
// tokenizer) or a llama2.c .bin (with a tok*.bin beside it), whose weights become f32, or a GGUF
// file (gguf_model.h). The Error names the file and what is wrong with it.
Result<LanguageModel> load_language_model(const std::filesystem::path& path);

// Of a model as above, without its weights. The Error says that there is none, too.
Result<std::unique_ptr<text::Tokenizer>> load_model_tokenizer(const std::filesystem::path& path);
// Its chat template: of a folder or a GGUF file.
Result<text::ModelTemplate> load_model_template(const std::filesystem::path& path, bool with_tools);

// Writes config.json, model.safetensors and the tokenizer's files into an existing folder.
Status save_language_model(const std::filesystem::path& folder, Transformer& transformer,
                           const text::Tokenizer* tokenizer);

}  // namespace cairn
