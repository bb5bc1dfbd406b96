// Products with weights of 8 bits and a scale for each row: bit for bit what their definition says
// (tile/quantized.h), however they are computed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cairn/compiler/block_panels.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/quantize.h"
#include "cairn/runtime/runtime.h"
#include "cairn/tile/quantized.h"
#include "cairn/transforms/quantize.h"
#include "tests/compiler/run_kernel.h"
#include "tests/support/random_values.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using test::random_bits;
using test::random_numbers;
using test::same_values;

HostArray random_codes(const Shape& shape, uint64_t seed) {
  const HostArray bits = random_bits(shape, seed);
  HostArray bytes(DType::u8, shape);
  std::ranges::transform(bits.span<uint32_t>(), bytes.mutable_span<uint8_t>().begin(),
                         [](uint32_t b) { return static_cast<uint8_t>(b); });
  return bytes;
}

struct Weight {
  HostArray codes, scales;
};
Weight random_weight(int64_t rows, int64_t columns) {
  return {random_codes({rows, columns}, 2), random_numbers({rows}, 3)};
}

Tensor product(const Tensor& x, const Tensor& codes, const Tensor& scales) {
  return matmul(x, transpose(dequantize_rows(codes, scales)));
}
// As a model has it: the weights are captured.
Function layer(const Tensor& codes, const Tensor& scales, bool is_integer) {
  TensorFunction fn = [=](std::span<const Tensor> x) {
    return std::vector{product(x[0], codes, scales)};
  };
  return Function(is_integer ? with_quantized_activations(fn) : fn);
}
Function layer(Runtime& runtime, const Weight& w, bool is_integer) {
  return layer(runtime.upload(w.codes), runtime.upload(w.scales), is_integer);
}

// The block that x is rounded in.
const BlockFormat& activations(int64_t depth) {
  return *find_block_format(depth % 128 ? "q8_0" : kRowActivations);
}

// The definition.
HostArray expected_product(const HostArray& x, const Weight& w) {
  const int64_t m = x.shape()[0], depth = x.shape()[1], n = w.codes.shape()[0];
  const BlockFormat& f = activations(depth);
  const int64_t size = f.block_elements, blocks = depth / size;
  std::vector<uint8_t> bytes(static_cast<size_t>(m * blocks * f.block_bytes));
  encode_blocks(f, x.span<float>().data(), m * blocks, bytes.data());
  HostArray out(DType::f32, {m, n});
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float acc = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        UnpackedBlock block;
        unpack_block(f, bytes.data() + (i * blocks + b) * f.block_bytes, block);
        int32_t sum = 0;
        for (int64_t e = 0; e < size; ++e)
          sum += block.codes[static_cast<size_t>(e)] *
                 (w.codes.span<uint8_t>()[static_cast<size_t>(j * depth + b * size + e)] - 128);
        acc = std::fma(static_cast<float>(sum), block.scale, acc);
      }
      out.mutable_span<float>()[static_cast<size_t>(i * n + j)] =
          acc * w.scales.span<float>()[static_cast<size_t>(j)];
    }
  return out;
}

HostArray rows_of(const HostArray& from, int64_t first, int64_t count) {
  const int64_t width = from.shape()[1];
  HostArray rows(DType::f32, {count, width});
  std::copy_n(from.span<float>().data() + first * width, count * width,
              rows.mutable_span<float>().data());
  return rows;
}

class RowScaled : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
  }
};

TEST_F(RowScaled, ProductsHaveTheBitsOfTheDefinition) {
  Runtime runtime({.threads = 2});
  struct Sizes {
    int64_t m, n, depth;
  };
  for (const auto& [m, n, depth] : {Sizes{1, 64, 128},
                                    {1, 70, 384},
                                    {2, 64, 256},
                                    {3, 33, 640},
                                    {5, 64, 128},
                                    {8, 129, 256},
                                    {12, 64, 128},
                                    {16, 70, 128},
                                    {65, 70, 256},
                                    {17, 64, 96},
                                    {1, 1, 32}}) {
    SCOPED_TRACE(fmt::format("{} x {} x {}", m, depth, n));
    HostArray x = random_numbers({m, depth}, 1);
    // A block of zeros, and one whose scale an f16 could not hold.
    std::fill_n(x.mutable_span<float>().begin(), 32, 0.0f);
    x.mutable_span<float>().back() = 1e9f;
    const Weight w = random_weight(n, depth);
    EXPECT_TRUE(same_values(layer(runtime, w, true)(runtime, {runtime.upload(x)})[0].host(),
                            expected_product(x, w)));
  }
}

