// Attention as a custom operation with tile kernels. Not part of the public interface.
#pragma once

#include <vector>

#include "cairn/ops/nn.h"

namespace cairn::detail {

// Attention of q, k, v and the tensors of the options, as plain primitives: the definition that the
// kernels are held to. Scores and softmax are f32 (f64 of f64); the weights are rounded to the type
// of q before they multiply the values, as the products' operands are all of that type.
AttentionResult plain_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                const AttentionOptions& options);

// The scores of plain attention, -infinity where a key is not seen: [batch, heads, queries, keys],
// f32 (f64 of f64).
Tensor attention_scores(const Tensor& q, const Tensor& k, const AttentionOptions& options);

// Numbers of that type, in the type that sums are computed in.
Tensor rounded(const Tensor& x, DType dtype);

// Queries of one key head side by side: [batch, kv heads, heads of each * queries, width].
Tensor by_key_head(const Tensor& q, int64_t kv_heads);

// 1 / sqrt(head width) unless it is given.
double attention_scale(const Tensor& q, const AttentionOptions& options);

// Whether there are tile kernels for these sizes and types.
bool has_attention_kernel(const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options);
// plain_attention() as one node, and its gradient as another.
AttentionResult kernel_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                 const AttentionOptions& options);

}  // namespace cairn::detail
