#include "apps/cairn/model_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/cairn/ids.h"
#include "cairn/base/environment.h"
#include "cairn/base/file.h"
#include "cairn/base/names.h"
#include "cairn/llm/model_memory.h"
#include "cairn/models/classifier_files.h"
#include "cairn/models/model_header.h"
#include "cairn/models/packed_weights.h"
#include "cairn/runtime/plan.h"

namespace cairn::app {

namespace {

void replace_tokenizer(LanguageModel& model, const std::optional<std::string>& tokenizer) {
  if (!tokenizer) return;
  model.tokenizer = tokenizer_of_file(*tokenizer);
  model.bos = model.tokenizer->bos().value_or(model.bos);
  if (const auto eos = model.tokenizer->eos()) model.ends = {*eos};
}

// As --packed-weights has it.
std::optional<PackedWeights> packed_weights_for(const std::string& path, const std::string& type,
                                                Runtime& runtime, const Session& session) {
  const std::string& where = session.common.packed_weights;
  if (where.empty() || !runtime.backend().executes()) return std::nullopt;
  const Log log(LogLevel::info, [&session](LogLevel level, std::string_view text) {
    if (level == LogLevel::warning)
      session.warn(text);
    else
      session.note(text);
  });
  return PackedWeights(
      runtime,
      packed_weights_path(path, type, where == "cache" ? PackedPlace::cache : PackedPlace::beside,
                          read_environment().cache_directory),
      packed_identity(path, type, runtime), log);
}

}  // namespace

LanguageModel load_language_model_for(const std::string& path,
                                      const std::optional<std::string>& tokenizer) {
  LanguageModel model = load_language_model(path).value();
  replace_tokenizer(model, tokenizer);
  return model;
}

LanguageModel load_model_to_run(const std::string& path,
                                const std::optional<std::string>& tokenizer, Runtime& runtime,
                                const DecoderOptions& cache, Session& session,
                                const std::optional<std::string>& quantize) {
  const std::string type = quantize.value_or(session.common.quantize);
  if (runtime.backend().executes())
    check_model_memory(path, {.quantize = type, .precision = session.precision(), .cache = cache});
  auto kept = packed_weights_for(path, type, runtime, session);
  Progress progress = session.progress();
  LanguageModel model =
      load_language_model(path, {.runtime = &runtime,
                                 .precision = session.precision(),
                                 .quantize = type,
                                 .kept = kept ? &*kept : nullptr,
                                 .progress =
                                     [&](size_t done, size_t all) {
                                       session.stop.check();
                                       progress.update([&] {
                                         return fmt::format("loading {}: {} of {} tensors", path,
                                                            done, all);
                                       });
                                     }})
          .value();
  progress.clear();
  replace_tokenizer(model, tokenizer);
  return model;
}

text::ModelTemplate find_template(const std::optional<std::string>& model,
                                  const std::optional<std::string>& file, bool with_tools) {
  constexpr uint64_t kLargest = uint64_t{64} << 20;  // bytes
  if (!file) return load_model_template(*model, with_tools).value();
  text::ModelTemplate found{read_file(*file, kLargest).value(), {}};
  if (!model) return found;
  // The template that is replaced need not be there.
  if (auto own = load_model_template(*model, with_tools))
    found.variables = std::move(own).value().variables;
  return found;
}

KvType kv_type(const std::string& name) {
  const std::vector<std::string> known{"f32", "f16", "q8_0"};
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw UsageError(fmt::format("--kv '{}' is not known; {}", name, suggest(name, known)));
  return kv_type_of(name);
}

KvType kv_type_for(const std::optional<std::string>& name, const std::string& model,
                   const Session& session) {
  if (name) return kv_type(*name);
  const bool is_f32 = session.common.quantize.empty() && session.precision() == DType::f32 &&
                      has_f32_matrices(model);
  return is_f32 ? KvType::f32 : KvType::f16;
}

std::unique_ptr<Classifier> load_classifier(const std::string& folder) {
  return cairn::load_classifier(folder).value();
}

Graph graph_of_model(const std::string& path, int64_t tokens) {
  const auto traced = [](const TensorFunction& forward, const TensorType& type, std::string input) {
    Graph graph = trace(forward, std::span(&type, 1), std::span(&input, 1));
    graph.name = "model";
    graph.output_names = {"logits"};
    return graph;
  };
  if (const auto classifier = load_classifier(path)) {
    const Shape& image = classifier->config().image;
    const auto forward = [&](std::span<const Tensor> args) {
      Context ctx;
      return std::vector<Tensor>{classifier->forward(ctx, args[0])};
    };
    return traced(forward, {DType::f32, {1, image[0], image[1], image[2]}}, "x");
  }
  const LanguageModel model = load_language_model_for(path, std::nullopt);
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
