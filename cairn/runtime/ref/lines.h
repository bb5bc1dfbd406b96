// Lines along an axis of a tensor [outer, n, inner], numbered by what is outside and inside of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {

// So many neighbours, whose elements lie side by side, are walked together: of one alone each
// element is in a cache line of its own (a running sum down 4096 x 4096: 184 ms, together 20).
inline constexpr int64_t kLinesBeside = 64;

// Calls fn(first line, how many lie side by side from there), the count a constant where each line
// is its own.
template <class F>
void for_lines_beside(int64_t begin, int64_t end, int64_t inner, F&& fn) {
  if (inner == 1) {
    for (int64_t line = begin; line < end; ++line) fn(line, std::integral_constant<int64_t, 1>());
    return;
  }
  for (int64_t line = begin; line < end;) {
    const int64_t count = std::min({kLinesBeside, end - line, inner - line % inner});
    fn(line, count);
    line += count;
  }
}

// Lines of n elements that one thread takes at least.
inline int64_t line_grain(int64_t n, int64_t inner) {
  return std::max<int64_t>(inner == 1 ? 1 : std::min(inner, kLinesBeside), kGrain / n);
}

}  // namespace cairn::ref
