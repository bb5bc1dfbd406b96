#include "cairn/io/probe.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto probe = io::probe_bytes(std::as_bytes(std::span(data, size)), "fuzz");
  if (probe) fuzz::touch(io::name(probe.value().kind));
  return 0;
}
