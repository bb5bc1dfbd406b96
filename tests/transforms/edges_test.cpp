// Derivatives at kinks, poles and special values, and of low-precision operands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cairn/core/float_types.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/jvp.h"
#include "tests/support/message_of.h"
#include "tests/transforms/numeric.h"
#include "tests/transforms/op_cases.h"

namespace cairn::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();

// d sum(f(x)) / dx.
template <class F>
std::vector<double> slope(F f, std::vector<double> x) {
  const auto n = static_cast<int64_t>(x.size());
  return value(grad([&](Tensor t) { return sum(f(t)); })(leaf(x, {n})));
}
template <class F>
std::pair<double, double> slopes(F f, double x, double y) {
  const Tensor a = leaf({x}, {1}), b = leaf({y}, {1});
  const auto total = [&](Tensor s, Tensor t) { return sum(f(s, t)); };
  return {number(grad(total, 0)(a, b)), number(grad(total, 1)(a, b))};
}

TEST(Kinks, HaveTheirConventions) {
  EXPECT_THAT(slope([](Tensor x) { return abs(x); }, {-2, 0, 3}), ElementsAre(-1, 0, 1));
  EXPECT_THAT(slope([](Tensor x) { return floor(x) + ceil(x) + round(x) + sign(x); }, {-1, 0.5, 2}),
              ElementsAre(0, 0, 0));
  EXPECT_THAT(slope([](Tensor x) { return sqrt(x); }, {0, 4}), ElementsAre(kInf, 0.25));
}

// Smooth functions that are written with a choice have their second derivatives at its edge too.
TEST(Kinks, SmoothFunctionsHaveNone) {
  const auto second = [](auto f, double x) {
    return value(hessian([&](Tensor t) { return sum(f(t)); })(leaf({x}, {1})))[0];
  };
  for (const double x : {0.0, 0.5, -0.5}) {
    const double s = 1 / (1 + std::exp(-x));
    const double expected = s * (1 - s);
    EXPECT_DOUBLE_EQ(second([](Tensor t) { return softplus(t); }, x), expected) << x;
    EXPECT_DOUBLE_EQ(second([](Tensor t) { return log_sigmoid(t); }, x), -expected) << x;
    EXPECT_DOUBLE_EQ(second([](Tensor t) { return bce_with_logits(t, full_like(t, 1.0)); }, x),
                     expected)
        << x;
  }
  EXPECT_EQ(second([](Tensor t) { return huber_loss(t, 0.0); }, 0), 1);
  EXPECT_EQ(second([](Tensor t) { return smooth_l1_loss(t, 0.0, 2.0); }, 0), 0.5);
  EXPECT_THAT(value(hessian([](Tensor t) { return logaddexp(slice(t, {0}), slice(t, {1})); })(
                  leaf({1, 1}, {2}))),
              ElementsAre(0.25, -0.25, -0.25, 0.25));
  EXPECT_THAT(slope([](Tensor t) { return logaddexp(t, t); }, {-kInf, 0, kInf}),
              ElementsAre(1, 1, 1));
}

TEST(Kinks, MaximumSharesATie) {
  const auto larger = [](Tensor x, Tensor y) { return maximum(x, y); };
  const auto smaller = [](Tensor x, Tensor y) { return minimum(x, y); };
  EXPECT_EQ(slopes(larger, 2, 1), std::pair(1.0, 0.0));
  EXPECT_EQ(slopes(larger, 1, 1), std::pair(0.5, 0.5));
  EXPECT_EQ(slopes(smaller, 1, 1), std::pair(0.5, 0.5));
  EXPECT_EQ(slopes(smaller, 2, 1), std::pair(0.0, 1.0));
}

TEST(Kinks, ReductionsShareTies) {
  EXPECT_THAT(slope([](Tensor x) { return max(x); }, {3, 1, 3, 3}),
              testing::Pointwise(testing::DoubleEq(), {1 / 3.0, 0.0, 1 / 3.0, 1 / 3.0}));
  EXPECT_THAT(slope([](Tensor x) { return min(x); }, {3, 1, 3, 1}), ElementsAre(0, 0.5, 0, 0.5));
  // A running maximum belongs to the first element that reached it.
  EXPECT_THAT(slope([](Tensor x) { return cummax(x, 0); }, {1, 3, 3, 2}), ElementsAre(1, 3, 0, 0));
}

