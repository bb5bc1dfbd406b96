// Values of a tile kernel at the coordinates of a pack.
#include <fmt/format.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using llvm::BasicBlock;
using tile::TileOp;

bool is_constant(const llvm::Value* v, int64_t number) {
  const auto* constant = llvm::dyn_cast_or_null<llvm::ConstantInt>(v);
  return constant && constant->getSExtValue() == number;
}

bool is_true(const Lanes& x) {
  return x.is_uniform() && llvm::isa<llvm::ConstantInt>(x.value) &&
         llvm::cast<llvm::ConstantInt>(x.value)->isOne();
}

Lanes CpuFunction::evaluate(ValueId v, const Coordinates& at) {
  if (type(v).shape.rank() == 0) return Lanes::uniform(scalar(v));
  const auto key = std::pair(v, at);
  if (const auto found = memo_.find(key); found != memo_.end()) return found->second;
  const auto held = stored_.find(v);
  const llvm::DebugLoc before = b_.getCurrentDebugLocation();
  if (lines_ && held == stored_.end()) lines_->set(b_, definition(v)->where);
  const Lanes result = held != stored_.end() ? read(held->second, at) : compute(*definition(v), at);
  if (lines_) b_.SetCurrentDebugLocation(before);
  memo_[key] = result;
  return result;
}

// Where an operand of a movement is read for the result to be there.
Coordinates CpuFunction::operand_coordinates(const Instruction& in, const Coordinates& at) {
  const Shape& from = type(in.operands[0]).shape;
  switch (in.op) {
    case TileOp::broadcast: {
      Coordinates result = at;
      for (int i = 0; i < from.rank(); ++i)
        if (from[i] == 1) result[static_cast<size_t>(i)] = Lanes::uniform(i64(0));
      return result;
    }
    case TileOp::transpose: {
      Coordinates result(at.size());
      for (int i = 0; i < from.rank(); ++i)
        result[static_cast<size_t>(in.axes[i])] = at[static_cast<size_t>(i)];
      return result;
    }
    default: return reshaped(in, at);
  }
}
Coordinates CpuFunction::reshaped(const Instruction& in, const Coordinates& at) {
  const Shape& from = type(in.operands[0]).shape;
  const Shape& to = type(in.results[0]).shape;
  // Axes of size 1 come and go; the others stay as they are, or the linear index is cut up again.
  std::vector<int> from_axes, to_axes;
  for (int i = 0; i < from.rank(); ++i)
    if (from[i] != 1) from_axes.push_back(i);
  for (int i = 0; i < to.rank(); ++i)
    if (to[i] != 1) to_axes.push_back(i);
  Coordinates result(static_cast<size_t>(from.rank()), Lanes::uniform(i64(0)));
  bool same = from_axes.size() == to_axes.size();
  for (size_t i = 0; same && i < from_axes.size(); ++i) same = from[from_axes[i]] == to[to_axes[i]];
  if (same) {
    for (size_t i = 0; i < from_axes.size(); ++i)
      result[static_cast<size_t>(from_axes[i])] = at[static_cast<size_t>(to_axes[i])];
    return result;
  }
  Lanes linear = Lanes::uniform(i64(0));
  for (int i = 0; i < to.rank(); ++i) {
    linear = arithmetic(Op::multiply, linear, Lanes::uniform(i64(to[i])));
    linear = arithmetic(Op::add, linear, at[static_cast<size_t>(i)]);
  }
  for (int i = from.rank(); i-- > 0;) {
    const Lanes size = Lanes::uniform(i64(from[i]));
    result[static_cast<size_t>(i)] = i ? arithmetic(Op::remainder, linear, size) : linear;
    linear = arithmetic(Op::divide, linear, size);
  }
  return result;
}

