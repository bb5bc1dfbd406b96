// Reductions of tensors on the device cpu: the order of sums, bit for bit, along rows and columns.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "cairn/tile/reduction_order.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

// outer x n x inner numbers, reduced along the middle.
struct Sizes {
  int64_t outer, n, inner;
};
constexpr Sizes kSizes[] = {{1, 1, 1},    {3, 2, 1},    {2, 63, 1},   {2, 64, 1},     {2, 65, 1},
                            {5, 1000, 1}, {1, 4096, 1}, {2, 4097, 1}, {1, 300000, 1}, {1, 2, 3},
                            {2, 63, 5},   {1, 64, 64},  {3, 65, 65},  {1, 1000, 70},  {1, 4097, 3}};

std::vector<float> numbers(int64_t count) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(generator);
  return values;
}

class Reductions : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
  }
};

TEST_P(Reductions, SumInTheOrderOfTheDefinition) {
  Runtime runtime(test::checked({"cpu", GetParam()}));
  for (const auto& [outer, n, inner] : kSizes) {
    SCOPED_TRACE(testing::Message() << outer << " x " << n << " x " << inner);
    const std::vector<float> x = numbers(outer * n * inner);
    const Tensor leaf = Tensor::from<float>(x, {outer, n, inner});
    const auto got = eval(runtime, sum(leaf, {1})).to_vector<float>();
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const float expected = tile::reduce_in_order<float>(
            n, [&](int64_t j) { return x[static_cast<size_t>((o * n + j) * inner + i)]; });
        ASSERT_EQ(got[static_cast<size_t>(o * inner + i)], expected) << o << " " << i;
      }
  }
}

TEST_P(Reductions, LargestAndNaN) {
  Runtime runtime(test::checked({"cpu", GetParam()}));
  for (const auto& [outer, n, inner] : kSizes) {
    std::vector<float> x = numbers(outer * n * inner);
    float largest = -INFINITY;
    for (float v : x) largest = std::max(largest, v);
    const auto all = [&] {
      const Tensor leaf = Tensor::from<float>(x, {outer, n, inner});
      float most = -INFINITY;
      for (float v : eval(runtime, max(leaf, {1})).to_vector<float>())
        most = v != v || most != most ? NAN : std::max(most, v);
      return most;
    };
    EXPECT_EQ(all(), largest);
    x[x.size() / 2] = NAN;
    EXPECT_TRUE(std::isnan(all()));
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Reductions, ::testing::Values(1, 3));

}  // namespace
}  // namespace cairn
