#include "cairn/compiler/product.h"

#include <fmt/format.h>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/infer.h"
#include "cairn/tile/builder.h"

namespace cairn {

using tile::Tile;

namespace {

DType accumulator_of(const Node& node) {
  return node.attrs().has(Attr::accumulate) ? node.attrs().dtype(Attr::accumulate)
                                            : default_accumulate(node.input(0).dtype());
}

}  // namespace

bool is_product(const Node& node) {
  if (node.op() != Op::matmul || !can_compile_kernels()) return false;
  const DType from = node.input(0).dtype();
  const DType to = node.output().dtype;
  if (from != node.input(1).dtype() || is_float8(from) || is_float8(to) || !is_float(to))
    return false;
  const DType wide = from == DType::f64 ? DType::f64 : DType::f32;
  return is_float(from) && accumulator_of(node) == wide && can_lower(Op::cast, wide, to);
}

ProductSizes product_sizes(const Node& node) {
  const Shape& x = node.input(0).shape();
  const Shape& result = node.output().shape;
  const int rank = result.rank();
  ProductSizes sizes{1, result[rank - 2], result[rank - 1], x[rank - 1]};
  for (int i = 0; i + 2 < rank; ++i) sizes.batch *= result[i];
  return sizes;
}

// Of 48 x 64 x 256 the sum (12 KB) and what is read again of y (64 KB) stay in the first and second
// cache; measured on Zen 4 against blocks of 24 to 192 rows, 64 to 256 columns and depth 64 to
// 1024. Fewer rows have a kernel that computes at most twice as many as there are.
ProductBlock product_block(const ProductSizes& sizes) {
  int64_t rows = 48;
  for (const int64_t fewer : {24, 12, 6, 4, 2, 1})
    if (sizes.m <= fewer) rows = fewer;
  return {rows, sizes.n <= 16 ? 16 : 64, 256};
}

int64_t product_programs(const ProductSizes& sizes, const ProductBlock& block) {
  return sizes.batch * ((sizes.m + block.rows - 1) / block.rows) *
         ((sizes.n + block.columns - 1) / block.columns);
}

tile::Kernel make_product_kernel(const Node& node, const ProductBlock& block) {
  const DType from = node.input(0).dtype();
  const DType wide = accumulator_of(node);
  const DType to = node.output().dtype;
  tile::Builder k(
      fmt::format("matmul_{}_{}x{}x{}", name(from), block.rows, block.columns, block.depth));
  const tile::Buffer x = k.input("x", from);
  const tile::Buffer y = k.input("y", from);
  const tile::Buffer out = k.output("out", to);
  const Tile batch = k.size("batch");
  const Tile m = k.size("m");
  const Tile n = k.size("n");
  const Tile depth = k.size("k");
  // Neighbours share columns of y, which stay in the second cache.
  k.grid([&] {
    return std::vector<Tile>{batch, ceil_div(n, block.columns), ceil_div(m, block.rows)};
  });
  const Tile b = k.program_id(0);
  const Tile row = expand_dims(k.program_id(2) * block.rows + k.arange(block.rows), 1);
  const Tile column = expand_dims(k.program_id(1) * block.columns + k.arange(block.columns), 0);
  const Tile x_rows = b * (m * depth) + row * depth;
  const Tile y_columns = b * (depth * n) + column;
  const Tile sum =
      k.loop(0, depth, block.depth, k.full({block.rows, block.columns}, 0, wide),
             [&](const Tile& first, const Tile& before) {
               const Tile steps = first + k.arange(block.depth);
               const Tile along = expand_dims(steps, 0);
               const Tile down = expand_dims(steps, 1);
               const Tile left = k.load(x, x_rows + along, (row < m) & (along < depth));
               const Tile right = k.load(y, y_columns + down * n, (down < depth) & (column < n));
               return dot(left, right, before);
             });
  const Tile result = wide == to ? sum : cast(sum, to);
  k.store(out, b * (m * n) + row * n + column, result, (row < m) & (column < n));
  return k.finish();
}

}  // namespace cairn
