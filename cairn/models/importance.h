// How much each column of a model's matrices matters on a text: the mean square of what it is
// multiplied with, which quantizing weighs errors by.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cairn/io/imatrix.h"
#include "cairn/models/transformer.h"
#include "cairn/runtime/runtime.h"

namespace cairn {

// Of the matrices by their names in GGUF files. The text is read in windows of `context` tokens
// that do not overlap, and what is left at its end is not; a shorter text is one window. Weights
// are leaves that carry the names of their fields, as loading gives them. `progress` gets the
// tokens that were read. Throws Error for a text without tokens.
io::ImportanceMatrix measure_importance(Runtime& runtime, Transformer& model,
                                        std::span<const int32_t> ids, int64_t context,
                                        const std::function<void(int64_t)>& progress = {});

}  // namespace cairn
