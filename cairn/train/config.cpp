#include "cairn/train/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>

#include "cairn/base/file.h"
#include "cairn/base/names.h"

namespace cairn {

std::vector<ConfigField> fields(TrainConfig& c) {
  auto& m = c.model;
  auto& d = c.data;
  auto& t = c.train;
  return {{"model.family", &m.family},
          {"model.layers", &m.layers},
          {"model.heads", &m.heads},
          {"model.kv_heads", &m.kv_heads},
          {"model.width", &m.width},
          {"model.context", &m.context},
          {"model.hidden", &m.hidden},
          {"model.dropout", &m.dropout},
          {"model.norm_epsilon", &m.norm_epsilon},
          {"model.rope_theta", &m.rope_theta},
          {"model.tied", &m.tied},
          {"model.channels", &m.channels},
          {"data.text", &d.text, true, true},
          {"data.validation_text", &d.validation_text, true, true},
          {"data.images", &d.images, true, true},
          {"data.labels", &d.labels, true, true},
          {"data.validation_images", &d.validation_images, true, true},
          {"data.validation_labels", &d.validation_labels, true, true},
          {"data.tokenizer", &d.tokenizer},
          {"data.separator", &d.separator},
          {"data.validation", &d.validation},
          {"train.steps", &t.steps, true},
          {"train.epochs", &t.epochs, true},
          {"train.batch", &t.batch},
          {"train.accumulate", &t.accumulate},
          {"train.optimizer", &t.optimizer},
          {"train.learning_rate", &t.learning_rate},
          {"train.min_learning_rate", &t.min_learning_rate},
          {"train.schedule", &t.schedule},
          {"train.warmup_steps", &t.warmup_steps},
          {"train.weight_decay", &t.weight_decay},
          {"train.decay_all", &t.decay_all},
          {"train.betas", &t.betas},
          {"train.epsilon", &t.epsilon},
          {"train.momentum", &t.momentum},
          {"train.clip", &t.clip},
          {"train.ema", &t.ema},
          {"train.label_smoothing", &t.label_smoothing},
          {"train.precision", &t.precision},
          {"train.evaluate_every", &t.evaluate_every, true},
          {"train.checkpoint_every", &t.checkpoint_every, true},
          {"train.keep_checkpoints", &t.keep_checkpoints, true},
          {"train.log_every", &t.log_every, true},
          {"train.sample_every", &t.sample_every, true},
          {"train.seed", &t.seed}};
}

namespace {

std::string where(const toml::node& node) {
  return node.source().begin ? fmt::format("line {}: ", node.source().begin.line) : "";
}

// One number or text of the wanted type; integers serve as numbers.
template <class T>
bool read_value(const toml::node& node, T& out) {
  if constexpr (std::is_same_v<T, double>) {
    if (const auto v = node.value_exact<double>()) return out = *v, true;
    if (const auto v = node.value_exact<int64_t>()) return out = static_cast<double>(*v), true;
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    if (const auto v = node.value_exact<int64_t>(); v && *v >= 0)
      return out = static_cast<uint64_t>(*v), true;
  } else {
    if (const auto v = node.value_exact<T>()) return out = *v, true;
  }
  return false;
}

// A list, or one value in its place.
template <class T>
bool read_value(const toml::node& node, std::vector<T>& out) {
  std::vector<T> values;
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& element : *array) {
      T value;
      if (!read_value(element, value)) return false;
      values.push_back(std::move(value));
    }
  } else {
    T value;
    if (!read_value(node, value)) return false;
    values.push_back(std::move(value));
  }
  out = std::move(values);
  return true;
}

const char* kind_name(const ConfigPointer& value) {
  constexpr const char* kNames[] = {"a whole number",
                                    "a whole number of at least 0",
                                    "a number",
                                    "true or false",
                                    "text",
                                    "a list of texts",
                                    "a list of numbers",
                                    "a list of whole numbers"};
  return kNames[value.index()];
}

Status read_field(TrainConfig& config, const std::string& key, const toml::node& node) {
  std::vector<std::string> known;
  for (const ConfigField& field : fields(config)) {
    known.push_back(field.key);
    if (field.key != key) continue;
    if (!std::visit([&](auto* out) { return read_value(node, *out); }, field.value))
      return Error(fmt::format("{}{} must be {}", where(node), key, kind_name(field.value)));
    return Nothing{};
  }
  return Error(fmt::format("{}'{}' is not a key of a configuration; {}", where(node), key,
                           suggest(key, known)));
}

Status read_table(TrainConfig& config, const toml::table& table) {
  for (const auto& [section, node] : table) {
    const std::string name(section.str());
    const toml::table* inner = node.as_table();
    if (!inner || (name != "model" && name != "data" && name != "train"))
      return Error(
          fmt::format("{}'{}' is not a section of a configuration; the sections are [model], "
                      "[data] and [train]",
                      where(node), name));
    for (const auto& [key, value] : *inner)
      if (auto status = read_field(config, name + "." + std::string(key.str()), value); !status)
        return status;
  }
  return Nothing{};
}

Result<toml::table> parse_toml(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    return Error(fmt::format("line {}, column {}: {}", e.source().begin.line,
                             e.source().begin.column, e.description()));
  }
}

void resolve_paths(TrainConfig& config, const std::filesystem::path& folder) {
  const auto resolve = [&](std::string& p) {
    if (!p.empty() && std::filesystem::path(p).is_relative() && !folder.empty())
      p = (folder / p).lexically_normal().string();
  };
  for (const ConfigField& field : fields(config)) {
    if (!field.path) continue;
    if (auto* const* one = std::get_if<std::string*>(&field.value)) resolve(**one);
    if (auto* const* many = std::get_if<std::vector<std::string>*>(&field.value))
      for (std::string& p : **many) resolve(p);
  }
  // char, bytes and bpe:N are kinds; anything else is a file or folder.
  std::string& tokenizer = config.data.tokenizer;
  if (tokenizer != "char" && tokenizer != "bytes" && tokenizer.rfind("bpe:", 0) != 0)
    resolve(tokenizer);
}

