#include "cairn/core/block_format.h"
#include "cairn/io/gguf.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto file = io::GgufFile::parse(fuzz::shared(data, size), "fuzz");
  if (!file) return 0;
  for (const auto& [key, value] : file.value().metadata()) {
    fuzz::touch(key);
    fuzz::touch(value.bytes().bytes());
    CAIRN_ASSERT(file.value().find(key) == &value);
    for (const std::string_view text : value.texts()) fuzz::touch(text);
    if (io::size_of(value.kind()) > 0 && value.count() > 0) {
      const double last = value.number_at(value.count() - 1);
      fuzz::touch(std::as_bytes(std::span(&last, 1)));
    }
  }
  for (const io::GgufEntry& entry : file.value().entries()) {
    CAIRN_ASSERT(file.value().tensor(entry.name) == &entry);
    const auto array = file.value().read(entry);
    if (!array) continue;
    fuzz::touch(array.value());
    const BlockFormat* format = entry.type->block_format();
    if (!format) continue;
    const auto bytes = array.value().span<uint8_t>();
    std::vector<float> values(static_cast<size_t>(format->block_elements));
    for (size_t i = 0; i < bytes.size(); i += static_cast<size_t>(format->block_bytes))
      decode_blocks(*format, bytes.data() + i, 1, values.data());
    fuzz::touch(std::as_bytes(std::span<const float>(values)));
  }
  return 0;
}
