// Chat templates: messages and tools as the prompt that a model was trained on.
//
// They are Jinja, in files of models (tokenizer_config.json, chat_template.jinja, GGUF). This
// engine renders them as Hugging Face's transformers does with Jinja2: its sandbox, its settings of
// white space, loop controls, {% generation %} blocks, `tojson`, `raise_exception`, `strftime_now`.
// Templates of several files (include, extends) are refused. Filters that give a generator in Jinja
// give a list here.
//
// A template is foreign code. It can read what it is given and make text, nothing else; steps,
// bytes and depth are bounded (jinja_value.h).
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::text {

struct TemplateLimits {
  uint64_t steps = 20'000'000;           // about 2 seconds; published templates take 30,000 at most
  uint64_t bytes = uint64_t{512} << 20;  // of all text and lists made
  int depth = 1000;                      // of nested evaluation: about 60 macros in each other
};

// What is rendered. Texts are JSON.
struct ChatInput {
  std::string messages = "[]";       // [{"role": "user", "content": "..."}, ...]
  std::optional<std::string> tools;  // [{"type": "function", "function": {...}}, ...]
  bool add_generation_prompt = false;
  // More names: bos_token, eos_token, enable_thinking, ... Later ones replace earlier ones.
  std::vector<std::pair<std::string, std::string>> variables = {};
  std::optional<std::tm> now = {};  // for strftime_now; local time without
  TemplateLimits limits = {};
};

class ChatTemplate {
 public:
  // The Error says line and column, what was expected and what was found.
  static Result<ChatTemplate> parse(std::string_view source);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Safe from many threads. The Error names what of the input is no JSON, or the line and column
  // at which the template failed, also when it refuses the messages by raise_exception.
  Result<std::string> render(const ChatInput& input) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::unique_ptr<Parsed> parsed);
  std::unique_ptr<Parsed> parsed_;
};

}  // namespace cairn::text
