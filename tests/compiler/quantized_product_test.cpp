// Products with quantized weights: kernels made from the declaration of each format, against what
// the decoder says, and with the same bits however they are computed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cairn/compiler/block_panels.h"
#include "cairn/compiler/hoist.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
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

using test::random_numbers;
using test::same_values;

// Rows in that format, [rows, bytes of a row].
HostArray encoded(const BlockFormat& f, const HostArray& values) {
  const int64_t rows = values.shape()[0], blocks = values.shape()[1] / f.block_elements;
  HostArray bytes(DType::u8, {rows, blocks * f.block_bytes});
  encode_blocks(f, values.span<float>().data(), rows * blocks,
                bytes.mutable_span<uint8_t>().data());
  return bytes;
}
std::vector<float> decoded(const BlockFormat& f, const HostArray& bytes) {
  const int64_t blocks = bytes.shape().elements() / f.block_bytes;
  std::vector<float> values(static_cast<size_t>(blocks * f.block_elements));
  decode_blocks(f, bytes.span<uint8_t>().data(), blocks, values.data());
  return values;
}

class Formats : public ::testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
    ASSERT_TRUE(tile::has_product_kernel(format()));
  }
  static const BlockFormat& format() { return *find_block_format(GetParam()); }
};

Tensor product(const Tensor& x, const Tensor& bytes) {
  return matmul(x, transpose(dequantize(bytes, Formats::GetParam())));
}
// As a model has it: the weights are captured, and activations quantized where `is_integer`.
Function layer(const Tensor& bytes, bool is_integer) {
  TensorFunction fn = [bytes](std::span<const Tensor> x) {
    return std::vector{product(x[0], bytes)};
  };
  return Function(is_integer ? with_quantized_activations(fn) : fn);
}

struct Sizes {
  int64_t m, n, blocks;
};
constexpr Sizes kSizes[] = {{1, 64, 2},  {1, 70, 3},  {3, 33, 2},
                            {8, 129, 1}, {65, 70, 2}, {17, 64, 1}};

TEST_P(Formats, PanelsHoldTheBytes) {
  const BlockFormat& f = format();
  Runtime runtime({.threads = 3});
  for (const int64_t rows : {1, 64, 70}) {
    const HostArray bytes = encoded(f, random_numbers({rows, 2 * f.block_elements}, 1));
    const Tensor leaf = runtime.upload(bytes);
    const Tensor panels = eval(runtime, in_block_panels(leaf, f));
    EXPECT_EQ(panels.shape(), block_panels_shape(f, rows, bytes.shape()[1]));
    EXPECT_TRUE(same_values(eval(runtime, from_block_panels(panels, f, rows)).host(), bytes));
    HostArray written(DType::u8, panels.shape());
    ThreadPool pool(2);
    write_block_panels(f, bytes.span<uint8_t>().data(), rows, bytes.shape()[1],
                       written.mutable_span<uint8_t>().data(), pool);
    EXPECT_TRUE(same_values(panels.host(), written));
  }
}

// The rows of a table that is multiplied with are those of its panels.
TEST_P(Formats, RowsOfATableAreTakenFromPanels) {
  const BlockFormat& f = format();
  Runtime runtime({.threads = 2});
  const int64_t rows = 130, depth = 2 * f.block_elements;
  const HostArray bytes = encoded(f, random_numbers({rows, depth}, 3));
  const Tensor panels = eval(runtime, in_block_panels(runtime.upload(bytes), f));
  const Tensor table = dequantize(from_block_panels(panels, f, rows), f.name);
  Function tied([&](std::span<const Tensor> args) {
    const Tensor h = take(table, args[0], 0);
    return std::vector{h, matmul(reshape(h, {6, depth}), transpose(table))};
  });
  const Tensor ids = Tensor::from<int32_t>({0, 15, 16, 63, 64, 129}, {2, 3});
  const std::vector<Tensor> got = tied(runtime, {ids});
  const Tensor plain = dequantize(runtime.upload(bytes), f.name);
  const Tensor h = take(plain, ids, 0);
  EXPECT_TRUE(same_values(got[0].host(), eval(runtime, h).host()));
  EXPECT_TRUE(same_values(got[1].host(),
                          eval(runtime, matmul(reshape(h, {6, depth}), transpose(plain))).host()));
  // Neither is made of all rows.
  for (const Launch& launch : tied.last_plan()->launches)
    for (const Node* node : launch.group.nodes)
      EXPECT_FALSE(node->op() == Op::dequantize && node->output().shape.elements() > 6 * depth);
  // The last panel is filled up; what fills it is no row.
  const Tensor wrong = Tensor::from<int32_t>({0, 1, 130, 2, 3, 4}, {2, 3});
  EXPECT_THROW(tied(runtime, {wrong})[0].host(), Error);
}

