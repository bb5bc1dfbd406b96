// The f32 functions of compiled kernels: one definition each, for every processor.
//
// A function is a template over what it computes with (tile/math_values.h): instructions of a
// kernel, or native numbers. It consists of + - * / and fma, which IEEE 754 defines to the bit,
// selections, and integer operations on the representation; no table in memory and no branch. So a
// kernel gives the same bits on a CPU of any width, on a GPU and in the interpreter. Nothing may be
// contracted, reassociated or flushed to zero.
//
// NaN gives NaN, infinities and zeros are those of IEEE 754 (signs too), and subnormal numbers come
// in and out, rounded once. The errors in units in the last place (measured over every f32; 5 10^7
// pairs of two operands) and the instructions, constants and bit casts apart:
//
//   function  bound  measured  instructions
//   exp       0.95   0.892     22
//   expm1     1.6    1.494     25
//   log       1.0    0.934     27
//   log1p     1.7    1.543     27
//   sin       1.65   1.536     92
//   cos       1.65   1.540     92
//   tanh      1.4    1.340     28
//   logistic  1.75   1.684     31
//   erf       1.3    1.226     33
//   erfc      4.2    4.023     32
//   erf_inv   2.7    2.449     56
//   power     1.0    0.944     116
//   atan2     2.1    1.959     27
//
// Of those of sin and cos, 65 reduce arguments beyond 2^17: a kernel has no branches and computes
// them for every element. On x86, a compare and a select that clamp are one instruction.
//
// The coefficients are from tools/goldens/fit_f32.py; the error beside each polynomial is that of
// the fit, relative to the function's value.
#pragma once

#include <array>

#include "cairn/base/error.h"
#include "cairn/graph/op.h"
#include "cairn/tile/math_error.h"
#include "cairn/tile/math_exp.h"
#include "cairn/tile/math_log.h"
#include "cairn/tile/math_trig.h"

namespace cairn::tile::f32 {

struct Function {
  Op op;
  double bound;  // of the error, in ulp
};
inline constexpr std::array kFunctions = {
    Function{Op::exp, 0.95},  Function{Op::expm1, 1.6},     Function{Op::log, 1.0},
    Function{Op::log1p, 1.7}, Function{Op::sin, 1.65},      Function{Op::cos, 1.65},
    Function{Op::tanh, 1.4},  Function{Op::logistic, 1.75}, Function{Op::erf, 1.3},
    Function{Op::erfc, 4.2},  Function{Op::erf_inv, 2.7},   Function{Op::power, 1.0},
    Function{Op::atan2, 2.1}};

constexpr bool is_function(Op op) {
  for (const Function& f : kFunctions)
    if (f.op == op) return true;
  return false;
}

// The function for the primitive `op`; y is for those of two operands.
template <class V>
V compute(Op op, const V& x, const V& y) {
  switch (op) {
    case Op::exp: return exp(x);
    case Op::expm1: return expm1(x);
    case Op::log: return log(x);
    case Op::log1p: return log1p(x);
    case Op::sin: return sin(x);
    case Op::cos: return cos(x);
    case Op::tanh: return tanh(x);
    case Op::logistic: return logistic(x);
    case Op::erf: return erf(x);
    case Op::erfc: return erfc(x);
    case Op::erf_inv: return erf_inv(x);
    case Op::power: return power(x, y);
    case Op::atan2: return atan2(x, y);
    default: break;
  }
  CAIRN_ASSERT(is_function(op));
  return x;
}

}  // namespace cairn::tile::f32
