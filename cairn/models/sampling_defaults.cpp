#include "cairn/models/sampling_defaults.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using Json = nlohmann::ordered_json;

// Null: there is no such key.
struct Key {
  std::optional<double> SamplingDefaults::* value;
  const char* in_hf;
  const char* in_gguf;
  bool is_whole = false;
};
constexpr Key kKeys[] = {
    {&SamplingDefaults::temperature, "temperature", "general.sampling.temp"},
    {&SamplingDefaults::top_k, "top_k", "general.sampling.top_k", true},
    {&SamplingDefaults::top_p, "top_p", "general.sampling.top_p"},
    {&SamplingDefaults::min_p, "min_p", "general.sampling.min_p"},
    {&SamplingDefaults::typical_p, "typical_p", nullptr},
    {&SamplingDefaults::repeat_penalty, "repetition_penalty", "general.sampling.penalty_repeat"},
    {&SamplingDefaults::repeat_last_n, nullptr, "general.sampling.penalty_last_n", true},
};

// Nothing for what no option of sampling can be.
std::optional<double> checked(std::optional<double> value, const Key& key) {
  if (!value || !std::isfinite(*value) || std::fabs(*value) > 1e9) return std::nullopt;
  return key.is_whole ? std::trunc(*value) : value;
}

// Of f32 the shortest number that it can mean: 0.6, not 0.6000000238.
std::optional<double> as_written(const io::GgufValue& value) {
  const auto number = value.number();
  if (!number || value.kind() != io::GgufKind::f32) return number;
  return std::stod(fmt::format("{}", static_cast<float>(*number)));
}

}  // namespace

SamplingDefaults parse_sampling_defaults(std::string_view generation_config) {
  SamplingDefaults defaults;
  const Json config = Json::parse(generation_config, nullptr, false);
  if (!config.is_object()) return defaults;
  for (const Key& key : kKeys) {
    if (!key.in_hf || !config.contains(key.in_hf) || !config[key.in_hf].is_number()) continue;
    defaults.*key.value = checked(config[key.in_hf].get<double>(), key);
  }
  if (defaults.top_k && *defaults.top_k < 0) defaults.top_k = 0;
  if (defaults.repeat_penalty) defaults.repeat_last_n = -1;
  if (config.contains("do_sample") && config["do_sample"] == false) defaults.temperature = 0;
  return defaults;
}

std::string with_sampling_defaults(const std::string& generation_config,
                                   const SamplingDefaults& defaults) {
  Json config = Json::parse(generation_config);
  const bool is_greedy = defaults.temperature == 0;
  if (defaults != SamplingDefaults{}) config["do_sample"] = !is_greedy;
  for (const Key& key : kKeys) {
    const auto& value = defaults.*key.value;
    // transformers takes no temperature of 0.
    if (!key.in_hf || !value || (is_greedy && key.value == &SamplingDefaults::temperature))
      continue;
    config[key.in_hf] = key.is_whole ? Json(static_cast<int64_t>(*value)) : Json(*value);
  }
  return config.dump(2) + "\n";
}

SamplingDefaults gguf_sampling_defaults(const io::GgufFile& file) {
  SamplingDefaults defaults;
  for (const Key& key : kKeys)
    if (const io::GgufValue* value = key.in_gguf ? file.find(key.in_gguf) : nullptr)
      defaults.*key.value = checked(as_written(*value), key);
  return defaults;
}

io::GgufMetadata to_gguf_metadata(const SamplingDefaults& defaults) {
  io::GgufMetadata metadata;
  for (const Key& key : kKeys) {
    const auto& value = defaults.*key.value;
    if (!key.in_gguf || !value) continue;
    metadata.emplace_back(key.in_gguf,
                          key.is_whole ? io::GgufValue::from_number(static_cast<int32_t>(*value))
                                       : io::GgufValue::from_number(static_cast<float>(*value)));
  }
  return metadata;
}

}  // namespace cairn
