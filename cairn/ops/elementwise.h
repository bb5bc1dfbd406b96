// Elementwise functions of tensors, with NumPy's broadcasting and JAX's promotion.
//
// Names are NumPy's and PyTorch's. Integers given to functions of real numbers become f32.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

// Conversion to `dtype`; x itself when it has it. Float to integer truncates and saturates, NaN
// gives 0.
Tensor cast(const Tensor& x, DType dtype);

Tensor negate(Operand x);
Tensor abs(Operand x);
Tensor sign(Operand x);
Tensor floor(Operand x);
Tensor ceil(Operand x);
Tensor trunc(Operand x);  // towards zero
Tensor round(Operand x);  // ties to even
Tensor exp(Operand x);
Tensor exp2(Operand x);
Tensor expm1(Operand x);
Tensor log(Operand x);
Tensor log2(Operand x);   // a whole number for each power of two,
Tensor log10(Operand x);  // and of ten
Tensor log1p(Operand x);
Tensor sin(Operand x);
Tensor cos(Operand x);
Tensor tan(Operand x);
Tensor asin(Operand x);  // NaN outside [-1, 1], as acos and atanh
Tensor acos(Operand x);
Tensor atan(Operand x);
Tensor sinh(Operand x);
Tensor cosh(Operand x);
Tensor tanh(Operand x);
Tensor asinh(Operand x);
Tensor acosh(Operand x);  // NaN below 1
Tensor atanh(Operand x);
Tensor sigmoid(Operand x);
Tensor sqrt(Operand x);
Tensor rsqrt(Operand x);
Tensor square(Operand x);
Tensor reciprocal(Operand x);
Tensor erf(Operand x);
Tensor erfc(Operand x);  // 1 - erf(x), accurate in the tail
Tensor erf_inv(Operand x);
// The normal distribution's quantile, sqrt(2) erf_inv(2p - 1) in f64: p below 2^-54 counts as 0.
// NaN outside [0, 1].
Tensor ndtri(Operand p);
// x, as a constant for derivatives.
Tensor stop_gradient(Operand x);

Tensor add(Operand x, Operand y);
Tensor subtract(Operand x, Operand y);
Tensor multiply(Operand x, Operand y);
// True division: integers become f32 first, as in NumPy.
Tensor divide(Operand x, Operand y);
// The quotient towards zero; integers: x/0 = -1, MIN/-1 = MIN.
Tensor truncate_divide(Operand x, Operand y);
// The quotient towards -inf, as Python's //; integers: x/0 = -1, MIN/-1 = MIN.
Tensor floor_divide(Operand x, Operand y);
// Sign of x, as C's fmod; integers: x%0 = x.
Tensor fmod(Operand x, Operand y);
// Sign of y, as Python's %; integers: x%0 = x.
Tensor remainder(Operand x, Operand y);
// x^y; two integers give an integer, which wraps.
Tensor power(Operand x, Operand y);
Tensor atan2(Operand y, Operand x);
// sqrt(x^2 + y^2) without overflow between; inf when either is infinite.
Tensor hypot(Operand x, Operand y);
// log(e^x + e^y) without overflow.
Tensor logaddexp(Operand x, Operand y);
Tensor maximum(Operand x, Operand y);
Tensor minimum(Operand x, Operand y);
Tensor bitwise_and(Operand x, Operand y);
Tensor bitwise_or(Operand x, Operand y);
Tensor bitwise_xor(Operand x, Operand y);
Tensor bitwise_not(Operand x);
Tensor shift_left(Operand x, Operand y);
Tensor shift_right(Operand x, Operand y);
// Of whether operands are not zero; bool.
Tensor logical_and(Operand x, Operand y);
Tensor logical_or(Operand x, Operand y);
Tensor logical_xor(Operand x, Operand y);
Tensor logical_not(Operand x);

Tensor equal(Operand x, Operand y);
Tensor not_equal(Operand x, Operand y);
Tensor less(Operand x, Operand y);
Tensor less_equal(Operand x, Operand y);
Tensor greater(Operand x, Operand y);
Tensor greater_equal(Operand x, Operand y);
// bool; integers are finite.
Tensor isnan(Operand x);
Tensor isinf(Operand x);
Tensor isfinite(Operand x);
// |x - y| <= absolute + relative |y|, and equal infinities; two NaN only if equal_nan.
Tensor isclose(Operand x, Operand y, double relative = 1e-5, double absolute = 1e-8,
               bool equal_nan = false);
// x where the condition holds, else y.
Tensor where(Operand condition, Operand x, Operand y);

// One number everywhere.
Tensor full(const Shape& shape, Number value, DType dtype = DType::f32,
            const std::source_location& where = std::source_location::current());
Tensor zeros(const Shape& shape, DType dtype = DType::f32,
             const std::source_location& where = std::source_location::current());
Tensor ones(const Shape& shape, DType dtype = DType::f32,
            const std::source_location& where = std::source_location::current());
// Zeros of x's type and shape, varying as x does.
Tensor zeros_like(const Tensor& x,
                  const std::source_location& where = std::source_location::current());
Tensor full_like(const Tensor& x, Number value,
                 const std::source_location& where = std::source_location::current());

inline Tensor operator-(Operand x) { return negate(x); }
inline Tensor operator+(Operand x, Operand y) { return add(x, y); }
inline Tensor operator-(Operand x, Operand y) { return subtract(x, y); }
inline Tensor operator*(Operand x, Operand y) { return multiply(x, y); }
inline Tensor operator/(Operand x, Operand y) { return divide(x, y); }
inline Tensor operator%(Operand x, Operand y) { return remainder(x, y); }
inline Tensor operator&(Operand x, Operand y) { return bitwise_and(x, y); }
inline Tensor operator|(Operand x, Operand y) { return bitwise_or(x, y); }
inline Tensor operator^(Operand x, Operand y) { return bitwise_xor(x, y); }
inline Tensor operator~(Operand x) { return bitwise_not(x); }
inline Tensor operator!(Operand x) { return logical_not(x); }
inline Tensor operator<<(Operand x, Operand y) { return shift_left(x, y); }
inline Tensor operator>>(Operand x, Operand y) { return shift_right(x, y); }
// The handle becomes one on the result; no node changes.
inline Tensor& operator+=(Tensor& x, Operand y) { return x = x + y; }
inline Tensor& operator-=(Tensor& x, Operand y) { return x = x - y; }
inline Tensor& operator*=(Tensor& x, Operand y) { return x = x * y; }
inline Tensor& operator/=(Tensor& x, Operand y) { return x = x / y; }
// Elementwise too: whether two handles are one node's is same(x, y).
inline Tensor operator==(Operand x, Operand y) { return equal(x, y); }
inline Tensor operator!=(Operand x, Operand y) { return not_equal(x, y); }
inline Tensor operator<(Operand x, Operand y) { return less(x, y); }
inline Tensor operator<=(Operand x, Operand y) { return less_equal(x, y); }
inline Tensor operator>(Operand x, Operand y) { return greater(x, y); }
inline Tensor operator>=(Operand x, Operand y) { return greater_equal(x, y); }

}  // namespace cairn
