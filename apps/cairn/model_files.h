// Models as --model names them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/cairn/session.h"
#include "cairn/models/classifier.h"
#include "cairn/models/language_model.h"

namespace cairn::app {

// A language model; `tokenizer` replaces the one beside it. Throws Error, for a --precision that
// models do not run in as well.
LanguageModel load_language_model_for(const std::string& path,
                                      const std::optional<std::string>& tokenizer,
                                      const Session& session);

// What an image classifier that `cairn train` wrote says of itself; nothing when the folder's
// config.json is not of one. Throws Error for one that is damaged.
std::unique_ptr<Classifier> load_classifier(const std::string& folder);

}  // namespace cairn::app