std::string toml_text(const std::string& s) {
  std::string text = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') text += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      text += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      text += c;
  }
  return text + "\"";
}

std::string toml_value(const ConfigPointer& value) {
  const auto number = [](double v) {
    std::string text = fmt::format("{}", v);
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return text;
  };
  return std::visit(
      [&](const auto* v) -> std::string {
        using T = std::decay_t<decltype(*v)>;
        if constexpr (std::is_same_v<T, bool>)
          return *v ? "true" : "false";
        else if constexpr (std::is_same_v<T, double>)
          return number(*v);
        else if constexpr (std::is_same_v<T, std::string>)
          return toml_text(*v);
        else if constexpr (std::is_integral_v<T>)
          return fmt::format("{}", *v);
        else {
          std::vector<std::string> parts;
          for (const auto& element : *v) {
            if constexpr (std::is_same_v<T, std::vector<std::string>>)
              parts.push_back(toml_text(element));
            else if constexpr (std::is_same_v<T, std::vector<double>>)
              parts.push_back(number(element));
            else
              parts.push_back(fmt::format("{}", element));
          }
          return fmt::format("[{}]", fmt::join(parts, ", "));
        }
      },
      value);
}

}  // namespace

Result<TrainConfig> parse_config(std::string_view text, const std::filesystem::path& folder) {
  auto table = parse_toml(text);
  if (!table) return table.error();
  TrainConfig config;
  if (auto status = read_table(config, table.value()); !status) return status.error();
  resolve_paths(config, folder);
  if (auto status = check(config); !status) return status.error();
  return config;
}

Result<TrainConfig> read_config(const std::filesystem::path& file) {
  auto text = read_file(file);
  if (!text) return text.error();
  auto config = parse_config(text.value(), file.parent_path());
  if (!config) return Error(fmt::format("{}: {}", file.string(), config.error().what()));
  return config;
}

Status set_field(TrainConfig& config, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  const size_t dot = assignment.find('.');
  if (equals == std::string_view::npos || dot == std::string_view::npos || dot > equals)
    return Error(fmt::format("--set {}: expected SECTION.KEY=VALUE, for example train.steps=100",
                             assignment));
  const std::string key(assignment.substr(0, equals));
  const std::string value(assignment.substr(equals + 1));
  auto table = parse_toml("value = " + value);
  if (!table) table = toml::table{{"value", value}};  // a bare word
  const toml::node* node = table.value().get("value");
  auto status = node ? read_field(config, key, *node) : Status(Error("no value"));
  if (!status) {
    std::string what = status.error().what();
    if (const size_t colon = what.find(": ");
        what.rfind("line ", 0) == 0 && colon != std::string::npos)
      what = what.substr(colon + 2);
    return Error(fmt::format("--set {}: {}", assignment, what));
  }
  return check(config);
}

Status check(const TrainConfig& c) {
  const auto positive = [](const char* key, double v) -> Status {
    if (v > 0) return Nothing{};
    return Error(fmt::format("{} is {}; it must be above 0", key, v));
  };
  const auto within = [](const char* key, double v, double low, double high) -> Status {
    if (v >= low && v < high) return Nothing{};
    return Error(fmt::format("{} is {}; it must be at least {} and below {}", key, v, low, high));
  };
  const std::string precisions[] = {"f32", "bf16", "f16"};
  const std::string& precision = c.train.precision;
  if (std::find(std::begin(precisions), std::end(precisions), precision) == std::end(precisions))
    return Error(
        fmt::format("train.precision is '{}'; {}", precision, suggest(precision, precisions)));
  if (precision != "f32")
    return Error(fmt::format(
        "train.precision = \"{}\" needs the compiler of a later version; use \"f32\"", precision));
  const Status checks[] = {positive("model.context", static_cast<double>(c.model.context)),
                           positive("train.batch", static_cast<double>(c.train.batch)),
                           positive("train.accumulate", static_cast<double>(c.train.accumulate)),
                           positive("train.log_every", static_cast<double>(c.train.log_every)),
                           within("model.dropout", c.model.dropout, 0, 1),
                           within("data.validation", c.data.validation, 0, 1),
                           within("train.ema", c.train.ema, 0, 1),
                           within("train.label_smoothing", c.train.label_smoothing, 0, 1),
                           within("train.learning_rate", c.train.learning_rate, 0, INFINITY),
                           within("train.clip", c.train.clip, 0, INFINITY)};
  for (const Status& s : checks)
    if (!s) return s.error();
  return Nothing{};
}

std::string to_toml(const TrainConfig& config, bool only_fixed) {
  TrainConfig copy = config;
  std::string text;
  std::string section;
  for (const ConfigField& field : fields(copy)) {
    if (only_fixed && field.free_on_resume) continue;
    const size_t dot = field.key.find('.');
    if (field.key.substr(0, dot) != section) {
      section = field.key.substr(0, dot);
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    }
    text += fmt::format("{} = {}\n", field.key.substr(dot + 1), toml_value(field.value));
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
    const std::string x = toml_value(before[i].value);
    const std::string y = toml_value(after[i].value);
    if (!before[i].free_on_resume && x != y)
      differences.push_back(fmt::format("{} ({}, now {})", before[i].key, x, y));
  }
  return differences;
}

}  // namespace cairn