TEST(Zeros, AProductDoesNotDivide) {
  EXPECT_THAT(slope([](Tensor x) { return prod(x); }, {2, 0, 5}), ElementsAre(0, 10, 0));
  EXPECT_THAT(slope([](Tensor x) { return prod(x); }, {0, 0, 5}), ElementsAre(0, 0, 0));
  EXPECT_THAT(slope([](Tensor x) { return cumprod(x, 0); }, {2, 0, 5}), ElementsAre(1, 2 + 10, 0));
  // d2 (x y z) / dx dy = z, also where x and y are zero.
  const auto h = value(hessian([](Tensor x) { return prod(x); })(leaf({0, 0, 5}, {3})));
  EXPECT_THAT(h, ElementsAre(0, 5, 0, 5, 0, 0, 0, 0, 0));
}

TEST(Powers, AtZero) {
  const auto f = [](Tensor x, Tensor y) { return power(x, y); };
  EXPECT_EQ(slopes(f, 0, 2), std::pair(0.0, 0.0));
  EXPECT_EQ(slopes(f, 0, 1), std::pair(1.0, 0.0));
  EXPECT_EQ(slopes(f, 0, 0), std::pair(0.0, 0.0));
  EXPECT_EQ(slopes(f, 3, 0), std::pair(0.0, std::log(3.0)));
  EXPECT_EQ(slopes(f, -2, 3).first, 12);
  EXPECT_EQ(slopes(f, 0, 0.5).first, kInf);
}

TEST(Powers, SecondDerivatives) {
  for (const double x : {0.0, -1.5, 2.0}) {
    const auto square = [](Tensor t) { return power(t, 2.0); };
    EXPECT_EQ(number(grad(grad(square))(leaf({x}, {}))), 2) << x;
  }
  // d2 x^y / dx dy = x^(y-1) (1 + y log x), at y = 0 as well.
  const auto f = [](Tensor x, Tensor y) { return power(x, y); };
  const auto mixed = grad([&](Tensor x, Tensor y) { return grad(f, 0)(x, y); }, 1);
  EXPECT_DOUBLE_EQ(number(mixed(leaf({2}, {}), leaf({0}, {}))), 0.5);
}

TEST(FarOut, DerivativesStayFinite) {
  EXPECT_THAT(slope([](Tensor x) { return sigmoid(x); }, {-800, 800}), ElementsAre(0, 0));
  EXPECT_THAT(slope([](Tensor x) { return tanh(x); }, {-800, 800}), ElementsAre(0, 0));
  EXPECT_THAT(slope([](Tensor x) { return erf(x); }, {-1e200, 1e200}), ElementsAre(0, 0));
  EXPECT_THAT(slope([](Tensor x) { return expm1(x); }, {-700}), ElementsAre(std::exp(-700.0)));
  // Squares would over- or underflow.
  const auto [dy, dx] = slopes([](Tensor y, Tensor x) { return atan2(y, x); }, 3e200, 4e200);
  EXPECT_DOUBLE_EQ(dy, 4 / 25.0 / 1e200);
  EXPECT_DOUBLE_EQ(dx, -3 / 25.0 / 1e200);
  EXPECT_DOUBLE_EQ(slopes([](Tensor y, Tensor x) { return atan2(y, x); }, 3e-200, 4e-200).first,
                   4 / 25.0 * 1e200);
}

TEST(Selection, KeepsWhatIsNotTakenOut) {
  // The branch that is not taken is infinite; its derivative does not come through as NaN.
  EXPECT_THAT(
      slope([](Tensor x) { return where(less(x, 1.0), x * x, exp(x * 1000.0) * 0.0 + x); }, {0.5}),
      ElementsAre(1));
}

TEST(Remainder, UsesTheQuotientOfTheResult) {
  // 0.3 / 0.1 rounds to 3, yet fmod(0.3, 0.1) took away only 2 of them.
  EXPECT_EQ(slopes([](Tensor x, Tensor y) { return fmod(x, y); }, 0.3, 0.1), std::pair(1.0, -2.0));
}

