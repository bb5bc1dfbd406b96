// Attention.
#include <cmath>

#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

// [batch, tokens, heads * width] as [batch, heads, tokens, width]; four axes stay as they are.
Tensor by_heads(const Tensor& x, int64_t heads) {
  if (x.rank() == 4) return x;
  return transpose(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), {0, 2, 1, 3});
}

Tensor after(const OnnxCall& c, int past, const Tensor& x) {
  if (!c.has(past)) return x;
  const Tensor parts[] = {c[past], x};
  return concatenate(parts, 2);
}

// The scores that the operator gives on request, after so many of its steps: the product, its soft
// cap, the mask, the softmax.
Tensor scores_of(const Tensor& q, const Tensor& k, const AttentionOptions& options, int64_t past,
                 int64_t steps) {
  const Tensor keys = repeat(k, q.size(1) / k.size(1), 1);
  Tensor scores = matmul(q, swapaxes(keys, -1, -2)) * *options.scale;
  if (steps >= 1 && options.soft_cap > 0)
    scores = tanh(scores / options.soft_cap) * options.soft_cap;
  if (steps >= 2 && options.bias.defined()) scores = scores + options.bias;
  if (steps >= 2 && options.mask.defined()) scores = where(options.mask, scores, -INFINITY);
  if (steps >= 2 && options.causal) {
    const Tensor seen = tril(ones({q.size(2), k.size(2)}, DType::b8), static_cast<int>(past));
    scores = where(seen, scores, -INFINITY);
  }
  return steps >= 3 ? softmax(scores) : scores;
}

std::vector<Tensor> attention_of(const OnnxCall& c) {
  if (c.has(6)) throw Unsupported("keys that count by a length of each row");
  const Tensor q = by_heads(c[0], c.integer("q_num_heads", 1));
  const int64_t kv_heads = c.integer("kv_num_heads", 1);
  const Tensor k = after(c, 4, by_heads(c[1], kv_heads));
  const Tensor v = after(c, 5, by_heads(c[2], kv_heads));
  AttentionOptions options;
  options.scale = c.number("scale", 1 / std::sqrt(static_cast<double>(q.size(3))));
  options.soft_cap = c.number("softcap", 0);
  options.causal = c.integer("is_causal", 0);
  // Query i is the key at `past + i`, where cairn's default is that the last query is the last key.
  const int64_t past = c.has(4) ? c[4].size(2) : 0;
  options.query_start = Tensor::scalar(past, DType::i32);
  if (c.has(3)) (c[3].dtype() == DType::b8 ? options.mask : options.bias) = c[3];
  Tensor y = attention(q, k, v, options).out;
  if (c[0].rank() == 3)
    y = reshape(transpose(y, {0, 2, 1, 3}), {q.size(0), q.size(2), q.size(1) * v.size(3)});
  Tensor scores;
  if (c.wants(3)) scores = scores_of(q, k, options, past, c.integer("qk_matmul_output_mode", 0));
  return {y, k, v, scores};
}

// Attention with graphs that change the scores before the softmax and the weights behind it.
Tensor flex_attention(const OnnxCall& c) {
  const Tensor &q = c[0], &k = c[1], &v = c[2];
  const double scale = c.number("scale", 1 / std::sqrt(static_cast<double>(q.size(3))));
  const bool has_score_mod = c.has_attribute("score_mod"), has_prob = c.has_attribute("prob_mod");
  if (!has_score_mod && !has_prob) return attention(q, k, v, {.scale = scale}).out;
  const int64_t times = q.size(1) / k.size(1);
  Tensor x = matmul(q, swapaxes(repeat(k, times, 1), -1, -2)) * scale;
  if (has_score_mod) x = c.run("score_mod", {&x, 1})[0];
  x = softmax(x);
  if (has_prob) x = c.run("prob_mod", {&x, 1})[0];
  return matmul(x, repeat(v, times, 1));
}

}  // namespace

void add_attention(OnnxTable& table) {
  table["Attention"] = attention_of;
  table["FlexAttention"] = one(flex_attention);
}

}  // namespace cairn::test
