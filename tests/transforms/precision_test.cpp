// Mixed precision: which operations become narrow, and that the others stay as they were.
#include "cairn/transforms/precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "cairn/graph/verify.h"
#include "cairn/ops/control.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/nn.h"
#include "cairn/transforms/checkpoint.h"
#include "cairn/transforms/substitute.h"
#include "tests/transforms/numeric.h"
#include "tests/transforms/op_cases.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;

Tensor matrix(int64_t rows, int64_t columns, double seed, DType dtype = DType::f32) {
  std::vector<double> values;
  for (int64_t i = 0; i < rows * columns; ++i)
    values.push_back(std::sin(seed + 1.7 * static_cast<double>(i)));
  return eval(runtime(), cast(leaf(values, {rows, columns}), dtype));
}

// Element types of the products that `roots` depend on, inside regions too, each once.
void add_product_types(std::span<const Tensor> roots, std::set<DType>& types) {
  for (const Node* node : topological_order(roots)) {
    if (node->op() == Op::matmul || node->op() == Op::convolution)
      for (const Tensor& operand : node->inputs()) types.insert(operand.dtype());
    for (const Graph* region : detail::regions(*node)) add_product_types(region->outputs, types);
  }
}
std::set<DType> product_types(const std::vector<Tensor>& roots) {
  std::set<DType> types;
  add_product_types(roots, types);
  return types;
}

const std::set<DType> kOnlyBf16{DType::bf16};

Tensor narrow(const Tensor& x, DType compute = DType::bf16) {
  return with_precision(std::span(&x, 1), compute)[0];
}

TEST(Precision, OfWeightsOfBf16) {
  const Tensor x = matrix(5, 7, 0.3), w = matrix(4, 7, 1.1, DType::bf16);
  const auto of_weights = [](const Tensor& y) {
    return with_precision_of_weights(std::span(&y, 1))[0];
  };
  const Tensor rounded = cast(cast(x, DType::bf16), DType::f32);
  const Tensor wide = cast(w, DType::f32);
  const Tensor y = of_weights(matmul(x, transpose(wide)));
  EXPECT_EQ(product_types({y}), kOnlyBf16);
  EXPECT_EQ(y.dtype(), DType::f32);
  // Sums are f32: no less exact than of operands that are bf16 in f32.
  const Tensor exact = matmul(rounded, transpose(wide));
  for (int64_t i = 0; i < y.elements(); ++i)
    EXPECT_NEAR(value(y)[static_cast<size_t>(i)], value(exact)[static_cast<size_t>(i)],
                7 * 7 * 0x1p-24);
  EXPECT_NE(value(y), value(matmul(x, transpose(wide))));
  // Weights of other types, and x of bf16, are no such weights.
  for (const Tensor& other :
       {matmul(x, transpose(matrix(4, 7, 1.1))),
        matmul(x, transpose(cast(matrix(4, 7, 1.1, DType::f16), DType::f32))),
        matmul(transpose(cast(matrix(7, 5, 1.1, DType::bf16), DType::f32)), matrix(7, 3, 0.2))})
    EXPECT_EQ(value(of_weights(other)), value(other));
}

TEST(Precision, AProductReadsNarrowNumbersAndRoundsOnce) {
  const Tensor a = matrix(5, 7, 0.3), b = matrix(7, 4, 1.1);
  for (const DType compute : {DType::bf16, DType::f16}) {
    const Tensor y = narrow(matmul(a, b), compute);
    EXPECT_EQ(y.dtype(), DType::f32);
    const Tensor defined = cast(matmul(cast(a, compute), cast(b, compute)), DType::f32);
    EXPECT_EQ(value(y), value(defined));
    EXPECT_NE(value(y), value(matmul(a, b)));
  }
}

TEST(Precision, AConvolutionToo) {
  const Tensor x = reshape(matrix(2, 75, 0.1), {2, 3, 5, 5});
  const Tensor w = reshape(matrix(4, 27, 0.7), {4, 3, 3, 3});
  const Tensor y = narrow(convolution(x, w));
  EXPECT_EQ(y.dtype(), DType::f32);
  EXPECT_EQ(value(y),
            value(cast(convolution(cast(x, DType::bf16), cast(w, DType::bf16)), DType::f32)));
}

TEST(Precision, BackwardProductsAreNarrowAndEverythingElseIsNot) {
  const Tensor w = matrix(7, 4, 1.1);
  const auto loss = [&](const Tensor& x) {
    return narrow(sum(logsumexp(softmax(matmul(tanh(matmul(x, w)), transpose(w))), {1})));
  };
  const Tensor x = matrix(5, 7, 0.3);
  const std::vector<Tensor> both{loss(x), grad(loss)(x)};
  EXPECT_EQ(product_types(both), kOnlyBf16);
  for (const Node* node : topological_order(both))
    if (node->op() == Op::reduce || node->op() == Op::exp || node->op() == Op::tanh) {
      EXPECT_EQ(node->output().dtype, DType::f32) << name(node->op());
    }
  // bf16 has 8 bits: three products in a row stay within a few units of 2^-8 of the largest.
  const auto exact = [&](const Tensor& t) {
    return sum(logsumexp(softmax(matmul(tanh(matmul(t, w)), transpose(w))), {1}));
  };
  const auto narrowed = value(grad(loss)(x)), wide = value(grad(exact)(x));
  double largest = 0;
  for (const double v : wide) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < wide.size(); ++i)
    EXPECT_NEAR(narrowed[i], wide[i], 8 * largest / 256) << i;
}

