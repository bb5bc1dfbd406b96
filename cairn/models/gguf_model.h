// Language models in GGUF files.
#pragma once

#include "cairn/io/gguf.h"
#include "cairn/models/language_model.h"

namespace cairn {

// Matrices stay as the file has them: blocks as dequantize() of their bytes, f16 and bf16 as a
// cast, each a view of the mapped file; what is small becomes f32. The Error names the file and
// what is wrong with it.
Result<LanguageModel> load_gguf_model(const std::filesystem::path& path,
                                      const LoadOptions& options);

}  // namespace cairn
