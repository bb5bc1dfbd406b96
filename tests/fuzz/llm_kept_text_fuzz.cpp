// The notes of a session's cache. What is accepted is read back from its own text.
#include <cstdint>
#include <string_view>

#include "cairn/llm/kept_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  if (const auto text = parse_kept_text(json)) {
    const auto again = parse_kept_text(kept_text_json(text.value()));
    CAIRN_ASSERT(again.ok() && again.value().ids == text.value().ids &&
                 again.value().note == text.value().note);
  }
  if (const auto prompts = parse_kept_prompts(json)) {
    const auto again = parse_kept_prompts(kept_prompts_json(prompts.value()));
    CAIRN_ASSERT(again.ok() && again.value().size() == prompts.value().size());
  }
  return 0;
}
