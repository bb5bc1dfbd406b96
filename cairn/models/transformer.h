// The one decoder-only transformer. A family (gpt.cpp, llama.cpp) is a reader of its configuration,
// a map of names and the options below; none has a forward pass of its own.
//
// Shapes: B batch, T tokens, C width, H heads, G key-value heads, D head width, V vocabulary.
#pragma once

#include <memory>
#include <optional>

#include "cairn/nn/layers.h"

namespace cairn {

enum class NormKind : uint8_t { layer, rms };
enum class PositionKind : uint8_t { learned, rotary };
enum class ActivationKind : uint8_t {
  gelu_tanh,
  gelu,
  silu_gated
};  // gated: silu(gate x) * (up x)

struct TransformerConfig {
  std::string family = "llama";
  int64_t vocabulary = 0;
  int64_t context = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t width = 0;
  int64_t head_width = 0;  // usually width / heads
  int64_t hidden = 0;      // width of the feed-forward part
  NormKind norm = NormKind::rms;
  double norm_epsilon = 1e-5;
  PositionKind position = PositionKind::rotary;
  double rope_theta = 10000;
  bool rope_interleaved = false;
  ActivationKind activation = ActivationKind::silu_gated;
  bool biases = false;
  bool tied = true;  // the output projection is the embedding
  double dropout = 0;
  double initial_deviation = 0.02;  // of weights; residual projections get it / sqrt(2 layers)
};

// Throws Error naming the field when the sizes do not fit each other.
void check(const TransformerConfig& config);

// Keys and values of the tokens so far, per layer [B, G, capacity, D], and how many there are.
struct KvCache {
  std::vector<Tensor> keys, values;
  Tensor length;  // i32, 0-d
};

struct SelfAttention : Module {
  Linear query, key, value, output;
  const TransformerConfig* config;
  SelfAttention(const TransformerConfig& config);
  void visit(Visitor& v) override;
  // x (B, T, C). With a cache, layer `layer` of it is extended by these tokens.
  Tensor forward(Context& ctx, const Tensor& x, const Tensor& positions, KvCache* cache,
                 size_t layer, const Tensor& segments) const;
};

struct FeedForward : Module {
  Linear up, down;
  std::optional<Linear> gate;
  const TransformerConfig* config;
  FeedForward(const TransformerConfig& config);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

struct Norm : Module {
  Tensor weight, bias;
  const TransformerConfig* config;
  explicit Norm(const TransformerConfig& config);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

struct Block : Module {
  Norm attention_norm, feed_forward_norm;
  SelfAttention attention;
  FeedForward feed_forward;
  explicit Block(const TransformerConfig& config);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x, const Tensor& positions, KvCache* cache,
                 size_t layer, const Tensor& segments) const;
};

class Transformer : public Module {
 public:
  explicit Transformer(const TransformerConfig& config);
  void visit(Visitor& v) override;

  // Hidden states after the final norm, (B, T, C). ids (B, T). Without a cache tokens stand at
  // 0..T-1; with one, from cache.length on, and the cache holds them after. `segments` i32 (B, T):
  // a token sees tokens of its own document only.
  Tensor hidden(Context& ctx, const Tensor& ids, KvCache* cache = nullptr,
                const Tensor& segments = {});
  // (B, T, C) → (B, T, V).
  Tensor logits(Context& ctx, const Tensor& hidden);
  // An empty cache for `capacity` tokens.
  KvCache empty_cache(int64_t batch, int64_t capacity) const;
  const TransformerConfig& config() const { return *config_; }

 private:
  std::shared_ptr<const TransformerConfig> config_;  // at a fixed address: the parts point to it
  Embedding tokens_;
  std::optional<Embedding> positions_;
  std::vector<Block> blocks_;
  Norm final_norm_;
  std::optional<Linear> head_;
};

}  // namespace cairn
