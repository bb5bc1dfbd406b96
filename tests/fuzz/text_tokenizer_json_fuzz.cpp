#include "tests/fuzz/text_touch.h"

// The input is a tokenizer.json, and after a NUL byte, if there is one, a tokenizer_config.json.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::string_view input = fuzz::view(data, size);
  const size_t end = std::min(input.find('\0'), input.size());
  const auto tokenizer = text::parse_tokenizer_json(input.substr(0, end),
                                                    input.substr(std::min(end + 1, input.size())));
  if (tokenizer) fuzz::touch(*tokenizer.value());
  return 0;
}