// Each element within the roundings of sums of that many products, of what the formats say.
TEST_P(Formats, ProductsAreThoseOfDecodedNumbers) {
  const BlockFormat& f = format();
  const BlockFormat& of_x =
      *find_block_format(tile::has_scaled_codes(f) ? kGroupActivations : "q8_0");
  Runtime runtime({.threads = 2});
  for (const auto& [m, n, blocks] : kSizes) {
    const int64_t depth = blocks * f.block_elements;
    const HostArray x = random_numbers({m, depth}, 1);
    const HostArray bytes = encoded(f, random_numbers({n, depth}, 2));
    const std::vector<float> w = decoded(f, bytes);
    for (const bool is_integer : {false, true}) {
      SCOPED_TRACE(fmt::format("{} x {} x {}, integer {}", m, depth, n, is_integer));
      const std::vector<float> rounded = decoded(of_x, encoded(of_x, x));
      const auto left = is_integer ? std::span<const float>(rounded) : x.span<float>();
      const HostArray result =
          layer(runtime.upload(bytes), is_integer)(runtime, {runtime.upload(x)})[0].host();
      const auto out = result.span<float>();
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0, size = 0;
          for (int64_t e = 0; e < depth; ++e) {
            const double term = static_cast<double>(left[static_cast<size_t>(i * depth + e)]) *
                                w[static_cast<size_t>(j * depth + e)];
            sum += term;
            size += std::fabs(term);
          }
          // A rounding for each step along K; minimums, which are added apart, may cancel.
          const double most = (f.has_minimum() && is_integer ? 4 : 1) * size;
          ASSERT_NEAR(out[static_cast<size_t>(i * n + j)], sum,
                      most * 0x1p-24 * static_cast<double>(depth + 8) + 1e-30)
              << i << ", " << j;
        }
    }
  }
}

// What tile/quantized.h says of codes that are multiplied with the scales of their groups.
HostArray product_of_scaled_codes(const BlockFormat& f, const HostArray& x,
                                  const HostArray& bytes) {
  const BlockFormat& of_x = *find_block_format(kGroupActivations);
  const int64_t m = x.shape()[0], n = bytes.shape()[0], size = of_x.block_elements;
  const int64_t depth = x.shape()[1], per_block = f.block_elements / size;
  const HostArray x_bytes = encoded(of_x, x);
  HostArray out(DType::f32, {m, n});
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float acc = 0;
      for (int64_t b = 0; b < depth / size; ++b) {
        UnpackedBlock w, v;
        unpack_block(
            f, bytes.span<uint8_t>().data() + j * bytes.shape()[1] + b / per_block * f.block_bytes,
            w);
        unpack_block(of_x,
                     x_bytes.span<uint8_t>().data() + i * x_bytes.shape()[1] + b * of_x.block_bytes,
                     v);
        int32_t products = 0, minimums = 0;
        for (int64_t e = 0; e < size; ++e) {
          const auto of_w = static_cast<size_t>(b % per_block * size + e);
          const size_t group = of_w / static_cast<size_t>(f.group_elements);
          const int32_t code = v.codes[static_cast<size_t>(e)];
          products += w.group_scales[group] * w.codes[of_w] * code;
          minimums += w.group_minimums[group] * code;
        }
        float u = static_cast<float>(products) * w.scale;
        u = std::fma(static_cast<float>(minimums), f.subtracts_minimum ? -w.minimum : w.minimum, u);
        acc = std::fma(u, v.scale, acc);
      }
      out.mutable_span<float>()[static_cast<size_t>(i * n + j)] = acc;
    }
  return out;
}

