// Convolutions and pooling as compiled kernels: every option and both gradients, in random networks
// against the reference backend, and what their bits must not depend on.
//
// Numbers are small and whole, so that every sum is exact and both backends have the same bits; the
// order of additions shows in reals, where fused must equal eager, and a picture alone the same
// picture in a batch.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "cairn/compiler/fuse.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/node_class.h"
#include "cairn/compiler/prepare.h"
#include "cairn/core/dispatch.h"
#include "cairn/graph/parse.h"
#include "cairn/graph/print.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "cairn/runtime/verify_plan.h"
#include "cairn/transforms/vjp.h"
#include "tests/compiler/random_kernel.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using test::Random;
using ::testing::ElementsAre;

class Convolutions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
      GTEST_SKIP() << "needs LLVM and AVX2";
  }
};

bool is_long() {
  const char* wanted = std::getenv("CAIRN_TEST_LONG");
  return wanted && *wanted == '1';
}

// A network of a few layers over 1 to 3 spatial axes, and the gradient of its sum.
class NetworkMaker {
 public:
  NetworkMaker(uint64_t seed, DType dtype) : random_(seed), dtype_(dtype) {}

  Graph make() {
    spatial_ = static_cast<int>(random_.between(1, 3));
    Shape shape = {random_.between(1, 3), 2 * random_.between(1, random_.one_in(3) ? 11 : 4)};
    for (int i = 0; i < spatial_; ++i) shape.push_back(random_.between(3, spatial_ == 3 ? 6 : 11));
    Tensor x = input(shape);
    for (int64_t layers = random_.between(1, 4); layers > 0; --layers) x = layer(x);
    graph_.outputs = {x, max(x, all_but_channels(x)), sum(x)};
    std::vector<int> arguments;
    for (int i = 0; i < static_cast<int>(graph_.inputs.size()); ++i) arguments.push_back(i);
    Graph loss{"", graph_.inputs, {graph_.outputs[2]}, {}};
    const Graph gradient = grad(loss, arguments);
    const std::vector<Tensor> again = call(gradient, graph_.inputs);
    graph_.outputs.insert(graph_.outputs.end(), again.begin(), again.end());
    return std::move(graph_);
  }

 private:
  Tensor input(const Shape& shape) {
    graph_.inputs.push_back(
        Tensor::input({dtype_, shape}, "x" + std::to_string(graph_.inputs.size())));
    return graph_.inputs.back();
  }
  static Ints all_but_channels(const Tensor& x) {
    Ints axes = {0};
    for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
    return axes;
  }
  Ints per_axis(int64_t first, int64_t last) {
    Ints list;
    for (int i = 0; i < spatial_; ++i) list.push_back(random_.between(first, last));
    return list;
  }
  int64_t smallest(const Tensor& x) const {
    return *std::min_element(x.shape().begin() + 2, x.shape().end());
  }

