// The pass that writes out the transcendental functions of a kernel.
//
// Each exp, tanh, ... of f32 in the body becomes the instructions of its definition in tile/math.h.
// An f16 or bf16 operand is cast to f32 before and the result back after, which is the rounding at
// each primitive. f64 stays: it is rare, and back ends call a function for it. After it, a kernel
// holds only what processors have.
#pragma once

#include "cairn/tile/ir.h"

namespace cairn::tile {

Kernel expand_math(const Kernel& kernel);

}  // namespace cairn::tile
