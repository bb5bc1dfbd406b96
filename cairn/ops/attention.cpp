// Attention as plain primitives, and the choice between that and its kernels.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/ops/attention_kernel.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;

namespace {

// Keys or values of each row, gathered from the pool: (blocks in all, H, S, D) → (B, H, blocks * S,
// D).
Tensor paged(const Tensor& pool, const Tensor& table) {
  const Tensor blocks = transpose(take(pool, table, 0), {0, 2, 1, 3, 4});  // (B, H, blocks, S, D)
  return reshape(blocks,
                 {blocks.size(0), blocks.size(1), blocks.size(2) * blocks.size(3), blocks.size(4)});
}

// Numbers times their scales, where there are some, f32.
Tensor scaled(const Tensor& x, const Tensor& scales) {
  if (!scales.defined()) return x;
  return cast(x, DType::f32) * repeat(cast(scales, DType::f32), kScaleGroup, -1);
}

// A value per row of the batch, 0-d or [batch], as [batch or 1, 1, 1, 1].
Tensor per_row(const Tensor& x) { return reshape(x, {x.rank() ? x.size(0) : 1, 1, 1, 1}); }

// Which keys a query sees, bool, broadcasts to (B, H, T, S); undefined when all are.
Tensor seen_keys(int64_t batch, int64_t queries, int64_t keys, const AttentionOptions& options) {
  Tensor seen;
  const auto require = [&seen](const Tensor& condition) {
    seen = seen.defined() ? bitwise_and(seen, condition) : condition;
  };
  if (options.causal || options.window > 0) {
    const Tensor start =
        options.query_start.defined()  ? per_row(cast(options.query_start, DType::i32))
        : options.kv_lengths.defined() ? per_row(cast(options.kv_lengths, DType::i32)) - queries
                                       : full({1, 1, 1, 1}, keys - queries, DType::i32);
    const Tensor distance =
        start + iota({1, 1, queries, keys}, 2) - iota({1, 1, queries, keys}, 3);  // query - key
    if (options.causal) require(distance >= 0);
    if (options.window > 0) require(distance < options.window);
  }
  if (options.kv_lengths.defined())
    require(iota({1, 1, 1, keys}, 3) < per_row(cast(options.kv_lengths, DType::i32)));
  if (options.query_segments.defined())
    require(equal(reshape(options.query_segments, {batch, 1, queries, 1}),
                  reshape(options.key_segments, {batch, 1, 1, keys})));
  if (options.mask.defined()) require(options.mask);
  return seen;
}

}  // namespace

namespace detail {

double attention_scale(const Tensor& q, const AttentionOptions& options) {
  // Heads of no width have the scores 0, not 0 / 0.
  return options.scale.value_or(1 /
                                std::sqrt(static_cast<double>(std::max<int64_t>(q.size(3), 1))));
}

Tensor by_key_head(const Tensor& q, int64_t kv_heads) {
  return reshape(q, {q.size(0), kv_heads, q.size(1) / kv_heads * q.size(2), q.size(3)});
}

Tensor attention_scores(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const int64_t B = q.size(0), H = q.size(1), T = q.size(2), G = k.size(1), S = k.size(2);
  const Tensor grouped = by_key_head(widened(q), G);
  Tensor scores = reshape(
      matmul(grouped, swapaxes(widened(k), -1, -2)) * attention_scale(q, options), {B, H, T, S});
  if (options.soft_cap > 0) scores = tanh(scores / options.soft_cap) * options.soft_cap;
  if (options.bias.defined()) scores = scores + cast(options.bias, scores.dtype());
  const Tensor seen = seen_keys(B, T, S, options);
  return seen.defined() ? where(seen, scores, -INFINITY) : scores;
}

Tensor rounded(const Tensor& x, DType dtype) { return widened(cast(x, dtype)); }

AttentionResult plain_attention(const Tensor& q, const Tensor& k_in, const Tensor& v_in,
                                const AttentionOptions& options) {
  const auto keys_of = [&](const Tensor& x, const Tensor& scales) {
    const Tensor numbers = scaled(x, scales);
    return options.block_table.defined() ? paged(numbers, options.block_table) : numbers;
  };
  const auto rows = [&](const Tensor& x) {
    return options.transposed_keys && x.defined() ? swapaxes(x, 2, 3) : x;
  };
  const Tensor k = keys_of(rows(k_in), rows(options.key_scales));
  const Tensor v = keys_of(v_in, rows(options.value_scales));
  const int64_t B = q.size(0), H = q.size(1), T = q.size(2), G = k.size(1), S = k.size(2);
  const Tensor scores = attention_scores(q, k, options);
  const DType wide = scores.dtype();
  Tensor top = S ? max(scores, {-1}, true) : full({B, H, T, 1}, -INFINITY, wide);
  Tensor sinks;
  if (options.sinks.defined()) {
    sinks = reshape(cast(options.sinks, wide), {1, H, 1, 1});
    top = maximum(top, sinks);
  }
  top = stop_gradient(where(abs(top) < INFINITY, top, 0.0));
  const Tensor e = exp(scores - top);
  Tensor total = sum(e, {-1}, true);
  if (sinks.defined()) total = total + exp(sinks - top);
  const Tensor nothing = equal(total, 0);
  const Tensor weights = rounded(e / where(nothing, 1.0, total), q.dtype());
  const Tensor out = reshape(matmul(by_key_head(weights, G), widened(v)), {B, H, T, v.size(3)});
  const Tensor lse = where(nothing, -INFINITY, log(where(nothing, 1.0, total)) + top);
  return {cast(out, q.dtype()), reshape(lse, {B, H, T})};
}

}  // namespace detail

AttentionResult attention(Operand q_in, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options) {
  const Provenance provenance(q_in.where());
  const Tensor q = q_in.value();
  const int keys_axis = options.transposed_keys ? 3 : 2, width_axis = 5 - keys_axis;
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4 || q.size(3) != k.size(width_axis) ||
      k.size(keys_axis) != v.size(2) || k.size(1) != v.size(1) || k.size(1) == 0 ||
      q.size(1) % k.size(1))
    fail("attention",
         fmt::format("q {}, k {}, v {} do not fit [batch, heads, tokens, width]",
                     to_string(q.shape()), to_string(k.shape()), to_string(v.shape())));
  if (options.window < 0)
    fail("attention", fmt::format("window {} is less than 0, which means all", options.window));
  if (options.transposed_keys && !options.block_table.defined())
    fail("attention", "transposed keys are those of a pool, with a block table");
  const auto check_scales = [&](const Tensor& x, const Tensor& scales, int axis) {
    Shape expected = x.shape();
    expected[axis] /= kScaleGroup;
    if (axis != width_axis) std::swap(expected[2], expected[3]);
    if (x.dtype() == DType::i8 ? !scales.defined() || x.size(axis) % kScaleGroup ||
                                     scales.shape() != expected || scales.dtype() != DType::f16
                               : scales.defined())
      fail("attention",
           fmt::format("keys and values of i8, and no others, come with scales in f16, one for {} "
                       "numbers; {} has {}",
                       kScaleGroup, to_string(x.type()),
                       scales.defined() ? to_string(scales.type()) : "none"));
  };
  check_scales(k, options.key_scales, width_axis);
  check_scales(v, options.value_scales, 3);
  return detail::has_attention_kernel(q, k, v, options) ? detail::kernel_attention(q, k, v, options)
                                                        : detail::plain_attention(q, k, v, options);
}

}  // namespace cairn
