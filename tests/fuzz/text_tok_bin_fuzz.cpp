#include "tests/fuzz/text_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto tokenizer = text::parse_llama2c_tokenizer(fuzz::view(data, size));
  if (tokenizer) fuzz::touch(*tokenizer.value());
  return 0;
}
