// Kernels that the tests of GPU code compile.
#pragma once

#include <cmath>

#include "cairn/tile/builder.h"
#include "cairn/tile/passes.h"

namespace cairn::test {

using tile::Buffer;
using tile::Builder;
using tile::Kernel;
using tile::Tile;

// out[i] = x[i] + y[i] for i < n, 1024 a program.
inline Kernel vector_add(int64_t divisor, DType dtype = DType::f32, int64_t alignment = 64) {
  return tile::build("vector_add", [&](Builder& k) {
    const Buffer x = k.input("x", dtype, alignment), y = k.input("y", dtype, alignment);
    const Buffer out = k.output("out", dtype, alignment);
    const Tile n = k.size("n", divisor);
    k.grid([&] { return std::vector<Tile>{tile::ceil_div(n, 1024)}; });
    const Tile i = k.program_id(0) * 1024 + k.arange(1024);
    k.store(out, i, k.load(x, i, i < n) + k.load(y, i, i < n), i < n);
  });
}

inline Kernel gelu() {
  return tile::run_passes(tile::build("gelu", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
    const Tile n = k.size("n", 16);
    k.grid([&] { return std::vector<Tile>{tile::ceil_div(n, 1024)}; });
    const Tile i = k.program_id(0) * 1024 + k.arange(1024);
    const Tile v = k.load(x, i, i < n);
    const Tile inner = (v + v * v * v * 0.044715) * 0.7978845608;
    k.store(out, i, v * (tile::tanh(inner) + 1.0) * 0.5, i < n);
  }));
}

// A program is a row of at most 1024 columns.
inline Kernel softmax(int64_t divisor) {
  return tile::run_passes(tile::build("softmax", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
    const Tile rows = k.size("rows"), columns = k.size("columns", divisor);
    k.grid([&] { return std::vector<Tile>{rows}; });
    const Tile i = k.arange(1024);
    const Tile at = k.program_id(0) * columns + i;
    const Tile v = k.load(x, at, i < columns, -INFINITY);
    const Tile e = tile::exp(v - tile::max(v, 0));
    k.store(out, at, e / tile::sum(e, 0), i < columns);
  }));
}

// A program is eight rows of 128 columns.
inline Kernel layer_norm() {
  return tile::build("layer_norm", [](Builder& k) {
    const Buffer x = k.input("x", DType::bf16), scale = k.input("scale", DType::f32);
    const Buffer out = k.output("out", DType::bf16);
    const Tile rows = k.size("rows");
    k.grid([&] { return std::vector<Tile>{tile::ceil_div(rows, 8)}; });
    const Tile row = tile::expand_dims(k.program_id(0) * 8 + k.arange(8), 1);
    const Tile column = k.arange(128);
    const Tile at = row * 128 + column;
    const Tile there = tile::broadcast_to(row < rows, {8, 128});
    const Tile v = tile::cast(k.load(x, at, there), DType::f32);
    const Tile mean = tile::expand_dims(tile::sum(v, 1), 1) / 128.0;
    const Tile centered = v - mean;
    const Tile variance = tile::expand_dims(tile::sum(centered * centered, 1), 1) / 128.0;
    const Tile normal = centered / tile::sqrt(variance + 1e-5) * k.load(scale, column);
    k.store(out, at, tile::cast(normal, DType::bf16), there);
  });
}

// out[r, c] = x[r, c] + bias[c], 8 x 128 a program of a grid with two axes.
inline Kernel bias_add(int64_t divisor) {
  return tile::build("bias_add", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32), bias = k.input("bias", DType::f32);
    const Buffer out = k.output("out", DType::f32);
    const Tile rows = k.size("rows"), columns = k.size("columns", divisor);
    k.grid(
        [&] { return std::vector<Tile>{tile::ceil_div(rows, 8), tile::ceil_div(columns, 128)}; });
    const Tile row = tile::expand_dims(k.program_id(0) * 8 + k.arange(8), 1);
    const Tile column = k.program_id(1) * 128 + k.arange(128);
    const Tile there = (row < rows) & (column < columns);
    const Tile at = row * columns + column;
    k.store(out, at, k.load(x, at, there) + k.load(bias, column, column < columns), there);
  });
}

inline Kernel bf16_scale() {
  return tile::build("bf16_scale", [](Builder& k) {
    const Buffer x = k.input("x", DType::bf16), out = k.output("out", DType::bf16);
    const Tile n = k.size("n", 8), factor = k.scalar("factor", DType::f32);
    k.grid([&] { return std::vector<Tile>{tile::ceil_div(n, 2048)}; });
    const Tile i = k.program_id(0) * 2048 + k.arange(2048);
    const Tile scaled = tile::cast(k.load(x, i, i < n), DType::f32) * factor;
    k.store(out, i, tile::cast(scaled, DType::bf16), i < n);
  });
}

