#include "cairn/text/gguf_vocabulary.h"

#include <fmt/format.h>

#include "tests/fuzz/text_touch.h"

// The input is metadata of a GGUF file, a line a field: the model, the pre-tokenizer, then tokens
// as "kind score token", and merges as "merge left right". Bytes are as in the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  std::string_view rest = fuzz::view(data, size);
  const auto line = [&] {
    const std::string_view text = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(text.size() + 1, rest.size()));
    return text;
  };
  text::GgufVocabulary vocabulary;
  vocabulary.model = line();
  vocabulary.pre = line();
  // A byte each for what is optional: '.' is absent.
  const std::string_view ids = line();
  const auto id = [&](size_t i) {
    return i < ids.size() && ids[i] != '.' ? std::optional<int32_t>(ids[i] - '0') : std::nullopt;
  };
  vocabulary.bos_id = id(0);
  vocabulary.eos_id = id(1);
  vocabulary.unknown_id = id(2);
  if (id(3)) vocabulary.add_space_prefix = *id(3) != 0;
  if (id(4)) vocabulary.add_bos = vocabulary.add_eos = *id(4) != 0;
  if (vocabulary.model == "llama") {
    for (int byte = 0; byte < 256; ++byte) {
      vocabulary.tokens.push_back(fmt::format("<0x{:02X}>", byte));
      vocabulary.token_types.push_back(6);
      vocabulary.scores.push_back(0);
    }
  }
  while (!rest.empty()) {
    const std::string_view text = line();
    if (text.starts_with("merge ")) {
      vocabulary.merges.emplace_back(text.substr(6));
    } else if (text.size() >= 2) {
      vocabulary.token_types.push_back(text[0] - '0');
      vocabulary.scores.push_back(static_cast<float>(text[1] - '0'));
      vocabulary.tokens.emplace_back(text.substr(2));
    }
  }
  const auto tokenizer = text::make_gguf_tokenizer(vocabulary);
  if (tokenizer) fuzz::touch(*tokenizer.value());
  return 0;
}
