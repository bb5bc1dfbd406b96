// A model as a Hugging Face folder.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "cairn/core/dtype.h"
#include "cairn/io/gguf.h"

namespace cairn {

struct HfExport {
  std::optional<DType> dtype;  // of every tensor; else that of the file, and f32 for blocks
  uint64_t shard_bytes = uint64_t{5} << 30;
  std::function<void(const std::string& tensor)> progress = {};  // before each is written
};

// What was written.
struct HfExported {
  size_t tensors = 0, files = 0;
  uint64_t bytes = 0;  // of tensors
};

// config.json, generation_config.json, model.safetensors (in shards with an index where it would be
// larger than one), tokenizer.json and tokenizer_config.json with the chat template, into an
// existing folder: what transformers loads. A tensor at a time is in memory. The Error names the
// key or tensor of the file that is wrong.
Result<HfExported> write_hf_folder(const io::GgufFile& file, const std::filesystem::path& folder,
                                   const HfExport& options);

}  // namespace cairn
