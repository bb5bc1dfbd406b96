// The golden vectors of optimizers (tests/golden/optimizers, made by tools/goldens).
#pragma once

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "cairn/io/safetensors.h"
#include "cairn/train/optimizer.h"
#include "tests/support/test_data.h"

namespace cairn::test {

struct Golden {
  nlohmann::json json;
  io::SafetensorsFile file;
};

inline Golden load(const std::string& stem) {
  std::ifstream in(test::golden_path("optimizers/" + stem + ".json"));
  return {
      nlohmann::json::parse(in),
      io::SafetensorsFile::open(test::golden_path("optimizers/" + stem + ".safetensors").string())
          .value()};
}

// PyTorch's hyper-parameters by our names.
inline OptimizerConfig config_of(const nlohmann::json& c) {
  OptimizerConfig o;
  o.name = c["optimizer"];
  const std::map<std::string, std::optional<double>*> numbers = {
      {"weight_decay", &o.weight_decay},
      {"momentum", &o.momentum},
      {"dampening", &o.dampening},
      {"alpha", &o.alpha},
      {"rho", &o.rho},
      {"lr_decay", &o.lr_decay},
      {"t0", &o.t0},
      {"lambd", &o.lambd},
      {"beta2_decay", &o.beta2_decay},
      {"d", &o.d},
      {"momentum_decay", &o.momentum_decay},
      {"initial_accumulator_value", &o.initial_accumulator_value}};
  const std::map<std::string, std::optional<bool>*> flags = {
      {"nesterov", &o.nesterov},
      {"amsgrad", &o.amsgrad},
      {"maximize", &o.maximize},
      {"centered", &o.centered},
      {"decoupled_weight_decay", &o.decoupled_weight_decay}};
  for (const auto& [key, value] : c["hyper_parameters"].items()) {
    if (key == "lr")
      o.learning_rate = value;
    else if (key == "betas")
      o.betas = value.get<std::vector<double>>();
    else if (key == "eps" && value.is_number())
      o.epsilon = value.get<double>();
    else if (key == "eps" && value.is_array() && value[0].is_number())
      o.epsilon = value[0].get<double>();
    else if (key == "etas")
      o.eta_minus = value[0].get<double>(), o.eta_plus = value[1].get<double>();
    else if (key == "step_sizes")
      o.step_size_min = value[0].get<double>(), o.step_size_max = value[1].get<double>();
    else if (key == "adjust_lr_fn" && value.is_string())
      o.adjust_lr_fn = value.get<std::string>();
    else if (key == "ns_steps")
      o.ns_steps = value.get<int>();
    else if (numbers.count(key) && value.is_number())
      *numbers.at(key) = value.get<double>();
    else if (flags.count(key) && value.is_boolean() && value.get<bool>())
      *flags.at(key) = true;
  }
  return o;
}

inline const nlohmann::json& find_case(const Golden& golden, const std::string& name) {
  for (const nlohmann::json& c : golden.json["cases"])
    if (c["name"] == name) return c;
  throw_error("no golden case '" + name + "'");
}

}  // namespace cairn::test
