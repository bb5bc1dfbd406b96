// What a call throws, as text to compare.
#pragma once

#include <string>

#include "cairn/base/error.h"

namespace cairn::test {

// The message of the Error that f() throws; "no error" when it throws none.
template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace cairn::test
