#include "cairn/text/chat_template.h"
#include "tests/fuzz/text_touch.h"

// The input is a template; it renders a conversation with tools, within limits that keep each run
// short. What it says of itself must be the same again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto parsed = text::ChatTemplate::parse(fuzz::view(data, size));
  if (!parsed) return 0;
  text::ChatInput input;
  input.messages =
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "é"}]},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5}}}]}])";
  input.tools =
      R"([{"type": "function", "function": {"name": "f", "parameters": {"x": [1, true]}}}])";
  input.add_generation_prompt = true;
  input.variables = {{"n", "7"}, {"words", R"(["pear", "Apple"])"}, {"text", "\"Hello\""}};
  input.now = std::tm{};
  input.limits = {.steps = 100'000, .bytes = 4 << 20, .depth = 200};
  const auto first = parsed.value().render(input), second = parsed.value().render(input);
  CAIRN_ASSERT(first.ok() == second.ok());
  CAIRN_ASSERT(!first || first.value() == second.value());
  return 0;
}
