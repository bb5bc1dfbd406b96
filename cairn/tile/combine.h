// The four ways in which reduce, scan and atomic combine elements, as rows of graph/scalar.h.
#pragma once

#include <type_traits>

#include "cairn/graph/scalar.h"
#include "cairn/tile/ir.h"

namespace cairn::tile {

// Calls f(std::integral_constant<Op, op>{}) with the primitive that `kind` repeats.
template <class F>
void visit_combine(Combine kind, F&& f) {
  switch (kind) {
    case Combine::sum: f(std::integral_constant<Op, Op::add>{}); return;
    case Combine::prod: f(std::integral_constant<Op, Op::multiply>{}); return;
    case Combine::max: f(std::integral_constant<Op, Op::maximum>{}); return;
    case Combine::min: f(std::integral_constant<Op, Op::minimum>{}); return;
  }
}

// Whether elements of T combine so: bools have a largest and a smallest but no sum, 8-bit floats
// are for storage.
template <Op kOp, class T>
constexpr bool combines() {
  if constexpr (std::is_same_v<T, bool>)
    return kOp == Op::maximum || kOp == Op::minimum;
  else
    return applies<kOp, T>();
}

}  // namespace cairn::tile
