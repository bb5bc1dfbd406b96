#include "cairn/nn/attention.h"

#include <fmt/format.h>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"

namespace cairn {
namespace {

AttentionConfig completed(AttentionConfig c) {
  if (c.width < 1 || c.heads < 1 || c.kv_heads < 0 || c.head_width < 0)
    throw_error(
        fmt::format("[attention] width {}, heads {}, kv_heads {}, head_width {}: width and heads "
                    "are at least 1, the others at least 0",
                    c.width, c.heads, c.kv_heads, c.head_width));
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.heads % c.kv_heads)
    throw_error(fmt::format("[attention] {} heads are no multiple of {} key-value heads", c.heads,
                            c.kv_heads));
  if (c.head_width == 0) {
    if (c.width % c.heads)
      throw_error(
          fmt::format("[attention] a width of {} does not divide into {} heads", c.width, c.heads));
    c.head_width = c.width / c.heads;
  }
  if (!c.output_bias) c.output_bias = c.biases;
  return c;
}

std::optional<OneOf<RmsNorm, HeadNorms>> make_norm(const AttentionConfig& c, int64_t heads) {
  switch (c.qk_norm) {
    case QkNorm::none: break;
    case QkNorm::head: return RmsNorm(c.head_width, c.norm_epsilon);
    case QkNorm::width: return RmsNorm(heads * c.head_width, c.norm_epsilon);
    case QkNorm::each_head: return HeadNorms(heads, c.head_width, c.norm_epsilon);
  }
  return std::nullopt;
}

// 0-d, or [B] as [B, 1, 1]: what stands beside (B, H, T).
Tensor per_row(const Tensor& x) { return x.rank() ? reshape(x, {x.size(0), 1, 1}) : x; }

}  // namespace

HeadNorms::HeadNorms(int64_t heads, int64_t width, double epsilon) {
  for (int64_t i = 0; i < heads; ++i) norms.emplace_back(width, epsilon, false);
}

void HeadNorms::visit(Visitor& v) { v.modules("norms", norms); }

Tensor HeadNorms::forward(Context&, const Tensor& x) const {
  std::vector<Tensor> weights;
  for (const LayerNorm& norm : norms) weights.push_back(norm.weight);
  return layer_norm(x, {}, {}, norms.front().epsilon) * expand_dims(stack(weights), 1);
}

Attention::Attention(const AttentionConfig& given)
    : config(completed(given)),
      query(config.width, config.heads * config.head_width, config.biases),
      key(config.width, config.kv_heads * config.head_width, config.biases),
      value(config.width, config.kv_heads * config.head_width, config.biases),
      output(config.heads * config.head_width, config.width, *config.output_bias),
      query_norm(make_norm(config, config.heads)),
      key_norm(make_norm(config, config.kv_heads)) {}

void Attention::visit(Visitor& v) {
  v.module("query", query);
  v.module("key", key);
  v.module("value", value);
  v.module("output", output);
  if (query_norm) v.module("query_norm", *query_norm);
  if (key_norm) v.module("key_norm", *key_norm);
}

Tensor Attention::forward(Context& ctx, const Tensor& x, AttentionOptions options,
                          KvCache* cache) const {
  if (x.rank() != 3)
    throw_error(
        fmt::format("[attention] takes (batch, tokens, width), not {}", to_string(x.shape())));
  const int64_t B = x.size(0), T = x.size(1);
  const auto split = [&](const Tensor& t, int64_t heads) {  // (B, T, H * D) → (B, H, T, D)
    return transpose(reshape(t, {B, T, heads, config.head_width}), {0, 2, 1, 3});
  };
  const bool by_width = config.qk_norm == QkNorm::width;
  const auto projected = [&](const Linear& linear, const auto& norm, int64_t heads) {
    Tensor t = linear.forward(ctx, x);
    if (norm && by_width) t = norm->forward(ctx, t);
    t = split(t, heads);
    return norm && !by_width ? norm->forward(ctx, t) : t;
  };
  Tensor q = projected(query, query_norm, config.heads);
  Tensor k = projected(key, key_norm, config.kv_heads);
  Tensor v = split(value.forward(ctx, x), config.kv_heads);
  if (config.rotary) {
    Tensor positions = arange(T);
    if (cache) positions = positions + per_row(cache->length);
    const int64_t reach = !cache ? T : cache->reach ? cache->reach : cache->capacity();
    q = rotate(q, positions, *config.rotary, reach);
    k = rotate(k, positions, *config.rotary, reach);
  }
  if (cache) {
    if (T > cache->capacity())
      throw_error(
          fmt::format("[attention] {} tokens do not fit a cache of {}", T, cache->capacity()));
    cache->append(k, v);
    k = cache->keys;
    v = cache->values;
    options.transposed_keys = true;
    options.key_scales = cache->key_scales;
    options.value_scales = cache->value_scales;
    options.block_table = cache->block_table;
    options.query_start = cache->length;
    const Tensor count = cache->count.defined() ? cache->count : full({}, T, DType::i32);
    cache->length = cache->length + count;
    options.kv_lengths = broadcast_to(cache->length, {B});
  }
  const Tensor mixed = attention(q, k, v, options).out;  // (B, H, T, D)
  return output.forward(ctx, flatten(transpose(mixed, {0, 2, 1, 3}), 2));
}

KvCache Attention::empty_cache(int64_t batch, int64_t capacity) const {
  const int64_t blocks = (capacity + kKvBlock - 1) / kKvBlock;
  KvCache cache =
      KvCache::empty_pool(key.weight.dtype(), batch * blocks, config.kv_heads, config.head_width);
  cache.block_table = reshape(arange(batch * blocks), {batch, blocks});
  cache.length = zeros({}, DType::i32);
  cache.reach = capacity;
  return cache;
}

}  // namespace cairn
