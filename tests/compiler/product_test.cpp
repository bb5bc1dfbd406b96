// Products of sizes at which blocks of rows, columns and K end or nearly do, as they lie and
// transposed: the bits of one chain of fused multiply-adds per element in increasing k, with and
// without what is computed from the result.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cairn/base/philox.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/runtime/runtime.h"

namespace cairn {
namespace {

struct Sizes {
  int64_t m, k, n;
};
constexpr Sizes kSizes[] = {
    {17, 1, 64},   {47, 15, 65},   {49, 256, 16}, {96, 257, 100}, {97, 64, 384},  {100, 300, 385},
    {191, 17, 64}, {193, 63, 130}, {385, 33, 70}, {200, 513, 65}, {1160, 31, 40}, {144, 255, 700},
};

// Numbers of seven bits, which bf16 holds, and of several magnitudes, so that sums are rounded.
std::vector<float> numbers(int64_t count, uint64_t seed) {
  std::vector<uint32_t> bits(static_cast<size_t>(count));
  philox_fill(fold_in(PhiloxKey{}, seed), 0, std::span(bits));
  std::vector<float> result;
  for (const uint32_t b : bits)
    result.push_back(
        std::ldexp(static_cast<float>(b >> 25) / 64 - 1, static_cast<int>(b & 15) - 8));
  return result;
}

template <class T>
HostArray chains(const std::vector<float>& x, const std::vector<float>& y, const Sizes& s,
                 bool in_pairs) {
  HostArray result(dtype_of<T>(), {s.m, s.n});
  const auto sums = result.mutable_span<T>();
  for (int64_t i = 0; i < s.m; ++i)
    for (int64_t step = 0; step < s.k; ++step) {
      // The second of a pair of bf16 comes first.
      const int64_t k = in_pairs && (step ^ 1) < s.k ? step ^ 1 : step;
      const T left = x[static_cast<size_t>(i * s.k + k)];
      for (int64_t j = 0; j < s.n; ++j) {
        T& sum = sums[static_cast<size_t>(i * s.n + j)];
        sum =
            std::fma(left, static_cast<T>(y[static_cast<size_t>(k * s.n + j)]), step ? sum : T(0));
      }
    }
  return result;
}

class Product : public ::testing::TestWithParam<std::tuple<DType, bool, bool>> {};

TEST_P(Product, IsOneChainPerElement) {
  if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
  const auto [dtype, left, right] = GetParam();
  Runtime runtime({.device = "cpu", .threads = 2});
  for (const Sizes& s : kSizes) {
    SCOPED_TRACE(fmt::format("{} x {} x {}", s.m, s.k, s.n));
    const std::vector<float> x = numbers(s.m * s.k, 1), y = numbers(s.k * s.n, 2);
    const auto operand = [&, dtype = dtype](const std::vector<float>& values, const Shape& shape,
                                            bool is_transposed) {
      const Tensor plain = runtime.upload(HostArray::from<float>(values, shape));
      const Tensor typed = eval(runtime, cast(plain, dtype));
      return is_transposed ? transpose(eval(runtime, transpose(typed))) : typed;
    };
    const Tensor a = operand(x, {s.m, s.k}, left), b = operand(y, {s.k, s.n}, right);
    const HostArray chain = dtype == DType::f64 ? chains<double>(x, y, s, false)
                                                : chains<float>(x, y, s, dtype == DType::bf16);
    const Tensor expected = cast(runtime.upload(chain), dtype);
    const auto differences = [&](const Tensor& got, const Tensor& wanted) {
      const HostArray g = eval(runtime, cast(got, DType::f64)).host();
      const HostArray w = eval(runtime, cast(wanted, DType::f64)).host();
      const auto p = g.span<double>(), q = w.span<double>();
      int64_t count = 0;
      for (size_t i = 0; i < p.size(); ++i) count += p[i] != q[i];
      return count;
    };
    EXPECT_EQ(differences(eval(runtime, matmul(a, b)), expected), 0);
    const Tensor bias = operand(numbers(s.n, 3), {s.n}, false);
    const Tensor other = operand(numbers(s.m * s.n, 4), {s.m, s.n}, false);
    const auto more = [&](const Tensor& product) { return maximum(product + bias, 0) * other; };
    EXPECT_EQ(differences(eval(runtime, more(matmul(a, b))),
                          eval(runtime, more(expected), {.eager = true})),
              0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Product,
                         ::testing::Combine(::testing::Values(DType::f32, DType::bf16, DType::f64),
                                            ::testing::Bool(), ::testing::Bool()),
                         [](const auto& info) {
                           return fmt::format("{}{}{}", name(std::get<0>(info.param)),
                                              std::get<1>(info.param) ? "_t" : "_n",
                                              std::get<2>(info.param) ? "t" : "n");
                         });

}  // namespace
}  // namespace cairn
