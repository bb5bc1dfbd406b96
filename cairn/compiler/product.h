// Matrix products as tile kernels: one program per block of the result.
//
// Each element is one chain of fused multiply-adds in increasing k from 0 (docs/adr/0004), in f32
// for 16-bit floats and f32, in f64 for f64, so the block's size has no part in the result.
#pragma once

#include <cstdint>
#include <vector>

#include "cairn/compiler/schedule.h"
#include "cairn/tile/ir.h"

namespace cairn {

// Whether a kernel computes the node: a matmul of floats of one type, accumulated in f32 or f64.
bool is_product(const Node& node);

// Rows, columns and depth of a block, chosen by the sizes; equal ones share a kernel.
struct ProductBlock {
  int64_t rows, columns, depth;
  friend bool operator==(const ProductBlock&, const ProductBlock&) = default;
};
// batch, M, N, K of a matmul.
struct ProductSizes {
  int64_t batch, m, n, k;
};
ProductSizes product_sizes(const Node& node);
ProductBlock product_block(const ProductSizes& sizes);
int64_t product_programs(const ProductSizes& sizes, const ProductBlock& block);

// Its parameters: x, y, the result, batch, M, N, K.
tile::Kernel make_product_kernel(const Node& node, const ProductBlock& block);

}  // namespace cairn
