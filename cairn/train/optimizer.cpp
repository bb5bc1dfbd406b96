#include "cairn/train/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cairn/base/names.h"
#include "cairn/ops/elementwise.h"
#include "cairn/train/optimizer_base.h"

namespace cairn {
std::string OptimizerOption::complaint() const {
  const auto outside = [&](double v) -> std::string {
    if (v >= least && v <= most) return "";
    if (most == std::numeric_limits<double>::max())
      return least == std::numeric_limits<double>::lowest()
                 ? fmt::format("{} is {}; it must be finite", name, v)
                 : fmt::format("{} is {}; it must be at least {}", name, v, least);
    return fmt::format("{} is {}; it must be from {} to {}", name, v, least, most);
  };
  if (auto* const* number = std::get_if<std::optional<double>*>(&value))
    return **number ? outside(***number) : "";
  if (auto* const* whole = std::get_if<std::optional<int>*>(&value))
    return **whole ? outside(***whole) : "";
  return "";
}

std::vector<OptimizerOption> optimizer_options(OptimizerConfig& c) {
  constexpr double kLowest = std::numeric_limits<double>::lowest();
  constexpr double kMost = std::numeric_limits<double>::max();
  // Of counts, so large that nobody misses more; each Newton-Schulz step is part of the graph.
  constexpr double kCount = 1e6, kSchulz = 99;
  return {{"weight_decay", &c.weight_decay},
          {"betas", &c.betas},
          {"epsilon", &c.epsilon, 0},
          {"momentum", &c.momentum, 0},
          {"dampening", &c.dampening},
          {"nesterov", &c.nesterov},
          {"amsgrad", &c.amsgrad},
          {"maximize", &c.maximize},
          {"centered", &c.centered},
          {"decoupled_weight_decay", &c.decoupled_weight_decay},
          {"alpha", &c.alpha, 0},
          {"rho", &c.rho, 0, 1},
          {"lr_decay", &c.lr_decay, 0},
          {"t0", &c.t0},
          {"lambd", &c.lambd},
          {"beta2_decay", &c.beta2_decay, kLowest, 0},
          {"d", &c.d, 1},
          {"momentum_decay", &c.momentum_decay, 0},
          {"trust_coefficient", &c.trust_coefficient, 0},
          {"initial_accumulator_value", &c.initial_accumulator_value, 0},
          {"step_size_min", &c.step_size_min, 0},
          {"step_size_max", &c.step_size_max, 0},
          {"eta_minus", &c.eta_minus, 0, 1},
          {"eta_plus", &c.eta_plus, 1},
          {"ns_steps", &c.ns_steps, 1, kSchulz},
          {"adjust_lr_fn", &c.adjust_lr_fn},
          {"max_iter", &c.max_iter, 1, kCount},
          {"max_eval", &c.max_eval, 1, kCount},
          {"history_size", &c.history_size, 1, kCount},
          {"tolerance_grad", &c.tolerance_grad, 0, kMost},
          {"tolerance_change", &c.tolerance_change, 0, kMost},
          {"line_search_fn", &c.line_search_fn}};
}

namespace detail {

Options::Options(const OptimizerConfig& of) : config(of) {
  for (const OptimizerOption& option : known_)
    if (const std::string wrong = option.complaint(); !wrong.empty())
      throw_error(fmt::format("optimizer {}: {}", config.name, wrong));
}

const OptimizerOption& Options::find(const std::string& name) {
  read_.insert(name);
  for (const OptimizerOption& option : known_)
    if (option.name == name) return option;
  throw InternalError(fmt::format("there is no hyper-parameter '{}'", name));
}

double Options::number(const std::string& name, double otherwise) { return get(name, otherwise); }
int Options::whole(const std::string& name, int otherwise) { return get(name, otherwise); }
bool Options::flag(const std::string& name, bool otherwise) { return get(name, otherwise); }
bool Options::is_set(const std::string& name) { return find(name).is_set(); }

double Options::beta(size_t i, double otherwise) {
  const auto betas = get(std::string("betas"), std::vector<double>{});
  if (!config.betas) return otherwise;
  if (betas.size() != 2)
    throw_error(fmt::format("optimizer {}: betas needs two numbers, {} were given", config.name,
                            betas.size()));
  const double beta = betas[i];
  if (!(beta >= 0 && beta < 1))
    throw_error(fmt::format("optimizer {}: betas must lie in [0, 1), not {}", config.name, beta));
  return beta;
}

std::string Options::choice(const std::string& name, std::initializer_list<std::string> allowed) {
  const std::string value = get(name, *allowed.begin());
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    throw_error(fmt::format("optimizer {}: {} is '{}', not one of: {}", config.name, name, value,
                            fmt::join(allowed, ", ")));
  return value;
}

void Options::check_all_read() const {
  for (const OptimizerOption& option : known_)
    if (option.is_set() && !has_read(option.name))
      throw_error(fmt::format(
          "optimizer {} has no hyper-parameter '{}', which is one of: {}; it has: {}", config.name,
          option.name, fmt::join(optimizers_with(option.name), ", "), fmt::join(read_, ", ")));
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

namespace {

// Null for a name that is not among optimizer_names().
std::unique_ptr<Optimizer> make(const std::string& name, detail::Options& options) {
  auto optimizer = detail::make_elementwise(name, options);
  return optimizer ? std::move(optimizer) : detail::make_structured(name, options);
}

LbfgsOptions read_lbfgs(detail::Options& o) {
  LbfgsOptions l;
  l.max_iterations = o.whole("max_iter", 20);
  l.max_evaluations = o.whole("max_eval", l.max_iterations * 5 / 4);
  l.tolerance_gradient = o.number("tolerance_grad", 1e-7);
  l.tolerance_change = o.number("tolerance_change", 1e-9);
  l.history = o.whole("history_size", 10);
  l.strong_wolfe = o.choice("line_search_fn", {"strong_wolfe", "none"}) == "strong_wolfe";
  return l;
}

}  // namespace

std::vector<std::string> optimizers_with(const std::string& option) {
  std::vector<std::string> all = optimizer_names(), found;
  all.emplace_back("lbfgs");
  for (const std::string& name : all) {
    OptimizerConfig config;
    config.name = name;
    detail::Options options(config);
    if (name == "lbfgs")
      read_lbfgs(options);
    else
      make(name, options);
    if (options.has_read(option)) found.push_back(name);
  }
  return found;
}

LbfgsOptions lbfgs_options(const OptimizerConfig& config) {
  detail::Options options(config);
  LbfgsOptions lbfgs = read_lbfgs(options);
  options.check_all_read();
  return lbfgs;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config) {
  detail::Options options(config);
  auto optimizer = make(config.name, options);
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
