// Arrays of any element type as f32, and back.
#pragma once

#include "cairn/core/host_array.h"

namespace cairn::app {

// Each element as f32, rounded to nearest where it does not fit; bool gives 0 and 1.
HostArray to_f32(const HostArray& array);
// f32 as `dtype`, a float type, rounded to nearest.
HostArray from_f32(const HostArray& array, DType dtype);

// What numbers an array holds. `finite` counts numbers that are neither NaN nor infinite; the
// others are over these.
struct ArraySummary {
  int64_t elements = 0;
  int64_t finite = 0;
  double least = 0, greatest = 0, mean = 0, deviation = 0;
};
ArraySummary summarize(const HostArray& array);

}  // namespace cairn::app
