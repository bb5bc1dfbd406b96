// Operations of one's own: a function of plain primitives that becomes one node, with a name and a
// derivative of its own.
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

// definition.fallback as a function whose calls are one node each, named definition.name in errors,
// plans and profiles. The fallback defines the values, and the derivative too unless definition.vjp
// gives one (linear in the cotangents; it is used for jvp as well, transposed). Tensors that the
// fallback captures become further operands; they count as constants where there is a vjp, which
// knows of its arguments only. definition.kernel (tile/custom_kernel.h) computes the values on
// devices that compile kernels; captured tensors are operands of it too, behind the arguments.
//
//   auto clipped = custom({.name = "clip_gradient",
//                          .fallback = [](auto x) { return std::vector<Tensor>{x[0]}; },
//                          .vjp = [](auto x, auto y, auto ct) { return
//                          std::vector<Tensor>{clamp(ct[0], -1, 1)}; }});
//   Tensor y = clipped(std::vector{x})[0];
TensorFunction custom(CustomDefinition definition);

}  // namespace cairn
