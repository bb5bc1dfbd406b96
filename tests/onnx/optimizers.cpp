// One step of an optimizer. Operands: learning rate, steps done before, then parameters, their
// gradients, and each kind of state, as many of each as there are parameters.
#include <cmath>

#include "cairn/train/optimizer.h"
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

// `step` is what cairn's optimizer is told: the number of this step.
std::vector<Tensor> optimized(const OnnxCall& c, const OptimizerConfig& config, int states,
                              double step) {
  const auto optimizer = make_optimizer(config);
  const StepInputs inputs{c[0], Tensor::scalar(step, DType::f32), c.number("norm_coefficient", 0)};
  const int count = (c.count() - 2) / (2 + states);
  std::vector<Tensor> results;
  std::vector<std::vector<Tensor>> next_state(static_cast<size_t>(states));
  for (int i = 0; i < count; ++i) {
    std::vector<Tensor> state;
    for (int k = 0; k < states; ++k) state.push_back(c[2 + (2 + k) * count + i]);
    const ParameterUpdate update = optimizer->update(inputs, c[2 + i], c[2 + count + i], state);
    results.push_back(update.parameter);
    for (size_t k = 0; k < next_state.size(); ++k) next_state[k].push_back(update.state[k]);
  }
  for (const std::vector<Tensor>& kind : next_state)
    results.insert(results.end(), kind.begin(), kind.end());
  return results;
}

std::vector<Tensor> adagrad(const OnnxCall& c) {
  OptimizerConfig config{.name = "adagrad"};
  config.epsilon = c.number("epsilon", 0);
  config.lr_decay = c.number("decay_factor", 0);
  return optimized(c, config, 1, c.constant(1) + 1);
}

// ONNX corrects no bias in its step 0, where cairn's step of any number does: there the number is
// one so large that beta^step is 0. From then on its epsilon is not divided by sqrt(1 - beta^step).
std::vector<Tensor> adam(const OnnxCall& c) {
  if (c.number("norm_coefficient_post", 0) != 0)
    throw Unsupported("a decay of the parameters behind the step");
  const double done = c.constant(1), beta = c.number("beta", 0.999);
  OptimizerConfig config{.name = "adam"};
  config.betas = {c.number("alpha", 0.9), beta};
  config.epsilon = c.number("epsilon", 0);
  if (done > 0) *config.epsilon /= std::sqrt(1 - std::pow(beta, done));
  return optimized(c, config, 2, done > 0 ? done : 1e9);
}

// cairn's first step takes the gradient for the momentum; ONNX's never does, so it is told another.
std::vector<Tensor> momentum(const OnnxCall& c) {
  OptimizerConfig config{.name = "sgd"};
  config.momentum = c.number("alpha", 0);
  config.dampening = c.constant(1) > 0 ? 1 - c.number("beta", 1) : 0;
  config.nesterov = c.text("mode", "standard") == "nesterov";
  return optimized(c, config, 1, 2);
}

}  // namespace

void add_optimizers(OnnxTable& table) {
  table["Adagrad"] = adagrad;
  table["Adam"] = adam;
  table["Momentum"] = momentum;
}

}  // namespace cairn::test
