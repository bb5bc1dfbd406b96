// Random numbers: the formulas by value, and the first moments of what they give. All keys are
// fixed, so nothing here is left to chance; bounds are five standard deviations of the statistic.
#include "cairn/ops/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cairn/base/math.h"
#include "cairn/base/philox.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/nn.h"
#include "cairn/runtime/runtime.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

constexpr PhiloxKey kKey = {0x89abcdef, 0x01234567};

Runtime& runtime() {
  static Runtime instance(test::checked({"", 1}));
  return instance;
}
Tensor key() { return random_key(0x0123456789abcdef); }
template <class T>
std::vector<T> values(const Tensor& t) {
  return eval(runtime(), t).to_vector<T>();
}
double mean_of(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}
std::vector<double> as_doubles(const Tensor& t) { return values<double>(cast(t, DType::f64)); }

TEST(Random, KeysAndBitsArePhilox) {
  EXPECT_EQ(values<uint32_t>(key()), (std::vector<uint32_t>{kKey[0], kKey[1]}));
  const PhiloxKey folded = fold_in(kKey, 77);
  EXPECT_EQ(values<uint32_t>(fold_in(key(), 77)), (std::vector<uint32_t>{folded[0], folded[1]}));
  const auto bits = values<uint32_t>(random_bits(key(), {3, 3}, 5));
  for (size_t i = 0; i < bits.size(); ++i) EXPECT_EQ(bits[i], philox_bits(kKey, 5 + i));
  const auto parts = split_key(key(), 3);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(values<uint32_t>(parts[static_cast<size_t>(i)]), values<uint32_t>(fold_in(key(), i)));
  // Names and numbers, and different names, are apart.
  EXPECT_NE(values<uint32_t>(fold_in(key(), "a")), values<uint32_t>(fold_in(key(), "b")));
  EXPECT_EQ(values<uint32_t>(fold_in(key(), std::string("a"))),
            values<uint32_t>(fold_in_name(key(), "a")));
  EXPECT_NE(values<uint32_t>(fold_in(key(), "")), values<uint32_t>(fold_in(key(), 0)));
  EXPECT_EQ(values<uint32_t>(fold_in(key(), "layers.3")),
            values<uint32_t>(fold_in(key(), "layers.3")));
}

TEST(Random, UniformIsItsFormula) {
  const auto u = values<float>(uniform(key(), {1000}));
  for (size_t i = 0; i < u.size(); ++i)
    EXPECT_EQ(u[i], static_cast<float>(philox_bits(kKey, i) >> 8) * 0x1p-24f);
  const auto wide = values<double>(uniform(key(), {1000}, DType::f64));
  for (size_t i = 0; i < wide.size(); ++i) {
    // 32 bits and 21 more.
    const double expected =
        philox_bits(kKey, 2 * i) * 0x1p-32 + (philox_bits(kKey, 2 * i + 1) >> 11) * 0x1p-53;
    EXPECT_EQ(wide[i], expected);
    EXPECT_LT(wide[i], 1);
  }
  for (float x : values<float>(uniform(key(), {1000}, DType::f32, -3, 5))) {
    EXPECT_GE(x, -3);
    EXPECT_LT(x, 5);
  }
}

// The end of the range is never drawn, where rounding would reach it either.
TEST(Random, UniformStaysBelowItsEnd) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const auto& [low, high] : std::initializer_list<std::pair<double, double>>{
             {0, 1}, {1000, 1001}, {-1, 0}, {-3, -2}, {0.25, 0.5}}) {
      const HostArray u = eval(runtime(), uniform(key(), {100000}, dtype, low, high)).host();
      double least = high, most = low;
      for (int64_t i = 0; i < u.elements(); ++i) {
        least = std::min(least, u.at(i));
        most = std::max(most, u.at(i));
      }
      EXPECT_GE(least, low) << name(dtype);
      EXPECT_LT(most, high) << name(dtype) << " " << low << ".." << high;
    }
}