  Tensor layer(const Tensor& x) {
    switch (random_.below(10)) {
      case 0: return pooled(x);
      case 1: return conv_transposed(x);
      case 2: return maximum(x, 0);
      case 3: return flip(x, {static_cast<int64_t>(random_.between(1, spatial_ + 1))});
      case 4: return x - sum(x, all_but_channels(x), true);
      case 5: {
        const Tensor both[] = {x, -x};
        return concatenate(both, static_cast<int>(random_.between(0, 1)));
      }
      case 6: return transpose(x, swapped(x.rank()));
      default: return convolved(x);
    }
  }
  Ints swapped(int rank) {
    Ints axes;
    for (int i = 0; i < rank; ++i) axes.push_back(i);
    std::swap(axes[rank - 1], axes[rank - 2]);
    return axes;
  }
  int64_t groups_of(const Tensor& x) {
    const int64_t channels = x.size(1);
    return random_.one_in(3) ? channels : random_.one_in(3) && channels % 2 == 0 ? 2 : 1;
  }
  Tensor convolved(const Tensor& x) {
    ConvolutionOptions options;
    options.groups = groups_of(x);
    options.stride = per_axis(1, 3);
    options.padding = per_axis(0, 2);
    options.padding_high = per_axis(0, 2);
    const int64_t outputs = options.groups * random_.between(1, 20 / options.groups + 1);
    Shape w = {outputs, x.size(1) / options.groups};
    for (int i = 0; i < spatial_; ++i) {
      const int64_t size = x.size(i + 2) + options.padding[i] + options.padding_high[i];
      w.push_back(random_.between(1, std::min<int64_t>(3, size)));
      options.dilation.push_back(
          w[i + 2] == 1 ? 1
                        : random_.between(1, std::min<int64_t>(3, (size - 1) / (w[i + 2] - 1))));
    }
    const Tensor y =
        convolution(x, input(w), random_.one_in(2) ? input({outputs}) : Tensor(), options);
    return random_.one_in(2) ? maximum(y, 0) : y;
  }
  Tensor conv_transposed(const Tensor& x) {
    ConvolutionOptions options;
    options.groups = groups_of(x);
    options.stride = per_axis(1, 3);
    if (random_.one_in(3)) options.dilation = per_axis(1, 2);
    Shape w = {x.size(1), random_.between(1, 3)};
    for (int i = 0; i < spatial_; ++i) w.push_back(random_.between(1, 3));
    if (x.elements() > 4000) return x;
    return conv_transpose(x, input(w), {}, options);
  }
  Tensor pooled(const Tensor& x) {
    if (smallest(x) < 2) return x;
    PoolOptions options;
    options.stride = per_axis(1, 2);
    if (random_.one_in(2)) options.padding = {1};
    const int64_t kernel = random_.between(2, std::min<int64_t>(smallest(x), 3));
    if (random_.one_in(2)) return max_pool(x, {kernel}, options);
    // Means of powers of two stay exact.
    return avg_pool(x, {2}, options) * std::pow(2.0, spatial_);
  }

  Random random_;
  DType dtype_;
  int spatial_ = 1;
  Graph graph_;
};

HostArray values_for(const TensorType& type, uint64_t seed, bool whole) {
  HostArray array(type.dtype, type.shape);
  Random random(seed);
  visit_dtype(type.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (T& x : array.mutable_span<T>())
      x = static_cast<T>(whole ? static_cast<float>(random.between(-2, 2))
                               : static_cast<float>(random.between(-10000, 10000)) * 1e-4F);
  });
  return array;
}

std::vector<HostArray> run_on(Runtime& runtime, const Graph& graph, bool eager, bool whole) {
  const auto plan = runtime.plan(graph, std::vector<bool>(graph.inputs.size(), false), eager);
  verify(*plan, runtime.backend());
  std::vector<Tensor> arguments;
  for (const Tensor& input : graph.inputs)
    arguments.push_back(runtime.upload(values_for(input.type(), arguments.size(), whole)));
  std::vector<HostArray> results;
  for (const Tensor& t : runtime.run(plan, std::move(arguments))) results.push_back(t.host());
  return results;
}

// Of f64, on `ref` and on `cpu`.
void expect_same_bits(const Graph& a, const Graph& b, std::string_view what = "") {
  for (const std::string device : {"ref", "cpu"}) {
    Runtime runtime({.device = device, .threads = 1});
    const HostArray want = run_on(runtime, a, false, true)[0];
    const HostArray got = run_on(runtime, b, false, true)[0];
    EXPECT_TRUE(std::ranges::equal(want.span<double>(), got.span<double>())) << device << what;
  }
}

TEST_F(Convolutions, RandomNetworksAreThoseOfTheReference) {
  Runtime reference({.device = "ref", .threads = 1});
  Runtime runtime({.device = "cpu", .threads = 2});
  for (uint64_t seed = 0; seed < (is_long() ? 2000 : 32); ++seed) {
    const Graph graph = NetworkMaker(seed, DType::f64).make();
    const std::vector<HostArray> want = run_on(reference, graph, true, true);
    for (const bool eager : {false, true}) {
      const std::vector<HostArray> got = run_on(runtime, graph, eager, true);
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_TRUE(test::same_values(got[i], want[i]))
            << "seed " << seed << ", result " << i << (eager ? ", eager" : "") << "\n"
            << to_text(graph);
    }
  }
}

