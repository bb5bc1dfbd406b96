// Models as --model names them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/cairn/session.h"
#include "cairn/llm/decoder.h"
#include "cairn/models/classifier.h"
#include "cairn/models/language_model.h"

namespace cairn::app {

// A language model as it lies there; `tokenizer` replaces the one beside it. Throws Error.
LanguageModel load_language_model_for(const std::string& path,
                                      const std::optional<std::string>& tokenizer);

// The chat template of a file where one is given, else the model's own, with the variables of the
// model where there is one. Throws Error.
text::ModelTemplate find_template(const std::optional<std::string>& model,
                                  const std::optional<std::string>& file, bool with_tools);

// What --kv names. Throws UsageError.
KvType kv_type(const std::string& name);
// The same for one that may be missing: then f16, and f32 for a model whose weights are f32 and
// stay so, which is as exact as it is meant to be.
KvType kv_type_for(const std::optional<std::string>& name, const std::string& model,
                   const Session& session);
// A language model that is about to run on `runtime` with this cache, as --quantize or `quantize`
// has it, after a look at whether there is memory for it. Throws Error.
LanguageModel load_model_to_run(const std::string& path,
                                const std::optional<std::string>& tokenizer, Runtime& runtime,
                                const DecoderOptions& cache, Session& session,
                                const std::optional<std::string>& quantize = std::nullopt);

// What an image classifier that `cairn train` wrote says of itself; nothing when the folder's
// config.json is not of one. Throws Error for one that is damaged.
std::unique_ptr<Classifier> load_classifier(const std::string& folder);

// What a model computes, as a graph whose inputs are its parameters by name and `ids` (1, tokens)
// or, of a classifier, one picture `x` (1, channels, height, width); the output is `logits`.
Graph graph_of_model(const std::string& path, int64_t tokens);

}  // namespace cairn::app
