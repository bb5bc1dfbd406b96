#include "cairn/io/gzip.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  const auto all = io::gunzip(bytes, "fuzz", 1 << 24);
  const auto head = io::gunzip_head(bytes, "fuzz", 1000);
  if (all) {
    fuzz::touch(all.value().bytes());
    CAIRN_ASSERT(head.ok() && all.value().text().starts_with(head.value().text()));
  }
  return 0;
}
