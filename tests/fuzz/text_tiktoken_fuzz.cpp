#include "tests/fuzz/text_touch.h"

// The input is a file of tiktoken. None of its size is a known one, so what is tested is that it is
// read and refused; whole ones are in the tests.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto tokenizer = text::parse_tiktoken_file(fuzz::view(data, size));
  if (tokenizer) fuzz::touch(*tokenizer.value());
  return 0;
}