// out[c, r] = x[r, c] of a 32 x 64 matrix, in place of which `out` could not be.
inline Kernel transposed() {
  return tile::build("transposed", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
    const Tile v = k.load(x, tile::reshape(k.arange(2048), {32, 64}));
    k.store(out, tile::reshape(k.arange(2048), {64, 32}), tile::transpose(v, {1, 0}));
  });
}

// out[i] = max(s, t): a number that all threads share, in f16.
inline Kernel f16_limit() {
  return tile::build("f16_limit", [](Builder& k) {
    const Buffer out = k.output("out", DType::f16);
    const Tile s = k.scalar("s", DType::f16), t = k.scalar("t", DType::f16);
    k.store(out, k.arange(256), tile::broadcast_to(tile::reshape(tile::maximum(s, t), {1}), {256}));
  });
}

// The sum and the largest of rows of any length, 512 columns at a time.
inline Kernel long_rows() {
  return tile::build("long_rows", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32);
    const Buffer sums = k.output("sums", DType::f32), largest = k.output("largest", DType::f32);
    const Tile rows = k.size("rows"), columns = k.size("columns", 4);
    k.grid([&] { return std::vector<Tile>{rows}; });
    const Tile row = k.program_id(0);
    const std::vector<Tile> start = {k.full({512}, 0, DType::f32),
                                     k.constant(-INFINITY, DType::f32)};
    const auto step = [&](const Tile& first, const std::vector<Tile>& carried) {
      const Tile column = first + k.arange(512);
      const Tile v = k.load(x, row * columns + column, column < columns);
      return std::vector<Tile>{carried[0] + v, tile::maximum(carried[1], tile::max(v, 0))};
    };
    const std::vector<Tile> end = k.loop(0, columns, 512, start, step);
    k.store(sums, row, tile::sum(end[0], 0));
    k.store(largest, row, end[1]);
  });
}

// into[|x[i]| % 40] += 1, the running sums of rows of 16 such, and where the largest is in each.
inline Kernel histogram() {
  return tile::build("histogram", [](Builder& k) {
    const Buffer x = k.input("x", DType::i32), into = k.inout("into", DType::i32);
    const Buffer best = k.output("best", DType::i32), running = k.output("running", DType::i32);
    const Tile i = tile::reshape(k.program_id(0) * 512 + k.arange(512), {32, 16});
    const Tile v = tile::abs(k.load(x, i)) % 40;
    k.atomic(tile::Combine::sum, into, v, k.full({32, 16}, 1, DType::i32));
    k.store(running, i, tile::scan(tile::Combine::sum, v, 1));
    k.store(best, k.program_id(0) * 32 + k.arange(32), tile::arg_reduce(tile::Combine::max, v, 1));
  });
}

// out[m, n] = x[m, k] y[k, n] of sizes that `divisor` divides, summed in f32 in a loop of two
// stages.
inline Kernel product(DType dtype, int64_t divisor, bool y_transposed = false) {
  return tile::build("product", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), y = k.input("y", dtype);
    const Buffer out = k.output("out", DType::f32);
    const Tile m = k.size("m"), depth = k.size("k", divisor), n = k.size("n", divisor);
    k.grid([&] { return std::vector<Tile>{tile::ceil_div(m, 32), tile::ceil_div(n, 64)}; });
    const Tile row = tile::expand_dims(k.program_id(0) * 32 + k.arange(32), 1);
    const Tile columns = k.program_id(1) * 64 + k.arange(64);
    const Tile column = tile::expand_dims(columns, 0), turned = tile::expand_dims(columns, 1);
    const auto step = [&](const Tile& at, const Tile& sums) {
      const Tile across = tile::expand_dims(at + k.arange(32), 0);
      const Tile down = tile::expand_dims(at + k.arange(32), 1);
      const Tile a = k.load(x, row * depth + across, (row < m) & (across < depth));
      const Tile b =
          y_transposed
              ? tile::transpose(k.load(y, turned * depth + across, (turned < n) & (across < depth)),
                                {1, 0})
              : k.load(y, down * n + column, (down < depth) & (column < n));
      return tile::dot(a, b, sums);
    };
    const Tile sums = k.loop(0, depth, 32, k.full({32, 64}, 0, DType::f32), step, /*stages=*/2);
    k.store(out, row * n + column, sums, (row < m) & (column < n));
  });
}

}  // namespace cairn::test
