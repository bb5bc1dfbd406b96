#include "cairn/train/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <utility>

#include "cairn/base/file.h"
#include "cairn/base/names.h"
#include "cairn/text/utf8.h"

namespace cairn {

std::vector<ConfigField> fields(TrainConfig& c) {
  auto& m = c.model;
  auto& d = c.data;
  auto& t = c.train;
  std::vector<ConfigField> all = {{"model.family", &m.family},
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
                                  {"train.gamma", &t.gamma},
                                  {"train.power", &t.power},
                                  {"train.step_size", &t.step_size},
                                  {"train.patience", &t.patience},
                                  {"train.milestones", &t.milestones},
                                  {"train.weight_decay", &t.weight_decay},
                                  {"train.decay_all", &t.decay_all},
                                  {"train.betas", &t.betas},
                                  {"train.epsilon", &t.epsilon},
                                  {"train.momentum", &t.momentum},
                                  {"train.clip", &t.clip},
                                  {"train.clip_value", &t.clip_value},
                                  {"train.ema", &t.ema},
                                  {"train.label_smoothing", &t.label_smoothing},
                                  {"train.precision", &t.precision},
                                  {"train.evaluate_every", &t.evaluate_every, true},
                                  {"train.checkpoint_every", &t.checkpoint_every, true},
                                  {"train.keep_checkpoints", &t.keep_checkpoints, true},
                                  {"train.log_every", &t.log_every, true},
                                  {"train.sample_every", &t.sample_every, true},
                                  {"train.seed", &t.seed},
                                  {"train.group", &t.group}};
  for (const OptimizerOption& option : optimizer_options(c.optimizer))
    all.push_back({"optimizer." + option.name,
                   std::visit([](auto* value) { return ConfigPointer(value); }, option.value)});
  return all;
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
  } else if constexpr (std::is_same_v<T, int>) {
    if (const auto v = node.value_exact<int64_t>(); v && std::in_range<int>(*v))
      return out = static_cast<int>(*v), true;
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

template <class T>
bool read_value(const toml::node& node, std::optional<T>& out) {
  T value;
  if (!read_value(node, value)) return false;
  out = std::move(value);
  return true;
}

// Keys of [[train.group]]. Weight decay is optional, so these are not ConfigPointers.
Status read_group(const toml::table& table, ParameterGroup& group) {
  for (const auto& [key, node] : table) {
    bool read = false;
    if (key == "match") {
      read = read_value(node, group.match);
    } else if (key == "learning_rate_scale") {
      read = read_value(node, group.learning_rate_scale);
    } else if (key == "weight_decay") {
      read = read_value(node, group.weight_decay.emplace());
    } else {
      const std::string known[] = {"match", "learning_rate_scale", "weight_decay"};
      return Error(fmt::format("{}'{}' is not a key of [[train.group]]; {}", where(node), key.str(),
                               suggest(key.str(), known)));
    }
    if (!read)
      return Error(fmt::format("{}train.group: {} must be {}", where(node), key.str(),
                               key == "match" ? "a text or a list of texts" : "a number"));
  }
  return Nothing{};
}

Status read_groups(const toml::node& node, std::vector<ParameterGroup>& out) {
  const toml::array* array = node.as_array();
  if (!array || !std::all_of(array->begin(), array->end(),
                             [](const toml::node& element) { return element.is_table(); }))
    return Error(
        fmt::format("{}train.group must be tables: [[train.group]] with match, "
                    "learning_rate_scale, weight_decay",
                    where(node)));
  std::vector<ParameterGroup> groups;
  for (const toml::node& element : *array)
    if (auto status = read_group(*element.as_table(), groups.emplace_back()); !status)
      return status;
  out = std::move(groups);
  return Nothing{};
}

const char* kind_name(const ConfigPointer& value) {
  constexpr const char* kNames[] = {"a whole number",
                                    "a whole number of at least 0",
                                    "a number",
                                    "true or false",
                                    "text",
                                    "a list of texts",
                                    "a list of numbers",
                                    "a list of whole numbers",
                                    "tables",
                                    "a number",
                                    "true or false",
                                    "a whole number",
                                    "text",
                                    "a list of numbers"};
  return kNames[value.index()];
}

Status read_field(TrainConfig& config, const std::string& key, const toml::node& node) {
  std::vector<std::string> known;
  for (const ConfigField& field : fields(config)) {
    known.push_back(field.key);
    if (field.key != key) continue;
    if (auto* const* groups = std::get_if<std::vector<ParameterGroup>*>(&field.value))
      return read_groups(node, **groups);
    const auto read = [&](auto* out) {
      if constexpr (!std::is_same_v<decltype(out), std::vector<ParameterGroup>*>)
        return read_value(node, *out);
      return false;
    };
    if (!std::visit(read, field.value))
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
    constexpr std::string_view kSections[] = {"model", "data", "train", "optimizer"};
    if (!inner ||
        std::find(std::begin(kSections), std::end(kSections), name) == std::end(kSections))
      return Error(
          fmt::format("{}'{}' is not a section of a configuration; the sections are [model], "
                      "[data], [train] and [optimizer]",
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
  if (is_tokenizer_file(config.data.tokenizer)) resolve(config.data.tokenizer);
}

}  // namespace

bool is_tokenizer_file(std::string_view t) {
  return t != "char" && t != "bytes" && !t.starts_with("bpe:");
}

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
  const bool bare_word = value.find_first_of("[{\"'") != 0;
  if (!table && bare_word) table = toml::table{{"value", value}};
  if (!table) return Error(fmt::format("--set {}: {}", assignment, table.error().what()));
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
  const auto within = [](const char* key, double v, double low, double high) -> Status {
    if (v >= low && v < high) return Nothing{};
    return Error(fmt::format("{} is {}; it must be at least {} and below {}", key, v, low, high));
  };
  constexpr double kMost = 1e9;  // so that products of sizes are far from overflow in i64
  const auto count = [&](const char* key, int64_t v, int64_t least = 1) -> Status {
    if (v >= least && v <= static_cast<int64_t>(kMost)) return Nothing{};
    return Error(
        fmt::format("{} is {}; it must be at least {} and at most {:.0e}", key, v, least, kMost));
  };
  const std::string precisions[] = {"f32", "bf16", "f16"};
  const std::string& precision = c.train.precision;
  if (std::find(std::begin(precisions), std::end(precisions), precision) == std::end(precisions))
    return Error(
        fmt::format("train.precision is '{}'; {}", precision, suggest(precision, precisions)));
  const TrainConfig::Model& m = c.model;
  const TrainConfig::Train& t = c.train;
  std::vector<Status> checks = {
      count("model.layers", m.layers, 0), count("model.heads", m.heads),
      count("model.kv_heads", m.kv_heads, 0), count("model.width", m.width),
      count("model.context", m.context), within("model.dropout", m.dropout, 0, 1),
      within("model.norm_epsilon", m.norm_epsilon, 0, 1),
      within("model.rope_theta", m.rope_theta, 0, INFINITY),
      within("data.validation", c.data.validation, 0, 1), count("train.batch", t.batch),
      count("train.accumulate", t.accumulate), count("train.log_every", t.log_every),
      count("train.step_size", t.step_size, 0), count("train.patience", t.patience, 0),
      within("train.epochs", t.epochs, 0, kMost),
      within("train.learning_rate", t.learning_rate, 0, INFINITY),
      within("train.min_learning_rate", t.min_learning_rate, 0, INFINITY),
      within("train.gamma", t.gamma, 0, 1), within("train.power", t.power, 0, INFINITY),
      within("train.weight_decay", t.weight_decay, 0, INFINITY),
      within("train.epsilon", t.epsilon, 0, INFINITY), within("train.momentum", t.momentum, 0, 1),
      within("train.clip", t.clip, 0, INFINITY),
      within("train.clip_value", t.clip_value, 0, INFINITY), within("train.ema", t.ema, 0, 1),
      within("train.label_smoothing", t.label_smoothing, 0, 1),
      // TOML has no larger number, and a checkpoint holds this as TOML.
      within("train.seed", static_cast<double>(t.seed), 0, 0x1p63)};
  for (const int64_t width : m.hidden) checks.push_back(count("model.hidden", width));
  for (const int64_t channels : m.channels) checks.push_back(count("model.channels", channels));
  for (const double beta : t.betas) checks.push_back(within("train.betas", beta, 0, 1));
  for (const ParameterGroup& g : t.group) {
    if (g.match.empty())
      checks.emplace_back(Error("[[train.group]] needs match, for example match = \"*.bias\""));
    checks.push_back(
        within("train.group: learning_rate_scale", g.learning_rate_scale, 0, INFINITY));
    checks.push_back(within("train.group: weight_decay", g.weight_decay.value_or(0), 0, INFINITY));
  }
  OptimizerConfig o = c.optimizer;
  for (const OptimizerOption& option : optimizer_options(o))
    if (const std::string wrong = option.complaint(); !wrong.empty())
      checks.emplace_back(Error("optimizer." + wrong));
  if (o.betas)
    for (const double beta : *o.betas) checks.push_back(within("optimizer.betas", beta, 0, 1));
  const std::pair<const char*, bool> twice[] = {
      {"weight_decay", o.weight_decay && t.weight_decay > 0},
      {"momentum", o.momentum && t.momentum > 0},
      {"epsilon", o.epsilon && t.epsilon > 0},
      {"betas", o.betas && !t.betas.empty()}};
  for (const auto& [key, set] : twice)
    if (set)
      checks.emplace_back(Error(
          fmt::format("{0} is set as train.{0} and as optimizer.{0}; leave one of them out", key)));
  for (const Status& s : checks)
    if (!s) return s.error();
  // A checkpoint holds the configuration as TOML, which is UTF-8.
  const std::string text = to_toml(c);
  if (const size_t valid = text::valid_utf8_prefix(text); valid < text.size()) {
    const size_t line = text.rfind('\n', valid) + 1;
    return Error(fmt::format("{} is not UTF-8 text, as a configuration must be",
                             text.substr(line, text.find(' ', line) - line)));
  }
  return Nothing{};
}

}  // namespace cairn
