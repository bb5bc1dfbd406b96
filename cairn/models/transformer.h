// The one decoder-only transformer, made of the modules of cairn/nn. A family (families.h) is a
// reader of its configuration, a map of names and the options below; none has a forward pass of its
// own.
//
// Shapes: B batch, T tokens, C width, V vocabulary.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/nn/attention.h"
#include "cairn/nn/feed_forward.h"
#include "cairn/nn/norms.h"

namespace cairn {

enum class NormKind : uint8_t { layer, rms };
// Norms stand before each part (attention, feed-forward), after it, or both.
enum class NormPlace : uint8_t { before, after, around };
enum class ActivationKind : uint8_t { gelu_tanh, gelu, silu };

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
  NormPlace norm_place = NormPlace::before;
  double norm_epsilon = 1e-5;
  std::optional<Rotary> rotary = Rotary{};  // nothing: positions are learned, up to `context`
  // One for each layer: keys older than this many positions are not seen; 0, or none: all are.
  std::vector<int64_t> windows = {};
  std::optional<Rotary> window_rotary =
      std::nullopt;  // of layers with a window; nothing: as others
  QkNorm qk_norm = QkNorm::none;
  bool qkv_biases = false, output_bias = false, feed_forward_biases = false;
  ActivationKind activation = ActivationKind::silu;
  bool gated = true;      // GatedMlp, else Mlp
  bool parallel = false;  // attention and feed-forward read the same normalised x
  std::optional<double> attention_scale = std::nullopt;  // of scores; nothing: 1 / sqrt(head_width)
  double attention_cap = 0, logit_cap = 0;               // cap * tanh(x / cap); 0: none
  double embedding_scale = 1, residual_scale = 1, logit_scale = 1;
  bool tied = true;  // the output projection is the embedding
  double dropout = 0;
  double initial_deviation = 0.02;  // of weights; residual projections get it / sqrt(2 layers)
  bool operator==(const TransformerConfig&) const = default;
};

// How queries and keys of a layer are turned; nothing: they are not.
const std::optional<Rotary>& rotary_of(const TransformerConfig& config, size_t layer);

// Throws Error naming the field when the sizes do not fit each other.
void check(const TransformerConfig& config);

// Of (B, T, C) the tokens that are asked for, (B, T', C).
using ChooseTokens = std::function<Tensor(const Tensor&)>;

// x + attention(norm(x)), then that + feed_forward(norm(that)), with the norms that there are.
struct Block : Module {
  using Norm = std::optional<OneOf<LayerNorm, RmsNorm>>;
  Norm attention_norm, attention_post_norm, feed_forward_norm, feed_forward_post_norm;
  Attention attention;
  OneOf<Mlp, GatedMlp> feed_forward;
  AttentionOptions options;
  Dropout dropout;  // of what each part adds
  double scale;     // the same
  bool parallel;
  Block(const TransformerConfig& config, size_t layer);
  void visit(Visitor& v) override;
  // x (B, T, C) → the same, or of `chosen` tokens only; `segments` (B, T) or undefined, cache as in
  // Attention.
  Tensor forward(Context& ctx, const Tensor& x, const Tensor& segments, KvCache* cache,
                 const ChooseTokens& chosen = nullptr) const;
};

class Transformer : public Module {
 public:
  explicit Transformer(const TransformerConfig& config);
  void visit(Visitor& v) override;

  // Hidden states after the final norm, (B, T, C). ids (B, T). Without a cache tokens stand at
  // 0..T-1; with one (a cache per layer), they follow those in it, and it holds them after.
  // `segments` i32 (B, T): a token sees tokens of its own document only. With `chosen` it is the
  // states of those tokens only, which spares the others the last feed-forward part.
  Tensor hidden(Context& ctx, const Tensor& ids, std::vector<KvCache>* cache = nullptr,
                const Tensor& segments = {}, const ChooseTokens& chosen = nullptr);
  // (B, T, C) → (B, T, V).
  Tensor logits(Context& ctx, const Tensor& hidden);
  // For `batch` rows of up to `capacity` tokens.
  std::vector<KvCache> empty_cache(int64_t batch, int64_t capacity) const;
  const TransformerConfig& config() const { return config_; }

 private:
  TransformerConfig config_;
  Embedding tokens_;
  std::optional<Embedding> positions_;
  std::vector<Block> blocks_;
  OneOf<LayerNorm, RmsNorm> final_norm_;
  std::optional<Linear> head_;
};

}  // namespace cairn
