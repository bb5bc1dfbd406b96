// What running a language model takes, said before it is loaded: from the headers of its files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cairn/base/memory.h"
#include "cairn/llm/decoder.h"

namespace cairn {

struct MemoryQuestion {
  std::string quantize = {};     // as in LoadOptions
  DType precision = DType::f32;  // likewise
  DecoderOptions cache = {};     // with 0 tokens: none
};

struct ModelMemory {
  uint64_t weights = 0, cache = 0;
  uint64_t workspace = 0;  // an estimate of what a step takes
  uint64_t total() const { return weights + cache + workspace; }
};

// The Error is that of the file.
Result<ModelMemory> model_memory(const std::filesystem::path& model, const MemoryQuestion& asked);

// Throws Error when that is more than is available (nothing: not known), which says how it is made
// up and with which quantization or context it would fit.
void check_model_memory(const std::filesystem::path& model, const MemoryQuestion& asked,
                        std::optional<uint64_t> available = available_memory());

}  // namespace cairn