// Of indices, i64; remainder and divide of non-negative ones.
Lanes CpuFunction::arithmetic(Op op, const Lanes& x, const Lanes& y) {
  if (const auto affine = affine_result(op, x, y)) return *affine;
  const bool uniform = x.is_uniform() && y.is_uniform();
  llvm::Value* a = uniform ? x.value : as_vector(x);
  llvm::Value* c = uniform ? y.value : as_vector(y);
  llvm::Value* r = op == Op::add        ? b_.CreateAdd(a, c)
                   : op == Op::multiply ? b_.CreateMul(a, c)
                   : op == Op::divide   ? b_.CreateUDiv(a, c)
                                        : b_.CreateURem(a, c);
  return uniform ? Lanes::uniform(r) : Lanes::vector(r);
}
// base + stride * lane stays so under sums, differences and products with one number.
std::optional<Lanes> CpuFunction::affine_result(Op op, const Lanes& x, const Lanes& y) {
  using Kind = Lanes::Kind;
  if (x.kind == Kind::vector || y.kind == Kind::vector || (x.is_uniform() && y.is_uniform()))
    return std::nullopt;
  llvm::Value* zero = llvm::ConstantInt::get(x.value->getType(), 0);
  llvm::Value* stride_x = x.is_uniform() ? zero : x.stride;
  llvm::Value* stride_y = y.is_uniform() ? zero : y.stride;
  switch (op) {
    case Op::add:
      return Lanes::affine(b_.CreateAdd(x.value, y.value), b_.CreateAdd(stride_x, stride_y));
    case Op::subtract:
      return Lanes::affine(b_.CreateSub(x.value, y.value), b_.CreateSub(stride_x, stride_y));
    case Op::multiply:
      if (!x.is_uniform() && !y.is_uniform()) return std::nullopt;
      return Lanes::affine(b_.CreateMul(x.value, y.value), x.is_uniform()
                                                               ? b_.CreateMul(x.value, stride_y)
                                                               : b_.CreateMul(stride_x, y.value));
    default: return std::nullopt;
  }
}
llvm::Value* CpuFunction::as_vector(const Lanes& x) {
  if (x.kind == Lanes::Kind::vector) return x.value;
  llvm::Value* base = emitter_.splat(x.value, lanes_);
  if (x.is_uniform()) return base;
  llvm::Value* numbers = lane_numbers(x.value->getType());
  if (!is_constant(x.stride, 1)) numbers = b_.CreateMul(numbers, emitter_.splat(x.stride, lanes_));
  return b_.CreateAdd(base, numbers);
}
Lanes CpuFunction::both(const Lanes& x, const Lanes& y) {
  if (is_true(x)) return y;
  if (is_true(y)) return x;
  if (x.value == y.value) return x;
  if (x.is_uniform() && y.is_uniform()) return Lanes::uniform(b_.CreateAnd(x.value, y.value));
  return Lanes::vector(b_.CreateAnd(as_vector(x), as_vector(y)));
}
Lanes CpuFunction::compute(const Instruction& in, const Coordinates& at) {
  switch (in.op) {
    case TileOp::program_id: return Lanes::uniform(program_[static_cast<size_t>(in.axis)]);
    case TileOp::constant:
      return Lanes::uniform(emitter_.number(in.value, type(in.results[0]).dtype));
    case TileOp::arange: {
      Lanes index = at[0];
      if (type(in.results[0]).dtype == DType::i64) return index;
      llvm::Type* i32 = b_.getInt32Ty();
      if (index.kind == Lanes::Kind::vector)
        return Lanes::vector(b_.CreateTrunc(index.value, llvm::FixedVectorType::get(i32, lanes_)));
      index.value = b_.CreateTrunc(index.value, i32);
      if (index.stride) index.stride = b_.CreateTrunc(index.stride, i32);
      return index;
    }
    case TileOp::broadcast:
    case TileOp::reshape:
    case TileOp::transpose: return evaluate(in.operands[0], operand_coordinates(in, at));
    case TileOp::load: return load(in, at);
    case TileOp::apply:
    case TileOp::fma:
    case TileOp::multiply_high:
    case TileOp::bitcast: return elementwise(in, at);
    case TileOp::lookup: return lookup(in, at);
    default: unsupported(in, "is not lowered yet");
  }
}

