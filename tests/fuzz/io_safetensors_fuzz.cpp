#include "cairn/io/safetensors.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto file = io::SafetensorsFile::parse(fuzz::shared(data, size), "fuzz");
  if (!file) return 0;
  for (const auto& entry : file.value().entries()) {
    CAIRN_ASSERT(file.value().find(entry.name) == &entry);
    if (const auto array = file.value().read(entry)) fuzz::touch(array.value());
  }
  for (const auto& [key, value] : file.value().metadata()) fuzz::touch(key + value);
  return 0;
}
