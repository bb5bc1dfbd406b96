// Self-attention with everything that decoders of today use: key-value heads shared by groups of
// query heads, rotary positions, a cache of earlier keys and values.
#pragma once

#include <optional>

#include "cairn/nn/layers.h"
#include "cairn/ops/nn.h"

namespace cairn {

// Keys and values of the tokens so far, and how many there are. A value: forward() puts an extended
// one in its place, and a copy of the old one stays as it was.
struct KvCache {
  Tensor keys, values;  // [B, kv_heads, capacity, head_width]
  Tensor length;        // i32, 0-d
};

// Queries and keys are turned by their positions (rotary_embedding in ops/nn.h).
struct Rotary {
  double theta = 10000;
  bool interleaved = false;
};

struct AttentionConfig {
  int64_t width = 0;       // of the tokens that go in and come out
  int64_t heads = 1;       // of queries
  int64_t kv_heads = 0;    // a divisor of heads; 0: as many
  int64_t head_width = 0;  // 0: width / heads
  bool biases = true;
  std::optional<Rotary> rotary = std::nullopt;
};

struct Attention : Module {
  AttentionConfig config;  // no size is 0 any more
  Linear query, key, value, output;
  // Throws Error when heads do not divide into groups or the width into heads.
  explicit Attention(const AttentionConfig& config);
  void visit(Visitor& v) override;

  // x (B, T, width) → the same. `options` is passed on to the function attention(): causal, window,
  // mask, segments of documents, ... With a cache, the T tokens follow those in it and see them
  // too; the cache then holds T more. The caller sees to it that they fit its capacity.
  Tensor forward(Context& ctx, const Tensor& x, AttentionOptions options = {},
                 KvCache* cache = nullptr) const;
  // For `batch` rows of up to `capacity` tokens, in the type of the weights.
  KvCache empty_cache(int64_t batch, int64_t capacity) const;
};

}  // namespace cairn
