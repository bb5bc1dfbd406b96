// Layers in closed form, the visitor's names, what a Context carries.
#include "cairn/nn/layers.h"

#include <gtest/gtest.h>

#include "cairn/nn/attention.h"
#include "cairn/nn/convolution.h"
#include "cairn/nn/feed_forward.h"
#include "cairn/nn/norms.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "tests/nn/modules.h"

namespace cairn::test {
namespace {

Context training(uint64_t seed) {
  Context ctx;
  ctx.training = true;
  ctx.key = random_key(seed);
  return ctx;
}

TEST(Layers, LinearAndEmbedding) {
  Context ctx;
  Linear linear(2, 3);
  set(linear, "weight", {1, 2, 3, 4, 5, 6});
  set(linear, "bias", {10, 20, 30});
  EXPECT_EQ(value(linear.forward(ctx, leaf({1, -1}, {2}))), (std::vector<double>{9, 19, 29}));
  Embedding table(3, 2);
  set(table, "weight", {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(value(table.forward(ctx, Tensor::from<int32_t>({2, 0}, {2}))),
            (std::vector<double>{5, 6, 1, 2}));
}

TEST(Layers, MlpAppliesTheActivationBetween) {
  Context ctx;
  Mlp mlp(1, 2, 1, [](Operand x) { return square(x); });
  set(mlp, "up.weight", {1, 2});
  set(mlp, "up.bias", {0, 1});
  set(mlp, "down.weight", {1, -1});
  set(mlp, "down.bias", {5});
  EXPECT_EQ(value(mlp.forward(ctx, leaf({3}, {1, 1}))), std::vector<double>{9 - 49 + 5});
  GatedMlp gated(1, 1);
  set(gated, "gate.weight", {2});
  set(gated, "up.weight", {3});
  set(gated, "down.weight", {4});
  // 4 * silu(2) * 3
  expect_near(value(gated.forward(ctx, leaf({1}, {1, 1}))), {24 / (1 + std::exp(-2.0))}, 16);
}

TEST(Layers, NormsGiveMeanZeroAndVarianceOne) {
  constexpr double kEpsilon = 0;  // else 1 would be missed by epsilon / variance
  Context ctx;
  // Numbers up to 4 that lie 0.01 or more apart: centering loses up to 9 bits of f64's 53.
  // Statistics over `axes` of what a norm with weights 1 and biases 0 gives.
  const auto moments = [](const Tensor& y, const Ints& axes, bool centred) {
    for (const double m : value(mean(y, axes))) EXPECT_NEAR(centred ? m : 0, 0, 1e-12);
    for (const double m : value(mean(y * y, axes))) EXPECT_NEAR(m, 1, 1e-12);
  };
  const Tensor x = input({3, 4, 5, 2}) * 3.0 + 1.0;
  const auto in_f64 = [](Module& m) {
    for (const Field& f : fields(m)) *f.tensor = eval(runtime(), cast(*f.tensor, DType::f64));
  };
  LayerNorm layer(2, kEpsilon);
  RmsNorm rms(2, kEpsilon);
  GroupNorm group(2, 4, kEpsilon), instance(4, 4, kEpsilon);
  BatchNorm batch(4, kEpsilon);
  for (Module* m : std::initializer_list<Module*>{&layer, &rms, &group, &instance, &batch})
    in_f64(*m);
  moments(layer.forward(ctx, x), {3}, true);
  moments(rms.forward(ctx, x), {3}, false);
  moments(instance.forward(ctx, x), {2, 3}, true);
  Context train = training(1);
  moments(batch.forward(train, x), {0, 2, 3}, true);
  // Two channels to a group.
  const Tensor grouped = group.forward(ctx, x);
  moments(reshape(grouped, {3, 2, 20}), {2}, true);
}

TEST(Layers, BatchNormMovesItsRunningMomentsTowardsTheBatch) {
  BatchNorm norm(1);
  set(norm, "weight", {1});
  set(norm, "bias", {0});
  set(norm, "running_mean", {10});
  set(norm, "running_var", {2});
  const Tensor x = leaf({1, 2, 3, 6}, {4, 1});  // mean 3, variance 3.5, unbiased 14/3
  Context ctx = training(1);
  norm.forward(ctx, x);
  ASSERT_EQ(ctx.updates.size(), 2u);
  EXPECT_EQ(ctx.updates[0].first, &norm.running_mean);
  expect_near(value(ctx.updates[0].second), {0.9 * 10 + 0.1 * 3}, 4);
  expect_near(value(ctx.updates[1].second), {0.9 * 2 + 0.1 * 14 / 3}, 4);
  // Inference reads them and changes nothing.
  Context inference;
  expect_near(value(norm.forward(inference, x)),
              {-9 / std::sqrt(2 + 1e-5), -8 / std::sqrt(2 + 1e-5), -7 / std::sqrt(2 + 1e-5),
               -4 / std::sqrt(2 + 1e-5)},
              8);
  EXPECT_TRUE(inference.updates.empty());
}

TEST(Layers, ConvolutionsByHand) {
  Context ctx;
  Conv1d conv(1, 1, 2, {.padding = {1}});
  set(conv, "weight", {2, 3});
  set(conv, "bias", {1});
  EXPECT_EQ(value(conv.forward(ctx, leaf({1, 10, 100}, {1, 1, 3}))),
            (std::vector<double>{0 + 3 + 1, 2 + 30 + 1, 20 + 300 + 1, 200 + 0 + 1}));
  ConvTranspose1d up(1, 1, 2, {.stride = {2}});
  set(up, "weight", {2, 3});
  set(up, "bias", {1});
  EXPECT_EQ(value(up.forward(ctx, leaf({1, 10}, {1, 1, 2}))), (std::vector<double>{3, 4, 21, 31}));
  EXPECT_THROW(Conv2d(4, 6, 3, {.groups = 4}), Error);
  EXPECT_THROW(ConvTranspose2d(3, 6, 3, {.groups = 0}), Error);
}

// <conv(x), y> = <x, conv_transpose(y)> for the same weights.
TEST(Layers, ConvTransposeIsTheAdjoint) {
  const ConvolutionOptions options{.stride = {2}, .padding = {1}, .groups = 2};
  Conv2d down(4, 6, 3, options, false);
  ConvTranspose2d up(6, 4, 3, options, false);
  fill(down);
  up.weight = down.weight;
  Context ctx;
  const Tensor x = input({2, 4, 5, 7}), y = input({2, 6, 3, 4}, 78);
  const auto left = value(sum(down.forward(ctx, x) * y));
  const auto right = value(sum(x * up.forward(ctx, y)));
  // 280 terms of up to 18 products of numbers below 1: a rounding each.
  EXPECT_NEAR(left[0], right[0], 280 * 18 * 0x1p-53);
}

TEST(Layers, ChannelsLastIsTheSameConvolution) {
  Conv2d first(3, 4, 3, {.padding = {1}});
  fill(first);
  Conv2d last = first;
  last.options.channels_last = true;
  Context ctx;
  const Tensor x = input({2, 3, 5, 4});
  EXPECT_EQ(value(transpose(last.forward(ctx, transpose(x, {0, 2, 3, 1})), {0, 3, 1, 2})),
            value(first.forward(ctx, x)));
}

TEST(Layers, DropoutKeepsTheMeanAndOnlyInTraining) {
  constexpr double kN = 40000;
  const Dropout dropout{0.3};
  const Tensor x = ones({40000}, DType::f64);
  Context inference;
  EXPECT_TRUE(same(dropout.forward(inference, x), x));
  Context ctx = training(5);
  const auto once = value(dropout.forward(ctx, x));
  double total = 0;
  for (const double v : once) {
    EXPECT_TRUE(v == 0 || std::fabs(v - 1 / 0.7) < 1e-15) << v;
    total += v;
  }
  // Each element has variance p / (1 - p): five standard deviations.
  EXPECT_NEAR(total / kN, 1, 5 * std::sqrt(0.3 / 0.7 / kN));
  EXPECT_TRUE(same(Dropout{0.0}.forward(ctx, x), x));
}

TEST(Layers, KeysDependOnScopeAndCallAlone) {
  const auto key = [](Context& ctx) { return value(ctx.next_key()); };
  Context a = training(5), b = training(5), c = training(6);
  const auto first = key(a);
  EXPECT_EQ(key(b), first);
  EXPECT_NE(key(a), first);  // the second call
  EXPECT_NE(key(c), first);
  std::vector<double> inside;
  {
    const Scope scope("blocks.0");
    inside = key(a);
  }
  EXPECT_NE(inside, first);
  Context d = training(5);
  const Scope scope("blocks.0");
  EXPECT_EQ(key(d), inside);
  Context without;
  without.training = true;
  EXPECT_THROW(without.next_key(), Error);
}

TEST(Visitor, NamesEachFieldOnce) {
  struct Net : Module {
    Conv2d conv{1, 2, 3};
    BatchNorm norm{2};
    std::vector<Linear> layers{{2, 2}, {2, 2, false}};
    OneOf<LayerNorm, RmsNorm> last = RmsNorm(2);
    Attention attention{{.width = 2, .biases = false}};
    Tensor table = zeros({3});
    void visit(Visitor& v) override {
      v.module("conv", conv);
      v.module("norm", norm);
      v.modules("layers", layers);
      v.module("last", last);
      v.module("", attention);
      v.constant("table", table);
    }
  } net;
  std::vector<std::string> parameters, states, constants;
  for (const Field& f : fields(net, FieldKind::parameter)) parameters.push_back(f.path);
  for (const Field& f : fields(net, FieldKind::state)) states.push_back(f.path);
  for (const Field& f : fields(net, FieldKind::constant)) constants.push_back(f.path);
  EXPECT_EQ(parameters, (std::vector<std::string>{"conv.weight", "conv.bias", "norm.weight",
                                                  "norm.bias", "layers.0.weight", "layers.0.bias",
                                                  "layers.1.weight", "last.weight", "query.weight",
                                                  "key.weight", "value.weight", "output.weight"}));
  EXPECT_EQ(states, (std::vector<std::string>{"norm.running_mean", "norm.running_var"}));
  EXPECT_EQ(constants, std::vector<std::string>{"table"});
  EXPECT_EQ(parameter_count(net), 18 + 2 + 2 + 2 + 4 + 2 + 4 + 2 + 4 * 4);

  const Mlp mlp(1, 1, 1);
  const GatedMlp gated(1, 1);
  const auto paths = [](auto module) {
    std::vector<std::string> list;
    for (const Field& f : fields(module)) list.push_back(f.path);
    return list;
  };
  EXPECT_EQ(paths(mlp),
            (std::vector<std::string>{"up.weight", "up.bias", "down.weight", "down.bias"}));
  EXPECT_EQ(paths(gated), (std::vector<std::string>{"gate.weight", "up.weight", "down.weight"}));
}

TEST(Visitor, BoundFieldsComeBack) {
  Linear linear(2, 2, false);
  fill(linear);
  const auto before = value(linear.weight);
  {
    const Tensor other = zeros({2, 2});
    const Bound bound(fields(linear), std::span(&other, 1));
    EXPECT_TRUE(same(linear.weight, other));
  }
  EXPECT_EQ(value(linear.weight), before);
}

}  // namespace
}  // namespace cairn::test
