// Shape and dtype inference: the types of a node's results from its operands and attributes.
#pragma once

#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "cairn/graph/tensor.h"

namespace cairn {

// Throws Error "[op] what, with the shapes (at file:line)" when operands or attributes do not fit.
std::vector<TensorType> infer(Op op, std::span<const Tensor> inputs, const Attrs& attrs);

// Whether a tensor can be so large: no size is negative, and neither a size nor the bytes reach
// 2^62 (so that sums and differences of two sizes fit 64 bits).
bool is_possible(DType dtype, const Shape& shape);

// "model.cpp:12", with the path's last part only.
std::string locate(const std::source_location& location);

// Element type in which a product of `a` and `b` is accumulated and returned when no attribute says
// so: f32 for f32 and smaller, f64 for f64, i32 for integers up to 32 bits, i64 for i64.
DType default_accumulate(DType operand);
DType default_product_dtype(DType a, DType b);

// Whether a convolution with `axes` has its groups last (ops.def).
bool has_groups_last(const Node& convolution);

}  // namespace cairn
