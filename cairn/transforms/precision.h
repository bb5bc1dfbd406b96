// Mixed precision: products on narrow numbers, everything else as it was.
//
// Matrix products and convolutions of f32 read their operands in f16 or bf16, sum in f32 and round
// the result to the narrow type once (Micikevicius et al. 2017); their backward products then do
// the same, and what a backward pass keeps of them is half as large. Every other value keeps f32:
// sums, norms, softmax, losses, and the weights themselves. Types of inputs and outputs stay.
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

// `compute`: f16 or bf16 (f32 changes nothing). Products inside cond, loop and checkpoint take
// part; those of f64, and of custom() kernels that do not say how (CustomDefinition::narrowed), do
// not. Attention does: queries, keys and values are rounded, and the weights before they multiply
// the values; scores, softmax and sums stay f32. Apply it before differentiating. Throws Error for
// another type.
Graph with_precision(const Graph& graph, DType compute);
// The same for tensors that are already built.
std::vector<Tensor> with_precision(std::span<const Tensor> values, DType compute);
TensorFunction with_precision(TensorFunction fn, DType compute);

// Products of f32 whose second operand is a matrix of bf16, cast and perhaps moved, as the weights
// of a file in bf16 are, read both operands in bf16, sum in f32 and give f32: what is multiplied is
// rounded, and nothing else. Weights of f16 stay, as f32 has the range that activations may need.
Graph with_precision_of_weights(const Graph& graph);
std::vector<Tensor> with_precision_of_weights(std::span<const Tensor> values);
TensorFunction with_precision_of_weights(TensorFunction fn);

}  // namespace cairn
