// Reductions, running sums and ordering. `axes` empty means all; negative axes count from the end.
#pragma once

#include <utility>

#include "cairn/ops/operand.h"

namespace cairn {

// Sums and products of bool, i8, i16 and u8 are i32, here and in cumsum and cumprod.
Tensor sum(Operand x, Ints axes = {}, bool keep_dims = false);
Tensor prod(Operand x, Ints axes = {}, bool keep_dims = false);
// Throws Error when a reduced axis has no elements. NaN wins.
Tensor max(Operand x, Ints axes = {}, bool keep_dims = false);
Tensor min(Operand x, Ints axes = {}, bool keep_dims = false);
// f16 and bf16 are summed in f32; integers give f32, those of 32 and 64 bits computed in f64.
Tensor mean(Operand x, Ints axes = {}, bool keep_dims = false);
// Sum of squared deviations over n - correction (PyTorch's correction = 1 is not the default here;
// NumPy's 0 is). NaN where n is not more than correction.
Tensor variance(Operand x, Ints axes = {}, int correction = 0, bool keep_dims = false);
Tensor standard_deviation(Operand x, Ints axes = {}, int correction = 0, bool keep_dims = false);
Tensor any(Operand x, Ints axes = {}, bool keep_dims = false);
Tensor all(Operand x, Ints axes = {}, bool keep_dims = false);
// bool, 0-d: isclose everywhere.
Tensor allclose(Operand x, Operand y, double relative = 1e-5, double absolute = 1e-8,
                bool equal_nan = false);
// The vector norm of order 1, 2 or inf over axes. Its derivative at a zero vector is 0, as in
// PyTorch.
Tensor norm(Operand x, double order = 2, Ints axes = {}, bool keep_dims = false);
// log(sum(exp(x))) without overflow; -inf of no elements.
Tensor logsumexp(Operand x, Ints axes = {}, bool keep_dims = false);
// i32 index of the first largest (smallest) along `axis`; a NaN counts as such.
Tensor argmax(Operand x, int axis = -1, bool keep_dims = false);
Tensor argmin(Operand x, int axis = -1, bool keep_dims = false);
Tensor cumsum(Operand x, int axis = -1, bool reverse = false);
Tensor cumprod(Operand x, int axis = -1, bool reverse = false);
Tensor cummax(Operand x, int axis = -1, bool reverse = false);
Tensor cummin(Operand x, int axis = -1, bool reverse = false);
// Running logsumexp, each with the largest element so far taken out.
Tensor logcumsumexp(Operand x, int axis = -1, bool reverse = false);

}  // namespace cairn
