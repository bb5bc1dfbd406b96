// Attention as tile kernels: softmax(q k^T * scale) v and its gradient, without the matrix of
// scores in memory.
//
// Keys are walked in blocks of 64 from key 0 with a running maximum and sum per query (Milakov and
// Gimelshein, 2018; FlashAttention: Dao et al., 2022): a query's result depends neither on the
// queries beside it nor on keys that it does not see. Scores, softmax and sums are f32 (f64 of
// f64); weights, and the gradient of scores, are rounded to the type of q before they are
// multiplied, so that both operands of each product are of that type.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::tile {

constexpr int64_t kAttentionKeys = 64;
constexpr int64_t kMaxAttentionWidth = 256;  // of queries and values
constexpr int64_t kAttentionScales = 32;     // numbers of keys and values of i8 to a scale
constexpr int64_t kFewQueries = 16;          // fewer in a block are rows of the tile of scores

// What is static in a kernel: which of the arrays there are, and the sizes of its tiles.
struct AttentionForm {
  DType dtype = DType::f32;  // of queries and results
  // Of keys and values where it is another one, which is converted to f32 as it is read; i8 has
  // scales. dtype is f32 then.
  std::optional<DType> keys = std::nullopt;
  int64_t width = 0, value_width = 0;
  // Heads that share keys are one row of queries, so that keys are read once: for few queries.
  bool is_folded = false;
  int64_t queries = 48;  // of a block; fewer than kFewQueries want a width of whole registers
  bool is_causal = false;
  bool has_window = false;
  bool has_soft_cap = false;
  bool has_query_start = false;
  bool has_kv_lengths = false;
  std::optional<DType> segments = std::nullopt;
  bool has_mask = false;
  std::optional<DType> bias = std::nullopt;
  std::optional<DType> sinks = std::nullopt;
  bool is_paged = false;
  bool has_transposed_keys = false;  // k is [..., width, block size], in whole blocks
  bool has_whole_blocks = false;     // paged, and a block has kAttentionKeys: one lookup for all
  friend bool operator==(const AttentionForm&, const AttentionForm&) = default;
};

// Buffers, in this order, where the form has them:
//   q [batch, heads, queries, width], k [batch, kv heads, keys, width], v [..., value width];
//   query_start i32 [] or [batch], kv_lengths i32 [batch], query_segments [batch, queries] and
//   key_segments [batch, keys], mask and bias (strided), sinks [heads], block_table i32
//   [batch, blocks] (k and v are pools [blocks in all, kv heads, block size, ...] then), key_scales
//   and value_scales f16 (like k and v, a number for each kAttentionScales of the width; both in
//   the order of transposed keys where k is);
//   out like q of the value width, and logsumexp, f32 (f64 of f64) [batch, heads, queries].
// Scalars: attention_scalars().
Kernel attention_kernel(const AttentionForm& form);

// One program per key head, which walks blocks of keys and for each the queries that see them.
// Buffers: q, k, v, those of the form as above (no block table, no sinks), logsumexp, cotangent of
// out, and of each query the product of out and its cotangent less the cotangent of logsumexp; then
// the gradients of q, k, v, f32 (f64 of f64).
Kernel attention_gradient_kernel(const AttentionForm& form);

// What a launch passes behind the buffers, in this order; i64 but scale and soft_cap, which are f32
// (f64 of f64).
struct AttentionSizes {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0;
  double scale = 0;
  int64_t window = 0;                  // where the form has a window
  double soft_cap = 0;                 // where it has a soft cap
  int64_t query_start_stride = 0;      // 0 of one for all, where it has query_start
  int64_t mask_strides[4] = {};        // where it has a mask
  int64_t bias_strides[4] = {};        // where it has a bias
  int64_t block_size = 0, blocks = 0;  // where it is paged
};
std::vector<Number> attention_scalars(const AttentionForm& form, const AttentionSizes& sizes);

}  // namespace cairn::tile