TEST(Random, NormalIsTheInverseOfUniform) {
  const auto z = values<double>(normal(key(), {200000}, DType::f64));
  const auto u = values<double>(uniform(key(), {10}, DType::f64));
  for (size_t i = 0; i < 10; ++i)
    EXPECT_NEAR(z[i], std::sqrt(2.0) * math::erf_inv(2 * u[i] - (1 - 0x1p-53)),
                4 * 0x1p-52 * std::fabs(z[i]));
  const double n = static_cast<double>(z.size());
  double square = 0, fourth = 0;
  for (double x : z) {
    square += x * x / n;
    fourth += x * x * x * x / n;
  }
  EXPECT_NEAR(mean_of(z), 0, 5 / std::sqrt(n));
  EXPECT_NEAR(square, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth, 3, 5 * std::sqrt(96 / n));
  for (float x : values<float>(normal(key(), {100000}))) ASSERT_TRUE(std::isfinite(x));
}

TEST(Random, Bernoulli) {
  const double n = 100000;
  const auto flips = as_doubles(bernoulli(key(), 0.3, {100000}));
  EXPECT_NEAR(mean_of(flips), 0.3, 5 * std::sqrt(0.21 / n));
  EXPECT_EQ(mean_of(as_doubles(bernoulli(key(), 0.0, {1000}))), 0);
  EXPECT_EQ(mean_of(as_doubles(bernoulli(key(), 1.0, {1000}))), 1);
}

TEST(Random, CategoricalFollowsTheLogits) {
  const std::vector<double> p{0.1, 0.2, 0.0, 0.7};
  const int64_t n = 100000;
  const Tensor logits = log(Tensor::from<float>({0.1f, 0.2f, 0.0f, 0.7f}, {4}));
  const auto draws = values<int32_t>(categorical(key(), zeros({n, 4}) + logits));
  for (int k = 0; k < 4; ++k) {
    const double share =
        static_cast<double>(std::count(draws.begin(), draws.end(), k)) / static_cast<double>(n);
    EXPECT_NEAR(share, p[static_cast<size_t>(k)],
                5 * std::sqrt(p[static_cast<size_t>(k)] * (1 - p[static_cast<size_t>(k)]) /
                              static_cast<double>(n)));
  }
}

// argmax of logits - log(-log(u)), u = (24 bits, the lowest one set) / 2^24: never 0 and never 1.
TEST(Random, CategoricalIsItsFormula) {
  const int64_t n = 1000, classes = 3;
  const auto draws = values<int32_t>(categorical(key(), zeros({n, classes})));
  for (int64_t i = 0; i < n; ++i) {
    std::vector<float> u;
    for (int64_t k = 0; k < classes; ++k)
      u.push_back(
          static_cast<float>(philox_bits(kKey, static_cast<uint64_t>(i * classes + k)) >> 8 | 1) *
          0x1p-24f);
    EXPECT_EQ(draws[static_cast<size_t>(i)], std::max_element(u.begin(), u.end()) - u.begin());
  }
}

TEST(Random, PermutationHasEachOnce) {
  auto order = values<int32_t>(permutation(key(), 1000));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  // Each element is in the first place about as often as any other: 5 sigma of 400 draws of 1 in 4.
  int first = 0;
  for (int i = 0; i < 400; ++i) first += values<int32_t>(permutation(fold_in(key(), i), 4))[0] == 2;
  EXPECT_NEAR(first, 100, 5 * std::sqrt(75.0));
}

TEST(Random, IntegersCoverTheRange) {
  const auto draws = values<int32_t>(random_integers(key(), {100000}, -2, 3));
  for (int k = -2; k < 3; ++k)
    EXPECT_NEAR(static_cast<double>(std::count(draws.begin(), draws.end(), k)), 20000,
                5 * std::sqrt(16000.0));
  EXPECT_EQ(*std::min_element(draws.begin(), draws.end()), -2);
  EXPECT_EQ(*std::max_element(draws.begin(), draws.end()), 2);
  EXPECT_THROW(random_integers(key(), {2}, 3, 3), Error);
  EXPECT_THROW(random_integers(key(), {2}, 0, int64_t{1} << 32), Error);
}

TEST(Random, DropoutKeepsTheMean) {
  const double n = 100000;
  const auto kept = as_doubles(dropout(ones({100000}), 0.25, key()));
  for (double x : kept) ASSERT_TRUE(x == 0 || std::fabs(x - 1 / 0.75) < 1e-6);
  EXPECT_NEAR(mean_of(kept), 1, 5 * std::sqrt(1 / 0.75 - 1) / std::sqrt(n));
  const Tensor x = ones({3});
  EXPECT_TRUE(same(dropout(x, 0, key()), x));
  EXPECT_THROW(dropout(x, 1, key()), Error);
}

}  // namespace
}  // namespace cairn
