// Rematerialisation and custom derivatives of functions.
#pragma once

#include <string>

#include "cairn/transforms/vjp.h"

namespace cairn {

// fn, but its intermediate values are not kept for the backward pass: a backward pass computes them
// again from fn's operands. Tensors that fn captures become operands too.
TensorFunction checkpoint(TensorFunction fn);

// Cotangents of the inputs (an undefined Tensor means zero) from inputs, outputs and the cotangents
// of the outputs (undefined for one that is not a float).
using CustomVjp = std::function<std::vector<Tensor>(std::span<const Tensor> inputs,
                                                    std::span<const Tensor> outputs,
                                                    std::span<const Tensor> cotangents)>;

// fn with `rule` as its derivative: straight-through estimators, clipped gradients, formulas that
// are more stable than what the chain rule gives. The rule must be linear in the cotangents; it is
// used for jvp as well, transposed. `name` appears in errors, plans and profiles. Tensors that fn
// captures count as constants.
TensorFunction custom_vjp(const std::string& name, TensorFunction fn, CustomVjp rule);

template <TensorCallable F>
auto checkpoint(F f) {
  return [f = std::move(f)](const std::same_as<Tensor> auto&... args) -> Tensor {
    const std::array<Tensor, sizeof...(args)> list{args...};
    return checkpoint(detail::pack<sizeof...(args)>(f))(list)[0];
  };
}

}  // namespace cairn
