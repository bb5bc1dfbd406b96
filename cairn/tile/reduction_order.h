// The order in which a sum, or a product, of n elements is taken: the definition that the
// interpreter runs and that every compiled reduction reproduces bit for bit.
//
// 64 lanes, because that is four vectors of 16 floats: enough chains of additions to hide their
// latency on any processor, and any narrower vector walks them in more steps. 4096 elements a
// chunk, because chunks are what threads and thread blocks share out; and as a chunk's error grows
// with 64 + 6 additions and not with n, a long sum is also more accurate than one chain.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "cairn/graph/scalar.h"
#include "cairn/tile/ir.h"

namespace cairn::tile {
namespace detail {

// Elements begin..end-1, at most a chunk of them.
template <Op kOp, class T, class F>
T reduce_chunk(int64_t begin, int64_t end, const F& element) {
  std::array<T, kReduceLanes> lanes;
  lanes.fill(kOp == Op::add ? T(0) : T(1));
  for (int64_t i = begin; i < end; ++i) {
    T& lane = lanes[static_cast<size_t>((i - begin) % kReduceLanes)];
    lane = Scalar<kOp>::of(lane, static_cast<T>(element(i)));
  }
  for (size_t half = kReduceLanes / 2; half > 0; half /= 2)
    for (size_t l = 0; l < half; ++l) lanes[l] = Scalar<kOp>::of(lanes[l], lanes[l + half]);
  return lanes[0];
}

template <class T>
struct Elements {
  const T* data;
  T operator()(int64_t i) const { return data[i]; }
};

}  // namespace detail

// element(0) + ... + element(n-1), or their product for Op::multiply, in the order of ir.h; 0 or 1
// for n = 0. T is the type that accumulates: f16 and bf16 sum in float, and the caller rounds the
// result, once. Lanes start from +0 (or 1), so a sum is never -0. The n / 4096 sums of chunks are
// kept, so that recursion is over an array.
template <class T, Op kOp = Op::add, class F>
T reduce_in_order(int64_t n, F element) {
  static_assert(kOp == Op::add || kOp == Op::multiply, "maximum and minimum have no order");
  static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
  static_assert(kReduceChunk % kReduceLanes == 0 && (kReduceLanes & (kReduceLanes - 1)) == 0);
  if (n <= kReduceChunk) return detail::reduce_chunk<kOp, T>(0, n, element);
  std::vector<T> sums;
  for (int64_t begin = 0; begin < n; begin += kReduceChunk)
    sums.push_back(detail::reduce_chunk<kOp, T>(begin, std::min(begin + kReduceChunk, n), element));
  return reduce_in_order<T, kOp>(static_cast<int64_t>(sums.size()),
                                 detail::Elements<T>{sums.data()});
}

}  // namespace cairn::tile
