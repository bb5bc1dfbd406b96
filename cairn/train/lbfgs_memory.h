// The memory of L-BFGS as two tensors, which is how it stands in checkpoints.
#pragma once

#include "cairn/core/host_array.h"
#include "cairn/train/lbfgs.h"

namespace cairn {

// f64: vectors [2 + 2 history, parameters] are direction, gradient before, then y and s of each
// correction; scalars [5 + history] are scale, step, iterations, evaluations, number of
// corrections, and 1 / (y s) of each. What is not there yet is 0.
struct LbfgsArrays {
  HostArray vectors, scalars;
};
LbfgsArrays to_arrays(const Lbfgs::Memory& memory, int64_t parameters, int history);
Lbfgs::Memory from_arrays(const LbfgsArrays& arrays);

}  // namespace cairn
