// Modules in f64, with numbers that are neither zeros nor ones in their fields.
#pragma once

#include <string>
#include <vector>

#include "cairn/nn/module.h"
#include "tests/transforms/numeric.h"

namespace cairn::test {

using Forward = std::function<Tensor(Context&, const Tensor&)>;

// Weights of norms and variances lie around 1, everything else around 0, within 0.5.
inline void fill(Module& module) {
  uint32_t seed = 900;
  for (const Field& field : fields(module)) {
    const bool around_one = field.path.ends_with("running_var") ||
                            (field.tensor->rank() == 1 && field.path.ends_with("weight"));
    std::vector<double> x = direction(static_cast<size_t>(field.tensor->elements()), ++seed);
    for (double& v : x) v = v / 2 + around_one;
    *field.tensor = leaf(x, field.tensor->shape());
  }
}

inline Tensor input(const Shape& shape, uint32_t seed = 77) {
  return leaf(direction(static_cast<size_t>(shape.elements()), seed), shape);
}

inline void set(Module& module, const std::string& path, const std::vector<double>& values) {
  for (const Field& field : fields(module))
    if (field.path == path) {
      *field.tensor = leaf(values, field.tensor->shape());
      return;
    }
  FAIL() << "no field " << path;
}

// Equal but for rounding: `epsilons` times f64's, relative to the largest element, or to 1 where
// terms of about that size cancel (the gradient of a key's bias is 0).
inline void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                        double epsilons, const std::string& what = "") {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double scale = 1;
  for (const double v : expected) scale = std::max(scale, std::fabs(v));
  const double bound = epsilons * std::numeric_limits<double>::epsilon() * scale;
  for (size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], bound) << what << " at " << i;
}

}  // namespace cairn::test
