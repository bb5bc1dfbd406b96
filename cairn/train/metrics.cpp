#include "cairn/train/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"

namespace cairn {

using Json = nlohmann::ordered_json;

std::string to_json(const Metrics& m) {
  Json j = {{"step", m.step}, {"loss", m.loss}};
  if (m.validation_loss) j["val_loss"] = *m.validation_loss;
  if (m.validation_accuracy) j["val_accuracy"] = *m.validation_accuracy;
  j["lr"] = m.learning_rate;
  j["grad_norm"] = m.gradient_norm;
  j[m.item_name] = m.items;
  j[m.item_name + "_per_s"] = m.items_per_second;
  j["seconds"] = m.seconds;
  j["time"] = m.wall_time;
  j["memory_bytes"] = m.memory_bytes;
  if (m.compile_seconds) j["compile_seconds"] = *m.compile_seconds;
  return j.dump();
}

std::optional<Metrics> parse_metrics(std::string_view line) {
  const Json j = Json::parse(line, nullptr, false);
  if (!j.is_object() || !j.contains("step") || !j["step"].is_number_integer()) return std::nullopt;
  const auto number = [&](const std::string& key) -> std::optional<double> {
    const auto found = j.find(key);
    if (found == j.end() || !found->is_number()) return std::nullopt;
    return found->get<double>();
  };
  Metrics m;
  m.step = j["step"].get<int64_t>();
  m.loss = number("loss").value_or(0);
  m.validation_loss = number("val_loss");
  m.validation_accuracy = number("val_accuracy");
  m.learning_rate = number("lr").value_or(0);
  m.gradient_norm = number("grad_norm").value_or(0);
  m.seconds = number("seconds").value_or(0);
  m.wall_time = number("time").value_or(0);
  m.compile_seconds = number("compile_seconds");
  for (const char* item : {"tokens", "samples"}) {
    if (!number(item)) continue;
    m.item_name = item;
    m.items_per_second = number(std::string(item) + "_per_s").value_or(0);
  }
  return m;
}

std::vector<Metrics> read_metrics(const std::filesystem::path& file) {
  std::vector<Metrics> history;
  auto text = read_file(file.string());
  if (!text) return history;
  std::string_view rest = text.value();
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (auto line = parse_metrics(rest.substr(0, end))) history.push_back(std::move(*line));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return history;
}

}  // namespace cairn
