// What a session's file says of the text whose keys and values it has: notes as JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/llm/chat_format.h"

namespace cairn {

// The ids of a text, and what its owner wants to know of it later.
struct KeptText {
  std::vector<int32_t> ids;
  std::string note;
};
std::string kept_text_json(const KeptText& text);
// The Error says what the note is not; ids are not negative.
Result<KeptText> parse_kept_text(std::string_view json);

// The prompts of a conversation whose ids its cache has.
std::string kept_prompts_json(std::span<const ChatPrompt> prompts);
Result<std::vector<ChatPrompt>> parse_kept_prompts(std::string_view json);

}  // namespace cairn
