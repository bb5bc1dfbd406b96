// A conversation with a language model: messages, and a text of a generator whose cache each turn
// goes on from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cairn/llm/chat_format.h"
#include "cairn/llm/generation.h"

namespace cairn {

class Chat {
 public:
  // Both must live as long. Opens one of the generator's texts.
  Chat(TextGenerator& generator, const ChatFormat& format);
  ~Chat();
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  const std::vector<ChatMessage>& messages() const { return messages_; }
  // In place of those that there are.
  void set_messages(std::vector<ChatMessage> messages) { messages_ = std::move(messages); }

  // The cache of keys and values in a file (TextGenerator::save), so that a conversation that is
  // set later, in another process too, does not feed again what they have in common. Loading
  // throws Error for a file that cannot be used; then all is fed, as without it.
  void save_cache(const std::string& path) const;
  void load_cache(const std::string& path);

  // What the model is told before all else; empty: nothing.
  void set_system(const std::string& text);
  // Forgets what was said; the system's message stays.
  void reset();
  // Takes back the last question and its answer; false when there is none.
  bool undo();

  // Adds a question and its answer. Stopped before the first token, or when this throws, messages
  // are as before: Error for a prompt that does not fit the context, with both counts. With
  // context_shift, the oldest turns are left out of the prompt until it takes at most three
  // quarters of the context, and an answer that fills it goes on behind the system's message and
  // the younger half of the rest.
  Generated say(const std::string& question, const GenerationOptions& options,
                const GenerationWatch& watch = {});
  // Another answer to the last question, for options with another seed; nothing when there is none.
  std::optional<Generated> retry(const GenerationOptions& options,
                                 const GenerationWatch& watch = {});

 private:
  std::optional<Generated> answered(std::vector<ChatMessage> before,
                                    const GenerationOptions& options, const GenerationWatch& watch);
  Generated answer(const GenerationOptions& options, const GenerationWatch& watch);
  ChatPrompt prompt(bool may_leave_out) const;
  int64_t tokens_before(const ChatPrompt& asked) const;
  TextGenerator& generator_;
  const ChatFormat& format_;
  int text_;
  std::vector<ChatMessage> messages_;
  std::vector<ChatPrompt> said_;  // the last prompt with the answer to it, and without
};

}  // namespace cairn
