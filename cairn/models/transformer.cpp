#include "cairn/models/transformer.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/nn/init.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"

namespace cairn {
namespace {

OneOf<LayerNorm, RmsNorm> make_norm(const TransformerConfig& c) {
  if (c.norm == NormKind::layer) return LayerNorm(c.width, c.norm_epsilon);
  return RmsNorm(c.width, c.norm_epsilon);
}

OneOf<Mlp, SwiGlu> make_feed_forward(const TransformerConfig& c) {
  if (c.activation == ActivationKind::silu_gated) return SwiGlu(c.width, c.hidden, c.biases);
  const bool approximate = c.activation == ActivationKind::gelu_tanh;
  const auto activation = [approximate](Operand x) { return gelu(x, approximate); };
  return Mlp(c.width, c.hidden, c.width, activation, c.biases);
}

std::optional<Rotary> make_rotary(const TransformerConfig& c) {
  if (c.position != PositionKind::rotary) return std::nullopt;
  return Rotary{c.rope_theta, c.rope_interleaved};
}

// GPT-2's: matrices normal, biases 0. What is added to the residual stream is smaller by the root
// of the number of such parts, so that the stream does not grow with the depth.
void set_initialisers(Transformer& transformer) {
  const TransformerConfig& c = transformer.config();
  const double parts = 2 * static_cast<double>(c.layers);
  for (const Field& field : fields(transformer)) {
    const bool is_added =
        field.path.ends_with("output.weight") || field.path.ends_with("down.weight");
    const double deviation = c.initial_deviation / (is_added ? std::sqrt(parts) : 1.0);
    const Shape shape = field.tensor->shape();
    if (shape.rank() == 2) *field.tensor = init::normal(shape, 0, deviation);
    if (field.path.ends_with("bias")) *field.tensor = init::zeros(shape);
  }
}

}  // namespace

void check(const TransformerConfig& c) {
  // Far beyond any model, and so small that no product of them overflows and that what is built
  // before a file or memory says no (a dozen nodes per layer) takes no time.
  struct Size {
    const char* field;
    int64_t value, most;
  };
  constexpr int64_t kLayers = 10'000, kHeads = 1 << 16, kWidth = 1 << 24, kTokens = INT32_MAX;
  const Size sizes[] = {{"vocabulary", c.vocabulary, kTokens}, {"context", c.context, kTokens},
                        {"layers", c.layers, kLayers},         {"heads", c.heads, kHeads},
                        {"kv_heads", c.kv_heads, kHeads},      {"width", c.width, kWidth},
                        {"head_width", c.head_width, kWidth},  {"hidden", c.hidden, kWidth}};
  for (const auto& [field, value, most] : sizes)
    if (value < 1 || value > most)
      throw_error(
          fmt::format("model.{} is {}; it must be at least 1 and at most {}", field, value, most));
  if (c.heads % c.kv_heads)
    throw_error(fmt::format("model.heads ({}) must be a multiple of model.kv_heads ({})", c.heads,
                            c.kv_heads));
  if (c.position == PositionKind::rotary && c.head_width % 2)
    throw_error(fmt::format("the head width {} must be even for rotary positions", c.head_width));
}

Block::Block(const TransformerConfig& c)
    : attention_norm(make_norm(c)),
      feed_forward_norm(make_norm(c)),
      attention({.width = c.width,
                 .heads = c.heads,
                 .kv_heads = c.kv_heads,
                 .head_width = c.head_width,
                 .biases = c.biases,
                 .rotary = make_rotary(c)}),
      feed_forward(make_feed_forward(c)),
      dropout{c.dropout} {}

void Block::visit(Visitor& v) {
  v.module("attention_norm", attention_norm);
  v.module("attention", attention);
  v.module("feed_forward_norm", feed_forward_norm);
  v.module("feed_forward", feed_forward);
}

Tensor Block::forward(Context& ctx, const Tensor& x, const AttentionOptions& options,
                      KvCache* cache) const {
  Tensor y = attention_norm.forward(ctx, x);
  {
    const Scope scope("attention");
    y = x + dropout.forward(ctx, attention.forward(ctx, y, options, cache));
  }
  const Tensor z = feed_forward_norm.forward(ctx, y);
  const Scope scope("feed_forward");
  return y + dropout.forward(ctx, feed_forward.forward(ctx, z));
}

Transformer::Transformer(const TransformerConfig& config)
    : config_((check(config), config)),
      tokens_(config.vocabulary, config.width),
      final_norm_(make_norm(config)) {
  if (config.position == PositionKind::learned) positions_.emplace(config.context, config.width);
  for (int64_t i = 0; i < config.layers; ++i) blocks_.emplace_back(config);
  if (!config.tied) head_.emplace(config.width, config.vocabulary, false);
  set_initialisers(*this);
}

void Transformer::visit(Visitor& v) {
  v.module("tokens", tokens_);
  if (positions_) v.module("positions", *positions_);
  v.modules("blocks", blocks_);
  v.module("final_norm", final_norm_);
  if (head_) v.module("head", *head_);
}

Tensor Transformer::hidden(Context& ctx, const Tensor& ids, std::vector<KvCache>* cache,
                           const Tensor& segments) {
  if (ids.rank() != 2)
    throw_error(
        fmt::format("[transformer] ids are (batch, tokens), not {}", to_string(ids.shape())));
  const int64_t T = ids.size(1);
  if (!cache && positions_ && T > config_.context)
    throw_error(
        fmt::format("[transformer] {} tokens do not fit the context of {}", T, config_.context));
  Tensor x = tokens_.forward(ctx, ids);
  if (positions_) {
    Tensor positions = arange(T);
    if (cache) positions = positions + cache->front().length;
    // The padding of a chunk may stand past the context; nothing reads it.
    positions = minimum(positions, static_cast<int>(config_.context) - 1);
    x = x + positions_->forward(ctx, positions);
  }
  x = Dropout{config_.dropout}.forward(ctx, x);
  AttentionOptions options;
  options.causal = true;
  options.query_segments = options.key_segments = segments;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Scope scope(fmt::format("blocks.{}", i));
    x = blocks_[i].forward(ctx, x, options, cache ? &(*cache)[i] : nullptr);
  }
  return final_norm_.forward(ctx, x);
}

Tensor Transformer::logits(Context& ctx, const Tensor& hidden) {
  const Scope scope("head");
  return head_ ? head_->forward(ctx, hidden) : matmul(hidden, transpose(tokens_.weight));
}

std::vector<KvCache> Transformer::empty_cache(int64_t batch, int64_t capacity) const {
  std::vector<KvCache> cache;
  for (const Block& block : blocks_) cache.push_back(block.attention.empty_cache(batch, capacity));
  return cache;
}

}  // namespace cairn
