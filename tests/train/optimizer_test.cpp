// Optimizers against PyTorch's trajectories (tests/golden/optimizers, made by tools/goldens).
#include "cairn/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "cairn/train/lbfgs.h"
#include "cairn/transforms/vjp.h"
#include "tests/support/checked_runtime.h"
#include "tests/train/optimizer_golden.h"

namespace cairn {
namespace {

using Json = nlohmann::json;
using test::config_of;
using test::find_case;
using test::Golden;
using test::load;

// The loss of a case as a function of its parameters (tools/goldens/make_optimizers.py).
Tensor loss_of(const Golden& g, const std::vector<std::string>& names, std::span<const Tensor> p,
               const Tensor& step, DType dtype) {
  const auto data = [&](const char* name) {
    return cast(Tensor(g.file.read(std::string("problem.") + name).value()), dtype);
  };
  if (names[0] == "table") {
    // Another five rows and targets in each step.
    const Tensor at = cast(step - 1, DType::i32);
    const Tensor rows = take(Tensor(g.file.read("problem.rows").value()), at, 0);
    return mean(square(tanh(take(p[0], rows, 0)) - take(data("target"), at, 0)));
  }
  const Tensor w = names[0] == "w_transposed" ? transpose(p[0]) : p[0];
  Tensor z = matmul(data("x"), w);
  z = z + (p.size() > 1 ? p[1] : data("b"));
  return mean(square(tanh(z) - data("y")));
}

class OptimizerGolden : public testing::TestWithParam<std::string> {};

TEST_P(OptimizerGolden, FollowsPyTorch) {
  static const Golden golden = load("trajectories");
  const Json& c = find_case(golden, GetParam());
  const DType dtype = c["dtype"] == "f64" ? DType::f64 : DType::f32;
  const auto names = c["parameters"].get<std::vector<std::string>>();
  const auto optimizer = make_optimizer(config_of(c));
  const double learning_rate = c["hyper_parameters"]["lr"];
  Runtime runtime(test::checked());

  std::vector<Tensor> parameters, state;
  std::vector<size_t> first_state;
  for (const std::string& name : names) {
    const bool transposed = name == "w_transposed";
    Tensor initial(golden.file.read("problem." + (transposed ? "w" : name)).value());
    if (transposed) initial = transpose(initial);
    parameters.push_back(eval(runtime, cast(initial, dtype)));
    first_state.push_back(state.size());
    for (const Tensor& t : optimizer->initial_state(parameters.back()))
      state.push_back(eval(runtime, t));
  }
  const size_t n = parameters.size();
  Function step = compile([&](std::span<const Tensor> a) {
    const auto p = a.first(n);
    const Tensor loss = loss_of(golden, names, p, a[a.size() - 1], dtype);
    const auto gradient = gradients(loss, p);
    std::vector<Tensor> next_parameters, next_state;
    for (size_t i = 0; i < n; ++i) {
      const size_t count = optimizer->state_names().size();
      double decay = optimizer->weight_decay();
      if (c.contains("groups"))
        for (const Json& group : c["groups"])
          for (const Json& member : group["parameters"])
            if (member == names[i] && group.contains("weight_decay")) decay = group["weight_decay"];
      Tensor rate = a[a.size() - 2];
      if (c.contains("groups"))
        for (const Json& group : c["groups"])
          for (const Json& member : group["parameters"])
            if (member == names[i] && group.contains("lr"))
              rate = full_like(rate, group["lr"].get<double>());
      ParameterUpdate u = optimizer->update({rate, a[a.size() - 1], decay}, p[i], gradient[i],
                                            a.subspan(n + first_state[i], count));
      next_parameters.push_back(u.parameter);
      next_state.insert(next_state.end(), u.state.begin(), u.state.end());
    }
    next_parameters.insert(next_parameters.end(), next_state.begin(), next_state.end());
    next_parameters.push_back(loss);
    return next_parameters;
  });
  const auto scalar = [&](double v) { return eval(runtime, full({}, v, dtype)); };

  const auto steps = c["steps"].get<std::vector<int>>();
  const HostArray losses = golden.file.read(GetParam() + ".losses").value();
  size_t checked = 0;
  for (int t = 1; t <= steps.back(); ++t) {
    std::vector<Tensor> args = parameters;
    args.insert(args.end(), state.begin(), state.end());
    args.push_back(scalar(learning_rate));
    args.push_back(scalar(t));
    std::vector<Tensor> results = step(runtime, std::move(args));
    std::copy_n(results.begin(), n, parameters.begin());
    std::copy_n(results.begin() + static_cast<int64_t>(n), state.size(), state.begin());
    if (checked >= steps.size() || steps[checked] != t) continue;
    // Rounding errors of each step (some 30 operations) grow as a perturbation of the start does,
    // which the golden measured; PyTorch's own errors are of the same size.
    const double sensitivity =
        c["sensitivity"].is_null() ? 20.0 : c["sensitivity"][checked].get<double>();
    double bound = 30 * epsilon(dtype) * std::max(1.0, sensitivity) * std::sqrt(t);
    // PyTorch keeps these optimizers' scalars (mu_product; eta and mu; the step) in f32 under f64
    // parameters.
    for (const char* name : {"nadam", "asgd", "adafactor"})
      if (c["optimizer"] == name) bound = 30 * epsilon(DType::f32) * std::max(1.0, sensitivity);
    // Newton-Schulz in bf16: each of five iterations of three products rounds numbers of size 1 to
    // 8 bits.
    if (c.value("newton_schulz_dtype", "") == "bf16" ||
        GetParam().find("bf16") != std::string::npos)
      bound = 0;
    for (size_t i = 0; i < n; ++i) {
      const HostArray expected = golden.file.read(GetParam() + "." + names[i]).value();
      const HostArray actual = parameters[i].host();
      const int64_t count = actual.elements();
      double scale = 0;
      for (int64_t e = 0; e < count; ++e)
        scale = std::max(scale, std::fabs(expected.at(static_cast<int64_t>(checked) * count + e)));
      const double tolerance =
          bound > 0 ? bound * scale : learning_rate * t * 15 * epsilon(DType::bf16);
      for (int64_t e = 0; e < count; ++e)
        ASSERT_NEAR(actual.at(e), expected.at(static_cast<int64_t>(checked) * count + e), tolerance)
            << names[i] << "[" << e << "] after step " << t;
    }
    ++checked;
  }
  EXPECT_EQ(checked, steps.size());
  EXPECT_GT(losses.elements(), 0);
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  std::ifstream in(test::golden_path("optimizers/trajectories.json"));
  const Json json = Json::parse(in);
  for (const Json& c : json["cases"]) {
    const std::string name = c["name"];
    // lbfgs evaluates the loss several times a step; it has a test of its own. Ours is bf16
    // throughout Newton-Schulz, as PyTorch's; the f64 cases are for builds that iterate in f64.
    if (name.rfind("lbfgs", 0) == 0) continue;
    if (c["optimizer"] == "muon" && name.find("bf16") == std::string::npos) continue;
    names.push_back(name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerGolden, testing::ValuesIn(golden_names()),
                         [](const auto& info) { return info.param; });

class LbfgsGolden : public testing::TestWithParam<const char*> {};

TEST_P(LbfgsGolden, FollowsPyTorch) {
  const Golden golden = load("trajectories");
  const std::string name = GetParam();
  const Json& c = find_case(golden, name);
  const Json& h = c["hyper_parameters"];
  LbfgsOptions options;
  options.learning_rate = h["lr"];
  options.max_iterations = h["max_iter"];
  options.max_evaluations =
      h["max_eval"].is_number() ? h["max_eval"].get<int>() : options.max_iterations * 5 / 4;
  options.tolerance_gradient = h["tolerance_grad"];
  options.tolerance_change = h["tolerance_change"];
  options.history = h["history_size"];
  options.strong_wolfe = h["line_search_fn"] == "strong_wolfe";
  Lbfgs optimizer(options);

  Runtime runtime(test::checked());
  Function loss = compile([&](std::span<const Tensor> a) {
    const Tensor p[] = {reshape(slice_axis(a[0], 0, 0, 12), {3, 4}), slice_axis(a[0], 0, 12, 16)};
    const Tensor value = loss_of(golden, {"w", "b"}, p, Tensor(), DType::f64);
    return std::vector<Tensor>{value, gradients(value, a)[0]};
  });
  const auto objective = [&](std::span<const double> x, std::span<double> gradient) {
    const auto out = loss(runtime, {Tensor::from<double>(x, {16})});
    const auto g = out[1].to_vector<double>();
    std::copy(g.begin(), g.end(), gradient.begin());
    return out[0].item<double>();
  };
  std::vector<double> x;
  for (const char* part : {"problem.w", "problem.b"}) {
    const HostArray initial = golden.file.read(part).value();
    for (int64_t i = 0; i < initial.elements(); ++i) x.push_back(initial.at(i));
  }
  const auto steps = c["steps"].get<std::vector<int>>();
  const HostArray w = golden.file.read(name + ".w").value(),
                  b = golden.file.read(name + ".b").value();
  size_t checked = 0;
  double sensitivity = 1, bound = 0, least_move = INFINITY;
  for (int t = 1; t <= steps.back(); ++t) {
    const std::vector<double> before = x;
    optimizer.step(x, objective);
    double move = 0;
    for (size_t i = 0; i < x.size(); ++i) move = std::max(move, std::fabs(x[i] - before[i]));
    least_move = std::min(least_move, move);
    if (steps[checked] != t) continue;
    // Numbers of size 1 go through some 20 roundings to the loss and the gradient and 20 to the
    // next point, by half a unit in the last place each, here and as often in PyTorch; the golden
    // measured how far such errors in every evaluation take the parameters.
    sensitivity = std::max(sensitivity, c["sensitivity"][checked].get<double>());
    bound = 80 * 0x1p-53 * sensitivity;
    const auto at = static_cast<int64_t>(checked);
    for (int64_t i = 0; i < 12; ++i)
      ASSERT_NEAR(x[static_cast<size_t>(i)], w.at(at * 12 + i), bound) << t;
    for (int64_t i = 0; i < 4; ++i)
      ASSERT_NEAR(x[static_cast<size_t>(12 + i)], b.at(at * 4 + i), bound) << t;
    ++checked;
  }
  EXPECT_EQ(checked, steps.size());
  EXPECT_EQ(optimizer.evaluations(),
            static_cast<int>(golden.file.read(name + ".evaluations").value().at(0)));
  // No step is idle: the shortest is far longer than what may be wrong after all of them.
  if (steps.back() == 100) {
    EXPECT_GT(least_move, 1000 * bound);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LbfgsGolden,
                         testing::Values("lbfgs_converging", "lbfgs_converging_strong_wolfe",
                                         "lbfgs", "lbfgs_strong_wolfe"),
                         [](const auto& info) { return std::string(info.param); });

// What is no matrix goes by AdamW.
TEST(Optimizer, MuonLeavesVectorsToAdamW) {
  Runtime runtime({.threads = 1});
  const auto muon = make_optimizer({.name = "muon", .weight_decay = 0.1});
  const auto adamw = make_optimizer({.name = "adamw", .weight_decay = 0.1});
  const Tensor p = Tensor::from<float>({1, -2, 3}, {3}), g = Tensor::from<float>({2, 1, -1}, {3});
  const StepInputs inputs{full({}, 0.1), full({}, 1.0), 0.1};
  const auto after = [&](const Optimizer& o) {
    return eval(runtime, o.update(inputs, p, g, o.initial_state(p)).parameter).to_vector<float>();
  };
  EXPECT_EQ(after(*muon), after(*adamw));
}

TEST(Optimizer, UnknownNameNamesTheNearest) {
  try {
    make_optimizer({.name = "adamww"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'adamw'"), std::string::npos) << e.what();
  }
}

TEST(Optimizer, HyperParameterThatItDoesNotHaveIsAnError) {
  OptimizerConfig c{.name = "sgd"};
  c.rho = 0.5;
  EXPECT_THROW(make_optimizer(c), Error);
}

TEST(Optimizer, EveryNameIsBuilt) {
  for (const std::string& name : optimizer_names())
    EXPECT_NO_THROW(make_optimizer({.name = name})) << name;
}

}  // namespace
}  // namespace cairn
