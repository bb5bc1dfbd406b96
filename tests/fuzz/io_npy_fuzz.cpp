#include "cairn/io/npy.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  if (const auto array = io::parse_npy(fuzz::shared(data, size), "fuzz"))
    fuzz::touch(array.value());
  return 0;
}
