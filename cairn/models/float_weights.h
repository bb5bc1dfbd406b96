// Weights of floats as they are: one copy, in the order that products read.
#pragma once

#include <functional>
#include <string>

#include "cairn/core/host_array.h"
#include "cairn/models/packed_weights.h"
#include "cairn/models/transformer.h"

namespace cairn {

bool is_narrow_float(DType dtype);  // f16, bf16

// f32 rounded to another float type, or such a one as f32.
HostArray rounded(const HostArray& values, DType dtype);

// Some rows of a matrix of floats, [count, K].
using RowsOf = std::function<HostArray(int64_t first, int64_t count)>;

// The numbers of a matrix [N, K], rounded to `dtype`, for a field of that name, as f32. With a
// runtime whose products read weights in panels (compiler/panels.h) these are made now, of some
// rows after the other, or found in `kept`; without one, and of a matrix that no panels are made
// of, the rows are what is kept.
Tensor float_weight(DType dtype, const Shape& shape, const RowsOf& rows, const std::string& name,
                    Runtime* runtime, PackedWeights* kept = nullptr);

}  // namespace cairn
