#include "cairn/core/shape.h"

namespace cairn {

std::string to_string(const Ints& values) {
  std::string text = "[";
  for (int i = 0; i < values.size(); ++i) {
    if (i) text += ',';
    text += std::to_string(values[i]);
  }
  return text + "]";
}

int64_t checked_elements(std::span<const int64_t> sizes) {
  int64_t n = 1;
  bool overflow = false;
  bool zero = false;
  for (int64_t s : sizes) {
    if (s < 0) return -1;
    if (s == 0) zero = true;
    if (!zero && __builtin_mul_overflow(n, s, &n)) overflow = true;
  }
  if (zero) return 0;
  return overflow ? -1 : n;
}

}  // namespace cairn
