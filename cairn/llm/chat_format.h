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

// A prompt as text and as ids; or that of a turn with the answer to it.
struct ChatPrompt {
  std::string text;
  std::vector<int32_t> ids;
};

class ChatFormat {
 public:
  // Throws Error with line and column for a template that is broken.
  ChatFormat(const text::ModelTemplate& source, const text::Tokenizer& tokenizer);

  // What an answer to the messages goes on from. Special tokens of the template are tokens; in
  // what was said ("<|im_end|>" in a question) they are text, except in the model's own answers.
  // Where the text begins with that of one of `before` (the first that it does), the ids begin with
  // its ids: a model may write a word in other tokens than a tokenizer does, and a cache has those.
  // Throws Error when the template refuses the messages.
  ChatPrompt prompt(std::span<const ChatMessage> messages,
                    std::span<const ChatPrompt> before = {}) const;

  // A prompt with the answer to it: ids up to the last whose text is in `answer`, which ended
  // before a stop text that the ids have.
  ChatPrompt answered(const ChatPrompt& prompt, std::span<const int32_t> ids,
                      std::string_view answer) const;

 private:
  std::string render(std::span<const ChatMessage> messages) const;
  text::ChatTemplate template_;
  std::vector<std::pair<std::string, std::string>> variables_;
  const text::Tokenizer& tokenizer_;
};

// Special tokens that end a turn in the known families' templates ("<|im_end|>"): files name them
// as ends only sometimes.
std::vector<int> turn_ends(const text::Tokenizer& tokenizer);

}  // namespace cairn
