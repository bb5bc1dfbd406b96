// vmap against a loop of single calls, bit for bit, for every case of the table.
#include "cairn/transforms/vmap.h"

#include <gtest/gtest.h>

#include "cairn/ops/control.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "tests/transforms/numeric.h"
#include "tests/transforms/op_cases.h"

namespace cairn::test {
namespace {

constexpr int64_t kBatch = 3;

struct BatchedArguments {
  std::vector<std::vector<Tensor>> single;  // per example
  std::vector<Tensor> together;
  std::vector<BatchAxis> axes;
};

// Operand i is batched when bit i of `mask` is set, along its first or its last axis.
BatchedArguments arguments(const OpCase& c, unsigned mask, bool last_axis) {
  BatchedArguments result;
  result.single.resize(kBatch);
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const uint32_t seed = 7 + 1000 * static_cast<uint32_t>(i);
    if (!(mask >> i & 1)) {
      const Tensor shared = c.operands[i](seed);
      for (auto& list : result.single) list.push_back(shared);
      result.together.push_back(shared);
      result.axes.push_back(std::nullopt);
      continue;
    }
    std::vector<Tensor> examples;
    for (uint32_t b = 0; b < kBatch; ++b) {
      examples.push_back(c.operands[i](seed + 50 * b));
      result.single[b].push_back(examples.back());
    }
    const int axis = last_axis ? examples[0].rank() : 0;
    result.together.push_back(stack(examples, axis));
    result.axes.push_back(axis);
  }
  return result;
}

void check(const TensorFunction& fn, const BatchedArguments& args, const std::string& what) {
  std::vector<std::vector<Tensor>> expected;  // per example
  for (const auto& list : args.single) expected.push_back(fn(list));
  const std::vector<Tensor> mapped = vmap(fn, args.axes)(args.together);
  ASSERT_EQ(mapped.size(), expected[0].size()) << what;
  for (size_t i = 0; i < mapped.size(); ++i) {
    std::vector<Tensor> column;
    for (const auto& list : expected) column.push_back(list[i]);
    const Tensor stacked = stack(column);
    ASSERT_EQ(to_string(mapped[i].type()), to_string(stacked.type())) << what << ", result " << i;
    EXPECT_EQ(value(mapped[i]), value(stacked)) << what << ", result " << i;
  }
}

class Vmap : public testing::TestWithParam<OpCase> {};

TEST_P(Vmap, IsALoopOfSingleCalls) {
  const OpCase& c = GetParam();
  for (unsigned mask = 1; mask < 1u << c.operands.size(); ++mask)
    check(c.fn, arguments(c, mask, mask % 2 == 0),
          c.name + ", batched operands " + std::to_string(mask));
}

class VmapOfGradient : public testing::TestWithParam<OpCase> {};

TEST_P(VmapOfGradient, IsALoopOfGradients) {
  const OpCase& c = GetParam();
  const unsigned all = (1u << c.operands.size()) - 1;
  const auto gradient = gradient_of(c.fn);
  BatchedArguments args = arguments(c, all, false);
  std::vector<std::vector<double>> expected;
  for (const auto& list : args.single)
    for (const auto& g : values(gradient(list))) expected.push_back(g);
  const std::vector<Tensor> mapped = vmap(gradient, args.axes)(args.together);
  const auto found = values(mapped);
  for (size_t i = 0; i < mapped.size(); ++i) {
    const size_t n = found[i].size() / kBatch;
    for (size_t b = 0; b < kBatch; ++b)
      for (size_t j = 0; j < n; ++j) {
        // The batched product may sum in another order (a group per example instead of one
        // product): eps times the terms of one sum, of which no case has more than 64, times their
        // size.
        const double want = expected[b * mapped.size() + i][j];
        EXPECT_NEAR(found[i][b * n + j], want, 64 * 2.3e-16 * (1 + std::fabs(want)))
            << c.name << ", gradient " << i;
      }
  }
}

std::vector<OpCase> all_cases() {
  std::vector<OpCase> cases = elementwise_cases();
  for (OpCase& c : other_cases()) cases.push_back(std::move(c));
  const Shape s{2, 3};
  for (const Op op : {Op::bitwise_and, Op::bitwise_or, Op::bitwise_xor, Op::shift_left,
                      Op::shift_right, Op::equal, Op::less, Op::less_equal})
    cases.push_back(
        {std::string(name(op)), op, {integers(s, 0, 9), integers(s, 0, 9)}, primitive(op)});
  cases.push_back({"argmin",
                   Op::arg_reduce,
                   {distinct({3, 4})},
                   primitive(Op::arg_reduce, with(kind("min"), Attr::axis, int64_t{0}))});
  for (const char* k : {"prod", "max"})
    cases.push_back({std::string("scatter_repeated_") + k,
                     Op::scatter,
                     {reals({3, 4}), integers({5}, 0, 4), reals({3, 5})},
                     primitive(Op::scatter, with(gather_attrs(1, 0), Attr::kind, std::string(k)))});
  cases.push_back({"random_bits",
                   Op::random_bits,
                   {integers({2}, 0, 1000), integers({}, 0, 100)},
                   [](std::span<const Tensor> x) {
                     return make_many(Op::random_bits,
                                      {cast(x[0], DType::u32), cast(x[1], DType::i64)},
                                      {{Attr::shape, Ints{2, 3}}});
                   }});
  cases.push_back(
      {"cond_data",
       Op::cond,
       {integers({}, 0, 2), reals({3}), reals({3})},
       [](std::span<const Tensor> x) { return sample_cond(equal(x[0], 1), x[1], x[2]); }});
  cases.push_back(
      {"dequantize",
       Op::dequantize,
       {reals({2, 64})},
       [](std::span<const Tensor> x) -> std::vector<Tensor> {
         const Tensor bytes =
             make(Op::quantize, {cast(x[0], DType::f32)}, {{Attr::format, std::string("q8_0")}});
         return {make(Op::dequantize, {bytes},
                      {{Attr::format, std::string("q8_0")}, {Attr::dtype, DType::f32}})};
       }});
  return cases;
}

std::vector<OpCase> differentiable_cases() {
  std::vector<OpCase> cases = elementwise_cases();
  for (OpCase& c : other_cases()) cases.push_back(std::move(c));
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Op, Vmap, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(VmapApi, OutAxesAndNegativeAxes) {
  const Tensor x = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto f = [](Tensor row) { return row * 2.0; };
  EXPECT_EQ(value(vmap(f, {-1})(x)), (std::vector<double>{2, 8, 4, 10, 6, 12}));
  EXPECT_EQ(value(vmap(f, {1}, 1)(x)), value(x * 2.0));
  EXPECT_EQ(value(vmap(f, {0}, -1)(x)), value(transpose(x * 2.0)));
}

TEST(VmapApi, NestsAndCapturesWhatIsShared) {
  const Tensor a = Tensor::from<double>({1, 2, 3}, {3});
  const Tensor b = Tensor::from<double>({10, 20}, {2});
  const Tensor scale = Tensor::from<double>({0.5}, {1});
  const auto outer =
      vmap([&](Tensor x) { return vmap([&](Tensor y) { return x * y * reshape(scale, {}); })(b); });
  EXPECT_EQ(value(outer(a)), (std::vector<double>{5, 10, 10, 20, 15, 30}));
}

TEST(VmapApi, ResultsWithoutABatchAxis) {
  const TensorFunction f = [](std::span<const Tensor> x) -> std::vector<Tensor> {
    return {x[0] + x[1], x[1] * 2.0};
  };
  const Tensor args[] = {Tensor::from<double>({1, 2, 3}, {3}), Tensor::scalar(4.0, DType::f64)};
  const auto out = vmap(f, {0, std::nullopt}, {0, std::nullopt})(args);
  EXPECT_EQ(value(out[0]), (std::vector<double>{5, 6, 7}));
  EXPECT_EQ(value(out[1]), (std::vector<double>{8}));
  EXPECT_THROW(vmap(f, {0, std::nullopt}, {std::nullopt})(args), Error);
}

TEST(VmapApi, Mistakes) {
  const auto f = [](Tensor x, Tensor y) { return x + y; };
  const Tensor a = Tensor::from<double>({1, 2, 3}, {3});
  const Tensor b = Tensor::from<double>({1, 2}, {2});
  EXPECT_THROW(vmap(f)(a, b), Error);                             // sizes differ
  EXPECT_THROW(vmap(f, {std::nullopt})(a, a), Error);             // nothing is batched
  EXPECT_THROW(vmap([](Tensor x) { return x; }, {1})(a), Error);  // no such axis
}

// A loop whose trip count differs per example runs as long as the longest, and each keeps its own
// result.
TEST(VmapApi, TripCountsOfTheirOwn) {
  const Tensor counts = Tensor::from<int32_t>({0, 3, 1, 4}, {4});
  const Tensor x = Tensor::from<double>({1, 2, 3, 4}, {4});
  const TensorFunction f = [](std::span<const Tensor> in) {
    return sample_loop(in[0], reshape(in[1], {1}), full({4, 1}, 0.5, DType::f64),
                       full({1}, 0.25, DType::f64), false);
  };
  const Tensor args[] = {counts, x};
  const std::vector<Tensor> mapped = vmap(f)(args);
  for (int64_t b = 0; b < 4; ++b) {
    const Tensor one[] = {slice(counts, {b}), slice(x, {b})};
    const std::vector<Tensor> expected = f(one);
    EXPECT_EQ(value(slice(mapped[0], {b})), value(expected[0])) << b;
    EXPECT_EQ(value(slice(mapped[1], {b})), value(expected[1])) << b;
  }
}

// An index that is out of range only in the branch not taken, or after an example's last step, is
// no error; one out of range in what is computed anyway is.
TEST(VmapApi, ErrorsOfWorkThatNobodyAskedForDoNotExist) {
  const Tensor x = Tensor::from<double>({10, 20, 30}, {3});
  const Tensor i = Tensor::from<int32_t>({0, 7, 2}, {3});
  const auto guarded = [&](Tensor k) {
    return cond(k < 3, [&] { return take(x, k); }, [&] { return full({}, -1, DType::f64); });
  };
  EXPECT_EQ(value(vmap(guarded)(i)), (std::vector<double>{10, -1, 30}));
  const auto written = [&](Tensor k) {
    return cond(
        k < 3, [&] { return index_add(x, k, full({}, 1, DType::f64)); }, [&] { return x * 0.0; });
  };
  EXPECT_EQ(value(vmap(written)(i)), (std::vector<double>{11, 20, 30, 0, 0, 0, 10, 20, 31}));
  // Step k reads x[k], so the third example must stop before the end of x.
  const auto summed = [&](Tensor n) {
    return fori(n, full({}, 0, DType::f64), [&](Tensor k, Tensor s) { return s + take(x, k + 1); },
                {.max = 4});
  };
  EXPECT_EQ(value(vmap(summed)(Tensor::from<int32_t>({0, 2, 1}, {3}))),
            (std::vector<double>{0, 50, 20}));
  EXPECT_THROW(value(vmap([&](Tensor k) { return take(x, k); })(i)), Error);
}

TEST(VmapApi, GroupsOfIntegersAndOfNegativeSizes) {
  const Tensor rows = Tensor::from<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3, 1});
  const Tensor w = Tensor::from<int32_t>({10, 100}, {2, 1, 1});
  const Tensor sizes = Tensor::from<int32_t>({-1, 2, 1, 1}, {2, 2});
  const auto product = [&](Tensor r, Tensor s) { return grouped_matmul(r, w, s); };
  const Tensor out = vmap(product)(rows, sizes);
  EXPECT_EQ(out.dtype(), DType::i32);
  EXPECT_EQ(value(out), (std::vector<double>{100, 200, 0, 40, 500, 0}));
  for (int64_t b = 0; b < 2; ++b)
    EXPECT_EQ(value(slice(out, {b})), value(product(slice(rows, {b}), slice(sizes, {b}))));
  const Tensor x = cast(slice(rows, {0}), DType::f64), v = cast(w, DType::f64);
  EXPECT_EQ(value(grad([&](Tensor t) { return sum(grouped_matmul(t, v, slice(sizes, {0}))); })(x)),
            (std::vector<double>{100, 100, 0}));
}

INSTANTIATE_TEST_SUITE_P(Differentiable, VmapOfGradient, testing::ValuesIn(differentiable_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace cairn::test
