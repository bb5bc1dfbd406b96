// Derivatives over the table of operation cases: vjp and jvp against central differences in f64,
// and vjp against jvp; then the same of the gradient, where it is differentiable again.
// tests/transforms/numeric.h has the bounds.
#include <gtest/gtest.h>

#include "tests/ops/op_cases.h"
#include "tests/transforms/numeric.h"

namespace cairn::test {
namespace {

bool in_f64(const Case& c) { return c.dtypes.front() == DType::f64; }

TEST(OpDerivatives, First) {
  int count = 0;
  for (const Case& c : all_cases()) {
    if (c.orders < 1 || !in_f64(c)) continue;
    check_derivatives(c.call, c.leaves(DType::f64), c.name);
    ++count;
  }
  EXPECT_GT(count, 500);
}

TEST(OpDerivatives, Second) {
  int count = 0;
  for (const Case& c : all_cases()) {
    if (c.orders < 2 || !in_f64(c)) continue;
    const std::vector<Tensor> leaves = c.leaves(DType::f64);
    const TensorFunction gradient = gradient_of(c.call);
    if (gradient(leaves).empty()) continue;
    check_derivatives(gradient, leaves, c.name + ", of its gradient");
    ++count;
  }
  EXPECT_GT(count, 450);
}

}  // namespace
}  // namespace cairn::test