TEST_F(Convolutions, FusedHasTheBitsOfEagerOnAnyThreads) {
  Runtime one({.device = "cpu", .threads = 1});
  Runtime three({.device = "cpu", .threads = 3});
  for (uint64_t seed = 1000; seed < (is_long() ? 3000 : 1024); ++seed) {
    const DType dtypes[] = {DType::f32, DType::f32, DType::f16, DType::bf16};
    const Graph graph = NetworkMaker(seed, dtypes[seed % 4]).make();
    const std::vector<HostArray> want = run_on(one, graph, true, false);
    const std::vector<HostArray> got = run_on(three, graph, false, false);
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_TRUE(test::same_values(got[i], want[i])) << "seed " << seed << ", result " << i << "\n"
                                                      << to_text(graph);
  }
}

// One chain of fused multiply-adds over channels, then taps in row-major order.
TEST_F(Convolutions, SumsInOrderOfChannelsAndTaps) {
  constexpr int64_t kChannels = 37, kSize = 9, kOutputs = 19;
  Runtime runtime({.device = "cpu", .threads = 1});
  const HostArray x = values_for({DType::f32, {1, kChannels, kSize, kSize}}, 1, false);
  const HostArray w = values_for({DType::f32, {kOutputs, kChannels, 3, 3}}, 2, false);
  const HostArray y = eval(runtime, convolution(runtime.upload(x), runtime.upload(w))).host();
  const auto from = x.span<float>(), weights = w.span<float>(), got = y.span<float>();
  for (int64_t o = 0; o < kOutputs; ++o)
    for (int64_t i = 0; i < kSize - 2; ++i)
      for (int64_t j = 0; j < kSize - 2; ++j) {
        float sum = 0;
        for (int64_t c = 0; c < kChannels; ++c)
          for (int64_t a = 0; a < 3; ++a)
            for (int64_t b = 0; b < 3; ++b)
              sum = std::fma(from[static_cast<size_t>(((c * kSize) + i + a) * kSize + j + b)],
                             weights[static_cast<size_t>(((o * kChannels + c) * 3 + a) * 3 + b)],
                             sum);
        ASSERT_EQ(got[static_cast<size_t>((o * (kSize - 2) + i) * (kSize - 2) + j)], sum);
      }
}

TEST_F(Convolutions, APictureAloneHasTheBitsItHasInABatch) {
  Runtime runtime({.device = "cpu", .threads = 2});
  const Tensor x = runtime.upload(values_for({DType::f32, {5, 12, 13, 11}}, 3, false));
  for (const int64_t groups : {1, 2, 12}) {
    const Tensor w = runtime.upload(values_for({DType::f32, {12, 12 / groups, 3, 3}}, 4, false));
    const auto layer = [&](const Tensor& t) {
      return max_pool(maximum(convolution(t, w, {}, {.padding = {1}, .groups = groups}), 0), {2});
    };
    const HostArray all = eval(runtime, slice_axis(layer(x), 0, 3, 4)).host();
    const HostArray alone = eval(runtime, layer(slice_axis(x, 0, 3, 4))).host();
    EXPECT_TRUE(test::same_values(all, alone)) << groups << " groups";
  }
}

TEST_F(Convolutions, SumsOf16BitFloatsAreF32) {
  Runtime reference({.device = "ref", .threads = 1});
  Runtime runtime({.device = "cpu", .threads = 1});
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    // Whole numbers up to 4 * 9 * 5, which bf16 holds.
    const HostArray x = values_for({dtype, {2, 5, 7, 8}}, 5, true);
    const HostArray w = values_for({dtype, {17, 5, 3, 3}}, 6, true);
    const auto on = [&](Runtime& device) {
      return eval(device, convolution(device.upload(x), device.upload(w), {}, {.padding = {1}}))
          .host();
    };
    EXPECT_TRUE(test::same_values(on(runtime), on(reference))) << name(dtype);
  }
}

