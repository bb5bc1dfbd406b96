// Integer products: activations quantized where weights are.
//
// A matrix product whose second operand is decoded from blocks, as the weights of a GGUF file are,
// gets a first one that went through quantize() and dequantize() too. What a device makes of that
// pair, sums of integers, is said there (docs/adr/0021-quantized-products.md). The graph says what
// is rounded: `inspect` shows it, and `ref` computes it.
#pragma once

#include <string_view>

#include "cairn/graph/graph.h"

namespace cairn {

// Of x [..., K] times dequantize(w): x becomes dequantize(quantize(x, format)), once for all its
// products, where K is whole blocks of `format` and the result is of floats. Of weights with a
// scale for each row (kRowFormat) the format is kRowActivations, of those whose codes times the
// scales of their groups are bytes kGroupActivations, where that divides K. A weight may be moved
// (transposed, reshaped, sliced, cast) between its bytes and the product; f16, bf16 and f32 weights
// have no dequantize and stay. In regions too. Throws Error for a format that there is not.
Graph with_quantized_activations(const Graph& graph, std::string_view format = "q8_0");
std::vector<Tensor> with_quantized_activations(std::span<const Tensor> values,
                                               std::string_view format = "q8_0");
TensorFunction with_quantized_activations(TensorFunction fn, std::string_view format = "q8_0");

}  // namespace cairn
