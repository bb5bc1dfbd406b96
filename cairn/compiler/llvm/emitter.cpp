#include "cairn/compiler/llvm/emitter.h"

#include <fmt/format.h>
#include <llvm/IR/Intrinsics.h>

#include <cmath>
#include <cstring>

#include "cairn/base/error.h"
#include "cairn/base/math.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/scalar.h"

namespace cairn::compiler {

using llvm::Intrinsic::ID;
namespace intrinsic = llvm::Intrinsic;
using LlvmType = llvm::Type;
using llvm::Value;

namespace {

unsigned lanes_of(const Value* x) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  return vector ? vector->getNumElements() : 0;
}

LlvmType* vector_or_scalar(LlvmType* element, unsigned lanes) {
  return lanes ? llvm::FixedVectorType::get(element, lanes) : element;
}

bool is_16_bit_float(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

bool is_right_in_f16(Op op) {
  switch (op) {
    case Op::negate:
    case Op::abs:
    case Op::add:
    case Op::subtract:
    case Op::multiply:
    case Op::divide:
    case Op::select:
    case Op::stop_gradient: return true;
    default: return false;
  }
}

}  // namespace

LlvmType* Emitter::like(Value* x, LlvmType* element) {
  return vector_or_scalar(element, lanes_of(x));
}
llvm::Constant* Emitter::same(Value* x, double value) {
  return llvm::ConstantFP::get(x->getType(), value);
}
llvm::Constant* Emitter::same(Value* x, int64_t value) {
  return llvm::ConstantInt::get(x->getType(), static_cast<uint64_t>(value), true);
}

LlvmType* Emitter::register_type(DType dtype, unsigned lanes) {
  switch (dtype) {
    case DType::f64: return vector_or_scalar(b.getDoubleTy(), lanes);
    case DType::f32:
    case DType::f16:
    case DType::bf16: return vector_or_scalar(b.getFloatTy(), lanes);
    case DType::b8: return vector_or_scalar(b.getInt1Ty(), lanes);
    case DType::f8e4m3:
    case DType::f8e5m2:
      throw_error(fmt::format("the compiler has no registers of {}", name(dtype)));
    default: return vector_or_scalar(b.getIntNTy(8 * static_cast<unsigned>(size_of(dtype))), lanes);
  }
}

LlvmType* Emitter::memory_type(DType dtype, unsigned lanes) {
  switch (dtype) {
    case DType::f16: return vector_or_scalar(b.getHalfTy(), lanes);
    case DType::bf16: return vector_or_scalar(b.getInt16Ty(), lanes);
    case DType::b8: return vector_or_scalar(b.getInt8Ty(), lanes);
    default: return register_type(dtype, lanes);
  }
}

Value* Emitter::from_memory(Value* value, DType dtype) {
  switch (dtype) {
    case DType::f16: return b.CreateFPExt(value, like(value, b.getFloatTy()));
    case DType::bf16: {
      Value* wide = b.CreateZExt(value, like(value, b.getInt32Ty()));
      return b.CreateBitCast(b.CreateShl(wide, 16), like(value, b.getFloatTy()));
    }
    case DType::b8: return b.CreateICmpNE(value, same(value, int64_t{0}));
    default: return value;
  }
}

Value* Emitter::to_memory(Value* value, DType dtype) {
  switch (dtype) {
    case DType::f16: return b.CreateFPTrunc(value, like(value, b.getHalfTy()));
    case DType::bf16: {
      Value* bits = b.CreateBitCast(value, like(value, b.getInt32Ty()));
      return b.CreateTrunc(b.CreateLShr(bits, 16), like(value, b.getInt16Ty()));
    }
    case DType::b8: return b.CreateZExt(value, like(value, b.getInt8Ty()));
    default: return value;
  }
}

llvm::Constant* Emitter::number(const Number& value, DType dtype) {
  LlvmType* type = register_type(dtype);
  if (dtype == DType::b8) return llvm::ConstantInt::getBool(type, value.as_double() != 0);
  if (is_float(dtype)) {
    // Rounded as the interpreter does when it makes a tile of the number.
    double x = value.as_double();
    if (dtype == DType::f16) x = static_cast<float>(Float16(static_cast<float>(x)));
    if (dtype == DType::bf16) x = static_cast<float>(BFloat16(static_cast<float>(x)));
    if (dtype != DType::f64) x = static_cast<float>(x);
    return llvm::ConstantFP::get(type, x);
  }
  return llvm::ConstantInt::get(type, static_cast<uint64_t>(value.as_integer()), true);
}

Value* Emitter::splat(Value* scalar, unsigned lanes) { return b.CreateVectorSplat(lanes, scalar); }

Value* Emitter::bfloat_bits(Value* f32) {
  Value* bits = b.CreateBitCast(f32, like(f32, b.getInt32Ty()));
  Value* high = b.CreateLShr(bits, 16);
  Value* odd = b.CreateAnd(high, same(bits, int64_t{1}));
  Value* sum = b.CreateAdd(bits, b.CreateAdd(odd, same(bits, int64_t{0x7fff})));
  Value* quiet = b.CreateOr(high, same(bits, int64_t{0x40}));
  return b.CreateSelect(b.CreateFCmpUNO(f32, f32), quiet, b.CreateLShr(sum, 16));
}

Value* Emitter::rounded(Value* x, DType dtype) {
  if (dtype == DType::f16)
    return b.CreateFPExt(b.CreateFPTrunc(x, like(x, b.getHalfTy())), x->getType());
  if (dtype == DType::bf16) return b.CreateBitCast(b.CreateShl(bfloat_bits(x), 16), x->getType());
  return x;
}

// The float on the side of zero of a double that is not one, with its last bit set: rounding it
// again to 16 bits is then as if the double had been rounded once (as cast_element does).
Value* Emitter::round_to_odd(Value* f64) {
  Value* nearest = b.CreateFPTrunc(f64, like(f64, b.getFloatTy()));
  Value* back = b.CreateFPExt(nearest, f64->getType());
  Value* bits = b.CreateBitCast(nearest, like(f64, b.getInt32Ty()));
  Value* away = b.CreateFCmpOGT(b.CreateUnaryIntrinsic(intrinsic::fabs, back),
                                b.CreateUnaryIntrinsic(intrinsic::fabs, f64));
  Value* lower = b.CreateSub(bits, b.CreateZExt(away, bits->getType()));
  Value* odd = b.CreateBitCast(b.CreateOr(lower, same(bits, int64_t{1})), nearest->getType());
  Value* infinite =
      b.CreateFCmpOEQ(b.CreateUnaryIntrinsic(intrinsic::fabs, nearest), same(nearest, HUGE_VAL));
  Value* exact = b.CreateOr(b.CreateFCmpUEQ(back, f64), infinite);
  return b.CreateSelect(exact, nearest, odd);
}

Value* Emitter::call_per_element(std::string_view function, Value* x, Value* y) {
  LlvmType* f64 = b.getDoubleTy();
  const bool binary = y != nullptr;
  auto* type = binary ? llvm::FunctionType::get(f64, {f64, f64}, false)
                      : llvm::FunctionType::get(f64, {f64}, false);
  llvm::FunctionCallee callee = module_.getOrInsertFunction("cairn_" + std::string(function), type);
  llvm::cast<llvm::Function>(callee.getCallee())->setMemoryEffects(llvm::MemoryEffects::none());
  const auto one = [&](Value* a, Value* c) -> Value* {
    LlvmType* element = a->getType();
    std::vector<Value*> operands = {b.CreateFPExt(a, f64)};
    if (binary) operands.push_back(b.CreateFPExt(c, f64));
    return b.CreateFPTrunc(b.CreateCall(callee, operands), element);
  };
  const unsigned lanes = lanes_of(x);
  if (!lanes) return one(x, y);
  Value* result = llvm::PoisonValue::get(x->getType());
  for (unsigned i = 0; i < lanes; ++i)
    result = b.CreateInsertElement(
        result, one(b.CreateExtractElement(x, i), binary ? b.CreateExtractElement(y, i) : nullptr),
        i);
  return result;
}

Value* Emitter::apply_float(Op op, Value* x, Value* y) {
  switch (op) {
    case Op::negate: return b.CreateFNeg(x);
    case Op::abs: return b.CreateUnaryIntrinsic(intrinsic::fabs, x);
    case Op::sign: {
      Value* below = b.CreateSelect(b.CreateFCmpOLT(x, same(x, 0.0)), same(x, -1.0), x);
      return b.CreateSelect(b.CreateFCmpOGT(x, same(x, 0.0)), same(x, 1.0), below);
    }
    case Op::floor: return b.CreateUnaryIntrinsic(intrinsic::floor, x);
    case Op::ceil: return b.CreateUnaryIntrinsic(intrinsic::ceil, x);
    case Op::round: return b.CreateUnaryIntrinsic(intrinsic::roundeven, x);
    case Op::sqrt: return b.CreateUnaryIntrinsic(intrinsic::sqrt, x);
    case Op::add: return b.CreateFAdd(x, y);
    case Op::subtract: return b.CreateFSub(x, y);
    case Op::multiply: return b.CreateFMul(x, y);
    case Op::divide: return b.CreateFDiv(x, y);
    case Op::maximum: return b.CreateBinaryIntrinsic(intrinsic::maximum, x, y);
    case Op::minimum: return b.CreateBinaryIntrinsic(intrinsic::minimum, x, y);
    default: return call_per_element(name(op), x, y);
  }
}

Value* Emitter::divide_integer(DType dtype, Value* x, Value* y, bool remainder) {
  const bool is_signed = cairn::is_signed(dtype);
  Value* zero = b.CreateICmpEQ(y, same(y, int64_t{0}));
  Value* bad = zero;
  Value* minus_one = nullptr;
  if (is_signed) {
    minus_one = b.CreateICmpEQ(y, same(y, int64_t{-1}));
    bad = b.CreateOr(zero, minus_one);
  }
  Value* safe = b.CreateSelect(bad, same(y, int64_t{1}), y);
  Value* result = remainder ? (is_signed ? b.CreateSRem(x, safe) : b.CreateURem(x, safe))
                            : (is_signed ? b.CreateSDiv(x, safe) : b.CreateUDiv(x, safe));
  if (is_signed)
    result = b.CreateSelect(minus_one, remainder ? same(x, int64_t{0}) : b.CreateNeg(x), result);
  return b.CreateSelect(zero, remainder ? x : same(x, int64_t{-1}), result);
}

Value* Emitter::shift(Op op, DType dtype, Value* x, Value* y) {
  const int64_t bits = 8 * static_cast<int64_t>(size_of(dtype));
  // A negative distance is a large one.
  Value* past = b.CreateICmpUGE(y, same(y, bits));
  Value* safe = b.CreateSelect(past, same(y, int64_t{0}), y);
  if (op == Op::shift_left) return b.CreateSelect(past, same(x, int64_t{0}), b.CreateShl(x, safe));
  if (!is_signed(dtype)) return b.CreateSelect(past, same(x, int64_t{0}), b.CreateLShr(x, safe));
  return b.CreateSelect(past, b.CreateAShr(x, same(x, bits - 1)), b.CreateAShr(x, safe));
}

Value* Emitter::apply_integer(Op op, DType dtype, Value* x, Value* y) {
  const bool is_signed = cairn::is_signed(dtype);
  switch (op) {
    case Op::negate: return b.CreateNeg(x);
    case Op::abs:
      return is_signed ? b.CreateSelect(b.CreateICmpSLT(x, same(x, int64_t{0})), b.CreateNeg(x), x)
                       : x;
    case Op::sign: {
      Value* positive = b.CreateZExt(b.CreateICmpNE(x, same(x, int64_t{0})), x->getType());
      return is_signed ? b.CreateSelect(b.CreateICmpSLT(x, same(x, int64_t{0})),
                                        same(x, int64_t{-1}), positive)
                       : positive;
    }
    case Op::add: return b.CreateAdd(x, y);
    case Op::subtract: return b.CreateSub(x, y);
    case Op::multiply: return b.CreateMul(x, y);
    case Op::divide: return divide_integer(dtype, x, y, false);
    case Op::remainder: return divide_integer(dtype, x, y, true);
    case Op::maximum:
      return b.CreateBinaryIntrinsic(is_signed ? intrinsic::smax : intrinsic::umax, x, y);
    case Op::minimum:
      return b.CreateBinaryIntrinsic(is_signed ? intrinsic::smin : intrinsic::umin, x, y);
    case Op::bitwise_and: return b.CreateAnd(x, y);
    case Op::bitwise_or: return b.CreateOr(x, y);
    case Op::bitwise_xor: return b.CreateXor(x, y);
    case Op::shift_left:
    case Op::shift_right: return shift(op, dtype, x, y);
    default: throw_error(fmt::format("the compiler has no {} of {}", name(op), name(dtype)));
  }
}

Value* Emitter::compare(Op op, DType dtype, Value* x, Value* y) {
  if (is_float(dtype)) {
    if (op == Op::equal) return b.CreateFCmpOEQ(x, y);
    return op == Op::less ? b.CreateFCmpOLT(x, y) : b.CreateFCmpOLE(x, y);
  }
  if (op == Op::equal) return b.CreateICmpEQ(x, y);
  if (is_signed(dtype)) return op == Op::less ? b.CreateICmpSLT(x, y) : b.CreateICmpSLE(x, y);
  return op == Op::less ? b.CreateICmpULT(x, y) : b.CreateICmpULE(x, y);
}

Value* Emitter::cast(DType from, DType to, Value* x) {
  if (from == to) return x;
  const bool float_from = is_float(from);
  if (to == DType::b8)
    return float_from ? b.CreateFCmpUNE(x, same(x, 0.0)) : b.CreateICmpNE(x, same(x, int64_t{0}));
  LlvmType* type = like(x, register_type(to));
  if (!is_float(to)) {
    if (float_from)  // saturates, NaN gives 0
      return b.CreateIntrinsic(is_unsigned(to) ? intrinsic::fptoui_sat : intrinsic::fptosi_sat,
                               {type, x->getType()}, {x});
    return b.CreateIntCast(x, type, is_signed(from));
  }
  if (!float_from) {
    const auto to_float = [&](LlvmType* wanted) {
      return is_signed(from) ? b.CreateSIToFP(x, wanted) : b.CreateUIToFP(x, wanted);
    };
    if (is_16_bit_float(to) && size_of(from) == 4)
      return rounded(round_to_odd(to_float(like(x, b.getDoubleTy()))), to);
    return rounded(to_float(type), to);
  }
  if (from == DType::f64 && is_16_bit_float(to)) return rounded(round_to_odd(x), to);
  return rounded(b.CreateFPCast(x, type), to);
}

// LLVM computes what stands between conversions from f16 and back in f16. Sums and products of
// vectors come out of that as they were; a comparison is done lane by lane (without AVX512-FP16),
// and the maximum of NaN and +0 is +0 then (LLVM 19, x86). It does not look through this. GPUs do
// without: AMD's code generator fails on a fence around a number that all threads share.
Value* Emitter::fenced(Value* x) {
  if (!llvm::StringRef(module_.getTargetTriple()).starts_with("x86_64")) return x;
  return b.CreateIntrinsic(intrinsic::arithmetic_fence, {x->getType()}, {x});
}

Value* Emitter::apply(Op op, DType from, DType to, std::span<Value* const> given) {
  std::vector<Value*> operands(given.begin(), given.end());
  if (from == DType::f16 && !is_right_in_f16(op))
    for (Value*& x : operands)
      if (x->getType()->isFPOrFPVectorTy()) x = fenced(x);
  switch (op) {
    case Op::cast: return cast(from, to, operands[0]);
    case Op::stop_gradient: return operands[0];
    case Op::select: return b.CreateSelect(operands[0], operands[1], operands[2]);
    case Op::equal:
    case Op::less:
    case Op::less_equal: return compare(op, from, operands[0], operands[1]);
    default: break;
  }
  Value* y = operands.size() > 1 ? operands[1] : nullptr;
  return is_float(from) ? rounded(apply_float(op, operands[0], y), from)
                        : apply_integer(op, from, operands[0], y);
}

Value* Emitter::fma(Value* x, Value* y, Value* z) {
  return b.CreateIntrinsic(intrinsic::fma, {x->getType()}, {x, y, z});
}

Value* Emitter::multiply_high(Value* x, Value* y) {
  LlvmType* wide = like(x, b.getInt64Ty());
  Value* product = b.CreateMul(b.CreateZExt(x, wide), b.CreateZExt(y, wide));
  return b.CreateTrunc(b.CreateLShr(product, 32), x->getType());
}

Value* Emitter::bitcast(Value* x, DType from, DType to) {
  if (is_16_bit_float(from) || is_16_bit_float(to))
    return from_memory(b.CreateBitCast(to_memory(x, from), like(x, memory_type(to))), to);
  return b.CreateBitCast(x, like(x, register_type(to)));
}

void* runtime_function(std::string_view symbol) {
  using Unary = double (*)(double);
  using Binary = double (*)(double, double);
  const auto unary = [](Unary f) { return reinterpret_cast<void*>(f); };
  const auto binary = [](Binary f) { return reinterpret_cast<void*>(f); };
  // What LLVM calls to copy and to clear.
  if (symbol == "memcpy") return reinterpret_cast<void*>(std::memcpy);
  if (symbol == "memset") return reinterpret_cast<void*>(std::memset);
  if (!symbol.starts_with("cairn_")) return nullptr;
  const std::optional<Op> op = parse_op(symbol.substr(6));
  if (!op) return nullptr;
  switch (*op) {
    case Op::exp: return unary(math::exp);
    case Op::expm1: return unary(math::expm1);
    case Op::log: return unary(math::log);
    case Op::log1p: return unary(math::log1p);
    case Op::sin: return unary(math::sin);
    case Op::cos: return unary(math::cos);
    case Op::tanh: return unary(math::tanh);
    case Op::logistic: return unary(math::logistic);
    case Op::erf: return unary(math::erf);
    case Op::erfc: return unary(math::erfc);
    case Op::erf_inv: return unary(math::erf_inv);
    case Op::power: return binary(math::pow);
    case Op::atan2: return binary(math::atan2);
    case Op::remainder: return binary(math::fmod);
    default: return nullptr;
  }
}

}  // namespace cairn::compiler

namespace cairn {

bool can_lower(Op op, DType from, DType to) {
  if (is_float8(from) || is_float8(to)) return false;
  // Rounded to odd by way of f64, which does not hold an i64.
  if (op == Op::cast) return !(from == DType::i64 && compiler::is_16_bit_float(to));
  return !(op == Op::power && !is_float(from)) && info(op).trait == Trait::elementwise;
}

}  // namespace cairn
