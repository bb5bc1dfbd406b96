// Functions that neural networks are made of: activations, softmax, norms, attention, rotary
// embedding.
//
// Softmax, norms and attention of f16 and bf16 compute in f32 and round once at the end.
#pragma once

#include <optional>

#include "cairn/ops/operand.h"

namespace cairn {

Tensor relu(Operand x);
// x * Phi(x), Phi through erfc, which does not cancel for negative x. approximate: x / (1 +
// exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3), which equals GPT-2's 0.5 x (1 + tanh u) and does
// not cancel either.
Tensor gelu(Operand x, bool approximate = false);
Tensor silu(Operand x);
Tensor softplus(Operand x);  // log(1 + e^x)
Tensor log_sigmoid(Operand x);
Tensor elu(Operand x, double alpha = 1);
Tensor leaky_relu(Operand x, double slope = 0.01);
Tensor selu(Operand x);
Tensor hardswish(Operand x);
Tensor mish(Operand x);
Tensor clamp(Operand x, Operand low, Operand high);

Tensor softmax(Operand x, int axis = -1);
Tensor log_softmax(Operand x, int axis = -1);

// Normalised over the last `axes` axes; weight and bias have their sizes and may be undefined.
Tensor layer_norm(Operand x, const Tensor& weight = {}, const Tensor& bias = {},
                  double epsilon = 1e-5, int axes = 1);
// x / sqrt(mean of squares over the last axis + epsilon).
Tensor rms_norm(Operand x, const Tensor& weight = {}, double epsilon = 1e-6);
// x [N, C, ...]: normalised over each of `groups` groups of channels; weight and bias [C].
Tensor group_norm(Operand x, int groups, const Tensor& weight = {}, const Tensor& bias = {},
                  double epsilon = 1e-5);
// x [N, C, ...] with the given mean and variance [C] (of the batch in training, running ones
// otherwise).
Tensor batch_norm(Operand x, const Tensor& mean, const Tensor& variance, const Tensor& weight = {},
                  const Tensor& bias = {}, double epsilon = 1e-5);

constexpr int64_t kScaleGroup = 32;
struct AttentionOptions {
  bool causal = false;
  std::optional<double> scale = std::nullopt;  // 1 / sqrt(head width)
  int window = 0;       // keys older than this many positions are not seen; 0: all
  double soft_cap = 0;  // scores become cap * tanh(scores / cap); 0: off
  // Position of the first query among the keys, 0-d or [batch] i32; default: the last query is the
  // last key, of those that kv_lengths leaves. The number of valid keys is data, never a shape.
  Tensor query_start = {};
  Tensor kv_lengths = {};  // i32 [batch]: keys from here on are not seen
  Tensor query_segments =
      {};  // i32 [batch, queries] and [batch, keys]: a query sees its own document only
  Tensor key_segments = {};
  Tensor mask = {};   // bool, broadcasts to [batch, heads, queries, keys]: true is seen
  Tensor bias = {};   // added to the scores, broadcasts likewise
  Tensor sinks = {};  // [heads]: a logit that takes part in the softmax and has no value
  // i32 [batch, blocks]: keys and values are pools [blocks in all, heads, block size, width], and
  // the keys of a row are those of its blocks, one after the other.
  Tensor block_table = {};
  // Keys of a pool are [blocks in all, heads, width, block size], and the scales of both likewise:
  // a query then reads a number of many keys at once.
  bool transposed_keys = false;
  // Of keys and values of i8: f16 like those, but with a number for each kScaleGroup of the width,
  // which are multiplied by it.
  Tensor key_scales = {};
  Tensor value_scales = {};
};
struct AttentionResult {
  Tensor out;        // [batch, heads, queries, value width]
  Tensor logsumexp;  // f32 (f64 of f64) [batch, heads, queries]
};
// q [batch, heads, queries, width], k and v [batch, kv heads, keys, width]; heads is a multiple of
// kv heads (grouped-query attention). Keys and values may be of another type than q, as those of a
// cache: f32, f16, bf16, or i8 with scales. A query that sees no key gives 0.
AttentionResult attention(Operand q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options = {});

// x [..., tokens, width] rotated by position * theta^(-2i / width). positions: [tokens] or with
// leading axes that broadcast. interleaved: pairs (2i, 2i+1) as in llama2.c; else (i, i + width/2)
// as in Hugging Face's Llama. `inverse_frequencies` [width / 2] replaces the formula (scaled rotary
// embeddings).
Tensor rotary_embedding(Operand x, const Tensor& positions, double theta = 10000,
                        bool interleaved = false, const Tensor& inverse_frequencies = {});

// Lists have a number per spatial axis of x [N, C, S...]; a list of one holds for all axes.
struct PoolOptions {
  Ints stride = {};               // empty: the kernel's sizes
  Ints padding = {};              // on both sides, at most half the kernel; empty: 0
  bool count_include_pad = true;  // avg_pool: zeros of the padding count in the mean
  bool channels_last = false;     // x is [N, S..., C]
};
// Largest of each window; NaN wins. The gradient goes to the first of equal elements, as in
// PyTorch.
Tensor max_pool(Operand x, const Ints& kernel, const PoolOptions& options = {});
Tensor avg_pool(Operand x, const Ints& kernel, const PoolOptions& options = {});
// Mean over all spatial axes, which stay with size 1 (PyTorch's adaptive average to 1).
Tensor global_avg_pool(Operand x, bool channels_last = false);

// Each element kept with probability 1 - p and scaled by 1 / (1 - p).
Tensor dropout(Operand x, double p, const Tensor& key);
// Rows of `table` [rows, width] by index.
Tensor embedding(Operand table, const Tensor& indices);

}  // namespace cairn
