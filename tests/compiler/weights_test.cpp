// Functions that captured weights: what follows from them alone is computed once, and products read
// it in panels, with the same bits as otherwise.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cairn/base/philox.h"
#include "cairn/compiler/hoist.h"
#include "cairn/compiler/panels.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/kept_values.h"
#include "cairn/runtime/runtime.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

// Whole numbers of a byte, and floats with all bits of their type.
Tensor random_leaf(Runtime& runtime, DType dtype, const Shape& shape, uint64_t seed) {
  HostArray bits(DType::u32, shape);
  philox_fill(fold_in(PhiloxKey{}, seed), 0, bits.mutable_span<uint32_t>());
  const auto from = bits.span<uint32_t>();
  if (size_of(dtype) == 1) {
    HostArray bytes(dtype, shape);
    auto* to = static_cast<uint8_t*>(bytes.mutable_data());
    for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<uint8_t>(from[i]);
    return runtime.upload(bytes, "w");
  }
  HostArray values(DType::f32, shape);
  auto to = values.mutable_span<float>();
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<float>(from[i] >> 8) * 0x1p-23f - 1;
  return eval(runtime, cast(runtime.upload(values, "w"), dtype));
}

int64_t operations(const Plan& plan, Op op) {
  int64_t count = 0;
  for (const Launch& launch : plan.launches)
    for (const Node* node : launch.group.nodes) count += node->op() == op;
  return count;
}
bool has_panels(const Plan& plan) {
  for (const Launch& launch : plan.launches)
    for (const Node* node : launch.group.nodes)
      if (reads_panels(*node, 1)) return true;
  return false;
}

class Weights : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
  }
};

struct Sizes {
  int64_t m, k, n;
};
constexpr Sizes kSizes[] = {{1, 16, 48},   {1, 77, 130},  {2, 256, 64},  {5, 301, 97},
                            {12, 64, 192}, {16, 513, 70}, {17, 40, 100}, {96, 259, 131}};

struct Types {
  DType x, w;
};
class PackedProduct : public Weights,
                      public ::testing::WithParamInterface<std::tuple<Types, bool>> {};

// Each element is the same chain of sums however the weights lie, and whoever computes it.
TEST_P(PackedProduct, HasTheBitsOfThePlainOne) {
  const auto [types, is_transposed] = GetParam();
  Runtime one({.threads = 1}), three({.threads = 3});
  for (const auto& [m, k, n] : kSizes) {
    SCOPED_TRACE(fmt::format("{} x {} x {}", m, k, n));
    const Tensor x = random_leaf(one, types.x, {m, k}, 1);
    const Tensor w = random_leaf(one, types.w, is_transposed ? Shape{n, k} : Shape{k, n}, 2);
    const auto product = [&, transposed = is_transposed](const Tensor& a, const Tensor& b) {
      return matmul(a, transposed ? transpose(b) : b);
    };
    Function packed([&](std::span<const Tensor> args) { return std::vector{product(args[0], w)}; });
    const HostArray want = eval(one, product(x, w)).host();
    EXPECT_TRUE(test::same_values(packed(one, {x})[0].host(), want));
    EXPECT_TRUE(has_panels(*packed.last_plan()));
    EXPECT_TRUE(test::same_values(packed(three, {x})[0].host(), want));
    EXPECT_TRUE(test::same_values(packed(one, {x}, {.eager = true})[0].host(), want));
    EXPECT_FALSE(has_panels(*packed.last_plan()));
    // The reference backend reads panels too; sums of bytes have one value.
    const Hoisted hoisted =
        hoist(trace([&](std::span<const Tensor> args) { return std::vector{product(args[0], w)}; },
                    std::vector{x.type()}),
              true);
    ASSERT_EQ(hoisted.values.size(), 1u);
    Runtime ref({.device = "ref", .threads = 1});
    std::vector<Tensor> args = {x, eval(ref, hoisted.values[0])};
    const auto plan = ref.plan(hoisted.graph, {}, false);
    const HostArray got = ref.run(plan, args)[0].host();
    EXPECT_TRUE(test::same_values(got, eval(ref, product(x, w)).host()));
    if (size_of(types.x) == 1) {
      EXPECT_TRUE(test::same_values(got, want));
    }
  }
}

TEST_F(Weights, OfConvolutionsAreOnceInTheOrderOfTheirKernel) {
  Runtime runtime({.threads = 2});
  const Tensor x = random_leaf(runtime, DType::f32, {2, 5, 9, 8}, 1);
  const Tensor w = random_leaf(runtime, DType::f32, {70, 5, 3, 3}, 2);
  Function layer([&](std::span<const Tensor> args) {
    return std::vector{convolution(args[0], w, {}, {.padding = {1}})};
  });
  Function with_weights([](std::span<const Tensor> args) {
    return std::vector{convolution(args[0], args[1], {}, {.padding = {1}})};
  });
  const HostArray want = with_weights(runtime, {x, w})[0].host();
  EXPECT_TRUE(test::same_values(layer(runtime, {x})[0].host(), want));
  // What is left puts the result in order.
  EXPECT_EQ(operations(*with_weights.last_plan(), Op::transpose), 2);
  EXPECT_EQ(operations(*layer.last_plan(), Op::transpose), 1);
}

