#include "cairn/llm/kept_text.h"

#include <nlohmann/json.hpp>
#include <optional>

namespace cairn {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Nothing for what is no JSON or nested deeper than notes are.
std::optional<Json> parsed(std::string_view text) {
  constexpr int kDeepest = 4;
  bool too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kDeepest;
    return !too_deep;
  };
  Json json = Json::parse(text, watch, false);
  if (too_deep || json.is_discarded()) return std::nullopt;
  return json;
}

// Text at one key and ids at another.
std::optional<ChatPrompt> text_and_ids(const Json& json, const char* text) {
  if (!json.is_object() || !json.contains(text) || !json[text].is_string() ||
      !json.contains("ids") || !json["ids"].is_array())
    return std::nullopt;
  ChatPrompt found{json[text], {}};
  for (const Json& id : json["ids"]) {
    const bool is_id = id.is_number_integer() && id >= 0 && id <= INT32_MAX;
    if (!is_id) return std::nullopt;
    found.ids.push_back(id);
  }
  return found;
}

}  // namespace

std::string kept_text_json(const KeptText& text) {
  return text_of({{"ids", text.ids}, {"note", text.note}});
}

Result<KeptText> parse_kept_text(std::string_view json) {
  const auto note = parsed(json);
  auto found = note ? text_and_ids(*note, "note") : std::nullopt;
  if (!found) return Error("its note has no \"ids\" and no \"note\"");
  return KeptText{std::move(found->ids), std::move(found->text)};
}

std::string kept_prompts_json(std::span<const ChatPrompt> prompts) {
  Json list = Json::array();
  for (const ChatPrompt& p : prompts) list.push_back({{"text", p.text}, {"ids", p.ids}});
  return text_of(list);
}

Result<std::vector<ChatPrompt>> parse_kept_prompts(std::string_view json) {
  const auto list = parsed(json);
  if (!list || !list->is_array()) return Error("its note is no list of prompts");
  std::vector<ChatPrompt> prompts;
  for (const Json& p : *list) {
    auto prompt = text_and_ids(p, "text");
    if (!prompt) return Error("its note has a prompt without \"text\" and \"ids\"");
    prompts.push_back(*std::move(prompt));
  }
  return prompts;
}

}  // namespace cairn
