// Time for measuring: never goes back, unaffected by changes of the wall clock.
#pragma once

#include <chrono>

namespace cairn {

// Seconds since some fixed moment; only differences mean something.
inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace cairn
