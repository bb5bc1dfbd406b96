// Attention as an operation of the device cpu: its definition in f64 against it, and what a query's
// result may not depend on.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cairn/ops/attention_kernel.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/plan.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/vjp.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

struct Sizes {
  int64_t batch = 2, heads = 4, kv_heads = 2, queries = 100, keys = 100, width = 20, values = 24;
};

struct Setting {
  const char* name;
  Sizes sizes;
  std::function<AttentionOptions(const Sizes&)> options;
};

Tensor numbers(Runtime& runtime, const Shape& shape, uint64_t seed) {
  return eval(runtime, uniform(random_key(seed), shape) * 2 - 1);
}

AttentionOptions causal(const Sizes&) { return {.causal = true}; }

std::vector<Setting> settings(Runtime& runtime) {
  const auto integers = [&](const Shape& shape, int64_t low, int64_t high) {
    return eval(runtime, cast(random_integers(random_key(9), shape, low, high), DType::i32));
  };
  return {
      {"all", {}, [](const Sizes&) { return AttentionOptions{}; }},
      {"more keys", {.queries = 70, .keys = 190}, [](const Sizes&) { return AttentionOptions{}; }},
      {"causal", {.queries = 130, .keys = 130, .width = 64, .values = 64}, causal},
      {"causal, few queries", {.queries = 3, .keys = 150}, causal},
      {"one query of wide heads", {.queries = 1, .keys = 150, .width = 32, .values = 48}, causal},
      {"few queries of wide heads", {.queries = 3, .keys = 150, .width = 64}, causal},
      {"window",
       {.queries = 200, .keys = 200},
       [](const Sizes&) { return AttentionOptions{.causal = true, .window = 37}; }},
      {"soft cap",
       {.queries = 66, .keys = 70},
       [](const Sizes&) {
         return AttentionOptions{.causal = true, .scale = 2.0, .soft_cap = 1.5};
       }},
      {"lengths",
       {.queries = 2, .keys = 200},
       [=](const Sizes& s) {
         return AttentionOptions{.causal = true, .kv_lengths = integers({s.batch}, 2, s.keys)};
       }},
      {"start",
       {.queries = 70, .keys = 200},
       [=](const Sizes& s) {
         return AttentionOptions{.causal = true, .query_start = integers({s.batch}, 0, 130)};
       }},
      {"documents",
       {.queries = 130, .keys = 130},
       [=](const Sizes& s) {
         AttentionOptions options{.causal = true};
         options.query_segments = options.key_segments = integers({s.batch, s.keys}, 0, 3);
         return options;
       }},
      {"mask",
       {.queries = 70, .keys = 130},
       [=, &runtime](const Sizes& s) {
         AttentionOptions options;
         options.mask = eval(runtime, integers({s.heads, s.queries, s.keys}, 0, 2) > 0);
         return options;
       }},
      {"bias",
       {.queries = 70, .keys = 130},
       [&runtime](const Sizes& s) {
         AttentionOptions options;
         options.bias = numbers(runtime, {1, s.heads, 1, s.keys}, 7);
         return options;
       }},
      {"sinks",
       {},
       [&runtime](const Sizes& s) {
         AttentionOptions options{.causal = true};
         options.sinks = numbers(runtime, {s.heads}, 8);
         return options;
       }},
      {"pages",
       {.queries = 1, .keys = 16},
       [=](const Sizes& s) {
         AttentionOptions options{.causal = true};
         options.kv_lengths = integers({s.batch}, 1, 7 * s.keys);
         options.block_table = integers({s.batch, 7}, 0, 12);
         return options;
       }},
  };
}

struct Operands {
  Tensor q, k, v;
  AttentionOptions options;
  std::vector<Tensor> list() const { return {q, k, v}; }
};

Operands operands_of(Runtime& runtime, const Setting& setting) {
  const Sizes& s = setting.sizes;
  const AttentionOptions options = setting.options(s);
  const int64_t rows = options.block_table.defined() ? 12 : s.batch;
  return {numbers(runtime, {s.batch, s.heads, s.queries, s.width}, 1),
          numbers(runtime, {rows, s.kv_heads, s.keys, s.width}, 2),
          numbers(runtime, {rows, s.kv_heads, s.keys, s.values}, 3), options};
}

