// A language model with its tokenizer, from the files people have, and back.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cairn/models/sampling_defaults.h"
#include "cairn/models/transformer.h"
#include "cairn/text/model_template.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

class PackedWeights;  // packed_weights.h

struct LanguageModel {
  std::unique_ptr<Transformer> transformer;
  std::unique_ptr<text::Tokenizer> tokenizer;  // null when there is none beside the weights
  int bos = -1;                                // an id, -1 for none
  std::vector<int> ends;                       // ids after which a text is at its end
  SamplingDefaults sampling;                   // as the files want tokens chosen
  std::string left_out;                        // parts of the files that are not run: "vision"
  bool is_end(int id) const { return std::ranges::find(ends, id) != ends.end(); }
};

struct LoadOptions {
  // Where the model will run: matrices are put in the order that its products read
  // (block_weights.h, float_weights.h) while they are loaded, so that there is one copy of them.
  // Null: as the file has them, of a folder as f32.
  Runtime* runtime = nullptr;
  // What its products will be computed in: with bf16 or f16 matrices of other floats that products
  // alone read are kept so. Nothing that is computed depends on it.
  DType precision = DType::f32;
  // A recipe (Q4_K_M) or a block type: what matrices become while they are loaded. Empty: nothing.
  std::string quantize = {};
  // A file of packed weights, for this path and `quantize`: what it has is not packed again.
  PackedWeights* kept = nullptr;
  // Called with the number of weights that are loaded, and of all.
  std::function<void(size_t done, size_t all)> progress = nullptr;
};

// A Hugging Face folder (config.json, generation_config.json, model.safetensors or its shards,
// tokenizer) or a llama2.c .bin (with a tok*.bin beside it), whose weights become f32, or a GGUF
// file (gguf_model.h). The Error names the file and what is wrong with it.
Result<LanguageModel> load_language_model(const std::filesystem::path& path,
                                          const LoadOptions& options = {});

// By what it begins with: some programs keep such files under names of their own.
bool is_gguf_file(const std::filesystem::path& path);

// Of a model as above, without its weights. The Error says that there is none, too.
Result<std::unique_ptr<text::Tokenizer>> load_model_tokenizer(const std::filesystem::path& path);
// Its chat template: of a folder or a GGUF file.
Result<text::ModelTemplate> load_model_template(const std::filesystem::path& path, bool with_tools);

// Writes config.json, model.safetensors and the tokenizer's files into an existing folder.
Status save_language_model(const std::filesystem::path& folder, Transformer& transformer,
                           const text::Tokenizer* tokenizer);

}  // namespace cairn
