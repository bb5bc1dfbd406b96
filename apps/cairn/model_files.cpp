#include "apps/cairn/model_files.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/cairn/ids.h"
#include "apps/cairn/json.h"
#include "cairn/io/safetensors.h"
#include "cairn/runtime/plan.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

ClassifierConfig read_classifier_config(const std::string& path, const Json& json) {
  try {
    ClassifierConfig config;
    config.family = json.at("model_type").get<std::string>().substr(6);
    const auto image = json.at("image").get<std::vector<int64_t>>();
    config.image = Shape(std::span<const int64_t>(image));
    config.classes = json.at("classes");
    config.hidden = json.at("hidden").get<std::vector<int64_t>>();
    config.channels = json.at("channels").get<std::vector<int64_t>>();
    config.mean = json.at("mean");
    config.deviation = json.at("deviation");
    const auto sizes = [&](const std::vector<int64_t>& list) {
      constexpr int64_t kMost = int64_t{1} << 24;
      return std::all_of(list.begin(), list.end(), [](int64_t n) { return n >= 1 && n <= kMost; });
    };
    if (image.size() != 3 || !sizes(image) || !sizes({config.classes}) || !sizes(config.hidden) ||
        !sizes(config.channels) || !(config.deviation > 0))
      throw_error(fmt::format("'{}': its sizes make no image classifier", path));
    return config;
  } catch (const Json::exception& error) {
    throw_error(fmt::format("'{}' does not describe an image classifier: {}", path, error.what()));
  }
}

}  // namespace

LanguageModel load_language_model_for(const std::string& path,
                                      const std::optional<std::string>& tokenizer,
                                      const Session& session) {
  if (session.common.precision.value_or("f32") != "f32")
    throw_error(fmt::format("--precision {}: this version of cairn runs models in f32 only",
                            *session.common.precision));
  LanguageModel model = load_language_model(path).value();
  if (!tokenizer) return model;
  model.tokenizer = tokenizer_of_file(*tokenizer);
  model.bos = model.tokenizer->bos().value_or(model.bos);
  model.eos = model.tokenizer->eos().value_or(model.eos);
  return model;
}

std::unique_ptr<Classifier> load_classifier(const std::string& folder) {
  const fs::path path = fs::path(folder) / "config.json";
  std::error_code failure;
  if (!fs::exists(path, failure)) return nullptr;
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const Json json = read_json(path.string(), kLargest);
  if (!json.is_object() || !json.contains("model_type") || !json["model_type"].is_string() ||
      !json["model_type"].get<std::string>().starts_with("cairn_"))
    return nullptr;
  auto model = std::make_unique<Classifier>(read_classifier_config(path.string(), json));
  const fs::path weights = fs::path(folder) / "model.safetensors";
  const io::SafetensorsFile file = io::SafetensorsFile::open(weights.string()).value();
  for (const Field& field : fields(*model)) {
    const HostArray array = file.read(field.path).value();
    if (array.dtype() != field.tensor->dtype() || array.shape() != field.tensor->shape())
      throw_error(fmt::format("'{}': {} is {}{}, and the configuration asks for {}",
                              weights.string(), field.path, name(array.dtype()),
                              to_string(array.shape()), to_string(field.tensor->type())));
    *field.tensor = Tensor(array).named(field.path);
  }
  return model;
}

Graph graph_of_model(const std::string& path, int64_t tokens, const Session& session) {
  const auto traced = [](const TensorFunction& forward, const TensorType& type, std::string input) {
    Graph graph = trace(forward, std::span(&type, 1), std::span(&input, 1));
    graph.name = "model";
    graph.output_names = {"logits"};
    return without_leaves(graph);
  };
  if (const auto classifier = load_classifier(path)) {
    const Shape& image = classifier->config().image;
    const auto forward = [&](std::span<const Tensor> args) {
      Context ctx;
      return std::vector<Tensor>{classifier->forward(ctx, args[0])};
    };
    return traced(forward, {DType::f32, {1, image[0], image[1], image[2]}}, "x");
  }
  const LanguageModel model = load_language_model_for(path, std::nullopt, session);
  const TransformerConfig& config = model.transformer->config();
  if (tokens > config.context)
    throw_error(
        fmt::format("--tokens {} is beyond the model's context of {}", tokens, config.context));
  const auto forward = [&](std::span<const Tensor> args) {
    Context ctx;
    return std::vector<Tensor>{
        model.transformer->logits(ctx, model.transformer->hidden(ctx, args[0]))};
  };
  return traced(forward, {DType::i32, {1, tokens}}, "ids");
}

}  // namespace cairn::app
