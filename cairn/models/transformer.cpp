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

Activation make_activation(ActivationKind kind) {
  if (kind == ActivationKind::silu) return silu;
  return
      [approximate = kind == ActivationKind::gelu_tanh](Operand x) { return gelu(x, approximate); };
}

OneOf<Mlp, GatedMlp> make_feed_forward(const TransformerConfig& c) {
  const Activation activation = make_activation(c.activation);
  if (c.gated) return GatedMlp(c.width, c.hidden, activation, c.feed_forward_biases);
  return Mlp(c.width, c.hidden, c.width, activation, c.feed_forward_biases);
}

int64_t window_of(const TransformerConfig& c, size_t layer) {
  return c.windows.empty() ? 0 : c.windows[layer];
}

AttentionConfig attention_config(const TransformerConfig& c, size_t layer) {
  return {.width = c.width,
          .heads = c.heads,
          .kv_heads = c.kv_heads,
          .head_width = c.head_width,
          .biases = c.qkv_biases,
          .output_bias = c.output_bias,
          .qk_norm = c.qk_norm,
          .norm_epsilon = c.norm_epsilon,
          .rotary = rotary_of(c, layer)};
}

AttentionOptions attention_options(const TransformerConfig& c, size_t layer) {
  AttentionOptions options;
  options.causal = true;
  options.scale = c.attention_scale;
  options.window = static_cast<int>(window_of(c, layer));
  options.soft_cap = c.attention_cap;
  return options;
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

const std::optional<Rotary>& rotary_of(const TransformerConfig& c, size_t layer) {
  return window_of(c, layer) && c.window_rotary ? c.window_rotary : c.rotary;
}

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
  if (!c.windows.empty() && std::ssize(c.windows) != c.layers)
    throw_error(fmt::format("{} windows are given for {} layers", std::ssize(c.windows), c.layers));
  for (const int64_t window : c.windows)
    if (window < 0 || window > kTokens)
      throw_error(fmt::format("a window of {} tokens; it must be at least 0 and at most {}", window,
                              kTokens));
  for (const auto& rotary : {c.rotary, c.window_rotary}) {
    if (!rotary) continue;
    if (rotary->width < 0 || rotary->width > c.head_width)
      throw_error(fmt::format("rotary positions turn {} elements of a head of {}", rotary->width,
                              c.head_width));
    rotary_table(*rotary, rotary->width ? rotary->width : c.head_width, 1);
  }
}

Block::Block(const TransformerConfig& c, size_t layer)
    : attention(attention_config(c, layer)),
      feed_forward(make_feed_forward(c)),
      options(attention_options(c, layer)),
      dropout{c.dropout},
      scale(c.residual_scale),
      parallel(c.parallel) {
  if (c.norm_place != NormPlace::after) {
    attention_norm = make_norm(c);
    if (!parallel) feed_forward_norm = make_norm(c);
  }
  if (c.norm_place != NormPlace::before)
    attention_post_norm = make_norm(c), feed_forward_post_norm = make_norm(c);
}

void Block::visit(Visitor& v) {
  const auto norm = [&](std::string_view name, Norm& n) {
    if (n) v.module(name, *n);
  };
  norm("attention_norm", attention_norm);
  v.module("attention", attention);
  norm("attention_post_norm", attention_post_norm);
  norm("feed_forward_norm", feed_forward_norm);
  v.module("feed_forward", feed_forward);
  norm("feed_forward_post_norm", feed_forward_post_norm);
}

Tensor Block::forward(Context& ctx, const Tensor& x, const Tensor& segments, KvCache* cache,
                      const ChooseTokens& chosen) const {
  const auto normed = [&](const Norm& norm, const Tensor& t) {
    return norm ? norm->forward(ctx, t) : t;
  };
  const auto added = [&](const Tensor& to, const Norm& norm, const Tensor& part) {
    const Tensor t = dropout.forward(ctx, normed(norm, part));
    return to + (scale == 1 ? t : t * scale);
  };
  const Tensor in = normed(attention_norm, x);
  Tensor y;
  {
    const Scope scope("attention");
    AttentionOptions all = options;
    all.query_segments = all.key_segments = segments;
    y = added(x, attention_post_norm, attention.forward(ctx, in, all, cache));
  }
  if (chosen) y = chosen(y);
  const Tensor z = !parallel ? normed(feed_forward_norm, y) : chosen ? chosen(in) : in;
  const Scope scope("feed_forward");
  return added(y, feed_forward_post_norm, feed_forward.forward(ctx, z));
}

Transformer::Transformer(const TransformerConfig& config)
    : config_((check(config), config)),
      tokens_(config.vocabulary, config.width),
      final_norm_(make_norm(config)) {
  if (!config.rotary) positions_.emplace(config.context, config.width);
  for (int64_t i = 0; i < config.layers; ++i) blocks_.emplace_back(config, static_cast<size_t>(i));
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
                           const Tensor& segments, const ChooseTokens& chosen) {
  if (ids.rank() != 2)
    throw_error(
        fmt::format("[transformer] ids are (batch, tokens), not {}", to_string(ids.shape())));
  const int64_t T = ids.size(1);
  if (!cache && positions_ && T > config_.context)
    throw_error(
        fmt::format("[transformer] {} tokens do not fit the context of {}", T, config_.context));
  Tensor x = tokens_.forward(ctx, ids);
  if (config_.embedding_scale != 1) x = x * config_.embedding_scale;
  if (positions_) {
    Tensor positions = arange(T);
    if (cache) {
      const Tensor& length = cache->front().length;
      positions = positions + (length.rank() ? expand_dims(length, 1) : length);
    }
    // The padding of a chunk may stand past the context; nothing reads it.
    positions = minimum(positions, static_cast<int>(config_.context) - 1);
    x = x + positions_->forward(ctx, positions);
  }
  x = Dropout{config_.dropout}.forward(ctx, x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Scope scope(fmt::format("blocks.{}", i));
    x = blocks_[i].forward(ctx, x, segments, cache ? &(*cache)[i] : nullptr,
                           i + 1 == blocks_.size() ? chosen : nullptr);
  }
  return final_norm_.forward(ctx, x);
}

Tensor Transformer::logits(Context& ctx, const Tensor& hidden) {
  const Scope scope("head");
  Tensor x = head_ ? head_->forward(ctx, hidden) : matmul(hidden, transpose(tokens_.weight));
  if (config_.logit_scale != 1) x = x * config_.logit_scale;
  if (config_.logit_cap != 0) x = tanh(x / config_.logit_cap) * config_.logit_cap;
  return x;
}

std::vector<KvCache> Transformer::empty_cache(int64_t batch, int64_t capacity) const {
  std::vector<KvCache> cache;
  for (const Block& block : blocks_) cache.push_back(block.attention.empty_cache(batch, capacity));
  return cache;
}

}  // namespace cairn
