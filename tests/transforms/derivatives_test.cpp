// Every primitive: first and second derivatives against finite differences, jvp against vjp.
#include <gtest/gtest.h>

#include <set>

#include "cairn/transforms/batching.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/rules.h"
#include "cairn/transforms/transposes.h"
#include "tests/transforms/numeric.h"
#include "tests/transforms/op_cases.h"

namespace cairn::test {
namespace {

std::vector<OpCase> all_cases() {
  std::vector<OpCase> cases = elementwise_cases();
  for (OpCase& c : other_cases()) cases.push_back(std::move(c));
  return cases;
}

std::vector<Tensor> arguments(const OpCase& c, uint32_t seed) {
  std::vector<Tensor> args;
  for (size_t i = 0; i < c.operands.size(); ++i)
    args.push_back(c.operands[i](seed + 1000 * static_cast<uint32_t>(i)));
  return args;
}

class Derivatives : public testing::TestWithParam<OpCase> {};

TEST_P(Derivatives, First) {
  for (const uint32_t seed : {1u, 2u})
    check_derivatives(GetParam().fn, arguments(GetParam(), seed), GetParam().name);
}

TEST_P(Derivatives, Second) {
  if (GetParam().orders < 2) GTEST_SKIP() << "not twice differentiable";
  check_derivatives(gradient_of(GetParam().fn), arguments(GetParam(), 3),
                    GetParam().name + ", second order");
}

INSTANTIATE_TEST_SUITE_P(Op, Derivatives, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(Tables, EveryPrimitiveHasItsRulesOrSaysWhyNot) {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    switch (info(op).trait) {
      case Trait::elementwise: EXPECT_TRUE(detail::has_derivative(op)) << name(op); break;
      case Trait::linear:
        EXPECT_TRUE(detail::has_transpose(op)) << name(op);
        EXPECT_TRUE(detail::batch_rule(op)) << name(op);
        break;
      case Trait::custom:
        EXPECT_TRUE(detail::vjp_row(op).declared()) << name(op);
        EXPECT_TRUE(detail::jvp_row(op).declared() || detail::jvp_control_rule(op)) << name(op);
        EXPECT_TRUE(detail::batch_rule(op)) << name(op);
        break;
      case Trait::constant:
        EXPECT_TRUE(info(op).operands == 0 || detail::batch_rule(op)) << name(op);
        break;
    }
  }
}

// What has no case above: operations on integers only, whose tangents do not exist; those that say
// that they have no derivative; collectives and transfer, which one process cannot run
// (collectives_test.cpp); custom (custom_test.cpp).
TEST(Tables, EveryPrimitiveHasACase) {
  std::set<Op> covered;
  for (const OpCase& c : all_cases()) covered.insert(c.op);
  const std::set<Op> elsewhere{
      Op::bitwise_and,    Op::bitwise_or, Op::bitwise_xor, Op::shift_left, Op::shift_right,
      Op::equal,          Op::less,       Op::less_equal,  Op::quantize,   Op::dequantize,
      Op::custom,         Op::vary,       Op::all_reduce,  Op::all_gather, Op::all_gather_invariant,
      Op::reduce_scatter, Op::all_to_all, Op::permute,     Op::transfer};
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (info(op).trait == Trait::constant) continue;
    EXPECT_NE(covered.contains(op), elsewhere.contains(op)) << name(op);
  }
}

}  // namespace
}  // namespace cairn::test
