#include "cairn/io/imatrix.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto matrix = io::parse_imatrix(fuzz::shared(data, size), "fuzz");
  if (!matrix) return 0;
  for (const auto& [name, values] : matrix.value()) {
    fuzz::touch(name);
    for (const float value : values) CAIRN_ASSERT(value >= 0);
  }
  return 0;
}
