#include "cairn/llm/chat.h"

#include <algorithm>

#include "cairn/llm/kept_text.h"
#include "cairn/text/utf8.h"

namespace cairn {

Chat::Chat(TextGenerator& generator, const ChatFormat& format)
    : generator_(generator), format_(format), text_(generator.open()) {}
Chat::~Chat() { generator_.close(text_); }

void Chat::save_cache(const std::string& path) const {
  generator_.save(text_, path, kept_prompts_json(said_));
}

void Chat::load_cache(const std::string& path) {
  generator_.close(text_);  // its blocks are wanted
  said_.clear();
  try {
    const TextGenerator::Loaded loaded = generator_.load(path);
    text_ = loaded.text;
    // Without them a prompt has the ids that the tokenizer gives it.
    if (auto prompts = parse_kept_prompts(loaded.note)) said_ = std::move(prompts).value();
  } catch (...) {
    text_ = generator_.open();
    throw;
  }
}

void Chat::set_system(const std::string& text) {
  if (!messages_.empty() && messages_[0].role == "system") messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {"system", text});
}

void Chat::reset() {
  std::erase_if(messages_, [](const ChatMessage& m) { return m.role != "system"; });
}

bool Chat::undo() {
  const auto last =
      std::ranges::find(messages_.rbegin(), messages_.rend(), "user", &ChatMessage::role);
  if (last == messages_.rend()) return false;
  messages_.erase(last.base() - 1, messages_.end());
  return true;
}

ChatPrompt Chat::prompt(bool may_leave_out) const {
  const auto fits = [&](const ChatPrompt& p, int64_t tokens) {
    return std::ssize(p.ids) <= tokens;
  };
  ChatPrompt all = format_.prompt(messages_, said_);
  if (fits(all, generator_.context()) || !may_leave_out) return all;
  // From one question to the next, the oldest first. The last stays, whatever its size.
  std::vector<ChatMessage> left = messages_;
  const auto is_question = [](const ChatMessage& m) { return m.role == "user"; };
  while (!fits(all, generator_.context() / 4 * 3)) {
    const auto first = std::ranges::find_if(left, is_question);
    const auto second =
        first == left.end() ? first : std::find_if(first + 1, left.end(), is_question);
    if (second == left.end()) break;
    left.erase(first, second);
    all = format_.prompt(left);
  }
  return all;
}

// Tokens before the first question: of the system's message and of what the template puts around.
int64_t Chat::tokens_before(const ChatPrompt& asked) const {
  std::vector<ChatMessage> least{{"user", "."}};
  if (messages_.front().role == "system") least.insert(least.begin(), messages_.front());
  const std::vector<int32_t> ids = format_.prompt(least).ids;
  return std::ranges::mismatch(asked.ids, ids).in1 - asked.ids.begin();
}

Generated Chat::answer(const GenerationOptions& options, const GenerationWatch& watch) {
  const ChatPrompt asked = prompt(options.context_shift);
  GenerationRequest request{text_, asked.ids, options};
  if (options.context_shift) request.options.keep = std::max(options.keep, tokens_before(asked));
  Generated result = generator_.run(std::span(&request, 1), watch)[0];
  if (result.reason == StopReason::interrupted && result.ids.empty()) return result;
  messages_.push_back({"assistant", text::replace_invalid_utf8(result.text)});
  said_ = {format_.answered(asked, result.ids, result.text), asked};
  return result;
}

// What was said is kept only with an answer.
std::optional<Generated> Chat::answered(std::vector<ChatMessage> before,
                                        const GenerationOptions& options,
                                        const GenerationWatch& watch) {
  if (messages_.empty() || messages_.back().role != "user") {
    messages_ = std::move(before);
    return std::nullopt;
  }
  try {
    Generated result = answer(options, watch);
    if (messages_.back().role == "user") messages_ = std::move(before);
    return result;
  } catch (...) {
    messages_ = std::move(before);
    throw;
  }
}

Generated Chat::say(const std::string& question, const GenerationOptions& options,
                    const GenerationWatch& watch) {
  std::vector<ChatMessage> before = messages_;
  messages_.push_back({"user", text::replace_invalid_utf8(question)});
  return *answered(std::move(before), options, watch);
}

std::optional<Generated> Chat::retry(const GenerationOptions& options,
                                     const GenerationWatch& watch) {
  std::vector<ChatMessage> before = messages_;
  if (!messages_.empty() && messages_.back().role == "assistant") messages_.pop_back();
  return answered(std::move(before), options, watch);
}

}  // namespace cairn
