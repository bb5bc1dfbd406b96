// How a model's maker wants tokens chosen: generation_config.json, and the same keys of GGUF files.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cairn/io/gguf.h"

namespace cairn {

// What is missing was not said. Whether sampling can take a value (llm/sampling.h) is not checked.
struct SamplingDefaults {
  std::optional<double> temperature;  // 0: the most likely token
  std::optional<double> top_k, top_p, min_p, typical_p;
  std::optional<double> repeat_penalty, repeat_last_n;
  bool operator==(const SamplingDefaults&) const = default;
};

// Of a generation_config.json. "do_sample": false is a temperature of 0; "repetition_penalty" looks
// back at all tokens, as transformers' does; a top_k below 0 is 0: all. What is no number is left
// out.
SamplingDefaults parse_sampling_defaults(std::string_view generation_config);
// The same file with them.
std::string with_sampling_defaults(const std::string& generation_config,
                                   const SamplingDefaults& defaults);

// general.sampling.*, as llama.cpp has them.
SamplingDefaults gguf_sampling_defaults(const io::GgufFile& file);
io::GgufMetadata to_gguf_metadata(const SamplingDefaults& defaults);

}  // namespace cairn
