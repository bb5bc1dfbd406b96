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

Linear projection(const TransformerConfig& c, int64_t in, int64_t out, bool residual = false) {
  Linear layer(in, out, c.biases);
  const double deviation =
      c.initial_deviation / (residual ? std::sqrt(2.0 * static_cast<double>(c.layers)) : 1.0);
  layer.weight = init::normal({out, in}, 0, deviation);
  if (c.biases) layer.bias = init::zeros({out});
  return layer;
}

Embedding table(const TransformerConfig& c, int64_t rows) {
  Embedding e(rows, c.width);
  e.weight = init::normal({rows, c.width}, 0, c.initial_deviation);
  return e;
}

}  // namespace

void check(const TransformerConfig& c) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"vocabulary", c.vocabulary}, {"context", c.context},   {"layers", c.layers},
      {"heads", c.heads},           {"kv_heads", c.kv_heads}, {"width", c.width},
      {"head_width", c.head_width}, {"hidden", c.hidden}};
  for (const auto& [field, value] : sizes)
    if (value < 1 || value > (int64_t{1} << 32))
      throw_error(fmt::format("model.{} is {}; it must be a positive number", field, value));
  if (c.heads % c.kv_heads)
    throw_error(fmt::format("model.heads ({}) must be a multiple of model.kv_heads ({})", c.heads,
                            c.kv_heads));
  if (c.position == PositionKind::rotary && c.head_width % 2)
    throw_error(fmt::format("the head width {} must be even for rotary positions", c.head_width));
}

Norm::Norm(const TransformerConfig& c) : weight(init::ones({c.width})), config(&c) {
  if (c.norm == NormKind::layer) bias = init::zeros({c.width});
}
void Norm::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor Norm::forward(Context&, const Tensor& x) const {
  return config->norm == NormKind::layer ? layer_norm(x, weight, bias, config->norm_epsilon)
                                         : rms_norm(x, weight, config->norm_epsilon);
}

SelfAttention::SelfAttention(const TransformerConfig& c)
    : query(projection(c, c.width, c.heads * c.head_width)),
      key(projection(c, c.width, c.kv_heads * c.head_width)),
      value(projection(c, c.width, c.kv_heads * c.head_width)),
      output(projection(c, c.heads * c.head_width, c.width, true)),
      config(&c) {}
void SelfAttention::visit(Visitor& v) {
  v.module("query", query);
  v.module("key", key);
  v.module("value", value);
  v.module("output", output);
}
Tensor SelfAttention::forward(Context& ctx, const Tensor& x, const Tensor& positions,
                              KvCache* cache, size_t layer, const Tensor& segments) const {
  const Scope scope("attention");
  const int64_t B = x.size(0);
  const int64_t T = x.size(1);
  const auto heads = [&](const Tensor& t, int64_t count) {  // (B, T, count * D) → (B, count, T, D)
    return transpose(reshape(t, {B, T, count, config->head_width}), {0, 2, 1, 3});
  };
  Tensor q = heads(query.forward(ctx, x), config->heads);
  Tensor k = heads(key.forward(ctx, x), config->kv_heads);
  Tensor v = heads(value.forward(ctx, x), config->kv_heads);
  if (config->position == PositionKind::rotary) {
    q = rotary_embedding(q, positions, config->rope_theta, config->rope_interleaved);
    k = rotary_embedding(k, positions, config->rope_theta, config->rope_interleaved);
  }
  AttentionOptions options;
  options.causal = true;
  if (cache) {
    const Operand starts[] = {0, 0, cache->length, 0};
    k = cache->keys[layer] = dynamic_update_slice(cache->keys[layer], k, starts);
    v = cache->values[layer] = dynamic_update_slice(cache->values[layer], v, starts);
    options.query_start = cache->length;
  }
  if (segments.defined()) options.query_segments = options.key_segments = segments;
  const Tensor mixed = attention(q, k, v, options).out;  // (B, H, T, D)
  const Tensor joined =
      reshape(transpose(mixed, {0, 2, 1, 3}), {B, T, config->heads * config->head_width});
  return Dropout{config->dropout}.forward(ctx, output.forward(ctx, joined));
}

