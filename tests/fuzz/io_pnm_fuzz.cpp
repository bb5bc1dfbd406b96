#include "cairn/io/image.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  if (!io::is_pnm(bytes)) return 0;
  for (const bool wide : {false, true}) {
    const auto image = io::decode_image(
        bytes, "fuzz", {.channels = wide ? 4 : 0, .keep_16_bits = wide, .max_pixels = 1 << 18});
    if (image) fuzz::touch(image.value());
  }
  return 0;
}
