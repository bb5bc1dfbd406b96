// Checkpoints of llama2.c, version 0 (github.com/karpathy/llama2.c, export.py legacy_export):
// seven little-endian i32, then f32 tensors by kind, each over all layers, viewed in place.
//
// The vocabulary is negative when the output has its own weights; else it shares the embedding's.
// Two rotary tables before the end are skipped: whoever runs the model computes them. Rotary pairs
// are neighbours (2i, 2i + 1) of a head, as in Meta's Llama; base 10000, RMSNorm epsilon 1e-5.
// Versions 1 and 2 begin with the magic "ak42" and are an error.
#pragma once

#include <string>
#include <vector>

#include "cairn/io/bytes.h"

namespace cairn::io {

struct Llama2cConfig {
  int32_t dim = 0;
  int32_t hidden_dim = 0;
  int32_t n_layers = 0;
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t vocab_size = 0;  // positive
  int32_t seq_len = 0;
  bool shared_classifier = true;

  int32_t head_size() const { return dim / n_heads; }
  int32_t kv_dim() const { return head_size() * n_kv_heads; }
};

class Llama2cFile {
 public:
  static Result<Llama2cFile> open(const std::string& path);
  static Result<Llama2cFile> parse(SharedBytes bytes, const std::string& name);

  const Llama2cConfig& config() const { return config_; }
  // In the order of the file, with the names of llama2.c's fields; L layers, weights as
  // (output, input):
  //   token_embedding_table [vocab, dim]      rms_ffn_weight  [L, dim]
  //   rms_att_weight  [L, dim]                w1 (gate)       [L, hidden, dim]
  //   wq              [L, dim, dim]           w2 (down)       [L, dim, hidden]
  //   wk, wv          [L, kv_dim, dim]        w3 (up)         [L, hidden, dim]
  //   wo              [L, dim, dim]           rms_final_weight [dim]
  //   wcls            [vocab, dim], only without a shared classifier
  const std::vector<NamedArray>& tensors() const { return tensors_; }
  // Throws Error when there is none of that name.
  const HostArray& tensor(std::string_view name) const;

 private:
  Llama2cConfig config_;
  std::vector<NamedArray> tensors_;
};

// Whether the first 28 bytes are a header of the format and a file of it has exactly `size` bytes:
// the format has no magic to go by.
bool looks_like_llama2c(std::span<const std::byte> bytes, uint64_t size);

}  // namespace cairn::io