Lanes CpuFunction::elementwise(const Instruction& in, const Coordinates& at) {
  std::vector<Lanes> operands;
  bool uniform = true;
  for (ValueId v : in.operands) {
    operands.push_back(evaluate(v, at));
    uniform &= operands.back().is_uniform();
  }
  const DType to = type(in.results[0]).dtype;
  if (in.op == TileOp::apply && operands.size() == 2 && to == DType::i64)
    if (const auto affine = affine_result(in.scalar, operands[0], operands[1])) return *affine;
  // Conjunctions of masks that are known to hold.
  if (in.op == TileOp::apply && in.scalar == Op::bitwise_and && to == DType::b8)
    return both(operands[0], operands[1]);
  std::vector<llvm::Value*> values;
  for (const Lanes& x : operands) values.push_back(uniform ? x.value : as_vector(x));
  const DType from = type(in.operands.back()).dtype;
  llvm::Value* result = nullptr;
  switch (in.op) {
    case TileOp::fma: result = emitter_.fma(values[0], values[1], values[2]); break;
    case TileOp::multiply_high: result = emitter_.multiply_high(values[0], values[1]); break;
    case TileOp::bitcast: result = emitter_.bitcast(values[0], from, to); break;
    default:
      if (!can_lower(in.scalar, from, to))
        unsupported(in, fmt::format("has no lowering from {} to {}", name(from), name(to)));
      result = emitter_.apply(in.scalar, from, to, values);
  }
  return uniform ? Lanes::uniform(result) : Lanes::vector(result);
}

// Each 16 bytes of a register are looked up in a table of their own, which is the same in all.
Lanes CpuFunction::lookup(const Instruction& in, const Coordinates& at) {
  llvm::Value* words = as_vector(evaluate(in.operands[0], at));
  std::vector<llvm::Value*> parts;
  for (size_t i = 1; i < in.operands.size(); ++i) {
    const Lanes part = evaluate(in.operands[i], at);
    if (!part.is_uniform()) unsupported(in, "takes one table for all elements");
    parts.push_back(part.value);
  }
  llvm::Value* table = llvm::PoisonValue::get(pack_type());
  for (unsigned lane = 0; lane < lanes_; ++lane)
    table = b_.CreateInsertElement(table, parts[lane % parts.size()], b_.getInt32(lane));
  auto* bytes = llvm::FixedVectorType::get(b_.getInt8Ty(), 4 * lanes_);
  llvm::Value* found = b_.CreateIntrinsic(
      lanes_ == 16 ? llvm::Intrinsic::x86_avx512_pshuf_b_512 : llvm::Intrinsic::x86_avx2_pshuf_b,
      {}, {b_.CreateBitCast(table, bytes), b_.CreateBitCast(words, bytes)});
  return Lanes::vector(b_.CreateBitCast(found, pack_type()));
}

// --- memory -----------------------------------------------------------------------------------

llvm::Value* CpuFunction::address(const Instruction& in, llvm::Value* offset) {
  const tile::Parameter& p = kernel_.parameters[static_cast<size_t>(in.parameter)];
  return b_.CreateGEP(emitter_.memory_type(p.dtype), buffers_[static_cast<size_t>(in.parameter)],
                      widened(offset));
}
llvm::Value* CpuFunction::widened(llvm::Value* offset) {
  llvm::Type* i64 = b_.getInt64Ty();
  if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(offset->getType()))
    i64 = llvm::FixedVectorType::get(i64, vector->getNumElements());
  return b_.CreateSExt(offset, i64);
}