// A product of f32 reads weights of f16 and bf16 as they are, in panels that are packed by a graph
// or by who loads them, with the bits of one whose weights are f32.
class NarrowWeights : public Weights, public ::testing::WithParamInterface<DType> {};

Tensor loaded_panels(Runtime& runtime, const HostArray& rows) {
  const int64_t count = rows.shape()[0], depth = rows.shape()[1];
  HostArray panels(rows.dtype(), panels_shape(rows.dtype(), count, depth));
  std::memset(panels.mutable_data(), 0xff, panels.bytes());
  write_panels(rows.dtype(), rows.data(), count, depth, panels.mutable_data(), runtime.pool());
  return runtime.upload(panels, "w");
}

TEST_P(NarrowWeights, AreReadWithTheBitsOfWideOnes) {
  Runtime one({.threads = 1}), three({.threads = 3});
  for (const auto& [m, k, n] : kSizes) {
    SCOPED_TRACE(fmt::format("{} x {} x {}", m, k, n));
    const Tensor x = random_leaf(one, DType::f32, {m, k}, 1);
    const Tensor w = random_leaf(one, GetParam(), {n, k}, 2);
    const Tensor wide = eval(one, cast(w, DType::f32));
    const HostArray want = eval(one, matmul(x, transpose(wide))).host();
    const Tensor panels = loaded_panels(one, w.host());
    EXPECT_TRUE(test::same_values(panels.host(), eval(one, in_panels(transpose(w))).host()));
    EXPECT_TRUE(test::same_values(eval(one, from_panels(panels, n, k)).host(), w.host()));
    for (const Tensor& weight : {w, from_panels(panels, n, k)}) {
      const auto layer = [&](std::span<const Tensor> args) {
        return std::vector{matmul(args[0], transpose(cast(weight, DType::f32)))};
      };
      Function packed(layer);
      EXPECT_TRUE(test::same_values(packed(one, {x})[0].host(), want));
      EXPECT_TRUE(has_panels(*packed.last_plan()));
      EXPECT_TRUE(test::same_values(packed(three, {x})[0].host(), want));
      EXPECT_TRUE(test::same_values(packed(one, {x}, {.eager = true})[0].host(), want));
      // One copy: nothing is kept beside panels, and what is kept of rows is as narrow.
      const Hoisted hoisted = hoist(trace(layer, std::vector{x.type()}), true);
      ASSERT_EQ(hoisted.values.size(), same(weight, w) ? 1u : 0u);
      for (const Tensor& kept : hoisted.values) EXPECT_EQ(kept.dtype(), GetParam());
      Runtime ref({.device = "ref", .threads = 1});
      EXPECT_TRUE(test::same_values(eval(ref, layer(std::vector{x})[0]).host(),
                                    eval(ref, matmul(x, transpose(wide))).host()));
    }
  }
}

TEST_P(NarrowWeights, OfATableAreTakenFromPanels) {
  Runtime runtime({.threads = 2});
  for (const auto& [rows, depth] : {std::pair<int64_t, int64_t>{130, 32}, {64, 33}, {70, 77}}) {
    const Tensor w = random_leaf(runtime, GetParam(), {rows, depth}, 3);
    const Tensor table = from_panels(loaded_panels(runtime, w.host()), rows, depth);
    Function tied([&](std::span<const Tensor> args) {
      const Tensor h = cast(take(table, args[0], 0), DType::f32);
      return std::vector{
          h, matmul(reshape(h, {4, h.shape().back()}), transpose(cast(table, DType::f32)))};
    });
    const Tensor ids = Tensor::from<int32_t>({0, 63, static_cast<int32_t>(rows) - 1, 17}, {2, 2});
    const std::vector<Tensor> got = tied(runtime, {ids});
    const Tensor h = cast(take(w, ids, 0), DType::f32);
    EXPECT_TRUE(test::same_values(got[0].host(), eval(runtime, h).host()));
    const Tensor scores = matmul(reshape(h, {4, depth}), transpose(cast(w, DType::f32)));
    EXPECT_TRUE(test::same_values(got[1].host(), eval(runtime, scores).host()));
    EXPECT_EQ(operations(*tied.last_plan(), Op::transpose), 0);
    // The last panel is filled up; what fills it is no row.
    const Tensor wrong = Tensor::from<int32_t>({0, 1, static_cast<int32_t>(rows), 2}, {2, 2});
    EXPECT_THROW(tied(runtime, {wrong})[0].host(), Error);
  }
}

INSTANTIATE_TEST_SUITE_P(All, NarrowWeights, ::testing::Values(DType::f16, DType::bf16),
                         [](const auto& info) { return std::string(name(info.param)); });