// One thread or three, one row or many, captured or given, fused or eager: the same bits.
TEST_F(RowScaled, EverybodyHasTheSameBits) {
  Runtime one({.threads = 1}), three({.threads = 3});
  const HostArray x = random_numbers({65, 384}, 1);
  const Weight w = random_weight(70, 384);
  const BlockFormat& format = *find_block_format(kRowFormat);
  for (const bool is_integer : {false, true}) {
    SCOPED_TRACE(is_integer);
    const HostArray all = layer(one, w, is_integer)(one, {one.upload(x)})[0].host();
    EXPECT_TRUE(same_values(layer(three, w, is_integer)(three, {three.upload(x)})[0].host(), all));
    for (const auto& [first, count] :
         {std::pair{0, 1}, {7, 2}, {11, 3}, {20, 8}, {31, 11}, {40, 16}, {3, 30}})
      EXPECT_TRUE(same_values(
          layer(one, w, is_integer)(one, {one.upload(rows_of(x, first, count))})[0].host(),
          rows_of(all, first, count)))
          << first;
    const Tensor a = three.upload(x), codes = three.upload(w.codes),
                 scales = three.upload(w.scales);
    const Tensor built = product(a, codes, scales);
    const Tensor wanted = is_integer ? with_quantized_activations(std::vector{built})[0] : built;
    EXPECT_TRUE(same_values(eval(three, wanted).host(), all));
    EvalOptions options;
    options.eager = true;
    EXPECT_TRUE(same_values(eval(three, std::vector{wanted}, options)[0].host(), all));
    // A weight that is kept in panels.
    const Tensor kept =
        from_block_panels(eval(one, in_block_panels(one.upload(w.codes), format)), format, 70);
    EXPECT_TRUE(same_values(
        layer(kept, one.upload(w.scales), is_integer)(one, {one.upload(x)})[0].host(), all));
  }
}

// `ref` rounds the same activations, and adds up in f64: each element within the roundings of the
// sum of its blocks, or where x is as it is, of its products.
TEST_F(RowScaled, TheReferenceAgrees) {
  Runtime cpu({.threads = 2}), ref({.device = "ref", .threads = 2});
  const HostArray x = random_numbers({9, 256}, 1);
  const Weight w = random_weight(40, 256);
  const auto numbers = [](const HostArray& array) { return array.span<float>(); };
  for (const bool is_integer : {false, true}) {
    const HostArray ours = layer(cpu, w, is_integer)(cpu, {cpu.upload(x)})[0].host();
    const HostArray theirs = layer(ref, w, is_integer)(ref, {ref.upload(x)})[0].host();
    for (int64_t i = 0; i < 9; ++i)
      for (int64_t j = 0; j < 40; ++j) {
        // |x| is at most 1, codes are at most 128.
        const double size = 128.0 * 256 * std::fabs(numbers(w.scales)[static_cast<size_t>(j)]);
        const auto at = static_cast<size_t>(i * 40 + j);
        EXPECT_NEAR(numbers(ours)[at], numbers(theirs)[at], size * 0x1p-24 * 260) << is_integer;
      }
  }
}

TEST_F(RowScaled, AreOneKernelBesideTheRounding) {
  Runtime runtime({.threads = 1});
  const Weight w = random_weight(64, 128);
  const Tensor x = runtime.upload(random_numbers({2, 128}, 1));
  for (const bool is_integer : {false, true}) {
    Function fn = layer(runtime, w, is_integer);
    fn(runtime, {x});
    std::vector<std::string> names;
    for (const Launch& launch : fn.last_plan()->launches)
      names.push_back(launch.node()->attrs().text(Attr::name));
    EXPECT_EQ(names, is_integer ? std::vector<std::string>({"quantize_rows", "row_scaled_product"})
                                : std::vector<std::string>({"decoded_product"}));
  }
}

