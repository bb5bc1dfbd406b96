// A language model as the headers of its files describe it, without its weights.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cairn/models/transformer.h"

namespace cairn {

struct ModelHeader {
  struct Weight {
    std::string field;
    Shape shape;
    uint64_t bytes;  // as load_language_model() keeps it
    bool in_blocks = false;
    DType floats = DType::f32;  // where it is not in blocks
    bool is_mapped = false;     // a view of the file
  };
  TransformerConfig config;
  std::vector<Weight> weights;
};

// The Error is that of load_language_model(), as far as it is seen without the weights.
Result<ModelHeader> read_model_header(const std::filesystem::path& path);

// Whether all matrices of its files are f32. False for what cannot be read.
bool has_f32_matrices(const std::filesystem::path& path);

}  // namespace cairn
