// The order of sums, against a second implementation that is written from ir.h's words alone.
#include "cairn/tile/reduction_order.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <span>

namespace cairn::tile {
namespace {

// Lane l of the step that leaves `width` lanes: lane l and lane l + width of the step before.
template <class T, class F>
T halved(const std::vector<T>& lanes, size_t l, size_t width, F f) {
  if (width == 64) return lanes[l];
  return f(halved(lanes, l, 2 * width, f), halved(lanes, l + width, 2 * width, f));
}

template <class T, class F>
T naive(std::vector<T> x, T start, F f) {
  do {
    std::vector<T> chunks;
    for (size_t begin = 0; begin == 0 || begin < x.size(); begin += 4096) {
      std::vector<T> lanes(64, start);
      for (size_t l = 0; l < 64; ++l)
        for (size_t i = begin + l; i < x.size() && i < begin + 4096; i += 64)
          lanes[l] = f(lanes[l], x[i]);
      chunks.push_back(halved(lanes, 0, 1, f));
    }
    x = chunks;
  } while (x.size() > 1);
  return x[0];
}

std::vector<int64_t> lengths() {
  std::vector<int64_t> result;
  for (int64_t n = 0; n <= 200; ++n) result.push_back(n);
  for (int64_t n : {4095, 4096, 4097, 10000, 300000, 4096 * 4096 + 1}) result.push_back(n);
  return result;
}

TEST(ReductionOrder, SumsAreThoseOfTheDefinition) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(4096 * 4096 + 1);
  for (float& v : x) v = normal(random);
  const auto add = [](float a, float b) { return a + b; };
  for (int64_t n : lengths()) {
    const float got =
        reduce_in_order<float>(n, [&](int64_t i) { return x[static_cast<size_t>(i)]; });
    const float expected = naive<float>({x.begin(), x.begin() + n}, 0.0f, add);
    EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(expected)) << n;
  }
}

TEST(ReductionOrder, ProductsAreThoseOfTheDefinition) {
  std::mt19937 random(2);
  std::normal_distribution<double> normal(1, 1e-3);
  std::vector<double> x(10000);
  for (double& v : x) v = normal(random);
  for (int64_t n : lengths()) {
    if (n > static_cast<int64_t>(x.size())) continue;
    const double got = reduce_in_order<double, Op::multiply>(
        n, [&](int64_t i) { return x[static_cast<size_t>(i)]; });
    EXPECT_EQ(got, naive<double>({x.begin(), x.begin() + n}, 1.0, std::multiplies<>())) << n;
  }
}

TEST(ReductionOrder, IsNotThatOfOneChain) {
  // Lanes 1 and 3 meet before the large number of lane 0, which swallows a single 1, gets them.
  const std::vector<float> x = {16777216.0f, 1.0f, 1.0f, 1.0f, 1.0f};
  float chain = 0;
  for (float v : x) chain += v;
  EXPECT_EQ(chain, 16777216.0f);
  EXPECT_EQ(reduce_in_order<float>(5, [&](int64_t i) { return x[static_cast<size_t>(i)]; }),
            16777218.0f);
}

TEST(ReductionOrder, OfNothingAndOfNegativeZeros) {
  EXPECT_EQ(reduce_in_order<float>(0, [](int64_t) { return 5.0f; }), 0.0f);
  EXPECT_EQ((reduce_in_order<float, Op::multiply>(0, [](int64_t) { return 5.0f; })), 1.0f);
  for (int64_t n : {0, 1, 64, 100, 5000})
    EXPECT_FALSE(std::signbit(reduce_in_order<float>(n, [](int64_t) { return -0.0f; }))) << n;
}

TEST(ReductionOrder, IntegersWrap) {
  EXPECT_EQ(reduce_in_order<int8_t>(300, [](int64_t) { return int8_t{1}; }), 300 - 256);
  EXPECT_EQ((reduce_in_order<int32_t, Op::multiply>(33, [](int64_t) { return 2; })), 0);
}

TEST(ReductionOrder, ElementsAreAskedForOnceEachInIncreasingOrder) {
  std::vector<int64_t> asked;
  reduce_in_order<float>(5000, [&](int64_t i) {
    asked.push_back(i);
    return 0.0f;
  });
  ASSERT_EQ(asked.size(), 5000u);
  for (size_t i = 0; i < asked.size(); ++i) ASSERT_EQ(asked[i], static_cast<int64_t>(i));
}

}  // namespace
}  // namespace cairn::tile
