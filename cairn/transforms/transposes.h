// Transposes of the linear primitives.
//
// An operation with trait `linear` is linear in each differentiable operand. Its transpose with
// respect to an operand maps cotangents of the results to the cotangent of that operand; jvp needs
// no rule of its own, because the tangent of a linear operation is the operation on the tangent.
#pragma once

#include <span>
#include <vector>

#include "cairn/transforms/substitute.h"

namespace cairn::detail {

struct Linear {
  const Node& node;
  const std::vector<Tensor>& inputs;
  // One per result; undefined means zero.
  std::span<const Tensor> cotangents;
  const MeshSizes& meshes;
};

using TransposeRule = Tensor (*)(const Linear& l, int operand);

// Cotangent of an operand; undefined means zero. Throws Error where the table has no rule.
Tensor transpose_rule(const Linear& l, int operand);
bool has_transpose(Op op);

// Tangents of the results from the tangents of the operands (undefined: zero).
std::vector<Tensor> push_linear(const Node& node, const std::vector<Tensor>& inputs,
                                std::span<const Tensor> tangents);

// Products (transposes_products.cpp).
Tensor transpose_matmul(const Linear& l, int operand);
Tensor transpose_grouped_matmul(const Linear& l, int operand);
Tensor transpose_convolution(const Linear& l, int operand);

// A product with one operand replaced by a cotangent or tangent: operands of one element type and a
// result of type `to`. 8-bit floats become f32 first.
Tensor product(Op op, std::vector<Tensor> inputs, Attrs attrs, DType to);

}  // namespace cairn::detail