Lanes CpuFunction::load(const Instruction& in, const Coordinates& at) {
  const DType dtype = type(in.results[0]).dtype;
  const Lanes offset = evaluate(in.operands[0], at);
  Lanes mask = in.operands.size() > 1 ? evaluate(in.operands[1], at) : Lanes::uniform(b_.getTrue());
  // Lanes behind the end of the tile may lie outside of the buffer.
  if (tail_ && !(offset.is_uniform() && mask.is_uniform())) mask = both(mask, Lanes::vector(tail_));
  const bool contiguous = offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 1);
  if (offset.is_uniform() && mask.is_uniform()) {
    const Lanes other = in.operands.size() > 2 && !is_true(mask)
                            ? evaluate(in.operands[2], at)
                            : Lanes::uniform(emitter_.number(0, dtype));
    if (other.is_uniform())
      return Lanes::uniform(load_scalar(in, dtype, offset.value, mask.value, other.value));
    llvm::Value* loaded =
        load_scalar(in, dtype, offset.value, mask.value, emitter_.number(0, dtype));
    return Lanes::vector(
        b_.CreateSelect(mask.value, emitter_.splat(loaded, lanes_), as_vector(other)));
  }
  llvm::Type* memory = emitter_.memory_type(dtype, lanes_);
  const llvm::Align align(size_of(dtype));
  if (contiguous && is_true(mask)) {
    llvm::Value* loaded = b_.CreateAlignedLoad(memory, address(in, offset.value), align);
    return Lanes::vector(emitter_.from_memory(loaded, dtype));
  }
  llvm::Value* other = in.operands.size() > 2
                           ? emitter_.to_memory(as_vector(evaluate(in.operands[2], at)), dtype)
                           : llvm::Constant::getNullValue(memory);
  llvm::Value* lanes = as_vector(mask);
  llvm::Value* loaded = nullptr;
  if (contiguous)
    loaded = b_.CreateMaskedLoad(memory, address(in, offset.value), align, lanes, other);
  else if (offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 2) && lanes_ > 1)
    loaded = load_every_second(in, memory, offset, mask, other);
  else
    loaded = b_.CreateMaskedGather(memory, address(in, as_vector(offset)), align, lanes, other);
  return Lanes::vector(emitter_.from_memory(loaded, dtype));
}
// Two packs, of which the second ends with the last lane, and one shuffle: a gather of 16 takes
// some 50 cycles (every second column and row of 256 images of 56 x 56: 5.9 ms, 1.4 so).
llvm::Value* CpuFunction::load_every_second(const Instruction& in, llvm::Type* memory,
                                            const Lanes& offset, const Lanes& mask,
                                            llvm::Value* other) {
  const llvm::Align align(size_of(type(in.results[0]).dtype));
  const int lanes = static_cast<int>(lanes_);
  llvm::Value* lane_mask = is_true(mask) ? nullptr : as_vector(mask);
  // The elements from `first` on, those between lanes and of lanes that are off left out.
  const auto pack = [&](int first) -> llvm::Value* {
    llvm::Value* from = address(in, b_.CreateAdd(offset.value, i64(first)));
    if (!lane_mask) return b_.CreateAlignedLoad(memory, from, align);
    std::vector<int> lane;
    std::vector<llvm::Constant*> is_lane;
    for (int i = first; i < first + lanes; ++i) {
      lane.push_back(i / 2);
      is_lane.push_back(b_.getInt1(i % 2 == 0));
    }
    llvm::Value* wanted =
        b_.CreateAnd(b_.CreateShuffleVector(lane_mask, lane), llvm::ConstantVector::get(is_lane));
    return b_.CreateMaskedLoad(memory, from, align, wanted);
  };
  std::vector<int> places;
  for (int i = 0; i < lanes; ++i) places.push_back(2 * i < lanes ? 2 * i : 2 * i + 1);
  llvm::Value* loaded = b_.CreateShuffleVector(pack(0), pack(lanes - 1), places);
  return lane_mask ? b_.CreateSelect(lane_mask, loaded, other) : loaded;
}
llvm::Value* CpuFunction::load_scalar(const Instruction& in, DType dtype, llvm::Value* offset,
                                      llvm::Value* mask, llvm::Value* other) {
  llvm::Type* memory = emitter_.memory_type(dtype);
  llvm::Value* from = address(in, offset);
  if (!is_true(Lanes::uniform(mask))) {
    // Without a branch: where the mask is false the other value is loaded.
    llvm::Value* place = stack(memory, "other");
    b_.CreateStore(emitter_.to_memory(other, dtype), place);
    from = b_.CreateSelect(mask, from, place);
  }
  return emitter_.from_memory(b_.CreateLoad(memory, from), dtype);
}