// The form that only the compiler makes, on both backends.
TEST_F(Convolutions, AxesSayWhereXStands) {
  for (const std::string_view low : {"[0,-1]", "[1,0]"}) {
    const std::string attrs = fmt::format(
        "strides=[2,1], low={}, high=[0,-1], lhs_dilation=[1,1], rhs_dilation=[1,2], groups=2",
        low);
    const Graph plain = parse_graph(fmt::format(R"(graph (%x: f64[7,6,9,3], %w: f64[2,2,3,2,5]) {{
      %0 = transpose(%x) {{axes=[3,1,0,2]}}
      %1 = transpose(%w) {{axes=[0,4,1,2,3]}}
      %2 = reshape(%1) {{shape=[10,2,3,2]}}
      %3 = slice(%0) {{start=[0,0,0,0], stop=[3,4,7,9], step=[1,1,1,1]}}
      %4 = convolution(%3, %2) {{{}}}
      return %4
    }})",
                                                attrs))
                            .value();
    const Graph with_axes =
        parse_graph(fmt::format(R"(graph (%x: f64[7,6,9,3], %w: f64[2,2,3,2,5]) {{
      %0 = slice(%x) {{start=[0,0,0,0], stop=[7,4,9,3], step=[1,1,1,1]}}
      %1 = convolution(%0, %w) {{{}, axes=[3,1,0,2]}}
      %2 = transpose(%1) {{axes=[1,0,4,2,3]}}
      return %2
    }})",
                                attrs))
            .value();
    expect_same_bits(plain, with_axes, low);
  }
}

TEST_F(Convolutions, GroupsMayBeLast) {
  const std::string attrs =
      "strides=[2,1], low=[-1,0], high=[0,-1], lhs_dilation=[1,1], rhs_dilation=[1,2], groups=19";
  const Graph plain = parse_graph(fmt::format(R"(graph (%x: f64[9,7,3,2,19], %w: f64[3,2,3,2,19]) {{
      %0 = transpose(%x) {{axes=[2,4,3,1,0]}}
      %1 = reshape(%0) {{shape=[3,38,7,9]}}
      %2 = transpose(%w) {{axes=[4,0,1,2,3]}}
      %3 = reshape(%2) {{shape=[57,2,3,2]}}
      %4 = convolution(%1, %3) {{{}}}
      return %4
    }})",
                                              attrs))
                          .value();
  const Graph groups_last =
      parse_graph(fmt::format(R"(graph (%x: f64[9,7,3,2,19], %w: f64[3,2,3,2,19]) {{
      %0 = convolution(%x, %w) {{{}, axes=[2,3,1,0,4]}}
      %1 = transpose(%0) {{axes=[1,4,0,2,3]}}
      return %1
    }})",
                              attrs))
          .value();
  expect_same_bits(plain, groups_last);
}

// One chain of fused multiply-adds over taps, whatever lies along the vectors; of the gradient of
// the weights over pictures and places.
TEST_F(Convolutions, DepthwiseSumsInOrderOfTapsAndPlaces) {
  constexpr int64_t kBatch = 2, kChannels = 21, kSize = 7, kPlaces = kSize - 2;
  Runtime runtime({.device = "cpu", .threads = 1});
  const HostArray x = values_for({DType::f32, {kBatch, kChannels, kSize, kSize}}, 1, false);
  const HostArray w = values_for({DType::f32, {kChannels, 1, 3, 3}}, 2, false);
  const HostArray ct = values_for({DType::f32, {kBatch, kChannels, kPlaces, kPlaces}}, 3, false);
  const Tensor primals[] = {runtime.upload(x), runtime.upload(w)};
  Vjp result = vjp(
      [](std::span<const Tensor> args) {
        return std::vector{convolution(args[0], args[1], {}, {.groups = kChannels})};
      },
      primals);
  const Tensor cotangent = runtime.upload(ct);
  const HostArray y = eval(runtime, result.outputs[0]).host();
  const HostArray dw = eval(runtime, result.pullback(std::span(&cotangent, 1))[1]).host();
  const auto at = [](const HostArray& array, std::initializer_list<int64_t> index) {
    int64_t place = 0;
    for (int i = 0; const int64_t each : index) place = place * array.shape()[i++] + each;
    return array.span<float>()[static_cast<size_t>(place)];
  };
  for (int64_t c = 0; c < kChannels; ++c) {
    for (int64_t i = 0; i < kPlaces; ++i)
      for (int64_t j = 0; j < kPlaces; ++j) {
        float sum = 0;
        for (int64_t tap = 0; tap < 9; ++tap)
          sum = std::fma(at(x, {1, c, i + tap / 3, j + tap % 3}), at(w, {c, 0, tap / 3, tap % 3}),
                         sum);
        ASSERT_EQ(at(y, {1, c, i, j}), sum);
      }
    for (int64_t tap = 0; tap < 9; ++tap) {
      float sum = 0;
      for (int64_t n = 0; n < kBatch; ++n)
        for (int64_t i = 0; i < kPlaces; ++i)
          for (int64_t j = 0; j < kPlaces; ++j)
            sum = std::fma(at(x, {n, c, i + tap / 3, j + tap % 3}), at(ct, {n, c, i, j}), sum);
      ASSERT_EQ(at(dw, {c, 0, tap / 3, tap % 3}), sum);
    }
  }
}

