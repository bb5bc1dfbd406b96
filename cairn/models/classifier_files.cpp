#include "cairn/models/classifier_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/io/safetensors.h"
#include "cairn/models/name_map.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// model_type is the family behind this: no other program has such models.
constexpr std::string_view kPrefix = "cairn_";

// Sizes so large that no file can hold the tensors are stopped before any of them is multiplied.
bool is_size(int64_t n) { return n >= 1 && n <= int64_t{1} << 24; }

Result<ClassifierConfig> read_config(const Json& json) try {
  ClassifierConfig c;
  c.family = json.at("model_type").get<std::string>().substr(kPrefix.size());
  const auto image = json.at("image").get<std::vector<int64_t>>();
  c.classes = json.at("classes").get<int64_t>();
  c.hidden = json.at("hidden").get<std::vector<int64_t>>();
  c.channels = json.at("channels").get<std::vector<int64_t>>();
  c.layers = json.value("layers", int64_t{0});
  c.mean = json.at("mean").get<double>();
  c.deviation = json.at("deviation").get<double>();
  const auto are_sizes = [](const std::vector<int64_t>& list) {
    return std::all_of(list.begin(), list.end(), is_size);
  };
  if (image.size() != 3 || !are_sizes(image) || !is_size(c.classes) || !are_sizes(c.hidden) ||
      !are_sizes(c.channels) || !(c.deviation > 0))
    return Error("its sizes make no image classifier");
  c.image = Shape(std::span<const int64_t>(image));
  return c;
} catch (const Json::exception& error) {
  return Error(fmt::format("it does not describe an image classifier: {}", error.what()));
}

}  // namespace

Result<std::unique_ptr<Classifier>> load_classifier(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  std::error_code failure;
  if (!fs::exists(path, failure)) return std::unique_ptr<Classifier>();
  auto text = read_file(path.string(), uint64_t{1} << 24);
  if (!text) return text.error();
  const Json json = Json::parse(text.value(), nullptr, false);
  if (!json.is_object() || !json.contains("model_type") || !json["model_type"].is_string() ||
      !json["model_type"].get<std::string>().starts_with(kPrefix))
    return std::unique_ptr<Classifier>();
  auto config = read_config(json);
  if (!config) return Error(fmt::format("'{}': {}", path.string(), config.error().what()));
  std::unique_ptr<Classifier> model;
  try {
    model = std::make_unique<Classifier>(config.value());
  } catch (const Error& error) {
    return Error(fmt::format("'{}': {}", path.string(), error.what()));
  }
  const fs::path weights = folder / "model.safetensors";
  auto file = io::SafetensorsFile::open(weights.string());
  if (!file) return file.error();
  const auto same_names = [](const std::string& field) { return FilePlace{field}; };
  if (auto status = load_fields(*model, file.value(), same_names); !status)
    return Error(fmt::format("'{}': {}", weights.string(), status.error().what()));
  return model;
}

Status save_classifier(const fs::path& folder, Classifier& model) {
  std::vector<io::SafetensorsSource> tensors;
  for (const Field& field : fields(model))
    tensors.push_back({field.path, field.tensor->dtype(), field.tensor->shape(),
                       [tensor = field.tensor] { return tensor->host(); }});
  if (auto status =
          io::write_safetensors((folder / "model.safetensors").string(), std::move(tensors));
      !status)
    return status;
  const ClassifierConfig& c = model.config();
  Json json = {{"model_type", std::string(kPrefix) + c.family},
               {"image", std::vector<int64_t>(c.image.begin(), c.image.end())},
               {"classes", c.classes},
               {"hidden", c.hidden},
               {"channels", c.channels}};
  if (c.layers) json["layers"] = c.layers;
  json["mean"] = c.mean;
  json["deviation"] = c.deviation;
  return write_file_atomically((folder / "config.json").string(), json.dump(2) + "\n");
}

}  // namespace cairn
