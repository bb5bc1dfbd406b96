#include "cairn/llm/chat_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/text/utf8.h"

namespace cairn {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(std::span<const ChatMessage> messages) {
  Json list = Json::array();
  for (const ChatMessage& m : messages) list.push_back({{"role", m.role}, {"content", m.content}});
  return list;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A character of Unicode's private use that no message has.
std::string unused_character(std::span<const ChatMessage> messages) {
  for (char32_t c = 0xE000; c < 0xF900; ++c) {
    std::string mark;
    text::append_utf8(mark, c);
    if (std::ranges::none_of(
            messages, [&](const ChatMessage& m) { return m.content.find(mark) != m.content.npos; }))
      return mark;
  }
  throw_error(
      "the messages have every character of private use, so special tokens in them cannot "
      "be kept apart; remove one");
}

// `mark` before whatever would be read as a special token.
std::string marked(std::string_view content, const text::Tokenizer& tokenizer,
                   const std::string& mark) {
  std::string out;
  for (size_t i = 0; i < content.size(); ++i) {
    if (std::ranges::any_of(tokenizer.vocabulary().added, [&](const text::AddedToken& token) {
          return token.special && content.substr(i).starts_with(token.content);
        }))
      out += mark;
    out += content[i];
  }
  return out;
}

}  // namespace

Result<std::vector<ChatMessage>> parse_conversation(std::string_view json) {
  constexpr int kDeepest = 100;
  bool too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kDeepest;
    return !too_deep;
  };
  Json parsed = Json::parse(json, watch, false);
  if (too_deep || parsed.is_discarded()) return Error("it is no JSON text");
  if (parsed.is_object()) {
    if (!parsed.contains("messages")) return Error("it has no \"messages\"");
    parsed = Json(parsed["messages"]);
  }
  if (!parsed.is_array()) return Error("\"messages\" are no list");
  std::vector<ChatMessage> messages;
  for (const Json& m : parsed) {
    const auto is_text = [&](const char* key) {
      return m.is_object() && m.contains(key) && m[key].is_string();
    };
    if (!is_text("role") || !is_text("content"))
      return Error(fmt::format("message {} has no \"role\" and \"content\" that are text",
                               messages.size() + 1));
    messages.push_back({m["role"], m["content"]});
    const std::string& role = messages.back().role;
    if (role != "system" && role != "user" && role != "assistant")
      return Error(fmt::format("message {} has the role '{}'; system, user and assistant are known",
                               messages.size(), text::replace_invalid_utf8(role)));
  }
  return messages;
}

std::string conversation_json(std::span<const ChatMessage> messages) {
  return Json{{"messages", to_json(messages)}}.dump(2, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

ChatFormat::ChatFormat(const text::ModelTemplate& source, const text::Tokenizer& tokenizer)
    : template_(text::ChatTemplate::parse(source.source).value()),
      variables_(source.variables),
      tokenizer_(tokenizer) {}

std::string ChatFormat::render(std::span<const ChatMessage> messages) const {
  return template_
      .render({.messages = text_of(to_json(messages)),
               .add_generation_prompt = true,
               .variables = variables_})
      .value();
}

ChatPrompt ChatFormat::prompt(std::span<const ChatMessage> messages,
                              std::span<const ChatPrompt> before) const {
  const std::string mark = unused_character(messages);
  std::vector<ChatMessage> safe(messages.begin(), messages.end());
  for (ChatMessage& m : safe)
    if (m.role != "assistant") m.content = marked(m.content, tokenizer_, mark);
  const std::string rendered = render(safe);
  // Without the marks, whose places are those where no special token begins.
  ChatPrompt prompt;
  std::vector<size_t> plain_at;
  for (size_t from = 0; from < rendered.size();) {
    const size_t at = std::min(rendered.find(mark, from), rendered.size());
    prompt.text.append(rendered, from, at - from);
    if (at < rendered.size()) plain_at.push_back(prompt.text.size());
    from = at + mark.size();
  }
  prompt.ids = tokenizer_.encode(prompt.text, {.parse_special = true, .plain_at = plain_at});
  const auto known = std::ranges::find_if(before, [&](const ChatPrompt& b) {
    return !b.ids.empty() && prompt.text.starts_with(b.text);
  });
  if (known == before.end()) return prompt;
  const size_t size = known->text.size();
  std::erase_if(plain_at, [&](size_t at) { return at < size; });
  for (size_t& at : plain_at) at -= size;
  std::vector<int32_t> longer = known->ids;
  const auto rest = tokenizer_.encode(std::string_view(prompt.text).substr(size),
                                      {.parse_special = true, .plain_at = plain_at});
  longer.insert(longer.end(), rest.begin(), rest.end());
  // SentencePiece puts a space before a text, and so before the rest, unless a token comes first.
  if (tokenizer_.decode(longer) == tokenizer_.decode(prompt.ids)) prompt.ids = std::move(longer);
  return prompt;
}

ChatPrompt ChatFormat::answered(const ChatPrompt& prompt, std::span<const int32_t> ids,
                                std::string_view answer) const {
  ChatPrompt all = prompt;
  size_t size = 0, kept = 0;
  for (const int32_t id : ids) {
    size += tokenizer_.decode(std::span(&id, 1), all.ids).size();
    if (size > answer.size()) break;
    all.ids.push_back(id);
    kept = size;
  }
  all.text += answer.substr(0, kept);
  return all;
}

std::vector<int> turn_ends(const text::Tokenizer& tokenizer) {
  std::vector<int> ends;
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>",
                           "<|end_of_text|>", "<|endoftext|>", "</s>"})
    if (const auto id = tokenizer.token_id(name); id && tokenizer.is_special(*id))
      ends.push_back(*id);
  return ends;
}

}  // namespace cairn
