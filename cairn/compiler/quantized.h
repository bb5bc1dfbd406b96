// Products with quantized weights as operations that have kernels (tile/quantized.h).
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

// matmul(dequantize(quantize(x)), transpose(dequantize(w))) becomes one operation on x in codes,
// scales and sums, which products of the same x share, and on w in panels (block_panels.h);
// matmul(x, transpose(dequantize(w))) one on x as it is. In place of dequantize(w) also
// dequantize(w) * scales, one for each row, where the format of w has none (kRowFormat). Formats
// without a kernel, and others than f32 of what is multiplied, stay as they are. Rows that are
// taken of a table in panels and decoded are taken from the panels. In regions too.
Graph lower_quantized(const Graph& graph);

}  // namespace cairn
