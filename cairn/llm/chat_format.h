// The prompt of a conversation: a model's chat template, and the ids of what it makes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/text/chat_template.h"
#include "cairn/text/model_template.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
  bool operator==(const ChatMessage&) const = default;
};

// A conversation as people keep it: {"messages": [{"role": ..., "content": ...}, ...]}, or the list
// alone. The Error says what it is not.
Result<std::vector<ChatMessage>> parse_conversation(std::string_view json);
std::string conversation_json(std::span<const ChatMessage> messages);

class ChatFormat {
 public:
  // Throws Error with line and column for a template that is broken.
  ChatFormat(const text::ModelTemplate& source, const text::Tokenizer& tokenizer);

  // What an answer to the messages goes on from. Special tokens of the template are tokens; in
  // what was said ("<|im_end|>" in a question) they are text, except in the model's own answers.
  // Throws Error when the template refuses the messages.
  std::vector<int32_t> prompt(std::span<const ChatMessage> messages) const;

 private:
  text::ChatTemplate template_;
  std::vector<std::pair<std::string, std::string>> variables_;
  const text::Tokenizer& tokenizer_;
};

// Special tokens that end a turn in the known families' templates ("<|im_end|>"): files name them
// as ends only sometimes.
std::vector<int> turn_ends(const text::Tokenizer& tokenizer);

}  // namespace cairn