void CpuFunction::store(const Instruction& in, const Lanes& offset, const Lanes& value,
                        const Lanes& mask, bool packed) {
  const DType dtype = type(in.operands[1]).dtype;
  const llvm::Align align(size_of(dtype));
  if (!packed) {
    const auto write = [&] {
      b_.CreateStore(emitter_.to_memory(value.value, dtype), address(in, offset.value));
    };
    if (is_true(mask)) {
      write();
    } else {
      when(mask.value, write);
    }
    return;
  }
  llvm::Value* stored = emitter_.to_memory(as_vector(value), dtype);
  if (offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 1)) {
    llvm::Value* to = address(in, offset.value);
    const bool is_read = kernel_.parameters[static_cast<size_t>(in.parameter)].is_read();
    if (is_true(mask) && streams_ && !is_read)
      stream(stored, to, align);
    else if (is_true(mask))
      b_.CreateAlignedStore(stored, to, align);
    else
      b_.CreateMaskedStore(stored, to, align, as_vector(mask));
    return;
  }
  // Lanes are written in order, so the last of equal offsets wins.
  b_.CreateMaskedScatter(stored, address(in, as_vector(offset)), align, as_vector(mask));
}

void CpuFunction::stream(llvm::Value* pack, llvm::Value* to, llvm::Align align) {
  // Of a vector register, which the instruction needs; LLVM cuts larger packs up.
  const uint64_t bytes =
      std::min<uint64_t>(64, module_.getDataLayout().getTypeStoreSize(pack->getType()));
  if (bytes < 16) {
    b_.CreateAlignedStore(pack, to, align);
    return;
  }
  llvm::Value* rest =
      b_.CreateAnd(b_.CreatePtrToInt(to, b_.getInt64Ty()), i64(static_cast<int64_t>(bytes) - 1));
  BasicBlock* past = block("past_caches");
  BasicBlock* usual = block("usual");
  BasicBlock* after = block("stored");
  b_.CreateCondBr(b_.CreateAnd(streams_, b_.CreateICmpEQ(rest, i64(0))), past, usual);
  b_.SetInsertPoint(past);
  llvm::StoreInst* store = b_.CreateAlignedStore(pack, to, llvm::Align(bytes));
  llvm::Metadata* one = llvm::ConstantAsMetadata::get(b_.getInt32(1));
  store->setMetadata(llvm::LLVMContext::MD_nontemporal,
                     llvm::MDNode::get(module_.getContext(), one));
  b_.CreateBr(after);
  b_.SetInsertPoint(usual);
  b_.CreateAlignedStore(pack, to, align);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

// Lanes 0..n-1. A constant is hidden from LLVM, which widens a masked load of 64-bit elements whose
// mask it knows to be half empty, and reads behind the end (LLVM 19, AVX2).
llvm::Value* CpuFunction::first_lanes(llvm::Value* n) {
  if (llvm::isa<llvm::ConstantInt>(n)) {
    llvm::Value* place = stack(n->getType(), "count");
    b_.CreateStore(n, place);
    n = b_.CreateLoad(n->getType(), place, true);
  }
  llvm::Value* narrow = b_.CreateTrunc(n, b_.getInt32Ty());
  return b_.CreateICmpULT(lane_numbers(b_.getInt32Ty()), emitter_.splat(narrow, lanes_));
}

llvm::Value* CpuFunction::lane_numbers(llvm::Type* element) {
  std::vector<llvm::Constant*> numbers;
  for (unsigned i = 0; i < lanes_; ++i) numbers.push_back(llvm::ConstantInt::get(element, i));
  return llvm::ConstantVector::get(numbers);
}

}  // namespace cairn::compiler
