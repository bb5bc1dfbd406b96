// Image classifiers as folders: config.json (what ClassifierConfig holds) and model.safetensors.
#pragma once

#include <filesystem>
#include <memory>

#include "cairn/models/classifier.h"

namespace cairn {

// The classifier in a folder; null when the folder holds no config.json or that of another kind of
// model. The Error names the file, and the key or tensor that is wrong.
Result<std::unique_ptr<Classifier>> load_classifier(const std::filesystem::path& folder);

// Writes both files into an existing folder.
Status save_classifier(const std::filesystem::path& folder, Classifier& model);

}  // namespace cairn
