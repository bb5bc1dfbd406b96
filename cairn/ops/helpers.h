// What the files of this folder share. Not part of the public interface.
//
// Composites of f16 and bf16 compute in f32 and round once, so that what is made of several
// primitives is as exact as one.
#pragma once

#include <string>
#include <string_view>

#include "cairn/ops/elementwise.h"

namespace cairn::detail {

// Throws Error "[op] what (at file:line)" with the line of the program that called the public
// function.
[[noreturn]] void fail(std::string_view op, const std::string& what);

// The operand as a tensor of real numbers: integers and bool become f32. Throws Error "[op] ..."
// for 8-bit floats.
Tensor as_float(std::string_view op, const Operand& x);

// f32, or f64 for f64.
Tensor widened(const Tensor& x);

// The operands as floats of one type and shape.
std::vector<Tensor> floats_together(std::string_view op, const Operand& x, const Operand& y);

// f on the widened operand, rounded to the operand's type.
template <class F>
Tensor in_wide(std::string_view op, const Operand& x, F f) {
  const Provenance provenance(x.where(), op);
  const Tensor t = as_float(op, x);
  return cast(f(widened(t)), t.dtype());
}
template <class F>
Tensor in_wide(std::string_view op, const Operand& x, const Operand& y, F f) {
  const Provenance provenance(x.where(), op);
  const std::vector<Tensor> t = floats_together(op, x, y);
  return cast(f(widened(t[0]), widened(t[1])), t[0].dtype());
}

}  // namespace cairn::detail
