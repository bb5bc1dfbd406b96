#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_text.h"
#include "tests/fuzz/text_touch.h"

// A GGUF file of one part: what is read of a model before its weights.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto file =
      io::GgufFile::parse(SharedBytes(std::string(fuzz::view(data, size))), "fuzz.gguf");
  if (!file) return 0;
  if (const auto config = parse_gguf_config(file.value())) {
    const NameMap names = gguf_names(config.value());
    CAIRN_ASSERT(!names("tokens.weight").name.empty());
    try {
      to_gguf_metadata(config.value());
      gguf_config_tensors(config.value());
    } catch (const InternalError&) {
      throw;
    } catch (const Error&) {
      // No key says it.
    }
  }
  if (const auto tokenizer = gguf_tokenizer(file.value())) fuzz::touch(*tokenizer.value());
  for (const bool with_tools : {false, true}) (void)gguf_template(file.value(), with_tools).ok();
  for (const int id : gguf_end_tokens(file.value())) CAIRN_ASSERT(id >= 0);
  return 0;
}
