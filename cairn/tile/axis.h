// What is known about the integers and masks of a kernel before it runs: along which axes they are
// contiguous, uniform or divisible by a power of two.
//
// A lowering asks this to choose its accesses: a vector of 16 bytes needs offsets that step by one
// and start at a multiple of four, and a mask that lets all four through or none. The facts are
// about runs: aligned groups of `run` neighbours along an axis (elements 0..run-1, run..2 run-1,
// ...), in which neighbours differ by `stride` and whose first elements `divisor` divides. So one
// form says "contiguous" (stride 1), "uniform" (stride 0) and "unknown" (runs of one element), and
// it also holds i % columns, which is contiguous in runs as long as a power of two that divides
// `columns`. Only powers of two are kept: they survive arithmetic that wraps.
#pragma once

#include <cstdint>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::tile {

// The whole axis, as a run; what divides zero, as a divisor.
inline constexpr int64_t kUnbounded = int64_t{1} << 62;

// The largest power of two that divides a number; kUnbounded for 0.
int64_t power_of_two_in(int64_t number);

struct AxisFacts {
  int64_t stride = 0;
  int64_t run = 1;
  int64_t divisor = 1;

  // What divides the first elements of shorter runs, `length` of them (a power of two).
  int64_t divisor_at(int64_t length) const;
  bool is_uniform(int64_t length) const { return stride == 0 && run >= length; }
  bool is_contiguous(int64_t length) const { return length == 1 || (stride == 1 && run >= length); }
  friend bool operator==(const AxisFacts&, const AxisFacts&) = default;
};

struct ValueFacts {
  std::vector<AxisFacts> axes;  // of a tile; empty for a scalar
  int64_t divisor = 1;          // of every element
  // Bounds of every element, inclusive.
  int64_t low = INT64_MIN;
  int64_t high = INT64_MAX;
};

// Facts by ValueId, for the values of the body, in loops too; of values of the grid nothing is
// known. A program's coordinate is taken to be below 2^40. The kernel is one that verify.h accepts.
std::vector<ValueFacts> analyze_axes(const Kernel& kernel);

}  // namespace cairn::tile
