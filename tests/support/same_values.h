// Equal results: the same bits, but that one NaN is as good as another.
//
// Which NaN an operation gives depends on the order in which the processor sees its operands, so
// its sign and payload are not promised (docs/edge-semantics.md).
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "cairn/core/dispatch.h"
#include "cairn/core/host_array.h"

namespace cairn::test {

inline bool same_values(const HostArray& a, const HostArray& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  if (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0) return true;
  return visit_dtype(a.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (kIsFloatType<T>) {
      const auto x = a.span<T>();
      const auto y = b.span<T>();
      const auto number = [](T v) {
        if constexpr (std::is_arithmetic_v<T>)
          return static_cast<double>(v);
        else
          return static_cast<double>(static_cast<float>(v));
      };
      for (size_t i = 0; i < x.size(); ++i) {
        const double p = number(x[i]);
        const double q = number(y[i]);
        const bool same = p == q ? std::signbit(p) == std::signbit(q) : p != p && q != q;
        if (!same) return false;
      }
      return true;
    }
    return false;
  });
}

}  // namespace cairn::test
