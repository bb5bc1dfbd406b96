// Token ids and tokenizers as the command line names them: --ids, --model, --tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/text/tokenizer.h"

namespace cairn::app {

// "1,2,3", or "@FILE" with a JSON list. Throws UsageError for the first and Error for the second
// when it is no list of ids.
std::vector<int32_t> parse_ids(const std::string& argument);
// "1,2,3": what parse_ids reads.
std::string ids_text(std::span<const int32_t> ids);

// The tokenizer of a model: that of its folder or GGUF file, or the tok*.bin beside a .bin. Throws
// Error.
std::unique_ptr<text::Tokenizer> tokenizer_of_model(const std::string& model);
std::unique_ptr<text::Tokenizer> tokenizer_of_file(const std::string& path);

}  // namespace cairn::app
