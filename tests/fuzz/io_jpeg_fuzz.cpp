#include "cairn/io/image.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  if (!io::is_jpeg(bytes)) return 0;
  const auto image = io::decode_image(bytes, "fuzz", {.max_pixels = 1 << 16});
  if (image) fuzz::touch(image.value());
  return 0;
}
