#include "cairn/comm/local/reduction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "cairn/base/error.h"
#include "cairn/core/dispatch.h"

namespace cairn::local {
namespace {

// The type in which T is reduced. Integers are summed unsigned, which wraps without undefined
// behaviour; in `unsigned` at least, because smaller types are promoted to int.
template <class T, ReduceKind kKind>
auto accumulator() {
  if constexpr (std::is_same_v<T, double>)
    return double{};
  else if constexpr (kIsFloatType<T>)
    return float{};
  else if constexpr (kKind != ReduceKind::sum)
    return T{};
  else if constexpr (sizeof(T) == 8)
    return uint64_t{};
  else
    return uint32_t{};
}

// Max and min are the first NaN, else the larger or smaller, with -0 below +0: graph/scalar.h's.
template <ReduceKind kKind, class A>
A combine(A x, A y) {
  if constexpr (kKind == ReduceKind::sum) {
    return x + y;
  } else {
    constexpr bool kMax = kKind == ReduceKind::max;
    if constexpr (std::is_floating_point_v<A>) {
      if (x == y) return std::signbit(x) == kMax ? y : x;
      if (x != x) return x;
    }
    return (kMax ? x > y : x < y) ? x : y;
  }
}

// Rank by rank over pieces that stay in the first cache, so that the inner loops are SIMD.
template <class T, ReduceKind kKind>
void reduce(std::span<const void* const> in, void* out, int64_t begin, int64_t end) {
  using A = decltype(accumulator<T, kKind>());
  constexpr int64_t kPiece = 1024;
  std::array<A, kPiece> total;
  for (int64_t start = begin; start < end; start += kPiece) {
    const auto n = static_cast<size_t>(std::min(kPiece, end - start));
    for (size_t r = 0; r < in.size(); ++r) {
      const T* values = static_cast<const T*>(in[r]) + start;
      if (r == 0) {
        for (size_t i = 0; i < n; ++i) total[i] = static_cast<A>(values[i]);
      } else {
        for (size_t i = 0; i < n; ++i)
          total[i] = combine<kKind>(total[i], static_cast<A>(values[i]));
      }
    }
    T* results = static_cast<T*>(out) + start;
    for (size_t i = 0; i < n; ++i) results[i] = static_cast<T>(total[i]);
  }
}

}  // namespace

bool is_reducible(DType dtype) { return dtype != DType::b8 && !is_float8(dtype); }

void reduce_ranks(std::span<const void* const> in, void* out, int64_t begin, int64_t end,
                  DType dtype, ReduceKind kind) {
  CAIRN_ASSERT(is_reducible(dtype));
  if (in.size() == 1) {  // the same bits, of a NaN too
    const auto size = static_cast<int64_t>(size_of(dtype));
    if (out != in[0] && end > begin)
      std::memcpy(static_cast<char*>(out) + begin * size,
                  static_cast<const char*>(in[0]) + begin * size,
                  static_cast<size_t>((end - begin) * size));
    return;
  }
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_same_v<T, bool> && !std::is_same_v<T, Float8E4M3> &&
                  !std::is_same_v<T, Float8E5M2>) {
      switch (kind) {
        case ReduceKind::sum: return reduce<T, ReduceKind::sum>(in, out, begin, end);
        case ReduceKind::max: return reduce<T, ReduceKind::max>(in, out, begin, end);
        case ReduceKind::min: return reduce<T, ReduceKind::min>(in, out, begin, end);
      }
    }
  });
}

}  // namespace cairn::local
