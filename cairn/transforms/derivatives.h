// Derivatives of the elementwise primitives.
//
// The Jacobian of an elementwise operation is diagonal, hence its own transpose: one rule per
// operation, "t times d out / d operand", serves vjp and jvp. Rules are built from the same
// operations, so they differentiate again.
//
// Conventions where the function has a kink or a pole:
//   abs'(0) = 0; sign, floor, ceil and round have derivative 0
//   maximum and minimum give each operand half where they are equal (JAX's rule)
//   d x^y / dy is 0 at x = 0, d x^y / dx is 0 at x = y = 0
//   sqrt'(0), log'(0) and erf_inv'(+-1) are inf, so a zero cotangent gives NaN there, as in JAX
//   8-bit floats cannot be added: their tangents and cotangents are f32
#pragma once

#include <span>

#include "cairn/graph/tensor.h"

namespace cairn::detail {

// Type of a tangent or cotangent of a value: its own, but f32 for 8-bit floats.
DType tangent_dtype(DType dtype);
TensorType tangent_type(TensorType type);

struct Elementwise {
  std::span<const Tensor> inputs;
  const Tensor& output;
};

// t * d output / d inputs[operand]; an undefined Tensor stands for zero. `to` is the element type
// that the result must have: the conversion of `cast` depends on the direction.
Tensor times_derivative(const Elementwise& e, int operand, const Tensor& t, DType to);

bool has_derivative(Op op);

}  // namespace cairn::detail