TEST(Precision, ReachesIntoLoopsConditionsAndCheckpoints) {
  const Tensor x = matrix(3, 3, 0.3), w = matrix(3, 3, 0.9);
  const Tensor looped =
      fori(3, x, [&](const Tensor&, const Tensor& y) { return tanh(matmul(y, w)); });
  const Tensor chosen =
      cond(sum(x) > 0, [&] { return matmul(x, w); }, [&] { return matmul(w, x); });
  const Tensor kept = checkpoint([&](Tensor t) { return matmul(t, w); })(x);
  for (const Tensor& y : {looped, chosen, kept}) {
    const Tensor n = narrow(y);
    EXPECT_EQ(product_types({n}), kOnlyBf16);
    verify({"narrow", {}, {n}, {}});
    EXPECT_NE(value(n), value(y));
    const auto a = value(n), b = value(y);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 0.05) << i;
  }
}

TEST(Precision, AttentionRoundsItsOperandsAndKeepsItsSoftmax) {
  const auto heads = [](int64_t tokens, double seed) {
    return reshape(matrix(2 * tokens, 8, seed), {1, 2, tokens, 8});
  };
  const Tensor q = heads(70, 0.1), k = heads(70, 0.5), v = heads(70, 0.9);
  const auto mixed = [&](const Tensor& x) { return attention(x, k, v, {.causal = true}); };
  const AttentionResult whole = mixed(q);
  const std::vector<Tensor> both{whole.out, whole.logsumexp};
  const std::vector<Tensor> narrowed = with_precision(both, DType::bf16);
  const auto rounded = [](const Tensor& x) { return cast(x, DType::bf16); };
  const AttentionResult defined = attention(rounded(q), rounded(k), rounded(v), {.causal = true});
  EXPECT_EQ(narrowed[0].dtype(), DType::f32);
  EXPECT_EQ(value(narrowed[0]), value(cast(defined.out, DType::f32)));
  EXPECT_EQ(value(narrowed[1]), value(defined.logsumexp));
  EXPECT_NE(value(narrowed[0]), value(both[0]));
  // Weights add up to 1 and numbers are below it. A product of two rounded numbers is off by 2^-7
  // of itself, a score by 8 of them, a weight by two scores and its own rounding, and the result is
  // rounded too.
  const double bound = (2 * 2 * 8 / std::sqrt(8.0) + 3) / 256;
  const auto narrow_values = value(narrowed[0]), wide = value(both[0]);
  for (size_t i = 0; i < wide.size(); ++i) EXPECT_NEAR(narrow_values[i], wide[i], bound) << i;
  // Its gradient is that of the narrow one, and comes back in f32.
  const Tensor gradient = grad([&](const Tensor& x) { return sum(narrow(mixed(x).out)); })(q);
  const Tensor expected = grad([&](const Tensor& x) {
    const AttentionResult r = attention(rounded(x), rounded(k), rounded(v), {.causal = true});
    return sum(cast(r.out, DType::f32));
  })(q);
  EXPECT_EQ(gradient.dtype(), DType::f32);
  EXPECT_EQ(value(gradient), value(expected));
  // Few queries read each key once, which rounding would only make longer.
  const Tensor few = attention(heads(3, 0.2), k, v).out;
  EXPECT_TRUE(same(narrow(few), few));
}

TEST(Precision, LeavesOthersAlone) {
  const Tensor wide = matmul(matrix(3, 3, 1, DType::f64), matrix(3, 3, 2, DType::f64));
  EXPECT_TRUE(same(narrow(wide), wide));
  const Tensor sums = exp(sum(matrix(3, 3, 1)));
  EXPECT_TRUE(same(narrow(sums), sums));
  const Tensor y = matmul(matrix(3, 3, 1), matrix(3, 3, 2));
  EXPECT_TRUE(same(narrow(y, DType::f32), y));
  const Tensor asked = matmul(matrix(3, 3, 1), matrix(3, 3, 2), {.dtype = DType::f64});
  EXPECT_TRUE(same(narrow(asked), asked));
}

TEST(Precision, AsksForAFloatOfSixteenBits) {
  const Tensor y = exp(matrix(2, 2, 1));
  try {
    narrow(y, DType::i32);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("f32, f16 or bf16, not in i32"));
  }
}

}  // namespace
}  // namespace cairn::test
