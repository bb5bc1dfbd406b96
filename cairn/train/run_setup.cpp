#include "cairn/train/run_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cairn {

std::vector<std::string> unused_keys(const TrainConfig& config) {
  const TrainConfig::Train& t = config.train;
  const std::pair<const char*, bool> shared[] = {{"weight_decay", t.weight_decay > 0},
                                                 {"betas", !t.betas.empty()},
                                                 {"epsilon", t.epsilon > 0},
                                                 {"momentum", t.momentum > 0}};
  std::vector<std::string> unused;
  for (const auto& [key, is_set] : shared) {
    if (!is_set) continue;
    const std::vector<std::string> with = optimizers_with(key);
    if (std::find(with.begin(), with.end(), t.optimizer) == with.end()) unused.emplace_back(key);
  }
  if (t.optimizer == "lbfgs" && t.clip > 0) unused.emplace_back("clip");
  return unused;
}

OptimizerConfig optimizer_config(const TrainConfig& config) {
  const TrainConfig::Train& t = config.train;
  const std::vector<std::string> unused = unused_keys(config);
  const auto is_used = [&](const char* key) {
    return std::find(unused.begin(), unused.end(), key) == unused.end();
  };
  OptimizerConfig o = config.optimizer;
  o.name = t.optimizer;
  o.learning_rate = t.learning_rate;
  if (!o.weight_decay && is_used("weight_decay")) o.weight_decay = t.weight_decay;
  if (!t.betas.empty() && is_used("betas")) o.betas = t.betas;
  if (t.epsilon > 0 && is_used("epsilon")) o.epsilon = t.epsilon;
  if (t.momentum > 0 && is_used("momentum")) o.momentum = t.momentum;
  return o;
}

TrainStepOptions step_options(const TrainConfig& config) {
  const TrainConfig::Train& t = config.train;
  TrainStepOptions options;
  options.clip_norm = t.clip;
  options.clip_value = t.clip_value;
  options.ema_decay = t.ema;
  options.decay_all = t.decay_all;
  options.accumulate = static_cast<int>(t.accumulate);
  options.groups = t.group;
  options.precision = *parse_dtype(t.precision);
  options.seed = t.seed;
  return options;
}

std::optional<LbfgsOptions> lbfgs_options(const TrainConfig& config) {
  const TrainConfig::Train& t = config.train;
  if (t.optimizer != "lbfgs") return std::nullopt;
  const std::pair<const char*, bool> others[] = {{"clip_value", t.clip_value > 0},
                                                 {"ema", t.ema > 0},
                                                 {"accumulate", t.accumulate > 1},
                                                 {"precision", t.precision != "f32"},
                                                 {"group", !t.group.empty()}};
  for (const auto& [key, set] : others)
    if (set)
      throw_error(fmt::format("train.{} does not go with optimizer lbfgs; leave it out", key));
  OptimizerConfig options = config.optimizer;
  options.name = t.optimizer;
  return lbfgs_options(options);
}

double state_bytes(const TrainConfig& config, Module& module) {
  const auto bytes = [](const Tensor& t) { return static_cast<double>(t.type().bytes()); };
  double total = 0, parameters = 0;
  for (const Field& f : fields(module)) total += bytes(*f.tensor);
  for (const Field& f : fields(module, FieldKind::parameter)) parameters += bytes(*f.tensor);
  if (config.train.ema > 0) total += parameters;
  if (const auto lbfgs = lbfgs_options(config)) {
    // In f64: the parameters, two vectors, and two for each step of the history.
    const double vectors = 3 + 2.0 * lbfgs->history;
    return total + vectors * sizeof(double) * static_cast<double>(parameter_count(module));
  }
  const auto optimizer = make_optimizer(optimizer_config(config));
  for (const Field& f : fields(module, FieldKind::parameter))
    for (const Tensor& t : optimizer->initial_state(*f.tensor)) total += bytes(t);
  return total;
}

ScheduleConfig schedule_config(const TrainConfig& config, int64_t total_steps) {
  const TrainConfig::Train& t = config.train;
  const long span = std::max<long>(total_steps - t.warmup_steps, 1);
  ScheduleConfig s;
  s.name = t.schedule;
  s.learning_rate = t.learning_rate;
  s.min_learning_rate = t.min_learning_rate;
  s.total_steps = total_steps;
  s.warmup_steps = t.warmup_steps;
  if (t.gamma > 0)
    s.gamma = t.gamma;
  else if (t.schedule == "exponential")
    s.gamma = std::pow(0.01, 1 / static_cast<double>(span));
  s.step_size = t.step_size > 0 ? t.step_size : std::max<long>(span / 3, 1);
  s.milestones.assign(t.milestones.begin(), t.milestones.end());
  if (s.milestones.empty())
    s.milestones = {t.warmup_steps + span / 2, t.warmup_steps + span * 3 / 4};
  s.power = t.power;
  return s;
}

std::optional<Plateau> plateau_of(const TrainConfig& config) {
  const TrainConfig::Train& t = config.train;
  if (t.schedule != "plateau") return std::nullopt;
  return Plateau(t.learning_rate, t.gamma > 0 ? t.gamma : 0.1, static_cast<int>(t.patience), 1e-4,
                 0, t.min_learning_rate);
}

}  // namespace cairn