// Elements of |numbers| < 1. A score errs by its chain and its scale, a weight by two scores, exp
// and the steps of the running maximum, a sum by its chain; each in units of f32.
double relative_error(const Sizes& s, const AttentionOptions& options) {
  const double width = static_cast<double>(s.width), keys = static_cast<double>(s.keys) * 7;
  const double scale = options.scale.value_or(1 / std::sqrt(width));
  const double score = (width / 2 + 3) * width * scale;
  const double blocks = keys / 64 + 1;
  return 0x1p-23 * (4 * score + 6 * blocks + keys / 2 + 8);
}

void expect_close(const HostArray& got, const HostArray& expected, double bound) {
  ASSERT_EQ(got.shape(), expected.shape());
  for (int64_t i = 0; i < got.shape().elements(); ++i) {
    const double x = got.at(i), y = expected.at(i);
    if (x == y) continue;  // infinities
    ASSERT_LE(std::abs(x - y), bound) << "element " << i << ": " << x << " instead of " << y;
  }
}

class AttentionOperation : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
  }
  static std::vector<HostArray> hosts(Runtime& runtime, const std::vector<Tensor>& values) {
    std::vector<HostArray> result;
    for (const Tensor& t : eval(runtime, values)) result.push_back(t.host());
    return result;
  }
};

// The loss reads both results, each element with a weight of its own.
Tensor loss_of(const AttentionResult& r) {
  const auto weights = [](const Tensor& t) {
    return reshape(cos(cast(arange(t.shape().elements()), t.dtype())), t.shape());
  };
  const Tensor finite = where(abs(r.logsumexp) < INFINITY, r.logsumexp, 0.0);
  return sum(r.out * weights(r.out)) + sum(finite * weights(finite));
}

TEST_F(AttentionOperation, IsWhatItsDefinitionSays) {
  Runtime cpu(test::checked({"cpu", 2})), ref({"ref", 2});
  for (const Setting& setting : settings(ref)) {
    SCOPED_TRACE(setting.name);
    const Operands x = operands_of(ref, setting);
    const bool is_paged = x.options.block_table.defined();
    const auto run = [&](Runtime& runtime, DType dtype, auto call) {
      const auto results = [&](std::span<const Tensor> in) {
        AttentionOptions options = x.options;
        if (options.bias.defined()) options.bias = cast(options.bias, dtype);
        if (options.sinks.defined()) options.sinks = cast(options.sinks, dtype);
        return call(in[0], in[1], in[2], options);
      };
      std::vector<Tensor> in;
      for (const Tensor& t : x.list()) in.push_back(cast(t, dtype));
      const AttentionResult r = results(in);
      std::vector<Tensor> all = {r.out, r.logsumexp};
      if (!is_paged)
        for (const Tensor& g :
             grad(TensorFunction([&](std::span<const Tensor> args) -> std::vector<Tensor> {
                    return {loss_of(results(args))};
                  }),
                  {0, 1, 2})(in))
          all.push_back(g);
      return hosts(runtime, all);
    };
    const auto got = run(cpu, DType::f32, attention);
    const auto expected = run(ref, DType::f64, detail::plain_attention);
    const double error = relative_error(setting.sizes, x.options);
    expect_close(got[0], expected[0], error);
    expect_close(got[1], expected[1], error);
    // A cotangent is at most 1; d score at most 2 (values + 1), with the error of its two products.
    if (is_paged) continue;
    const double scale = x.options.scale.value_or(1 / std::sqrt(double(setting.sizes.width)));
    const double d_score = 4 * static_cast<double>(setting.sizes.values + 1) * error;
    const int64_t heads_of_a_key = setting.sizes.heads / setting.sizes.kv_heads;
    const auto queries = static_cast<double>(setting.sizes.queries * heads_of_a_key);
    expect_close(got[2], expected[2], d_score * scale);
    expect_close(got[3], expected[3], d_score * scale * queries);
    expect_close(got[4], expected[4], error * queries);
  }
}

