// Elementwise primitives as LLVM instructions, on scalars and vectors alike.
//
// What a primitive does to one number is defined by graph/scalar.h; this is the same in machine
// code, bit for bit (the payload and sign of a NaN apart). No fast-math flag is ever set and a
// product and a sum never fuse unless the kernel says fma, so the result does not depend on the
// instruction set.
//
// f16 and bf16 live in registers as f32 that they hold exactly: each primitive computes in f32 and
// rounds. Functions of f64, and those of f32 that tile/expand_math.h does not expand, are calls of
// cairn/base/math.h, element by element.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <span>

#include "cairn/core/dtype.h"
#include "cairn/graph/attributes.h"
#include "cairn/graph/op.h"

namespace cairn::compiler {

class Emitter {
 public:
  explicit Emitter(llvm::Module& module) : module_(module), b(module.getContext()) {}

  // How an element is held in a register and in memory.
  llvm::Type* register_type(DType dtype, unsigned lanes = 0);
  llvm::Type* memory_type(DType dtype, unsigned lanes = 0);
  llvm::Value* from_memory(llvm::Value* value, DType dtype);
  llvm::Value* to_memory(llvm::Value* value, DType dtype);

  llvm::Constant* number(const Number& value, DType dtype);
  llvm::Value* splat(llvm::Value* scalar, unsigned lanes);

  // `from`: the type of the operands (of select: of the values); `to`: of the result.
  llvm::Value* apply(Op op, DType from, DType to, std::span<llvm::Value* const> operands);
  llvm::Value* fma(llvm::Value* x, llvm::Value* y, llvm::Value* z);
  llvm::Value* multiply_high(llvm::Value* x, llvm::Value* y);
  llvm::Value* bitcast(llvm::Value* x, DType from, DType to);
  // As a cast primitive does; of f16 and bf16 to f32 nothing.
  llvm::Value* convert(llvm::Value* x, DType from, DType to) { return cast(from, to, x); }
  // An f32 as f16 or bf16 holds it.
  llvm::Value* round_to(llvm::Value* f32, DType dtype) { return rounded(f32, dtype); }
  llvm::Value* compare_less(DType dtype, llvm::Value* x, llvm::Value* y) {
    return compare(Op::less, dtype, x, y);
  }

 private:
  llvm::Value* apply_float(Op op, llvm::Value* x, llvm::Value* y);
  llvm::Value* apply_integer(Op op, DType dtype, llvm::Value* x, llvm::Value* y);
  llvm::Value* compare(Op op, DType dtype, llvm::Value* x, llvm::Value* y);
  llvm::Value* cast(DType from, DType to, llvm::Value* x);
  // f32 to f32 that f16 or bf16 holds exactly; others as they are.
  llvm::Value* rounded(llvm::Value* x, DType dtype);
  llvm::Value* fenced(llvm::Value* x);
  llvm::Value* round_to_odd(llvm::Value* f64);
  llvm::Value* bfloat_bits(llvm::Value* f32);  // the upper 16 bits as i32, rounded
  llvm::Value* call_per_element(std::string_view function, llvm::Value* x, llvm::Value* y);
  llvm::Value* divide_integer(DType dtype, llvm::Value* x, llvm::Value* y, bool remainder);
  llvm::Value* shift(Op op, DType dtype, llvm::Value* x, llvm::Value* y);
  // The type of x with other elements.
  static llvm::Type* like(llvm::Value* x, llvm::Type* element);
  static llvm::Constant* same(llvm::Value* x, double value);
  static llvm::Constant* same(llvm::Value* x, int64_t value);

  llvm::Module& module_;

 public:
  llvm::IRBuilder<> b;
};

// Addresses of the functions that emitted code calls, by symbol; null for an unknown one.
void* runtime_function(std::string_view symbol);

}  // namespace cairn::compiler
