// The parser of tile kernels. What it accepts is right, prints, and is read back as the same text.
#include <cstdint>
#include <string>
#include <string_view>

#include "cairn/base/error.h"
#include "cairn/tile/parse.h"
#include "cairn/tile/print.h"
#include "cairn/tile/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  tile::Kernel kernel;
  try {
    kernel = tile::parse_kernel({reinterpret_cast<const char*>(data), size});
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
    return 0;
  }
  tile::verify(kernel);
  const std::string text = tile::to_text(kernel);
  std::string again;
  try {
    again = tile::to_text(tile::parse_kernel(text));
  } catch (const Error& error) {
    throw InternalError(error.what());
  }
  CAIRN_ASSERT(again == text);
  return 0;
}
