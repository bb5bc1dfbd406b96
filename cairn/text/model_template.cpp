#include "cairn/text/model_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/base/file.h"

namespace cairn::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// "chat_template" is a text, or a list of {"name", "template"}.
std::string choose(const Json& value, bool with_tools) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array())
    throw_error(fmt::format("'chat_template' is a text or a list, not {}", value.type_name()));
  std::string fallback;
  for (const Json& entry : value) {
    const Json name = entry.is_object() ? entry.value("name", Json()) : Json();
    const Json source = entry.is_object() ? entry.value("template", Json()) : Json();
    if (!name.is_string() || !source.is_string())
      throw_error("'chat_template': each entry has a 'name' and a 'template'");
    if (with_tools && name == "tool_use") return source.get<std::string>();
    if (name == "default") fallback = source.get<std::string>();
  }
  if (fallback.empty()) throw_error("'chat_template': no entry is called 'default'");
  return fallback;
}

ModelTemplate read(std::string_view config, std::string_view jinja, bool with_tools) {
  const Json json = config.empty() ? Json::object() : Json::parse(config);
  if (!json.is_object()) throw_error(fmt::format("expected an object, not {}", json.type_name()));
  ModelTemplate out;
  if (!jinja.empty()) {
    out.source = jinja;
  } else if (const auto found = json.find("chat_template");
             found != json.end() && !found->is_null()) {
    out.source = choose(*found, with_tools);
  } else {
    throw_error("there is no chat template; name one with --template FILE");
  }
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const auto found = json.find(key);
    if (found == json.end()) continue;
    const Json value = found->is_object() ? found->value("content", Json()) : *found;
    if (value.is_string()) out.variables.emplace_back(key, value.dump());
  }
  return out;
}

}  // namespace

Result<ModelTemplate> parse_model_template(std::string_view config, std::string_view jinja,
                                           bool with_tools) {
  try {
    return read(config, jinja, with_tools);
  } catch (const Json::exception& error) {
    return Error(fmt::format("tokenizer_config.json is no valid JSON: {}", error.what()));
  } catch (const Error& error) {
    return Error(fmt::format("tokenizer_config.json: {}", error.what()));
  }
}

Result<ModelTemplate> load_model_template(const fs::path& folder, bool with_tools) {
  constexpr uint64_t kLargest = uint64_t{64} << 20;
  const auto text_of = [&](const char* name) -> std::string {
    const fs::path path = folder / name;
    if (!fs::exists(path)) return "";
    return read_file(path.string(), kLargest).value();
  };
  try {
    auto parsed = parse_model_template(text_of("tokenizer_config.json"),
                                       text_of("chat_template.jinja"), with_tools);
    if (parsed) return parsed;
    return Error(fmt::format("cannot read the chat template of '{}': {}", folder.string(),
                             parsed.error().what()));
  } catch (const Error& error) {
    return error;
  }
}

}  // namespace cairn::text
