// Products of matrices in blocks, alone and with what follows them.
#include <cmath>

#include "cairn/tile/kernel_cases.h"
#include "cairn/tile/rows.h"

namespace cairn::tile::detail {
namespace {

using Tiles = std::vector<Tile>;

// Rows, columns, depth. 64 x 64 sums stay in registers and L1 of a CPU and in the registers of a
// GPU's thread block; 32 of K at a time are two cache lines of f32 for each row.
const std::vector<Ints> kBlocks = {{64, 64, 32},  {48, 64, 32},   {48, 64, 256}, {96, 64, 256},
                                   {36, 64, 256}, {144, 64, 256}, {24, 128, 128}};

// A block of x y, and where it lies in the result.
struct ProductBlock {
  Tile row, column;  // [64, 1], [1, 64]
  Tile inside;
  Tile sums;
};
ProductBlock product_block(Builder& k, Buffer x, Buffer y, const Tile& m, const Tile& depth,
                           const Tile& n, DType dtype, const Ints& sizes) {
  const int64_t rows = sizes[0], columns = sizes[1], steps = sizes[2];
  ProductBlock block;
  block.row = expand_dims(k.program_id(0) * rows + k.arange(rows), 1);
  block.column = expand_dims(k.program_id(1) * columns + k.arange(columns), 0);
  block.inside = (block.row < m) & (block.column < n);
  const Tile zeros = k.full({rows, columns}, 0, compute_type(dtype));
  // Beyond the edges zeros are read, which add nothing to a sum.
  block.sums = k.loop(
      0, depth, steps, zeros,
      [&](const Tile& at, const Tile& sums) {
        const Tile across = expand_dims(at + k.arange(steps), 0);
        const Tile down = expand_dims(at + k.arange(steps), 1);
        const Tile a = k.load(x, block.row * depth + across, (block.row < m) & (across < depth));
        const Tile b = k.load(y, down * n + block.column, (down < depth) & (block.column < n));
        return dot(a, b, sums);
      },
      /*stages=*/2);
  return block;
}

// A product of a row and a column of the inputs, and the sum of the absolute values.
struct Dot {
  double value = 0, size = 0;
  Dot(const std::vector<double>& x, const std::vector<double>& y, const Shape& shape, int64_t row,
      int64_t column) {
    for (int64_t i = 0; i < shape[1]; ++i) {
      const double product = x[size_t(row * shape[1] + i)] * y[size_t(i * shape[2] + column)];
      value += product;
      size += std::abs(product);
    }
  }
  // A chain of fused multiply-adds rounds each of its K partial sums by half a unit.
  double error(DType dtype, int64_t depth) const {
    return 0.5 * unit(dtype) * static_cast<double>(depth) * size;
  }
};

// --- matmul --------------------------------------------------------------------------------------

Kernel make_matmul(DType dtype, const Shape&, const Ints& sizes) {
  return build("matmul", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), y = k.input("y", dtype), out = k.output("out", dtype);
    const Tile m = k.size("m"), depth = k.size("k"), n = k.size("n");
    k.grid([&] { return Tiles{ceil_div(m, sizes[0]), ceil_div(n, sizes[1])}; });
    const ProductBlock block = product_block(k, x, y, m, depth, n, dtype, sizes);
    k.store(out, block.row * n + block.column, narrow(block.sums, dtype), block.inside);
  });
}
KernelCall matmul_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  return {{fill.even(dtype, {shape[0], shape[1]}), fill.even(dtype, {shape[1], shape[2]}),
           no_result(dtype, {shape[0], shape[2]}), shape[0], shape[1], shape[2]}};
}
double product_flops(const Shape& shape, const KernelCall&) {
  return 2.0 * static_cast<double>(shape.elements());
}
// As many elements as take 2^26 products.
std::vector<int64_t> some_elements(const Shape& shape) {
  return spread(shape[0] * shape[2], std::max<int64_t>(1, (1 << 26) / shape[1]));
}
std::vector<Expected> expect_matmul(DType dtype, const Shape& shape, const KernelCall& call) {
  const std::vector<double> x = numbers(call.array(0)), y = numbers(call.array(1));
  Expected out{2, {}, {}, {}};
  for (int64_t i : some_elements(shape)) {
    const Dot z(x, y, shape, i / shape[2], i % shape[2]);
    add(out, i, z.value, z.error(dtype, shape[1]) + rounding(dtype, z.value));
  }
  return {out};
}

// --- matmul_gelu ---------------------------------------------------------------------------------

Kernel make_matmul_gelu(DType dtype, const Shape&, const Ints& sizes) {
  return build("matmul_gelu", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), y = k.input("y", dtype), bias = k.input("bias", dtype);
    const Buffer out = k.output("out", dtype);
    const Tile m = k.size("m"), depth = k.size("k"), n = k.size("n");
    k.grid([&] { return Tiles{ceil_div(m, sizes[0]), ceil_div(n, sizes[1])}; });
    const ProductBlock block = product_block(k, x, y, m, depth, n, dtype, sizes);
    const Tile shifted = block.sums + widen(k.load(bias, block.column, block.column < n));
    k.store(out, block.row * n + block.column, narrow(gelu_tanh(shifted), dtype), block.inside);
  });
}
KernelCall matmul_gelu_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  // Numbers that keep the product's size near 1, where gelu bends.
  const double most = std::pow(9.0 / static_cast<double>(shape[1]), 0.25);
  return {{fill.even(dtype, {shape[0], shape[1]}, -most, most),
           fill.even(dtype, {shape[1], shape[2]}, -most, most), fill.even(dtype, {shape[2]}, -1, 1),
           no_result(dtype, {shape[0], shape[2]}), shape[0], shape[1], shape[2]}};
}
std::vector<Expected> expect_matmul_gelu(DType dtype, const Shape& shape, const KernelCall& call) {
  const std::vector<double> x = numbers(call.array(0)), y = numbers(call.array(1));
  Expected out{3, {}, {}, {}};
  for (int64_t i : some_elements(shape)) {
    const Dot z(x, y, shape, i / shape[2], i % shape[2]);
    const double shifted = z.value + call.array(2).at(i % shape[2]);
    const double value = gelu_tanh(shifted);
    // gelu has a slope of at most 1.13.
    const double error = 1.13 * (z.error(dtype, shape[1]) + 0.5 * unit(dtype) * std::abs(shifted)) +
                         unit(dtype) * std::abs(value) * gelu_tanh_error(shifted);
    add(out, i, value, error + rounding(dtype, value));
  }
  return {out};
}

}  // namespace

void add_products(std::vector<NamedKernel>& kernels) {
  const Shape usual = {512, 512, 512}, small = {65, 33, 70};
  kernels.push_back({"matmul", "the product of two matrices", "MxKxN", usual, small, kFloats,
                     make_matmul, matmul_call, expect_matmul, product_flops, kBlocks});
  kernels.push_back({"matmul_gelu", "gelu(x y + bias) without a trip to memory between", "MxKxN",
                     usual, small, kFloats, make_matmul_gelu, matmul_gelu_call, expect_matmul_gelu,
                     product_flops, kBlocks});
}

}  // namespace cairn::tile::detail