// Numbers of 16 bits, each rounded by a `unit` of itself at most: the weights, which add up to 1 or
// to less, the values' sums, and in the gradient the cotangents, the results that delta is of, and
// the gradient of the scores.
TEST_F(AttentionOperation, RoundsWhatItMultipliesToTheTypeOfItsOperands) {
  Runtime cpu(test::checked({"cpu", 2})), ref({"ref", 2});
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const Setting& setting : settings(ref)) {
      SCOPED_TRACE(fmt::format("{} {}", name(dtype), setting.name));
      const Operands x = operands_of(ref, setting);
      const bool is_paged = x.options.block_table.defined();
      const auto run = [&](Runtime& runtime, DType type, auto call) {
        AttentionOptions options = x.options;
        const auto numbers = [&](const Tensor& t) { return cast(cast(t, dtype), type); };
        if (options.bias.defined()) options.bias = numbers(options.bias);
        if (options.sinks.defined()) options.sinks = numbers(options.sinks);
        std::vector<Tensor> in;
        for (const Tensor& t : x.list()) in.push_back(numbers(t));
        const auto weights = [&](const Tensor& t) {
          const Tensor places = arange(t.shape().elements());
          return reshape(numbers(cos(cast(places, DType::f64))), t.shape());
        };
        const AttentionResult r = call(in[0], in[1], in[2], options);
        std::vector<Tensor> all = {r.out, r.logsumexp};
        if (!is_paged)
          for (const Tensor& g :
               grad(TensorFunction([&](std::span<const Tensor> args) -> std::vector<Tensor> {
                      const Tensor out = call(args[0], args[1], args[2], options).out;
                      return {sum(out * weights(out))};
                    }),
                    {0, 1, 2})(in))
            all.push_back(g);
        return hosts(runtime, all);
      };
      const auto got = run(cpu, dtype, attention);
      const auto expected = run(ref, DType::f64, detail::plain_attention);
      const double unit = dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;
      // Weights below the normal numbers of f16 are off by half of their spacing.
      const double lost =
          dtype == DType::f16 ? 0x1p-25 * 7 * static_cast<double>(setting.sizes.keys) : 0;
      const double wide = relative_error(setting.sizes, x.options);
      expect_close(got[0], expected[0], wide + 2 * unit + lost);
      expect_close(got[1], expected[1], wide);
      if (is_paged) continue;
      const double scale = x.options.scale.value_or(1 / std::sqrt(double(setting.sizes.width)));
      const auto values = static_cast<double>(setting.sizes.values + 1);
      // Of a weight times what is at most 2 values: f32's error, delta's, and its own rounding.
      const double d_score = scale * values * (4 * wide + (2 + 2) * unit) + lost;
      const double size = 2 * scale * values;
      const int64_t heads_of_a_key = setting.sizes.heads / setting.sizes.kv_heads;
      const auto queries = static_cast<double>(setting.sizes.queries * heads_of_a_key);
      expect_close(got[2], expected[2], d_score + size * unit);
      expect_close(got[3], expected[3], (d_score + size * unit) * queries);
      expect_close(got[4], expected[4], (wide + 2 * unit + lost) * queries);
    }
}

// The launches of the gradient beside attention's two sum d_out * out and broadcast the cotangent.
TEST_F(AttentionOperation, IsOneLaunchAndOneOfItsGradient) {
  Runtime runtime({"cpu", 1});
  const Setting setting{"causal", {}, causal};
  const Operands x = operands_of(runtime, setting);
  const int64_t before = runtime.stats().launches;
  eval(runtime, attention(x.q, x.k, x.v, x.options).out);
  EXPECT_EQ(runtime.stats().launches - before, 1);
  const auto gradients =
      grad(TensorFunction([&](std::span<const Tensor> in) -> std::vector<Tensor> {
             return {sum(attention(in[0], in[1], in[2], x.options).out)};
           }),
           {0, 1, 2})(x.list());
  const auto plan = make_plan(Graph{"", {}, gradients, {}}, runtime.backend());
  std::vector<std::string> kernels;
  for (const Launch& launch : plan->launches)
    if (launch.node()->op() == Op::custom)
      kernels.push_back(launch.node()->attrs().text(Attr::name));
  EXPECT_EQ(kernels, (std::vector<std::string>{"attention", "attention_gradient"}));
}

// Few queries of 32 numbers are rows of the tile of scores, many are columns.
TEST_F(AttentionOperation, DependsOnNoOtherQuery) {
  Runtime one({"cpu", 1}), three({"cpu", 3});
  const Setting setting{"causal", {.batch = 3, .queries = 140, .keys = 140, .width = 32}, causal};
  const Operands x = operands_of(one, setting);
  const auto expected = hosts(one, {attention(x.q, x.k, x.v, x.options).out});
  const auto same = [&](const HostArray& got, const Tensor& part) {
    EXPECT_TRUE(test::same_values(got, eval(one, part).host()));
  };
  const Tensor all = eval(one, attention(x.q, x.k, x.v, x.options).out);
  same(hosts(three, {attention(x.q, x.k, x.v, x.options).out})[0], all);
  EvalOptions eager;
  eager.eager = true;
  same(eval(one, std::vector{attention(x.q, x.k, x.v, x.options).out}, eager)[0].host(), all);
  // The second row of the batch alone.
  const auto in_batch = [](const Tensor& t) { return slice_axis(t, 0, 1, 2); };
  same(hosts(one, {attention(in_batch(x.q), in_batch(x.k), in_batch(x.v), x.options).out})[0],
       in_batch(all));
  // The last queries alone: one, some, and with fewer keys to come.
  for (const int64_t count : {1, 2, 3, 5, 64, 100}) {
    const auto last = [&](const Tensor& t) { return slice_axis(t, 2, 140 - count, 140); };
    same(hosts(one, {attention(last(x.q), x.k, x.v, x.options).out})[0], last(all));
  }
  const auto first = [](const Tensor& t) { return slice_axis(t, 2, 0, 70); };
  same(hosts(one, {attention(first(x.q), first(x.k), first(x.v), x.options).out})[0], first(all));
}