INSTANTIATE_TEST_SUITE_P(
    All, PackedProduct,
    ::testing::Combine(::testing::Values(Types{DType::f32, DType::f32},
                                         Types{DType::bf16, DType::bf16},
                                         Types{DType::f16, DType::f16},
                                         Types{DType::f64, DType::f64}, Types{DType::i8, DType::i8},
                                         Types{DType::u8, DType::i8}, Types{DType::i8, DType::u8},
                                         Types{DType::u8, DType::u8}),
                       ::testing::Bool()),
    [](const auto& info) {
      const Types types = std::get<0>(info.param);
      return fmt::format("{}_{}{}", name(types.x), name(types.w),
                         std::get<1>(info.param) ? "_transposed" : "");
    });

TEST_F(Weights, AreCastAndPackedOnce) {
  Runtime runtime({.threads = 1});
  const Tensor w = random_leaf(runtime, DType::f32, {96, 64}, 5);
  const Tensor bias = random_leaf(runtime, DType::f32, {96}, 6);
  Function layer([&](std::span<const Tensor> args) {
    const Tensor x = cast(args[0], DType::bf16);
    return std::vector{gelu(matmul(x, transpose(cast(w, DType::bf16))) + bias)};
  });
  const Tensor few = random_leaf(runtime, DType::f32, {3, 64}, 7);
  const Tensor many = random_leaf(runtime, DType::f32, {40, 64}, 8);
  layer(runtime, {few});
  const Plan& plan = *layer.last_plan();
  EXPECT_EQ(plan.launches.size(), 2u) << to_text(plan);  // the cast of x; the rest
  EXPECT_TRUE(has_panels(plan));
  // One for the packing, one for the call; the second size finds the weights packed.
  const int64_t before = runtime.stats().executions;
  layer(runtime, {few});
  layer(runtime, {many});
  EXPECT_EQ(runtime.stats().executions - before, 2);
}

TEST_F(Weights, OnesThatChangedAreOnesOfAnotherFunction) {
  Runtime runtime({.threads = 1});
  const Tensor x = random_leaf(runtime, DType::f32, {4, 64}, 9);
  KeptValues kept;
  std::vector<HostArray> results;
  for (const uint64_t seed : {1, 2}) {
    const Tensor w = random_leaf(runtime, DType::f32, {64, 64}, seed);
    Function f([&](std::span<const Tensor> args) { return std::vector{matmul(args[0], w)}; });
    EXPECT_TRUE(test::same_values(f(runtime, {x})[0].host(), eval(runtime, matmul(x, w)).host()));
    results.push_back(kept.get(runtime, std::vector{in_panels(w)})[0].host());
    EXPECT_TRUE(test::same_values(results.back(), eval(runtime, in_panels(w)).host()));
  }
  EXPECT_FALSE(test::same_values(results[0], results[1]));
}

TEST_F(Weights, OnlyWhatIsWorthItsMemoryIsKept) {
  Runtime runtime({.threads = 1});
  const Tensor small = random_leaf(runtime, DType::f32, {1024}, 10);
  const auto values = [&](const std::function<Tensor(const Tensor&)>& fn) {
    return hoist(trace([&](std::span<const Tensor> args) { return std::vector{fn(args[0])}; },
                       std::vector{TensorType{DType::f32, {1024, 1024}}}),
                 true)
        .values.size();
  };
  // A broadcast is read where the leaf is; what is made of it is 4 MB of 4 KB.
  EXPECT_EQ(values([&](const Tensor& x) { return x + small; }), 0u);
  EXPECT_EQ(values([&](const Tensor& x) {
              return x + broadcast_to(small, {1024, 1024}) *
                             broadcast_to(expand_dims(small, 1), {1024, 1024});
            }),
            0u);
  EXPECT_EQ(values([&](const Tensor& x) { return x + exp(small); }), 1u);
  // From nothing: a mask is cheap, angles are not.
  EXPECT_EQ(values([](const Tensor& x) {
              return where(iota({1024, 1024}, 0) < iota({1024, 1024}, 1), x, 0.0);
            }),
            0u);
  EXPECT_EQ(values([](const Tensor& x) { return x * cos(iota({1024}, 0, DType::f32)); }), 1u);
}

TEST_F(Weights, ASharedMatrixIsPackedOnceAndStillReadByRow) {
  Runtime runtime({.threads = 1});
  const Tensor table = random_leaf(runtime, DType::f32, {80, 32}, 11);
  Function tied([&](std::span<const Tensor> args) {
    const Tensor h = take(table, args[0], 0);
    return std::vector{matmul(h, transpose(table)) + matmul(h * 2.0, transpose(table))};
  });
  const Tensor ids = Tensor::from<int32_t>({3, 79, 0}, {3});
  const Tensor h = take(table, ids, 0);
  const HostArray want =
      eval(runtime, matmul(h, transpose(table)) + matmul(h * 2.0, transpose(table))).host();
  EXPECT_TRUE(test::same_values(tied(runtime, {ids})[0].host(), want));
  EXPECT_EQ(operations(*tied.last_plan(), Op::transpose), 0);
}

}  // namespace
}  // namespace cairn