// The kernels on each instruction set, against the interpreter.
class RowScaledKernels : public ::testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
    if (GetParam() > detect_cpu_target()) GTEST_SKIP() << "needs " << name(GetParam());
  }
};

TEST_P(RowScaledKernels, ComputeWhatTheInterpreterDoes) {
  constexpr int64_t kColumns = 70, kPanelColumns = 128, kDepth = 256;
  for (const int64_t block : {32, 128})
    for (const int64_t rows : {1, 4, 6, 48}) {
      SCOPED_TRACE(fmt::format("blocks of {}, {} rows", block, rows));
      const int64_t used = rows + rows / 2 + 1, x_rows = 2 * rows, blocks = kDepth / block;
      const std::vector<test::RandomArgument> arguments = {
          {kDepth * x_rows},
          {blocks * x_rows, {}, true},
          {kDepth / tile::activation_sum(block) * x_rows},
          {kPanelColumns * kDepth / 4},
          {kColumns, {}, true},
          {used * kColumns},
          {0, std::min(used, x_rows)},
          {0, kColumns},
          {0, kDepth},
          {0, x_rows}};
      const auto difference = test::find_difference(tile::row_scaled_product_kernel(block, rows),
                                                    arguments, 1, GetParam());
      EXPECT_FALSE(difference) << *difference;
    }
}

TEST_P(RowScaledKernels, RoundAsTheInterpreterDoes) {
  for (const std::string_view format :
       {std::string_view("q8_0"), kRowActivations, kGroupActivations})
    for (const bool has_many_rows : {false, true}) {
      const BlockFormat& f = *find_block_format(format);
      const int64_t rows = 17, x_rows = 18, blocks = 5, elements = f.block_elements;
      const int64_t sums =
          elements == tile::kGroupBlock ? 2 : elements / tile::activation_sum(elements);
      const std::vector<test::RandomArgument> arguments = {{rows * blocks * elements},
                                                           {x_rows * blocks * elements},
                                                           {x_rows * blocks},
                                                           {x_rows * blocks * sums},
                                                           {0, rows},
                                                           {0, blocks},
                                                           {0, x_rows}};
      const auto difference = test::find_difference(tile::quantize_rows_kernel(f, has_many_rows),
                                                    arguments, 1, GetParam());
      EXPECT_FALSE(difference) << format << " " << has_many_rows << ": " << *difference;
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, RowScaledKernels,
                         ::testing::Values(CpuTarget::avx2, CpuTarget::avx512),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST(RowScaledRows, WantAScaleForEachRow) {
  const Tensor codes = Tensor::input({DType::u8, {4, 64}}, "t");
  EXPECT_THROW(dequantize_rows(codes, Tensor::input({DType::f32, {64}}, "t")), Error);
  EXPECT_THROW(dequantize_rows(codes, Tensor::input({DType::f32, {4, 1}}, "t")), Error);
}

// Blocks of 128 where they divide a row, of 32 elsewhere.
TEST(RowScaledRows, SayWhatActivationsAreRoundedTo) {
  const auto formats = [](int64_t depth) {
    const Graph graph = with_quantized_activations(
        trace([](std::span<const Tensor> x) { return std::vector{product(x[0], x[1], x[2])}; },
              std::vector<TensorType>{
                  {DType::f32, {2, depth}}, {DType::u8, {5, depth}}, {DType::f32, {5}}}));
    std::vector<std::string> found;
    for (const Node* node : topological_order(graph.outputs))
      if (node->op() == Op::quantize) found.push_back(node->attrs().text(Attr::format));
    return found;
  };
  EXPECT_EQ(formats(384), std::vector<std::string>{"int8_128"});
  EXPECT_EQ(formats(96), std::vector<std::string>{"q8_0"});
}

}  // namespace
}  // namespace cairn
