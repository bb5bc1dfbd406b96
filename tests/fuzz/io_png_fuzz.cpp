// Twice: as it is, and with the checksum of each chunk made right, without which few mutations
// would come past the first chunk.
#include <zlib.h>

#include "cairn/io/image.h"
#include "tests/fuzz/io_touch.h"

namespace {

uint32_t big32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

void repair(std::string& png) {
  auto* bytes = reinterpret_cast<uint8_t*>(png.data());
  size_t at = 8;
  while (at + 12 <= png.size()) {
    const size_t length = big32(bytes + at);
    if (length > png.size() - at - 12) return;
    const auto crc = static_cast<uint32_t>(crc32_z(0, bytes + at + 4, length + 4));
    for (int i = 0; i < 4; ++i)
      bytes[at + 8 + length + static_cast<size_t>(i)] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += length + 12;
  }
}

void decode(std::string_view text) {
  using namespace cairn;
  for (const bool wide : {false, true}) {
    const auto image =
        io::decode_image(std::as_bytes(std::span(text.data(), text.size())), "fuzz",
                         {.channels = wide ? 3 : 0, .keep_16_bits = wide, .max_pixels = 1 << 18});
    if (image) fuzz::touch(image.value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (size < 8 || std::memcmp(data, "\x89PNG", 4) != 0) return 0;
  decode(text);
  repair(text);
  decode(text);
  return 0;
}
