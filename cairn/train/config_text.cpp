// A configuration as TOML text: for the record in a checkpoint, the report and the comparison on
// resume.
#include <fmt/format.h>

#include "cairn/train/config.h"

namespace cairn {
namespace {

std::string text_of(bool v) { return v ? "true" : "false"; }
std::string text_of(int64_t v) { return fmt::format("{}", v); }
std::string text_of(int v) { return fmt::format("{}", v); }
std::string text_of(uint64_t v) { return fmt::format("{}", v); }
std::string text_of(double v) {
  std::string text = fmt::format("{}", v);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}
std::string text_of(const std::string& s) {
  std::string text = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') text += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      text += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      text += c;
  }
  return text + "\"";
}
std::string text_of(const ParameterGroup& g);
template <class T>
std::string text_of(const std::vector<T>& values) {
  std::vector<std::string> parts;
  for (const T& v : values) parts.push_back(text_of(v));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}
std::string text_of(const ParameterGroup& g) {
  std::string text = fmt::format("{{match = {}, learning_rate_scale = {}", text_of(g.match),
                                 text_of(g.learning_rate_scale));
  if (g.weight_decay) text += ", weight_decay = " + text_of(*g.weight_decay);
  return text + "}";
}

// Empty when it is not set.
template <class T>
std::string text_of(const std::optional<T>& value) {
  return value ? text_of(*value) : "";
}

std::string text_of(const ConfigPointer& value) {
  return std::visit([](const auto* v) { return text_of(*v); }, value);
}

bool free_on_resume(const ConfigField& field, const TrainConfig& saved, const TrainConfig& now) {
  // A tokenizer file is a path; and the plateau schedule goes by evaluations.
  if (field.key == "data.tokenizer")
    return is_tokenizer_file(saved.data.tokenizer) && is_tokenizer_file(now.data.tokenizer);
  if (field.key == "train.evaluate_every") return now.train.schedule != "plateau";
  return field.free_on_resume;
}

}  // namespace

std::string to_toml(const TrainConfig& config) {
  TrainConfig copy = config;
  std::string text;
  std::string section;
  for (const ConfigField& field : fields(copy)) {
    const std::string value = text_of(field.value);
    if (value.empty()) continue;
    const size_t dot = field.key.find('.');
    if (field.key.substr(0, dot) != section) {
      section = field.key.substr(0, dot);
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    }
    text += fmt::format("{} = {}\n", field.key.substr(dot + 1), value);
  }
  return text;
}

std::vector<std::string> resume_differences(const TrainConfig& saved, const TrainConfig& now) {
  TrainConfig a = saved;
  TrainConfig b = now;
  const auto before = fields(a);
  const auto after = fields(b);
  std::vector<std::string> differences;
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string x = text_of(before[i].value);
    const std::string y = text_of(after[i].value);
    if (x != y && !free_on_resume(before[i], saved, now))
      differences.push_back(fmt::format("{} ({}, now {})", before[i].key, x.empty() ? "not set" : x,
                                        y.empty() ? "not set" : y));
  }
  return differences;
}

}  // namespace cairn
