// Sums and maxima over rows of any length, for kernels that give a row to a program.
//
// A row is walked in blocks of 64 elements that add up in a tile of 64 lanes, so that each step is
// one addition per lane and the 64 are combined once at the end. That is the order of `reduce`
// (ir.h): a row sums to the same bits here, in the interpreter's `sum` of one tile, and in the
// eager reduction of a tensor. Rows beyond 4096 elements go chunk by chunk, as that order asks.
#pragma once

#include <functional>

#include "cairn/tile/builder.h"

namespace cairn::tile {

// What stands at the offsets `i` (i64[64]) of a row; `inside` is false for those past its end,
// where a load with that mask gives 0 and the element does not count.
using RowElement = std::function<Tile(const Tile& i, const Tile& inside)>;
using RowStep = std::function<void(const Tile& i, const Tile& inside)>;

// element(0) + ... + element(n-1), a scalar of `dtype`. In the order of ir.h up to 2^24 elements;
// beyond, the sums of the chunks stay in one round of 64 lanes.
Tile row_sum(Builder& k, const Tile& n, DType dtype, const RowElement& element);
// The largest; -infinity for n = 0. NaN where an element is.
Tile row_max(Builder& k, const Tile& n, DType dtype, const RowElement& element);
// Calls `step` for each block of the row: to write results.
void for_row(Builder& k, const Tile& n, const RowStep& step);

// What a kernel computes in: f32 for the narrow floats, f64 for f64.
DType compute_type(DType dtype);
Tile widen(const Tile& x);                // as compute_type(x.dtype())
Tile narrow(const Tile& x, DType dtype);  // rounded, where that is another type

}  // namespace cairn::tile