// The operations of each launch, without those that are indices.
std::vector<std::string> launches(std::string_view text) {
  const Graph graph = prepare(parse_graph(text).value());
  std::vector<std::pair<Tensor, Tensor>> none;
  Schedule schedule = make_schedule(graph, none);
  fuse(graph, none, schedule);
  std::vector<std::string> result;
  for (const LaunchGroup& group : schedule.launches) {
    std::string names;
    for (const Node* node : group.nodes) {
      if (class_of(*node) == NodeClass::indexing && group.nodes.size() > 1) continue;
      names += (names.empty() ? "" : " ") + std::string(node->info().name);
    }
    result.push_back(std::move(names));
  }
  return result;
}

constexpr std::string_view kPlain =
    "strides=[1,1], low=[0,0], high=[0,0], lhs_dilation=[1,1], rhs_dilation=[1,1], groups=1";

TEST_F(Convolutions, TakeBiasActivationAndResidualWithThem) {
  // Weights are put in order; the first convolution reads x as it is and writes channels last, and
  // the second reads that; the result is put back in order.
  EXPECT_THAT(
      launches(fmt::format(
          R"(graph (%x: f32[2,4,9,9], %w: f32[8,4,3,3], %b: f32[8], %v: f32[8,8,1,1]) {{
            %0 = convolution(%x, %w) {{{0}}}
            %1 = broadcast(%b) {{shape=[2,8,7,7], axes=[1]}}
            %2 = add(%0, %1)
            %3 = exp(%2)
            %4 = convolution(%3, %v) {{{0}}}
            %5 = add(%4, %3)
            return %5
          }})",
          kPlain)),
      ElementsAre("transpose", "convolution add exp", "transpose", "convolution add", "transpose"));
}

TEST_F(Convolutions, DepthwiseReadsAndWritesChannelsLast) {
  // Between two layers nothing is put in another order.
  EXPECT_THAT(launches(fmt::format(
                  R"(graph (%x: f32[2,16,9,9], %w: f32[16,1,3,3], %b: f32[16], %v: f32[16,1,3,3]) {{
            %0 = convolution(%x, %w) {{{0}}}
            %1 = broadcast(%b) {{shape=[2,16,7,7], axes=[1]}}
            %2 = add(%0, %1)
            %3 = convolution(%2, %v) {{{0}}}
            return %3
          }})",
                  "strides=[1,1], low=[0,0], high=[0,0], lhs_dilation=[1,1], rhs_dilation=[1,1], "
                  "groups=16")),
              ElementsAre("transpose", "transpose", "convolution add", "transpose", "convolution",
                          "transpose"));
}

TEST_F(Convolutions, PaddingIsOneLaunchAndPoolingJoinsIt) {
  EXPECT_THAT(launches("graph (%x: f32[2,4,8,8]) {\n%z = full() {value=0, dtype=f32, shape=[]}\n"
                       "%0 = slice(%x) {start=[0,0,0,0], stop=[2,4,8,8], step=[1,1,1,2]}\n"
                       "%1 = slice(%x) {start=[0,0,0,1], stop=[2,4,8,8], step=[1,1,1,2]}\n"
                       "%2 = add(%0, %1)\n"
                       "%3 = pad(%2, %z) {low=[0,0,1,1], high=[0,0,1,1], interior=[0,0,0,0]}\n"
                       "%4 = exp(%3)\nreturn %4 }"),
              ElementsAre("add", "pad exp"));
}

}  // namespace
}  // namespace cairn