TEST(Scatter, TheLastOfRepeatedIndicesWins) {
  const Tensor indices = Tensor::from<int32_t>({1, 1, 0}, {3});
  const auto set = [&](Tensor x, Tensor u) {
    return sum(make(Op::scatter, {x, indices, u},
                    with(gather_attrs(0, 0), Attr::kind, std::string("set"))) *
               leaf({10, 20, 30}, {3}));
  };
  const Tensor x = leaf({1, 2, 3}, {3}), u = leaf({4, 5, 6}, {3});
  EXPECT_THAT(value(grad(set, 0)(x, u)), ElementsAre(0, 0, 30));
  EXPECT_THAT(value(grad(set, 1)(x, u)), ElementsAre(0, 20, 10));
}

TEST(Missing, SaysWhatToDo) {
  const Tensor x = Tensor::from<float>(std::vector<float>(32, 1.0f), {32});
  const auto round_trip = [](Tensor t) {
    const Tensor bytes = make(Op::quantize, {t}, {{Attr::format, std::string("q8_0")}});
    return sum(make(Op::dequantize, {reshape(bytes, {1, 34})},
                    {{Attr::format, std::string("q8_0")}, {Attr::dtype, DType::f32}}));
  };
  EXPECT_THAT(message_of([&] { grad(round_trip)(x); }),
              HasSubstr("dequantize: quantized data has no derivative"));
  EXPECT_THAT(message_of([&] { jacfwd(round_trip)(x); }),
              HasSubstr("quantize: quantized data has no derivative"));
  // Constants may be quantized.
  const auto weight = [&](Tensor t) { return t * round_trip(x); };
  EXPECT_EQ(number(grad(weight)(Tensor::scalar(2.0, DType::f32))), number(round_trip(x)));
  const auto product = [&](Tensor t) {
    return sum(make(Op::scatter,
                    {t, Tensor::from<int32_t>({1, 0}, {2}), Tensor::from<float>({1, 1}, {2})},
                    with(gather_attrs(0, 0), Attr::kind, std::string("prod"))));
  };
  EXPECT_THAT(message_of([&] { grad(product)(x); }),
              HasSubstr("scatter: kind=prod has no derivative"));
}

// Products of narrow operands with a wide result: cotangents have the type of their operand.
TEST(Narrow, ProductsWithAWideResult) {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f8e4m3, DType::f8e5m2}) {
    const Tensor a = leaf({1, 2, 3, 4, 5, 6}, {2, 3}), b = leaf({1, -1, 2, 0.5, 0, 1}, {3, 2});
    const auto f = [&](Tensor x, Tensor y) {
      const Tensor product =
          make(Op::matmul, {cast(x, dtype), cast(y, dtype)}, {{Attr::dtype, DType::f32}});
      return sum(cast(product, DType::f64) * leaf({1, 2, 3, 4}, {2, 2}));
    };
    // Every number here is exact in all of these types.
    EXPECT_EQ(value(grad(f, 0)(a, b)), value(matmul(leaf({1, 2, 3, 4}, {2, 2}), transpose(b))))
        << name(dtype);
    EXPECT_EQ(value(grad(f, 1)(a, b)), value(matmul(transpose(a), leaf({1, 2, 3, 4}, {2, 2}))))
        << name(dtype);
    EXPECT_EQ(value(jacfwd(f, 0)(a, b)), value(grad(f, 0)(a, b))) << name(dtype);
  }
}

TEST(Narrow, CotangentsOf8BitFloatsAreF32) {
  const Tensor x = Tensor::input({DType::f8e4m3, {2}}, "x");
  const Tensor loss = sum(cast(x, DType::f32) + cast(reshape(x, {2}), DType::f32));
  EXPECT_EQ(to_string(gradients(loss, {&x, 1})[0].type()), "f32[2]");
}

// Another group's infinity must not reach a group's gradient.
TEST(GroupedProduct, GroupsDoNotMix) {
  const Tensor x = leaf({1, kInf, 2, kInf}, {4, 1});
  const Tensor w = leaf({1, 1}, {2, 1, 1});
  const Tensor sizes = Tensor::from<int32_t>({1, 0}, {2});
  const auto f = [&](Tensor t) { return sum(make(Op::grouped_matmul, {x, t, sizes})); };
  EXPECT_THAT(value(grad(f)(w)), ElementsAre(1, 0));
}

}  // namespace
}  // namespace cairn::test