TEST_P(Formats, ScaledCodesHaveTheBitsOfTheirDefinition) {
  const BlockFormat& f = format();
  if (!tile::has_scaled_codes(f)) return;
  Runtime runtime({.threads = 2});
  for (const auto& [m, n, blocks] : kSizes) {
    SCOPED_TRACE(fmt::format("{} x {} blocks x {}", m, blocks, n));
    const HostArray x = random_numbers({m, blocks * f.block_elements}, 3);
    const HostArray bytes = encoded(f, random_numbers({n, blocks * f.block_elements}, 4));
    EXPECT_TRUE(
        same_values(layer(runtime.upload(bytes), true)(runtime, {runtime.upload(x)})[0].host(),
                    product_of_scaled_codes(f, x, bytes)));
  }
}

// One thread or three, one row or many, captured or given, fused or eager: the same bits.
TEST_P(Formats, EverybodyHasTheSameBits) {
  const BlockFormat& f = format();
  Runtime one({.threads = 1}), three({.threads = 3});
  const int64_t depth = 2 * f.block_elements, n = 70, m = 65;
  const HostArray x = random_numbers({m, depth}, 1);
  const HostArray bytes = encoded(f, random_numbers({n, depth}, 2));
  for (const bool is_integer : {false, true}) {
    SCOPED_TRACE(is_integer);
    const HostArray all = layer(one.upload(bytes), is_integer)(one, {one.upload(x)})[0].host();
    EXPECT_TRUE(same_values(
        layer(three.upload(bytes), is_integer)(three, {three.upload(x)})[0].host(), all));
    const auto row_of = [&](const HostArray& from, int64_t first, int64_t count) {
      const int64_t width = from.shape()[1];
      HostArray rows(DType::f32, {count, width});
      std::copy_n(from.span<float>().data() + first * width, count * width,
                  rows.mutable_span<float>().data());
      return rows;
    };
    for (const auto& [first, count] :
         {std::pair{0, 1}, {7, 2}, {11, 3}, {20, 9}, {40, 16}, {3, 30}})
      EXPECT_TRUE(same_values(
          layer(one.upload(bytes), is_integer)(one, {one.upload(row_of(x, first, count))})[0]
              .host(),
          row_of(all, first, count)))
          << first;
    const Tensor a = three.upload(x), b = three.upload(bytes);
    const Tensor built =
        is_integer ? with_quantized_activations(std::vector{product(a, b)})[0] : product(a, b);
    EXPECT_TRUE(same_values(eval(three, built).host(), all));
    EvalOptions options;
    options.eager = true;
    EXPECT_TRUE(same_values(eval(three, std::vector{built}, options)[0].host(), all));
    // A weight that is kept in panels.
    const Tensor kept = from_block_panels(eval(one, in_block_panels(one.upload(bytes), f)), f, n);
    EXPECT_TRUE(same_values(layer(kept, is_integer)(one, {one.upload(x)})[0].host(), all));
  }
}

// A launch for x and one for each weight; the panels are made once and kept.
TEST_P(Formats, AreOneKernel) {
  const BlockFormat& f = format();
  Runtime runtime({.threads = 1});
  const HostArray bytes = encoded(f, random_numbers({64, f.block_elements}, 2));
  const Tensor x = runtime.upload(random_numbers({2, f.block_elements}, 1));
  for (const bool is_integer : {false, true}) {
    Function fn = layer(runtime.upload(bytes), is_integer);
    fn(runtime, {x});
    std::vector<std::string> names;
    for (const Launch& launch : fn.last_plan()->launches)
      names.push_back(launch.node()->attrs().text(Attr::name));
    EXPECT_EQ(names, is_integer ? std::vector<std::string>({"quantize_rows", "integer_product"})
                                : std::vector<std::string>({"decoded_product"}));
  }
}

