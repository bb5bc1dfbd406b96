#include "cairn/io/llama2c.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto file = io::Llama2cFile::parse(fuzz::shared(data, size), "fuzz");
  CAIRN_ASSERT(file.ok() == io::looks_like_llama2c(std::as_bytes(std::span(data, size)), size));
  if (!file) return 0;
  for (const auto& tensor : file.value().tensors()) fuzz::touch(tensor.array);
  return 0;
}
