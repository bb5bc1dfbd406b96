// Weights of f16 and bf16 as they are: one copy, in the order that products read.
#pragma once

#include <functional>
#include <string>

#include "cairn/core/host_array.h"
#include "cairn/models/packed_weights.h"
#include "cairn/models/transformer.h"

namespace cairn {

bool is_narrow_float(DType dtype);  // f16, bf16

// The numbers of a matrix of f16 or bf16, for a field of that name, as f32. With a runtime whose
// products read weights in panels (compiler/panels.h) these are made now, or found in `kept`, and
// `rows` are needed no longer; without one, and of a matrix that no panels are made of, they are
// what is kept. `packed` is called while panels are made, each time that some more rows have been
// read.
Tensor narrow_weight(const LateArray& rows, const std::string& name, Runtime* runtime,
                     const std::function<void()>& packed = nullptr, PackedWeights* kept = nullptr);

}  // namespace cairn
