#include "tests/fuzz/text_touch.h"

// The input is a tokenizer.model of SentencePiece.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto tokenizer = text::parse_sentencepiece_model(fuzz::view(data, size));
  if (tokenizer) fuzz::touch(*tokenizer.value());
  return 0;
}
