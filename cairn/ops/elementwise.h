// Elementwise functions of tensors, with NumPy's broadcasting and JAX's promotion.
//
// Names are NumPy's and PyTorch's. Integers given to functions of real numbers become f32.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

// Conversion to `dtype`; x itself when it has it. Float to integer truncates and saturates, NaN gives 0.
Tensor cast(const Tensor& x, DType dtype);

Tensor negate(Operand x);
Tensor abs(Operand x);
Tensor sign(Operand x);
Tensor floor(Operand x);
Tensor ceil(Operand x);
Tensor round(Operand x);  // ties to even
Tensor exp(Operand x);
Tensor expm1(Operand x);
Tensor log(Operand x);
Tensor log1p(Operand x);
Tensor sin(Operand x);
Tensor cos(Operand x);
Tensor tanh(Operand x);
Tensor sigmoid(Operand x);
Tensor sqrt(Operand x);
Tensor erf(Operand x);
Tensor erf_inv(Operand x);
// x, as a constant for derivatives.
Tensor stop_gradient(Operand x);

Tensor add(Operand x, Operand y);
Tensor subtract(Operand x, Operand y);
Tensor multiply(Operand x, Operand y);
// True division: integers become f32 first, as in NumPy.
Tensor divide(Operand x, Operand y);
// Truncating division of integers: x/0 = -1, MIN/-1 = MIN.
Tensor truncate_divide(Operand x, Operand y);
// Sign of x, as C's fmod; integers: x%0 = x.
Tensor fmod(Operand x, Operand y);
Tensor power(Operand x, Operand y);
Tensor atan2(Operand y, Operand x);
Tensor maximum(Operand x, Operand y);
Tensor minimum(Operand x, Operand y);
Tensor bitwise_and(Operand x, Operand y);
Tensor bitwise_or(Operand x, Operand y);
Tensor bitwise_xor(Operand x, Operand y);
Tensor shift_left(Operand x, Operand y);
Tensor shift_right(Operand x, Operand y);

Tensor equal(Operand x, Operand y);
Tensor not_equal(Operand x, Operand y);
Tensor less(Operand x, Operand y);
Tensor less_equal(Operand x, Operand y);
Tensor greater(Operand x, Operand y);
Tensor greater_equal(Operand x, Operand y);
// x where the condition holds, else y.
Tensor where(Operand condition, Operand x, Operand y);

// Literals: std::source_location makes each a 0-d or filled constant of the caller's line.
Tensor full(const Shape& shape, Number value, DType dtype = DType::f32);
Tensor zeros(const Shape& shape, DType dtype = DType::f32);
Tensor ones(const Shape& shape, DType dtype = DType::f32);
// Zeros of x's type and shape, varying as x does.
Tensor zeros_like(const Tensor& x);
Tensor full_like(const Tensor& x, Number value);

inline Tensor operator-(Operand x) { return negate(x); }
inline Tensor operator+(Operand x, Operand y) { return add(x, y); }
inline Tensor operator-(Operand x, Operand y) { return subtract(x, y); }
inline Tensor operator*(Operand x, Operand y) { return multiply(x, y); }
inline Tensor operator/(Operand x, Operand y) { return divide(x, y); }
inline Tensor operator<(Operand x, Operand y) { return less(x, y); }
inline Tensor operator<=(Operand x, Operand y) { return less_equal(x, y); }
inline Tensor operator>(Operand x, Operand y) { return greater(x, y); }
inline Tensor operator>=(Operand x, Operand y) { return greater_equal(x, y); }

}  // namespace cairn
