#include "cairn/train/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cairn/base/names.h"
#include "cairn/ops/elementwise.h"
#include "cairn/train/optimizer_base.h"

namespace cairn {
namespace detail {
namespace {

// Every hyper-parameter that is a number (flags as 0 and 1), with its name.
std::vector<std::pair<std::string, std::optional<double>>> set_values(const OptimizerConfig& c) {
  const auto flag = [](const std::optional<bool>& f) {
    return f ? std::optional<double>(*f ? 1 : 0) : std::nullopt;
  };
  return {{"weight_decay", c.weight_decay},
          {"momentum", c.momentum},
          {"dampening", c.dampening},
          {"epsilon", c.epsilon},
          {"alpha", c.alpha},
          {"rho", c.rho},
          {"lr_decay", c.lr_decay},
          {"t0", c.t0},
          {"lambd", c.lambd},
          {"beta2_decay", c.beta2_decay},
          {"d", c.d},
          {"momentum_decay", c.momentum_decay},
          {"trust_coefficient", c.trust_coefficient},
          {"initial_accumulator_value", c.initial_accumulator_value},
          {"step_size_min", c.step_size_min},
          {"step_size_max", c.step_size_max},
          {"eta_minus", c.eta_minus},
          {"eta_plus", c.eta_plus},
          {"nesterov", flag(c.nesterov)},
          {"amsgrad", flag(c.amsgrad)},
          {"maximize", flag(c.maximize)},
          {"centered", flag(c.centered)},
          {"decoupled_weight_decay", flag(c.decoupled_weight_decay)},
          {"ns_steps", c.ns_steps ? std::optional<double>(*c.ns_steps) : std::nullopt}};
}

}  // namespace

double Options::number(const std::string& name, double otherwise) {
  read_.insert(name);
  for (const auto& [known, value] : set_values(config))
    if (known == name) return value.value_or(otherwise);
  throw InternalError(fmt::format("there is no hyper-parameter '{}'", name));
}

bool Options::flag(const std::string& name) { return number(name, 0) != 0; }

double Options::beta(size_t i, double otherwise) {
  read_.insert("betas");
  if (!config.betas) return otherwise;
  if (config.betas->size() != 2)
    throw_error(fmt::format("optimizer {}: betas needs two numbers, {} were given", config.name,
                            config.betas->size()));
  const double beta = (*config.betas)[i];
  if (beta < 0 || beta >= 1)
    throw_error(fmt::format("optimizer {}: betas must lie in [0, 1), not {}", config.name, beta));
  return beta;
}

std::string Options::choice(const std::string& name, std::initializer_list<std::string> allowed) {
  read_.insert(name);
  if (!config.adjust_lr_fn) return *allowed.begin();
  if (std::find(allowed.begin(), allowed.end(), *config.adjust_lr_fn) == allowed.end())
    throw_error(fmt::format("optimizer {}: {} is '{}', not one of: {}", config.name, name,
                            *config.adjust_lr_fn, fmt::join(allowed, ", ")));
  return *config.adjust_lr_fn;
}

void Options::check_all_read() const {
  const auto complain = [&](const std::string& name) {
    throw_error(fmt::format("optimizer {} has no hyper-parameter '{}'; it has: {}", config.name,
                            name, fmt::join(read_, ", ")));
  };
  for (const auto& [name, value] : set_values(config))
    if (value && !read_.count(name)) complain(name);
  if (config.betas && !read_.count("betas")) complain("betas");
  if (config.adjust_lr_fn && !read_.count("adjust_lr_fn")) complain("adjust_lr_fn");
}

Common::Common(Options& o, double default_decay)
    : weight_decay_(o.number("weight_decay", default_decay)), maximize_(o.flag("maximize")) {
  if (weight_decay_ < 0)
    throw_error(
        fmt::format("optimizer {}: weight_decay is {}, below 0", o.config.name, weight_decay_));
}
std::vector<Tensor> Common::initial_state(const Tensor& parameter) const {
  return std::vector<Tensor>(state_names().size(), zeros(parameter.shape(), parameter.dtype()));
}
Tensor Common::signed_gradient(const Tensor& gradient) const {
  return maximize_ ? negate(gradient) : gradient;
}
Tensor Common::decayed(const StepInputs& in, const Tensor& p, const Tensor& g) {
  return in.weight_decay != 0 ? g + p * in.weight_decay : g;
}
Tensor Common::shrunk(const StepInputs& in, const Tensor& p) {
  return in.weight_decay != 0 ? p * (1.0 - in.learning_rate * in.weight_decay) : p;
}

}  // namespace detail

std::vector<std::string> optimizer_names() {
  return {"sgd",     "adam",       "adamw",   "adamax", "nadam", "radam",
          "adagrad", "adadelta",   "rmsprop", "rprop",  "asgd",  "adafactor",
          "muon",    "sparseadam", "lion",    "lamb",   "lars"};
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config) {
  detail::Options options(config);
  auto optimizer = detail::make_elementwise(config.name, options);
  if (!optimizer) optimizer = detail::make_structured(config.name, options);
  if (!optimizer) {
    std::vector<std::string> known = optimizer_names();
    known.emplace_back("lbfgs");
    throw_error(fmt::format("'{}' is not an optimizer{}; {}", config.name,
                            config.name == "lbfgs" ? " of this kind: it is cairn::Lbfgs" : "",
                            suggest(config.name, known)));
  }
  options.check_all_read();
  return optimizer;
}

}  // namespace cairn