// A pool as a cache keeps it: keys side by side, in f32, f16 or i8 with scales. The definition is
// given the same numbers in f64; and a query's bits do not depend on the others'.
TEST_F(AttentionOperation, ReadsAPoolInItsOwnType) {
  Runtime cpu(test::checked({"cpu", 2})), ref({"ref", 2});
  constexpr int64_t kBlocks = 9, kOfARow = 4, kHeads = 4, kKvHeads = 2, kKeys = 64;
  const Tensor table = Tensor::from<int32_t>({3, 8, 1, 5, 7, 2, 4, 6}, {2, kOfARow});
  const Tensor lengths = Tensor::from<int32_t>({230, 71}, {2});
  for (const DType type : {DType::f32, DType::f16, DType::i8})
    for (const int64_t width : {int64_t{8}, int64_t{32}, int64_t{96}})
      for (const int window : {0, 50}) {
        if (type == DType::i8 && width % kScaleGroup) continue;
        SCOPED_TRACE(fmt::format("{} {} {}", name(type), width, window));
        AttentionOptions options{.causal = true, .window = window};
        options.kv_lengths = lengths;
        options.block_table = table;
        options.transposed_keys = true;
        const Shape keys{kBlocks, kKvHeads, width, kKeys}, values{kBlocks, kKvHeads, kKeys, width};
        Tensor k = numbers(ref, keys, 2), v = numbers(ref, values, 3);
        if (type == DType::i8) {
          const Shape scales{kBlocks, kKvHeads, width / kScaleGroup, kKeys};
          k = eval(ref, cast(k * 127, type));
          v = eval(ref, cast(v * 127, type));
          options.key_scales = eval(ref, cast(abs(numbers(ref, scales, 4)) / 127, DType::f16));
          options.value_scales = eval(ref, cast(abs(numbers(ref, scales, 5)) / 127, DType::f16));
        } else {
          k = eval(ref, cast(k, type));
          v = eval(ref, cast(v, type));
        }
        const Tensor all = numbers(ref, {2, kHeads, 70, width}, 1);
        const double error =
            relative_error({.keys = kOfARow * kKeys / 7, .width = width, .values = width}, options);
        const HostArray many = eval(cpu, attention(all, k, v, options).out).host();
        for (const int64_t count : {1, 3, 70}) {
          const Tensor q = slice_axis(all, 2, 70 - count, 70);
          const AttentionResult got = attention(q, k, v, options);
          const auto wide = [](const Tensor& t) {
            return t.dtype() == DType::i8 ? t : cast(t, DType::f64);
          };
          const AttentionResult expected =
              detail::plain_attention(cast(q, DType::f64), wide(k), wide(v), options);
          const HostArray out = eval(cpu, got.out).host();
          expect_close(out, eval(ref, expected.out).host(), error);
          expect_close(eval(cpu, got.logsumexp).host(), eval(ref, expected.logsumexp).host(),
                       error);
          const Tensor last = slice_axis(Tensor(many), 2, 70 - count, 70);
          EXPECT_TRUE(test::same_values(out, eval(ref, last).host())) << count;
        }
      }
}

TEST_F(AttentionOperation, IsScheduledOnceForAllLengths) {
  Runtime runtime({"cpu", 1});
  int64_t schedules = 0;
  for (const int64_t keys : {128, 192, 320}) {
    const Setting setting{"causal", {.queries = keys, .keys = keys}, causal};
    const Operands x = operands_of(runtime, setting);
    const int64_t before = runtime.stats().schedules_made;
    eval(runtime, attention(x.q, x.k, x.v, x.options).out);
    schedules += runtime.stats().schedules_made - before;
  }
  EXPECT_EQ(schedules, 1);
}

}  // namespace
}  // namespace cairn
