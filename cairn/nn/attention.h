// Self-attention with everything that decoders of today use: key-value heads shared by groups of
// query heads, rotary positions, a cache of earlier keys and values.
#pragma once

#include <optional>

#include "cairn/nn/kv_cache.h"
#include "cairn/nn/layers.h"
#include "cairn/nn/norms.h"
#include "cairn/nn/rotary.h"
#include "cairn/ops/nn.h"

namespace cairn {

// Norms of queries and keys before they are turned.
enum class QkNorm : uint8_t {
  none,
  head,       // RMS norm over each head, one weight for all heads
  width,      // RMS norm over all heads together
  each_head,  // layer norm without bias over each head, a weight for each
};

// x (B, heads, T, width): a LayerNorm of its own for each head.
struct HeadNorms : Module {
  std::vector<LayerNorm> norms;
  HeadNorms(int64_t heads, int64_t width, double epsilon);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

struct AttentionConfig {
  int64_t width = 0;                               // of the tokens that go in and come out
  int64_t heads = 1;                               // of queries
  int64_t kv_heads = 0;                            // a divisor of heads; 0: as many
  int64_t head_width = 0;                          // 0: width / heads
  bool biases = true;                              // of queries, keys and values
  std::optional<bool> output_bias = std::nullopt;  // nothing: as those
  QkNorm qk_norm = QkNorm::none;
  double norm_epsilon = 1e-6;
  std::optional<Rotary> rotary = std::nullopt;  // queries and keys are turned by their positions
};

struct Attention : Module {
  AttentionConfig config;  // no size is 0 any more
  Linear query, key, value, output;
  std::optional<OneOf<RmsNorm, HeadNorms>> query_norm, key_norm;
  // Throws Error when heads do not divide into groups or the width into heads.
  explicit Attention(const AttentionConfig& config);
  void visit(Visitor& v) override;

  // x (B, T, width) → the same. `options` is passed on to the function attention(): causal, window,
  // mask, segments of documents, ... With a cache, the T tokens follow those in it and see them
  // too; the cache then holds T more. The caller sees to it that they fit its capacity.
  Tensor forward(Context& ctx, const Tensor& x, AttentionOptions options = {},
                 KvCache* cache = nullptr) const;
  // For `batch` rows of up to `capacity` tokens in the type of the weights, each row with blocks of
  // its own.
  KvCache empty_cache(int64_t batch, int64_t capacity) const;
};

}  // namespace cairn
