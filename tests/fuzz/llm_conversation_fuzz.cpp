// Conversations of cairn chat. What is accepted is read back from its own text.
#include <cstdint>
#include <string_view>

#include "cairn/llm/chat_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto parsed =
      parse_conversation(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed) return 0;
  const std::string text = conversation_json(parsed.value());
  const auto again = parse_conversation(text);
  CAIRN_ASSERT(again.ok() && conversation_json(again.value()) == text);
  return 0;
}
