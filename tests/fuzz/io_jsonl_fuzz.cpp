#include "cairn/io/jsonl.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  auto reader = io::JsonlReader::parse(fuzz::shared(data, size), "fuzz", {"text", "label"});
  for (;;) {
    const int64_t line = reader.line();
    const auto values = reader.next();
    // One may go on after a bad line, but not after a damaged gzip.
    if (!values && reader.line() == line) return 0;
    if (!values) continue;
    if (!values.value()) return 0;
    for (const std::string& value : *values.value()) {
      fuzz::touch(value);
      CAIRN_ASSERT(!io::first_invalid_utf8(value));
    }
  }
}
