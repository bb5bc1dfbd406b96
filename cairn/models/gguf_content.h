// What a GGUF file holds or would hold: metadata, and tensors that are read when their turn comes.
#pragma once

#include <filesystem>

#include "cairn/io/gguf.h"

namespace cairn {

struct GgufTensor {
  std::string name;
  const io::GgufType* type;    // in which it lies now
  std::vector<int64_t> shape;  // in cairn's order
  // Its numbers: of `type`, or blocks as u8[..., bytes of a row]. Throws Error.
  std::function<HostArray()> read;

  uint64_t bytes() const { return *type->bytes(shape); }
  bool is_matrix() const;  // of floats or blocks, by its axes
  // Norms of heads and tables of positions are matrices, too; llama.cpp reads them in f32 alone.
  bool stays_f32() const;
};

struct GgufContent {
  io::GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
  std::string note;  // what of the model is left out, for people

  // Null when there is no such key.
  const io::GgufValue* find(std::string_view key) const;
  const GgufTensor* tensor(std::string_view name) const;
  uint64_t bytes() const;
};

// A GGUF file of any family as it is; a Hugging Face folder or a llama2.c .bin, of a family that
// cairn runs, as llama.cpp's converter would write it: matrices in the type that they have, vectors
// in f32, metadata with the hyperparameters, the tokenizer and the chat template. The Error names
// the file, or what GGUF cannot say.
Result<GgufContent> read_gguf_content(const std::filesystem::path& path);

}  // namespace cairn
