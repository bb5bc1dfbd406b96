#include "cairn/base/error.h"

#include <fmt/format.h>

namespace cairn {

void throw_error(std::string message) { throw Error(std::move(message)); }

void assertion_failed(const char* condition, const char* file, int line) {
  throw InternalError(fmt::format(
      "internal error: '{}' does not hold at {}:{}. This is a bug in cairn; please report it.",
      condition, file, line));
}

}  // namespace cairn
