// A Hugging Face folder of a language model, as it lies: what it says, with its tensors mapped.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cairn/io/safetensors_folder.h"
#include "cairn/models/families.h"
#include "cairn/models/sampling_defaults.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

// Names of the decoder's tensors in a folder's files: they may be a part of a larger model.
NameMap folder_names(const TransformerConfig& config, const io::TensorFile& file);

struct HfFolder {
  TransformerConfig config;
  io::SafetensorsFolder tensors;
  NameMap names;
  std::unique_ptr<text::Tokenizer> tokenizer;  // null when there is none
  int bos = -1;
  std::vector<int> ends;
  SamplingDefaults sampling;
  std::string left_out;  // as HfConfig has it

  // Reads config.json, generation_config.json (which says more), the headers of the weights and the
  // tokenizer. The Error names the file, and the last layer's tensor when it is not there.
  static Result<HfFolder> open(const std::filesystem::path& folder);
};

}  // namespace cairn
