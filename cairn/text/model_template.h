// The chat template of a model's folder, and the variables that go with it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::text {

struct ModelTemplate {
  std::string source;
  // bos_token, eos_token, ... as JSON: what ChatInput::variables takes.
  std::vector<std::pair<std::string, std::string>> variables;
};

// The text of a tokenizer_config.json; `jinja` is that of a chat_template.jinja beside it, if there
// is one, which goes first. Of several named templates, `with_tools` chooses "tool_use" where there
// is one, else "default". An Error when there is no template.
Result<ModelTemplate> parse_model_template(std::string_view config, std::string_view jinja,
                                           bool with_tools);

// The same from a folder.
Result<ModelTemplate> load_model_template(const std::filesystem::path& folder, bool with_tools);

}  // namespace cairn::text
