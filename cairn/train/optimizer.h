// Optimizers: how a parameter changes given its gradient. Each is a few lines of tensor functions;
// the trainer builds them into the step's graph, so they fuse, shard and run on any device.
//
// What changes from step to step (learning rate, step number) is a 0-d tensor, so a schedule never
// makes a new plan. Names, defaults and formulas are PyTorch's (torch.optim) unless said otherwise.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cairn/graph/tensor.h"
#include "cairn/train/lbfgs.h"

namespace cairn {

// Hyper-parameters by PyTorch's names. Those that an optimizer does not have must stay at nullopt.
struct OptimizerConfig {
  std::string name = "adamw";  // PyTorch's name in lower case, or lamb, lars, lion
  double learning_rate = 1e-3;
  std::optional<double> weight_decay, momentum, dampening, epsilon, alpha, rho, lr_decay, t0, lambd,
      beta2_decay, d, momentum_decay, trust_coefficient, initial_accumulator_value, step_size_min,
      step_size_max, eta_minus, eta_plus;
  std::optional<std::vector<double>> betas;
  std::optional<bool> nesterov, amsgrad, maximize, centered, decoupled_weight_decay;
  std::optional<int> ns_steps;
  std::optional<std::string> adjust_lr_fn;  // muon: "original" or "match_rms_adamw"
  // Of lbfgs, which is no Optimizer.
  std::optional<int> max_iter, max_eval, history_size;
  std::optional<double> tolerance_grad, tolerance_change;
  std::optional<std::string> line_search_fn;  // "strong_wolfe" or "none"
};

// Each hyper-parameter named once: reading configurations, defaults and checks go through this.
struct OptimizerOption {
  std::string name;  // as above
  std::variant<std::optional<double>*, std::optional<bool>*, std::optional<int>*,
               std::optional<std::string>*, std::optional<std::vector<double>>*>
      value;
  double least = std::numeric_limits<double>::lowest(), most = std::numeric_limits<double>::max();

  bool is_set() const {
    return std::visit([](const auto* v) { return v->has_value(); }, value);
  }
  // "NAME is 2; it must be from 0 to 1" for a number that is not in the range; else empty.
  std::string complaint() const;
};
std::vector<OptimizerOption> optimizer_options(OptimizerConfig& config);
// The optimizers that have it, lbfgs among them.
std::vector<std::string> optimizers_with(const std::string& option);

// What a step knows.
struct StepInputs {
  Tensor learning_rate;  // f32, 0-d (f64 where parameters are)
  Tensor step;           // the same type, 0-d: 1 for the first update
  double weight_decay;   // of this parameter's group
};

struct ParameterUpdate {
  Tensor parameter;
  std::vector<Tensor> state;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Names of the state tensors of one parameter, as they stand in checkpoints: "exp_avg", ...
  virtual std::vector<std::string> state_names() const = 0;
  // Their values before the first step, of the parameter's placement.
  virtual std::vector<Tensor> initial_state(const Tensor& parameter) const = 0;
  // gradient and state have the types that initial_state and the parameter have.
  virtual ParameterUpdate update(const StepInputs& inputs, const Tensor& parameter,
                                 const Tensor& gradient, std::span<const Tensor> state) const = 0;
  // The weight decay of groups that do not set one.
  virtual double weight_decay() const = 0;
};

// Throws Error naming the nearest known name, or the hyper-parameter that this optimizer does not
// have.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config);
std::vector<std::string> optimizer_names();
// The same for what lbfgs is given, with PyTorch's defaults but for a history of 10 and the line
// search.
LbfgsOptions lbfgs_options(const OptimizerConfig& config);

}  // namespace cairn
