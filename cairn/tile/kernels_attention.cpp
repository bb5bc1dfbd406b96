// Fused attention: softmax(q k^T * scale) v without the matrix of scores in memory.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "cairn/base/error.h"
#include "cairn/tile/kernel_cases.h"
#include "cairn/tile/rows.h"

namespace cairn::tile::detail {
namespace {

using Tiles = std::vector<Tile>;

constexpr int64_t kQueries = 64, kKeys = 64, kMaxWidth = 256;

// Keys are walked in blocks with a running maximum and sum per query (Milakov and Gimelshein, 2018;
// FlashAttention: Dao et al., 2022). When a later block has a larger score, what was summed so far
// is scaled down to the new maximum.
Kernel make_attention(DType dtype, const Shape& shape, const Ints&) {
  // The width of a tile is static: the next power of two, with zeros in the rest.
  const auto width =
      static_cast<int64_t>(std::bit_ceil(std::max<uint64_t>(16, uint64_t(shape[2]))));
  if (width > kMaxWidth)
    throw_error(fmt::format("kernel attention takes heads of at most {} numbers, not {}", kMaxWidth,
                            shape[2]));
  return build("attention", [&](Builder& k) {
    const DType wide = compute_type(dtype);
    const double infinity = std::numeric_limits<double>::infinity();
    const Buffer q = k.input("q", dtype), key = k.input("k", dtype), v = k.input("v", dtype);
    const Buffer out = k.output("out", dtype);
    const Tile heads = k.size("heads"), n = k.size("tokens"), d = k.size("width");
    const Tile scale = k.scalar("scale", wide), causal = k.scalar("causal", DType::b8);
    k.grid([&] { return Tiles{heads, ceil_div(n, kQueries)}; });
    const Tile head = k.program_id(0) * n * d, block = k.program_id(1);
    const Tile i = expand_dims(block * kQueries + k.arange(kQueries), 1);  // [64, 1]
    const Tile feature = expand_dims(k.arange(width), 0);                  // [1, width]
    const Tile query = k.load(q, head + i * d + feature, (i < n) & (feature < d));
    // The last key that each query sees; later blocks are not visited.
    const Tile last = where(causal, minimum(i, n - 1), n - 1);
    const Tile end = where(causal, minimum((block + 1) * kQueries, n), n);
    const Tiles result = k.loop(
        0, end, kKeys,
        {k.full({kQueries, 1}, -infinity, wide), k.full({kQueries, 1}, 0, wide),
         k.full({kQueries, width}, 0, wide)},
        [&](const Tile& begin, const Tiles& carried) {
          const Tile j = begin + k.arange(kKeys), down = expand_dims(j, 1);
          const Tile there = (down < n) & (feature < d);
          const Tile keys = k.load(key, head + down * d + feature, there);
          const Tile values = k.load(v, head + down * d + feature, there);
          const Tile product =
              dot(query, transpose(keys, {1, 0}), k.full({kQueries, kKeys}, 0, wide));
          const Tile score = where(expand_dims(j, 0) <= last, product * scale, -infinity);
          const Tile largest = maximum(carried[0], expand_dims(max(score, 1), 1));
          const Tile weight = exp(score - largest), keep = exp(carried[0] - largest);
          return Tiles{largest, carried[1] * keep + expand_dims(sum(weight, 1), 1),
                       dot(narrow(weight, dtype), values, carried[2] * keep)};
        },
        /*stages=*/2);
    k.store(out, head + i * d + feature, narrow(result[2] / result[1], dtype),
            (i < n) & (feature < d));
  });
}

KernelCall attention_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  return {{fill.even(dtype, shape), fill.even(dtype, shape), fill.even(dtype, shape),
           no_result(dtype, shape), shape[0], shape[1], shape[2],
           1 / std::sqrt(static_cast<double>(shape[2])), seed % 2 == 0}};
}

struct Attention {
  const std::vector<double>&q, &key, &v;
  int64_t tokens, width;
  double scale;
  bool causal;
  DType dtype;

  // Output row `row` of all heads' rows.
  void expect(int64_t row, Expected& out) const {
    const int64_t i = row % tokens, head = row - i;
    const int64_t keys = causal ? i + 1 : tokens;
    std::vector<double> scores;
    double largest_size = 0;
    for (int64_t j = 0; j < keys; ++j) {
      double score = 0, size = 0;
      for (int64_t f = 0; f < width; ++f) {
        const double product = q[size_t(row * width + f)] * key[size_t((head + j) * width + f)];
        score += product;
        size += std::abs(product);
      }
      scores.push_back(score * scale);
      largest_size = std::max(largest_size, size * scale);
    }
    const auto [least, most] = std::ranges::minmax(scores);
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - most);
    const double u = unit(dtype), depth = most - least;
    const auto blocks = std::ceil(static_cast<double>(keys) / static_cast<double>(kKeys));
    // A score errs by a chain of `width`, scale and product; a weight by two scores and exp. The
    // running maximum is reached in steps that add up to at most `depth`, each an exp and two
    // products; sums add 7 a block, the chain of values one a key.
    const double score_error = 0.5 * u * (static_cast<double>(width) + 2) * largest_size;
    const double weight_error = 2 * score_error + u * (depth + 1) + 3 * u * blocks;
    const double relative = 2 * weight_error +
                            u * (7 * blocks + 0.5 * static_cast<double>(keys) + 2) +
                            (dtype == compute_type(dtype) ? 0 : epsilon(dtype));
    for (int64_t f = 0; f < width; ++f) {
      double value = 0, size = 0;
      for (int64_t j = 0; j < keys; ++j) {
        const double part = scores[size_t(j)] / total * v[size_t((head + j) * width + f)];
        value += part;
        size += std::abs(part);
      }
      // A weight below f16's normal numbers is off by their spacing.
      const double lost = dtype == DType::f16 ? 0x1p-25 * static_cast<double>(keys) * 2 / total : 0;
      add(out, row * width + f, value, relative * size + lost + rounding(dtype, value));
    }
  }
};

std::vector<Expected> expect_attention(DType dtype, const Shape& shape, const KernelCall& call) {
  const std::vector<double> q = numbers(call.array(0)), key = numbers(call.array(1));
  const std::vector<double> v = numbers(call.array(2));
  const Attention attention{q,    key, v, shape[1], shape[2], call.number(7), call.number(8) != 0,
                            dtype};
  Expected out{3, {}, {}, {}};
  const int64_t most = (1 << 25) / (shape[1] * shape[2]);  // that take some 2^26 products
  for (int64_t row : spread(shape[0] * shape[1], std::max<int64_t>(1, most)))
    attention.expect(row, out);
  return {out};
}

// Two products; causal ones of half of the scores and the diagonal.
double attention_flops(const Shape& shape, const KernelCall& call) {
  const auto tokens = static_cast<double>(shape[1]);
  const double scores = call.number(8) != 0 ? tokens * (tokens + 1) / 2 : tokens * tokens;
  return 4.0 * static_cast<double>(shape[0] * shape[2]) * scores;
}

}  // namespace

void add_attention(std::vector<NamedKernel>& kernels) {
  kernels.push_back({"attention",
                     "softmax(q k^T scale) v for each head, causal or not",
                     "HEADSxTOKENSxWIDTH",
                     {8, 512, 64},
                     {2, 70, 20},
                     kFloats,
                     make_attention,
                     attention_call,
                     expect_attention,
                     attention_flops});
}

}  // namespace cairn::tile::detail
