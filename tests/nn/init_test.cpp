// Initialisers: bounds and moments. Keys are fixed; bounds are five standard deviations of the
// statistic.
#include "cairn/nn/init.h"

#include <gtest/gtest.h>

#include "cairn/nn/attention.h"
#include "cairn/nn/convolution.h"
#include "cairn/nn/norms.h"
#include "tests/nn/modules.h"

namespace cairn::test {
namespace {

struct One : Module {
  Tensor field;
  std::string name;
  explicit One(Tensor initialiser, std::string path = "field")
      : field(std::move(initialiser)), name(std::move(path)) {}
  void visit(Visitor& v) override { v.parameter(name, field); }
};

std::vector<double> drawn(const Tensor& initialiser, uint64_t seed = 1,
                          const std::string& path = "field") {
  One module(initialiser, path);
  initialize(runtime(), module, seed);
  return value(module.field);
}

// `kurtosis`: the fourth central moment over the squared variance, which says how far a sample's
// variance strays.
void expect_moments(const std::vector<double>& x, double mean, double deviation, double kurtosis,
                    const std::string& what) {
  const auto n = static_cast<double>(x.size());
  double sum = 0, squares = 0;
  for (const double v : x) sum += v;
  for (const double v : x) squares += (v - mean) * (v - mean);
  EXPECT_NEAR(sum / n, mean, 5 * deviation / std::sqrt(n)) << what;
  const double variance = deviation * deviation;
  EXPECT_NEAR(squares / n, variance, 5 * variance * std::sqrt((kurtosis - 1) / n)) << what;
}
void expect_within(const std::vector<double>& x, double low, double high, const std::string& what) {
  double least = INFINITY, most = -INFINITY;
  for (const double v : x) least = std::min(least, v), most = std::max(most, v);
  // f32 rounds the bounds.
  EXPECT_GE(least, low - 1e-7 * (high - low)) << what;
  EXPECT_LE(most, high + 1e-7 * (high - low)) << what;
  // Of 10,000 numbers one comes near each end.
  EXPECT_LT(least, low + 0.02 * (high - low)) << what;
  EXPECT_GT(most, high - 0.02 * (high - low)) << what;
}

constexpr double kUniform = 1.8, kNormal = 3;

TEST(Init, Constants) {
  EXPECT_EQ(drawn(init::zeros({3})), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(drawn(init::ones({2})), (std::vector<double>{1, 1}));
  EXPECT_EQ(drawn(init::constant({2}, 0.25)), (std::vector<double>{0.25, 0.25}));
}

TEST(Init, UniformAndNormal) {
  const auto u = drawn(init::uniform({100, 200}, -1, 3));
  expect_within(u, -1, 3, "uniform");
  expect_moments(u, 1, 4 / std::sqrt(12.0), kUniform, "uniform");
  expect_moments(drawn(init::normal({100, 200}, 2, 0.5)), 2, 0.5, kNormal, "normal");
}

TEST(Init, TruncatedNormalStaysWithinTwoDeviations) {
  const auto x = drawn(init::truncated_normal({200, 200}, 1, 0.5));
  expect_within(x, 0, 2, "truncated");
  // The variance of a normal number that is known to lie within 2 is 1 - 4 phi(2) / (2 Phi(2) - 1).
  const double phi = std::exp(-2.0) / std::sqrt(2 * M_PI);
  const double variance = 1 - 4 * phi / std::erf(M_SQRT2);
  // Its kurtosis lies between a uniform's and a normal's.
  expect_moments(x, 1, 0.5 * std::sqrt(variance), kNormal, "truncated");
}

TEST(Init, XavierAndKaimingFollowTheFans) {
  const Shape dense{50, 200};  // [out, in]
  const Shape conv{32, 8, 3, 3};
  for (const auto& [shape, in, out] : {std::tuple(dense, 200.0, 50.0), {conv, 72.0, 288.0}}) {
    const std::string what = to_string(shape);
    const double xavier = std::sqrt(2 / (in + out));
    const auto u = drawn(init::xavier_uniform(shape));
    expect_within(u, -xavier * std::sqrt(3.0), xavier * std::sqrt(3.0), what);
    expect_moments(u, 0, xavier, kUniform, what);
    expect_moments(drawn(init::xavier_normal(shape, 2)), 0, 2 * xavier, kNormal, what);
    const double kaiming = std::sqrt(2 / in);
    expect_moments(drawn(init::kaiming_normal(shape)), 0, kaiming, kNormal, what);
    const auto k = drawn(init::kaiming_uniform(shape));
    expect_within(k, -kaiming * std::sqrt(3.0), kaiming * std::sqrt(3.0), what);
    expect_moments(k, 0, kaiming, kUniform, what);
  }
}

// The layers' own defaults are PyTorch's.
TEST(Init, DefaultsOfLayers) {
  const auto check = [](auto module, const char* path, double bound) {
    initialize(runtime(), module, 3);
    for (const Field& f : fields(module))
      if (f.path == path) {
        EXPECT_EQ(f.tensor->dtype(), DType::f32);
        expect_within(value(*f.tensor), -bound, bound, path);
        return;
      }
    FAIL() << path;
  };
  check(Linear(64, 300), "weight", 1.0 / 8);
  check(Linear(64, 300), "bias", 1.0 / 8);
  check(Conv2d(16, 64, 3), "weight", 1.0 / 12);
  check(Conv2d(16, 300, 3), "bias", 1.0 / 12);
  check(Conv1d(32, 64, 2, {.groups = 2}), "weight", 1 / std::sqrt(32.0));
  check(ConvTranspose2d(64, 16, 3), "weight", 1.0 / 12);  // fan_in as PyTorch counts it: 16 * 9
  check(Attention({.width = 64, .heads = 8, .kv_heads = 4}), "key.weight", 1.0 / 8);
  Embedding table(200, 100);
  initialize(runtime(), table, 3);
  expect_moments(value(table.weight), 0, 1, kNormal, "embedding");
  BatchNorm norm(2);
  initialize(runtime(), norm, 3);
  EXPECT_EQ(value(norm.weight), (std::vector<double>{1, 1}));
  EXPECT_EQ(value(norm.bias), (std::vector<double>{0, 0}));
  EXPECT_EQ(value(norm.running_mean), (std::vector<double>{0, 0}));
  EXPECT_EQ(value(norm.running_var), (std::vector<double>{1, 1}));
}

TEST(Init, AValueDependsOnSeedAndPathAlone) {
  const Tensor initialiser = init::normal({4, 4}, 0, 1);
  const auto one = drawn(initialiser, 1, "a");
  EXPECT_EQ(drawn(initialiser, 1, "a"), one);
  EXPECT_NE(drawn(initialiser, 2, "a"), one);
  EXPECT_NE(drawn(initialiser, 1, "b"), one);
  // Beside other fields, before or after them: the same.
  struct Two : Module {
    Linear first{4, 4};
    One second{init::normal({4, 4}, 0, 1), "a"};
    void visit(Visitor& v) override {
      v.module("first", first);
      v.module("", second);
    }
  } two;
  initialize(runtime(), two, 1);
  EXPECT_EQ(value(two.second.field), one);
  EXPECT_EQ(two.first.weight.name(), "first.weight");
  // Fields that have values keep them.
  const auto before = value(two.first.weight);
  initialize(runtime(), two, 2);
  EXPECT_EQ(value(two.first.weight), before);
}

}  // namespace
}  // namespace cairn::test
