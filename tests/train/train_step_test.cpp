// TrainStep: parameter groups, clipping and weight averages against PyTorch's, and the mean over
// micro-batches that have different numbers of tokens.
#include "cairn/train/train_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "tests/support/checked_runtime.h"
#include "tests/train/optimizer_golden.h"

namespace cairn {
namespace {

using testing::HasSubstr;

// Parameters and nothing else.
struct Parameters : Module {
  std::vector<std::string> names;
  std::vector<Tensor> tensors;
  void visit(Visitor& v) override {
    for (size_t i = 0; i < names.size(); ++i) v.parameter(names[i], tensors[i]);
  }
  void add(Runtime& runtime, const std::string& name, const Tensor& value) {
    names.push_back(name);
    tensors.push_back(runtime.upload(eval(runtime, value).host()));
  }
};

// sum over i of sum(parameter i * batch i): the gradient of parameter i is batch i.
LossFunction given_gradients(Parameters& p) {
  return mean_loss([&p](Context&, std::span<const Tensor> batch) {
    Tensor loss = sum(p.tensors[0] * batch[0]);
    for (size_t i = 1; i < batch.size(); ++i) loss = loss + sum(p.tensors[i] * batch[i]);
    return loss;
  });
}

// A batch of another shape is refused, and the model is as it was.
TEST(TrainStep, AWrongBatchLeavesTheStateAlone) {
  Runtime runtime(test::checked({.threads = 1}));
  Parameters p;
  p.add(runtime, "w", Tensor::from<float>({1, 2}, {2}));
  TrainStep step(runtime, p, given_gradients(p), make_optimizer({.name = "sgd"}));
  const std::vector<Tensor> right{Tensor::from<float>({1, 1}, {2})};
  const std::vector<Tensor> wrong{Tensor::from<float>({1, 1, 1}, {3})};
  step.step(right, 0.5, 1);
  EXPECT_THROW(step.step(wrong, 0.5, 2), Error);
  EXPECT_EQ(p.tensors[0].to_vector<float>(), (std::vector<float>{0.5, 1.5}));
  step.step(right, 0.5, 2);
  EXPECT_EQ(p.tensors[0].to_vector<float>(), (std::vector<float>{0, 1}));
}

// A plan made ahead is the one that the step runs, so that its peak is known before there is a
// batch.
TEST(TrainStep, PlannedAheadItIsThePlanOfTheStep) {
  Runtime runtime(test::checked({.threads = 1}));
  Parameters p;
  p.add(runtime, "w", Tensor::from<float>({1, 2}, {2}));
  TrainStep step(runtime, p, given_gradients(p), make_optimizer({.name = "adam"}));
  const std::vector<Tensor> batch{Tensor::from<float>({1, 1}, {2})};
  const TensorType types[] = {batch[0].type()};
  const auto ahead = step.plan(types);
  const RuntimeStats before = runtime.stats();
  step.step(batch, 0.5, 1);
  EXPECT_EQ(runtime.stats().schedules_made, before.schedules_made);
  EXPECT_TRUE(same_plan(*ahead, *step.plan()));
  EXPECT_EQ(ahead->donor, step.plan()->donor);
}

// A two-layer network on fixed data; gives the losses of its steps.
std::vector<double> losses_in(DType precision, int steps, int accumulate = 1) {
  Runtime runtime(test::checked({.threads = 1}));
  Parameters p;
  p.add(runtime, "a", normal(random_key(1), {8, 16}) * 0.3);
  p.add(runtime, "b", normal(random_key(2), {16, 1}) * 0.3);
  Shape shape{32, 8};
  if (accumulate > 1) shape.insert(0, accumulate);
  const Tensor x = eval(runtime, normal(random_key(3), shape));
  const Tensor y = eval(runtime, sum(sin(x), {-1}, true));
  TrainStep step(
      runtime, p, mean_loss([&](Context&, std::span<const Tensor> batch) {
        return mean(square(matmul(tanh(matmul(batch[0], p.tensors[0])), p.tensors[1]) - batch[1]));
      }),
      make_optimizer({.name = "adamw"}), {.precision = precision, .accumulate = accumulate});
  std::vector<double> losses;
  for (int i = 1; i <= steps; ++i) {
    TrainStep::Result result = step.step({{x, y}}, 0.02, i);
    while (result.skipped) result = step.step({{x, y}}, 0.02, i);  // the first scales are too large
    losses.push_back(result.loss);
  }
  for (const Tensor& t : p.tensors) EXPECT_EQ(t.dtype(), DType::f32);
  return losses;
}

// Narrow products follow the f32 run: their error is some 2^-8 (bf16), 2^-11 (f16) of the loss.
TEST(MixedPrecision, FollowsTheRunInF32) {
  for (const int accumulate : {1, 2}) {
    const std::vector<double> exact = losses_in(DType::f32, 60, accumulate);
    for (const auto& [precision, bound] :
         {std::pair(DType::bf16, 0.05), std::pair(DType::f16, 0.01)}) {
      const std::vector<double> narrow = losses_in(precision, 60, accumulate);
      EXPECT_NE(narrow, exact);
      EXPECT_LT(narrow.back(), 0.3 * narrow.front());
      for (size_t i = 0; i < exact.size(); ++i)
        EXPECT_NEAR(narrow[i], exact[i], bound * exact[0]) << name(precision) << " step " << i;
    }
  }
}

// Gradients that overflow f16 change nothing but the scale, until it has come down far enough; when
// no scale helps, the step is not called skipped any more.
TEST(MixedPrecision, TheLossScaleOfF16) {
  Runtime runtime(test::checked({.threads = 1}));
  Parameters p;
  p.add(runtime, "w", Tensor::from<float>({1}, {1, 1}));
  // d loss / d w = 2 * batch, times the scale of 2^16 at first.
  TrainStep step(runtime, p, mean_loss([&](Context&, std::span<const Tensor> batch) {
                   return sum(matmul(batch[0], p.tensors[0])) * 2.0;
                 }),
                 make_optimizer({.name = "sgd"}), {.precision = DType::f16});
  const auto scale = [&] {
    for (const NamedTensor& t : step.state())
      if (t.name == "scaler.scale") return t.tensor->item<float>();
    return 0.0f;
  };
  EXPECT_EQ(scale(), 65536);
  const std::vector<Tensor> batch{Tensor::from<float>({1}, {1, 1})};
  TrainStep::Result result = step.step(batch, 0.25, 1);
  EXPECT_TRUE(result.skipped);  // the cotangent 2 * 2^16 is beyond f16's 65504
  EXPECT_EQ(scale(), 32768);
  EXPECT_EQ(p.tensors[0].item<float>(), 1);
  result = step.step(batch, 0.25, 2);
  while (result.skipped) result = step.step(batch, 0.25, 2);
  EXPECT_EQ(result.gradient_norm, 2);
  EXPECT_EQ(p.tensors[0].item<float>(), 0.5);
  const std::vector<Tensor> hopeless{Tensor::from<float>({INFINITY}, {1, 1})};
  for (int i = 0; i < 20; ++i) result = step.step(hopeless, 0.25, 3);
  EXPECT_FALSE(result.skipped);
  EXPECT_FALSE(std::isfinite(result.gradient_norm));
  EXPECT_EQ(p.tensors[0].item<float>(), 0.5);
}

class GroupGolden : public testing::TestWithParam<const char*> {};

TEST_P(GroupGolden, FollowsPyTorchsParameterGroups) {
  const test::Golden golden = test::load("trajectories");
  const nlohmann::json& c = test::find_case(golden, GetParam());
  const OptimizerConfig config = test::config_of(c);
  TrainStepOptions options;
  for (const auto& group : c["groups"])
    options.groups.push_back({group["parameters"].get<std::vector<std::string>>(),
                              group["lr"].get<double>() / config.learning_rate,
                              group["weight_decay"].get<double>()});
  Runtime runtime(test::checked({.threads = 1}));
  const auto data = [&](const std::string& name) {
    return eval(runtime, cast(Tensor(golden.file.read("problem." + name).value()), DType::f32));
  };
  Parameters p;
  for (const char* name : {"w", "b"}) p.add(runtime, name, data(name));
  TrainStep step(runtime, p, mean_loss([&](Context&, std::span<const Tensor> batch) {
                   const Tensor z = matmul(batch[0], p.tensors[0]) + p.tensors[1];
                   return mean(square(tanh(z) - batch[1]));
                 }),
                 make_optimizer(config), options);
  const std::vector<Tensor> batch{data("x"), data("y")};
  const auto steps = c["steps"].get<std::vector<int>>();
  ASSERT_EQ(steps.back(), 100);
  size_t checked = 0;
  for (int t = 1; t <= steps.back(); ++t) {
    step.step(batch, config.learning_rate, t);
    if (steps[checked] != t) continue;
    // f32 against f64: each step rounds some 30 times, and rounding errors grow as a perturbation
    // of the start does, which the golden measured.
    const double bound = 30 * epsilon(DType::f32) *
                         std::max(1.0, c["sensitivity"][checked].get<double>()) * std::sqrt(t);
    for (size_t i = 0; i < p.names.size(); ++i) {
      const HostArray expected = golden.file.read(GetParam() + ("." + p.names[i])).value();
      const HostArray actual = p.tensors[i].host();
      const int64_t first = static_cast<int64_t>(checked) * actual.elements();
      double scale = 0;
      for (int64_t e = 0; e < actual.elements(); ++e)
        scale = std::max(scale, std::fabs(expected.at(first + e)));
      ASSERT_LT(bound, 0.01);
      for (int64_t e = 0; e < actual.elements(); ++e)
        ASSERT_NEAR(actual.at(e), expected.at(first + e), bound * scale)
            << p.names[i] << "[" << e << "] after step " << t;
    }
    ++checked;
  }
  EXPECT_EQ(checked, steps.size());
}

INSTANTIATE_TEST_SUITE_P(All, GroupGolden, testing::Values("adamw_groups", "sgd_groups"));

TEST(ParameterGroups, PatternsAreWholePaths) {
  const char* const matching[][2] = {{"*", ""},          {"*.bias", "a.b.bias"},
                                     {"b?", "bx"},       {"*a*b*", "xxaxxbab"},
                                     {"a*a*a", "aaaaa"}, {"", ""},
                                     {"**", "x"},        {"layers.?.w", "layers.3.w"}};
  for (const auto& [pattern, text] : matching) EXPECT_TRUE(matches(pattern, text)) << pattern;
  const char* const other[][2] = {{"*.bias", "bias"}, {"bias", "a.bias"}, {"b?", "b"},
                                  {"*a", "ab"},       {"a*a", "a"},       {"", "a"},
                                  {"?", ""},          {"a.b", "axb"}};
  for (const auto& [pattern, text] : other) EXPECT_FALSE(matches(pattern, text)) << pattern;
  EXPECT_FALSE(matches("*a*a*a*a*a*b", std::string(5000, 'a')));  // in no time
}

TEST(ParameterGroups, TheFirstThatMatchesHolds) {
  const std::string paths[] = {"a.weight", "a.bias", "b.bias"};
  const ParameterGroup groups[] = {{{"a.bias"}}, {{"*.bias"}}};
  EXPECT_THAT(groups_of(paths, groups), testing::ElementsAre(nullptr, &groups[0], &groups[1]));
}

TEST(ParameterGroups, AGroupWithoutParametersIsAnError) {
  const std::string paths[] = {"a.weight", "a.bias"};
  const auto error = [&](std::vector<ParameterGroup> groups) -> std::string {
    try {
      groups_of(paths, groups);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error({{{"*.weight"}}, {{"*.bais"}}}),
              testing::AllOf(HasSubstr("group 2"), HasSubstr("'*.bais' matches no parameter"),
                             HasSubstr("a.weight, a.bias")));
  EXPECT_THAT(error({{{"*"}}, {{"*.bias"}}}),
              testing::AllOf(HasSubstr("group 2"), HasSubstr("earlier groups")));
}

// Weight decay without groups: matrices only, unless asked for; a group's holds for any rank.
TEST(ParameterGroups, WhatDecays) {
  Runtime runtime(test::checked({.threads = 1}));
  const auto after_a_step = [&](const TrainStepOptions& options) {
    Parameters p;
    p.add(runtime, "matrix", full({1, 1}, 1.0));
    p.add(runtime, "vector", full({1}, 1.0));
    // sgd at rate 1 with gradient 0: the parameter shrinks by the weight decay.
    TrainStep step(runtime, p, given_gradients(p),
                   make_optimizer({.name = "sgd", .weight_decay = 0.25}), options);
    const std::vector<Tensor> batch{eval(runtime, zeros({1, 1})), eval(runtime, zeros({1}))};
    step.step(batch, 1, 1);
    return std::pair(p.tensors[0].item<double>(), p.tensors[1].item<double>());
  };
  EXPECT_EQ(after_a_step({}), std::pair(0.75, 1.0));
  EXPECT_EQ(after_a_step({.decay_all = true}), std::pair(0.75, 0.75));
  EXPECT_EQ(after_a_step({.groups = {{{"*"}, 2, 0.125}}}), std::pair(0.75, 0.75));
  EXPECT_EQ(after_a_step({.groups = {{{"matrix"}, 1, 0.0}}}), std::pair(1.0, 1.0));
}

// Clipped gradients are read off one step of sgd at rate 1 from zero.
TEST(Clipping, FollowsPyTorch) {
  const test::Golden golden = test::load("clipping");
  Runtime runtime(test::checked({.threads = 1}));
  int compared = 0;
  for (const nlohmann::json& c : golden.json["cases"]) {
    TrainStepOptions options;
    if (c["options"].contains("norm_type")) continue;  // cairn clips by the 2-norm only
    if (c["function"] == "clip_grad_norm_") options.clip_norm = c["options"]["max_norm"];
    if (c["function"] == "clip_grad_value_") options.clip_value = c["options"]["clip_value"];
    const std::string name = c["name"];
    Parameters p;
    std::vector<Tensor> batch;
    for (int i = 0; i < 3; ++i) {
      batch.emplace_back(golden.file.read("gradient." + std::to_string(i)).value());
      p.add(runtime, "p" + std::to_string(i), zeros(batch.back().shape(), DType::f64));
    }
    TrainStep step(runtime, p, given_gradients(p), make_optimizer({.name = "sgd"}), options);
    const TrainStep::Result result = step.step(batch, 1, 1);
    // The norm is a sum of 17 squares and some roundings in f32; the rest is f64.
    const double bound = 20 * epsilon(DType::f32);
    if (golden.file.find(name + ".norm")) {
      const double norm = golden.file.read(name + ".norm").value().at(0);
      EXPECT_NEAR(result.gradient_norm, norm, bound * norm) << name;
    }
    for (size_t i = 0; i < 3; ++i) {
      const HostArray expected = golden.file.read(name + "." + std::to_string(i)).value();
      const HostArray actual = p.tensors[i].host();
      for (int64_t e = 0; e < expected.elements(); ++e)
        EXPECT_NEAR(-actual.at(e), expected.at(e), bound * std::fabs(expected.at(e)))
            << name << " " << i << " " << e;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 3);
}

// Each step moves the weight to the golden's next one: sgd at rate 1, gradient before - after.
TEST(WeightAverages, FollowPyTorch) {
  const test::Golden golden = test::load("clipping");
  const HostArray weights = golden.file.read("ema.weights").value();
  const HostArray averages = golden.file.read("ema.averages").value();
  Runtime runtime(test::checked({.threads = 1}));
  Parameters p;
  p.add(runtime, "weight", full({2, 3}, 7.0, DType::f64));
  TrainStep step(runtime, p, given_gradients(p), make_optimizer({.name = "sgd"}),
                 {.ema_decay = 0.9});
  const int64_t count = 6;
  for (int64_t t = 0; t < 10; ++t) {
    std::vector<double> change;
    for (int64_t i = 0; i < count; ++i)
      change.push_back((t == 0 ? 7.0 : weights.at((t - 1) * count + i)) -
                       weights.at(t * count + i));
    const std::vector<Tensor> batch{Tensor::from<double>(change, {2, 3})};
    step.step(batch, 1, t + 1);
    step.swap_averages();
    const HostArray average = p.tensors[0].host();
    step.swap_averages();
    const HostArray weight = p.tensors[0].host();
    // Numbers below 16; each step rounds the weight twice and the average three times.
    const double bound = 5 * 16 * 0x1p-53 * static_cast<double>(t + 1);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_NEAR(weight.at(i), weights.at(t * count + i), bound) << t;
      EXPECT_NEAR(average.at(i), averages.at(t * count + i), bound) << t;
    }
  }
}

// Micro-batches of 1 and of 4 items that count are worth one batch of 5, not 0.5 each.
TEST(Accumulation, IsNormalisedByTheRealNumberOfTokens) {
  Runtime runtime(test::checked({.threads = 1}));
  std::vector<float> x, y, counts = {0, 0, 1, 0, 1, 1, 1, 1};
  for (int i = 0; i < 16; ++i) x.push_back(std::sin(static_cast<float>(i)));
  for (int i = 0; i < 8; ++i) y.push_back(std::cos(static_cast<float>(3 * i)));
  const auto train = [&](int micro_batches) {
    Parameters p;
    p.add(runtime, "w", full({2}, 0.5));
    const LossFunction loss = [&](Context&, std::span<const Tensor> batch) -> Loss {
      const Tensor error = square(sum(batch[0] * p.tensors[0], {-1}) - batch[1]);
      return {sum(error * batch[2]), sum(batch[2])};
    };
    TrainStep step(runtime, p, loss, make_optimizer({.name = "sgd"}),
                   {.accumulate = micro_batches});
    const auto shape = [&](Shape s) {
      if (micro_batches > 1) {
        s[0] /= micro_batches;
        s.insert(0, micro_batches);
      }
      return s;
    };
    const std::vector<Tensor> batch{Tensor::from<float>(x, shape({8, 2})),
                                    Tensor::from<float>(y, shape({8})),
                                    Tensor::from<float>(counts, shape({8}))};
    const TrainStep::Result r = step.step(batch, 0.1, 1);
    const HostArray w = p.tensors[0].host();
    return std::vector<double>{r.loss, r.gradient_norm, w.at(0), w.at(1)};
  };
  const auto one = train(1), two = train(2);
  // Sums of five terms of size 1 in another order, in f32.
  for (size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(two[i], one[i], 10 * epsilon(DType::f32));
  double by_hand = 0;
  for (size_t i = 0; i < 8; ++i) {
    const float error = (x[2 * i] + x[2 * i + 1]) / 2 - y[i];
    by_hand += counts[i] * error * error / 5;
  }
  EXPECT_NEAR(one[0], by_hand, 10 * epsilon(DType::f32));
}

}  // namespace
}  // namespace cairn
