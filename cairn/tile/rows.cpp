#include "cairn/tile/rows.h"

#include <limits>

namespace cairn::tile {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

Tile row_sum(Builder& k, const Tile& n, DType dtype, const RowElement& element) {
  const Tile zeros = k.full({kReduceLanes}, 0, dtype);
  const Tile lane = k.arange(kReduceLanes);
  const Tile chunks = k.loop(0, n, kReduceChunk, zeros, [&](const Tile& begin, const Tile& sums) {
    const Tile end = minimum(begin + kReduceChunk, n);
    const Tile lanes =
        k.loop(begin, end, kReduceLanes, zeros, [&](const Tile& at, const Tile& so_far) {
          const Tile i = at + lane;
          return so_far + where(i < n, element(i, i < n), 0);
        });
    // The sum of chunk c joins lane c mod 64; the other lanes add 0, which changes no sum that
    // started from 0.
    return sums + where(lane == begin / kReduceChunk % kReduceLanes, sum(lanes, 0), 0);
  });
  return sum(chunks, 0);
}

Tile row_max(Builder& k, const Tile& n, DType dtype, const RowElement& element) {
  const Tile none = k.full({kReduceLanes}, -kInfinity, dtype);
  const Tile lanes = k.loop(0, n, kReduceLanes, none, [&](const Tile& at, const Tile& so_far) {
    const Tile i = at + k.arange(kReduceLanes);
    return maximum(so_far, where(i < n, element(i, i < n), -kInfinity));
  });
  return max(lanes, 0);
}

void for_row(Builder& k, const Tile& n, const RowStep& step) {
  k.loop(0, n, kReduceLanes, std::vector<Tile>{}, [&](const Tile& at, const std::vector<Tile>&) {
    const Tile i = at + k.arange(kReduceLanes);
    step(i, i < n);
    return std::vector<Tile>{};
  });
}

DType compute_type(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }
Tile widen(const Tile& x) { return narrow(x, compute_type(x.dtype())); }
Tile narrow(const Tile& x, DType dtype) { return x.dtype() == dtype ? x : cast(x, dtype); }

}  // namespace cairn::tile
