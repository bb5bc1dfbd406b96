#include "cairn/io/csv.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const bool header : {false, true}) {
    const auto table = io::parse_csv(text, "fuzz", {.header = header});
    if (!table) continue;
    CAIRN_ASSERT(static_cast<int>(table.value().header().size()) ==
                 (header ? table.value().columns() : 0));
    for (int64_t row = 0; row < table.value().rows(); ++row)
      for (int column = 0; column < table.value().columns(); ++column)
        fuzz::touch(table.value().cell(row, column));
    if (const auto numbers = table.value().numbers()) fuzz::touch(numbers.value());
  }
  return 0;
}
