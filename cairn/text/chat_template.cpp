#include "cairn/text/chat_template.h"

#include <fmt/format.h>

#include "cairn/text/jinja_lexer.h"
#include "cairn/text/jinja_run.h"
#include "cairn/text/jinja_tree.h"

namespace cairn::text {
namespace {

constexpr size_t kLargest = 4 << 20;  // bytes of source; the longest published one has 30,000

jinja::Value parse_variable(std::string_view name, std::string_view json) {
  auto value = jinja::value_of_json(json);
  if (!value) throw_error(fmt::format("'{}': {}", name, value.error().what()));
  return std::move(value).value();
}

}  // namespace

struct ChatTemplate::Parsed {
  std::string source;
  jinja::Statements statements;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  if (source.size() > kLargest) {
    return Error(
        fmt::format("chat template: {} bytes; at most {} are read", source.size(), kLargest));
  }
  auto parsed = std::make_unique<Parsed>();
  parsed->source = jinja::normalize_source(source);
  try {
    parsed->statements = jinja::parse(parsed->source);
  } catch (const Error& error) {
    return Error(fmt::format("chat template, {}", error.what()));
  }
  return ChatTemplate(std::move(parsed));
}

Result<std::string> ChatTemplate::render(const ChatInput& input) const {
  const jinja::Limits limits{
      .steps = input.limits.steps, .bytes = input.limits.bytes, .depth = input.limits.depth};
  jinja::Dict globals;
  try {
    jinja::Budget budget{jinja::Limits{}};
    const auto set = [&](std::string_view name, jinja::Value value) {
      jinja::insert(globals, name, std::move(value), budget);
    };
    set("messages", parse_variable("messages", input.messages));
    set("tools", input.tools ? parse_variable("tools", *input.tools) : jinja::None());
    set("documents", jinja::None());
    set("add_generation_prompt", input.add_generation_prompt);
    for (const auto& [name, json] : input.variables) set(name, parse_variable(name, json));
  } catch (const Error& error) {
    return Error(fmt::format("chat template: {}", error.what()));
  }
  jinja::Run run(parsed_->statements, globals, limits, input.now);
  try {
    return run.render();
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    try {
      jinja::throw_at(parsed_->source, run.at(), error.what());
    } catch (const Error& placed) {
      return Error(fmt::format("chat template, {}", placed.what()));
    }
  }
}

}  // namespace cairn::text
