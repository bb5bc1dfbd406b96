// Derivatives against finite differences, and evaluation to plain vectors.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "cairn/base/philox.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/jvp.h"
#include "tests/support/checked_runtime.h"

namespace cairn::test {

inline Runtime& runtime() {
  static Runtime instance(test::checked({"", 1}));
  return instance;
}

inline std::vector<std::vector<double>> values(std::span<const Tensor> tensors) {
  std::vector<std::vector<double>> result;
  for (const Tensor& leaf : eval(runtime(), tensors)) {
    const HostArray array = leaf.host();
    auto& list = result.emplace_back();
    for (int64_t i = 0; i < array.elements(); ++i) list.push_back(array.at(i));
  }
  return result;
}
inline std::vector<double> value(const Tensor& t) { return values({&t, 1})[0]; }
inline double number(const Tensor& t) { return value(t).at(0); }

inline Tensor leaf(const std::vector<double>& data, const Shape& shape) {
  return Tensor::from<double>(std::span(data), shape);
}

// Numbers in (-1, 1).
inline std::vector<double> direction(size_t n, uint32_t seed) {
  std::vector<double> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = 2 * (philox_bits({seed, 5}, i) + 0.5) / 4294967296.0 - 1;
  return out;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
inline double absolute_dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] * b[i]);
  return sum;
}

// Checks vjp and jvp of fn at args in one random direction, for all float operands at once:
//   <ct, J v> by central differences, <J^T ct, v> by vjp, <ct, J v> by jvp.
// Bounds. The difference quotient D(h) with step h has a truncation error of h^2 f'''/6, which
// |D(2h) - D(h)| = 3 h^2 f'''/6 + O(h^4) exceeds; its rounding error is eps / h times the size of
// the sum, times the operations behind one element, of which we allow 64. The two inner products
// differ by rounding only: eps times the terms, times the operations.
inline void check_derivatives(const TensorFunction& fn, const std::vector<Tensor>& args,
                              const std::string& what) {
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  constexpr double kOperations = 64;
  const std::vector<Tensor> base_outputs = fn(args);
  std::vector<std::vector<double>> cts, vs(args.size());
  for (size_t i = 0; i < base_outputs.size(); ++i)
    cts.push_back(
        direction(static_cast<size_t>(base_outputs[i].elements()), static_cast<uint32_t>(100 + i)));
  std::vector<Tensor> tangents(args.size()), cotangents(base_outputs.size());
  for (size_t i = 0; i < args.size(); ++i) {
    vs[i] = direction(static_cast<size_t>(args[i].elements()), static_cast<uint32_t>(200 + i));
    if (is_float(args[i].dtype())) tangents[i] = leaf(vs[i], args[i].shape());
  }
  for (size_t i = 0; i < base_outputs.size(); ++i)
    if (is_float(base_outputs[i].dtype())) cotangents[i] = leaf(cts[i], base_outputs[i].shape());

  double scale = 0;  // size of <ct, f>
  const auto contracted = [&](double h) {
    std::vector<Tensor> moved = args;
    for (size_t i = 0; i < args.size(); ++i) {
      if (!is_float(args[i].dtype())) continue;
      std::vector<double> x = value(args[i]);
      for (size_t j = 0; j < x.size(); ++j) x[j] += h * vs[i][j];
      moved[i] = leaf(x, args[i].shape());
    }
    const std::vector<Tensor> outputs = fn(moved);
    const auto all = values(outputs);
    double sum = 0, size = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!is_float(outputs[i].dtype())) continue;
      sum += dot(cts[i], all[i]);
      size += absolute_dot(cts[i], all[i]);
    }
    scale = std::max(scale, size);
    return sum;
  };
  const double h = std::cbrt(kEps);
  const double near = (contracted(h) - contracted(-h)) / (2 * h);
  const double far = (contracted(2 * h) - contracted(-2 * h)) / (4 * h);

  const Vjp pulled = vjp(fn, args);
  const std::vector<Tensor> gradient = pulled.pullback(cotangents);
  double by_vjp = 0, terms = 0;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!is_float(args[i].dtype())) {
      EXPECT_FALSE(gradient[i].defined()) << what;
      continue;
    }
    ASSERT_EQ(to_string(gradient[i].type()), to_string(args[i].type())) << what;
    const std::vector<double> g = value(gradient[i]);
    by_vjp += dot(g, vs[i]);
    terms += absolute_dot(g, vs[i]);
  }
  const Jvp pushed = jvp(fn, args, tangents);
  double by_jvp = 0;
  for (size_t i = 0; i < base_outputs.size(); ++i) {
    EXPECT_EQ(value(pushed.outputs[i]), value(base_outputs[i]))
        << what << ": jvp changes the value";
    EXPECT_EQ(value(pulled.outputs[i]), value(base_outputs[i]))
        << what << ": vjp changes the value";
    if (!is_float(base_outputs[i].dtype())) continue;
    ASSERT_EQ(to_string(pushed.tangents[i].type()), to_string(base_outputs[i].type())) << what;
    const std::vector<double> t = value(pushed.tangents[i]);
    by_jvp += dot(t, cts[i]);
    terms += absolute_dot(t, cts[i]);
  }
  const double exact = kOperations * kEps * terms;
  EXPECT_NEAR(by_jvp, by_vjp, exact) << what << ": jvp against vjp";
  EXPECT_NEAR(near, by_vjp, std::fabs(far - near) + kOperations * kEps * scale / h + exact)
      << what << ": finite differences against vjp";
}

// The gradient of <ct, fn> with respect to the float operands, as a function: for second
// derivatives.
inline TensorFunction gradient_of(const TensorFunction& fn) {
  return [fn](std::span<const Tensor> x) {
    const Vjp pulled = vjp(fn, x);
    std::vector<Tensor> cts;
    for (size_t i = 0; i < pulled.outputs.size(); ++i) {
      const Tensor& y = pulled.outputs[i];
      cts.push_back(is_float(y.dtype()) ? leaf(direction(static_cast<size_t>(y.elements()),
                                                         static_cast<uint32_t>(300 + i)),
                                               y.shape())
                                        : Tensor());
    }
    std::vector<Tensor> gradients;
    for (const Tensor& g : pulled.pullback(cts))
      if (g.defined()) gradients.push_back(g);
    return gradients;
  };
}

}  // namespace cairn::test