// Codes times the scales of their groups on each instruction set, against the interpreter.
class ScaledCodeKernels : public ::testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
    if (GetParam() > detect_cpu_target()) GTEST_SKIP() << "needs " << name(GetParam());
  }
};

TEST_P(ScaledCodeKernels, ComputeWhatTheInterpreterDoes) {
  const BlockFormat& f = *find_block_format("q2_k");
  ASSERT_TRUE(tile::has_scaled_codes(f));
  constexpr int64_t kColumns = 20, kBlocks = 2;
  const int64_t depth = kBlocks * f.block_elements;
  const int64_t bytes = 2 * tile::panel_rows(f) * kBlocks * f.block_bytes;
  for (const int64_t rows : {1, 4, 8, 48})
    for (const bool is_few : {false, true}) {
      if (is_few && rows > tile::kSomeRows) continue;
      SCOPED_TRACE(fmt::format("{} rows, few {}", rows, is_few));
      const int64_t x_rows = is_few ? rows : 2 * rows, used = x_rows - rows / 2;
      const int64_t of_x = depth * x_rows, blocks_of_x = of_x / tile::kGroupBlock;
      const std::vector<test::RandomArgument> arguments = {{of_x},
                                                           {blocks_of_x, {}, true},
                                                           {blocks_of_x * 8},
                                                           {bytes},
                                                           {bytes / 4},
                                                           {bytes / 2, {}, true},
                                                           {used * kColumns},
                                                           {0, used},
                                                           {0, kColumns},
                                                           {0, depth},
                                                           {0, x_rows}};
      const auto difference = test::find_difference(
          tile::scaled_code_product_kernel(f, rows, is_few ? rows : 0), arguments, 1, GetParam());
      EXPECT_FALSE(difference) << *difference;
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, ScaledCodeKernels,
                         ::testing::Values(CpuTarget::avx2, CpuTarget::avx512),
                         [](const auto& info) { return std::string(name(info.param)); });

int64_t count(const Graph& graph, Op op) {
  return std::ranges::count_if(topological_order(graph.outputs),
                               [op](const Node* node) { return node->op() == op; });
}

TEST(QuantizedActivations, AreMadeOnceForAllProductsOfAnX) {
  const auto fn = [](std::span<const Tensor> x) {
    const auto times = [&](const Tensor& w) {
      return matmul(x[0], transpose(dequantize(w, "q4_0")));
    };
    return std::vector{times(x[1]), times(x[2]), matmul(x[0], transpose(x[3]))};
  };
  const auto graph_of = [&](int64_t depth, int64_t row_bytes) {
    const TensorType w{DType::u8, {5, row_bytes}};
    return with_quantized_activations(trace(
        fn, std::vector<TensorType>{{DType::f32, {2, 3, depth}}, w, w, {DType::f32, {5, depth}}}));
  };
  const Graph graph = graph_of(64, 36);
  EXPECT_EQ(count(graph, Op::quantize), 1);
  EXPECT_EQ(count(graph, Op::dequantize), 3);
  EXPECT_EQ(graph.outputs[0].shape(), (Shape{2, 3, 5}));
  EXPECT_THROW(with_quantized_activations(graph, "q9_9"), Error);
  // Once is enough.
  EXPECT_EQ(count(with_quantized_activations(graph), Op::quantize), 1);
}

INSTANTIATE_TEST_SUITE_P(All, Formats, ::testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const BlockFormat& f : block_formats()) names.push_back(f.name);
                           return names;
                         }()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace cairn