FeedForward::FeedForward(const TransformerConfig& c)
    : up(projection(c, c.width, c.hidden)),
      down(projection(c, c.hidden, c.width, true)),
      config(&c) {
  if (c.activation == ActivationKind::silu_gated) gate = projection(c, c.width, c.hidden);
}
void FeedForward::visit(Visitor& v) {
  if (gate) v.module("gate", *gate);
  v.module("up", up);
  v.module("down", down);
}
Tensor FeedForward::forward(Context& ctx, const Tensor& x) const {
  const Scope scope("feed_forward");
  const Tensor u = up.forward(ctx, x);
  const Tensor h = gate ? silu(gate->forward(ctx, x)) * u
                        : gelu(u, config->activation == ActivationKind::gelu_tanh);
  return Dropout{config->dropout}.forward(ctx, down.forward(ctx, h));
}

Block::Block(const TransformerConfig& c)
    : attention_norm(c), feed_forward_norm(c), attention(c), feed_forward(c) {}
void Block::visit(Visitor& v) {
  v.module("attention_norm", attention_norm);
  v.module("attention", attention);
  v.module("feed_forward_norm", feed_forward_norm);
  v.module("feed_forward", feed_forward);
}
Tensor Block::forward(Context& ctx, const Tensor& x, const Tensor& positions, KvCache* cache,
                      size_t layer, const Tensor& segments) const {
  const Tensor y =
      x + attention.forward(ctx, attention_norm.forward(ctx, x), positions, cache, layer, segments);
  return y + feed_forward.forward(ctx, feed_forward_norm.forward(ctx, y));
}

Transformer::Transformer(const TransformerConfig& config)
    : config_((check(config), std::make_shared<const TransformerConfig>(config))),
      tokens_(table(*config_, config_->vocabulary)),
      final_norm_(*config_) {
  if (config_->position == PositionKind::learned) positions_ = table(*config_, config_->context);
  for (int64_t i = 0; i < config_->layers; ++i) blocks_.emplace_back(*config_);
  if (!config_->tied) {
    head_.emplace(config_->width, config_->vocabulary, false);
    head_->weight =
        init::normal({config_->vocabulary, config_->width}, 0, config_->initial_deviation);
  }
}
void Transformer::visit(Visitor& v) {
  v.module("tokens", tokens_);
  if (positions_) v.module("positions", *positions_);
  v.modules("blocks", blocks_);
  v.module("final_norm", final_norm_);
  if (head_) v.module("head", *head_);
}

Tensor Transformer::hidden(Context& ctx, const Tensor& ids, KvCache* cache,
                           const Tensor& segments) {
  if (ids.rank() != 2)
    throw_error(
        fmt::format("[transformer] ids are (batch, tokens), not {}", to_string(ids.shape())));
  const int64_t T = ids.size(1);
  if (!cache && config_->position == PositionKind::learned && T > config_->context)
    throw_error(
        fmt::format("[transformer] {} tokens do not fit the context of {}", T, config_->context));
  Tensor positions = arange(T);  // (T)
  if (cache) positions = positions + cache->length;
  Tensor x = tokens_.forward(ctx, ids);
  // The padding of a chunk may stand past the context; nothing reads it.
  if (positions_)
    x = x + positions_->forward(ctx, minimum(positions, static_cast<int>(config_->context) - 1));
  x = Dropout{config_->dropout}.forward(ctx, x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Scope scope(fmt::format("blocks.{}", i));
    x = blocks_[i].forward(ctx, x, positions, cache, i, segments);
  }
  if (cache) cache->length = cache->length + static_cast<int>(T);
  return final_norm_.forward(ctx, x);
}

Tensor Transformer::logits(Context& ctx, const Tensor& hidden) {
  const Scope scope("head");
  return head_ ? head_->forward(ctx, hidden) : matmul(hidden, transpose(tokens_.weight));
}

KvCache Transformer::empty_cache(int64_t batch, int64_t capacity) const {
  KvCache cache;
  const Shape shape{batch, config_->kv_heads, capacity, config_->head_width};
  for (int64_t i = 0; i < config_->layers; ++i) {
    cache.keys.push_back(zeros(shape));
    cache.values.push_back(zeros(shape));
  }
  cache.length = zeros({}, DType::i32);
  return cache;
}

}  // namespace cairn
