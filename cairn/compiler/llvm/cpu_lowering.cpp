#include "cairn/compiler/llvm/cpu_lowering.h"

#include <fmt/format.h>

#include <functional>
#include <map>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/emitter.h"
#include "cairn/tile/infer.h"

namespace cairn::compiler {
namespace {

using llvm::BasicBlock;
using tile::Block;
using tile::Instruction;
using tile::TileOp;
using tile::TileType;
using tile::ValueId;

// A value at the coordinates of a pack.
struct Lanes {
  enum class Kind : uint8_t { uniform, affine, vector };
  Kind kind = Kind::uniform;
  llvm::Value* value = nullptr;   // the number; of lane 0; the vector
  llvm::Value* stride = nullptr;  // of affine, as wide as `value`

  static Lanes uniform(llvm::Value* v) { return {Kind::uniform, v, nullptr}; }
  static Lanes affine(llvm::Value* base, llvm::Value* stride) {
    return {Kind::affine, base, stride};
  }
  static Lanes vector(llvm::Value* v) { return {Kind::vector, v, nullptr}; }
  bool is_uniform() const { return kind == Kind::uniform; }
  friend auto operator<=>(const Lanes&, const Lanes&) = default;
};

// Along each axis of a tile, an i64.
using Coordinates = std::vector<Lanes>;

// One condition of a mask that bounds an axis: the instruction `less` and where it is evaluated.
struct Term {
  const Instruction* less;
  Coordinates at;
};

bool is_constant(const llvm::Value* v, int64_t number) {
  const auto* constant = llvm::dyn_cast_or_null<llvm::ConstantInt>(v);
  return constant && constant->getSExtValue() == number;
}

class CpuLowering {
 public:
  CpuLowering(const tile::Kernel& kernel, unsigned lanes, llvm::Module& module)
      : kernel_(kernel),
        lanes_(lanes),
        module_(module),
        emitter_(module),
        b(emitter_.b),
        scalars_(kernel.types.size()),
        definitions_(kernel.types.size()),
        buffers_(kernel.parameters.size()) {}

  void run() {
    llvm::Type* i64 = b.getInt64Ty();
    auto* type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), i64, i64}, false);
    function_ =
        llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel_.name, module_);
    function_->addParamAttr(0, llvm::Attribute::ReadOnly);
    b.SetInsertPoint(block("entry"));
    load_parameters();
    define(kernel_.body);
    define(kernel_.grid);
    const std::vector<llvm::Value*> grid = grid_sizes();
    loop_over(function_->getArg(1), function_->getArg(2), 1, [&](llvm::Value* program) {
      place_program(program, grid);
      emit_block(kernel_.body);
    });
    b.CreateRetVoid();
  }

 private:
  [[noreturn]] void unsupported(const Instruction& in, std::string_view what) const {
    tile::fail(tile::spelled(in),
               fmt::format("{} (kernel '{}', lowering for a CPU)", what, kernel_.name), in.where);
  }
  BasicBlock* block(const char* name) {
    return BasicBlock::Create(module_.getContext(), name, function_);
  }
  llvm::Value* i64(int64_t v) { return b.getInt64(static_cast<uint64_t>(v)); }
  const TileType& type(ValueId v) const { return kernel_.type(v); }
  llvm::Value*& scalar(ValueId v) { return scalars_[static_cast<size_t>(v)]; }
  const Instruction* definition(ValueId v) const { return definitions_[static_cast<size_t>(v)]; }

  // for (i = begin; i < end; i += step) body(i).
  void loop_over(llvm::Value* begin, llvm::Value* end, int64_t step,
                 const std::function<void(llvm::Value*)>& body) {
    BasicBlock* before = b.GetInsertBlock();
    BasicBlock* inside = block("loop");
    BasicBlock* after = block("done");
    b.CreateCondBr(b.CreateICmpSLT(begin, end), inside, after);
    b.SetInsertPoint(inside);
    llvm::PHINode* i = b.CreatePHI(b.getInt64Ty(), 2);
    i->addIncoming(begin, before);
    body(i);
    llvm::Value* next = b.CreateNSWAdd(i, i64(step));
    i->addIncoming(next, b.GetInsertBlock());
    b.CreateCondBr(b.CreateICmpSLT(next, end), inside, after);
    b.SetInsertPoint(after);
  }
  void when(llvm::Value* condition, const std::function<void()>& body) {
    BasicBlock* inside = block("then");
    BasicBlock* after = block("end");
    b.CreateCondBr(condition, inside, after);
    b.SetInsertPoint(inside);
    body();
    b.CreateBr(after);
    b.SetInsertPoint(after);
  }

  void load_parameters() {
    for (size_t i = 0; i < kernel_.parameters.size(); ++i) {
      const tile::Parameter& p = kernel_.parameters[i];
      llvm::Value* slot = b.CreateConstInBoundsGEP1_64(b.getInt64Ty(), function_->getArg(0), i);
      if (p.is_buffer()) {
        buffers_[i] = b.CreateLoad(b.getPtrTy(), slot, p.name);
      } else {
        llvm::Value* value = b.CreateLoad(emitter_.memory_type(p.dtype), slot, p.name);
        scalar(p.value) = emitter_.from_memory(value, p.dtype);
      }
    }
  }
  void define(const Block& code) {
    for (const Instruction& in : code.code) {
      for (ValueId v : in.results) definitions_[static_cast<size_t>(v)] = &in;
      for (const Block& region : in.regions) define(region);
    }
  }

  std::vector<llvm::Value*> grid_sizes() {
    for (const Instruction& in : kernel_.grid.code) emit_scalar(in);
    std::vector<llvm::Value*> sizes;
    for (ValueId v : kernel_.grid.yields) sizes.push_back(scalar(v));
    return sizes;
  }
  // The coordinates of a program in the grid, the last axis fastest.
  void place_program(llvm::Value* program, const std::vector<llvm::Value*>& grid) {
    program_.assign(tile::kMaxGridRank, i64(0));
    for (size_t axis = grid.size(); axis-- > 0;) {
      if (axis == 0) {
        program_[0] = program;
      } else {
        // Of non-negative numbers, so the cheaper unsigned division is right.
        program_[axis] = b.CreateURem(program, grid[axis]);
        program = b.CreateUDiv(program, grid[axis]);
      }
    }
  }

  // --- statements -------------------------------------------------------------------------------

  void emit_block(const Block& code) {
    for (size_t i = 0; i < code.code.size(); ++i) {
      const Instruction& in = code.code[i];
      switch (in.op) {
        case TileOp::store: {
          // Stores of one shape with no other effect between them are one region: each pack is read
          // whole before it is written, so an output may lie in an input's memory.
          std::vector<const Instruction*> stores = {&in};
          while (i + 1 < code.code.size() && code.code[i + 1].op == TileOp::store &&
                 type(code.code[i + 1].operands[0]).shape == type(in.operands[0]).shape)
            stores.push_back(&code.code[++i]);
          store_region(stores);
          break;
        }
        case TileOp::assume:
        case TileOp::print: break;
        case TileOp::atomic:
        case TileOp::reduce:
        case TileOp::arg_reduce:
        case TileOp::scan:
        case TileOp::dot:
        case TileOp::loop: unsupported(in, "is not lowered yet");
        default:
          if (type(in.results[0]).shape.rank() == 0) emit_scalar(in);
      }
    }
  }

  void emit_scalar(const Instruction& in) {
    memo_.clear();
    scalar(in.results[0]) = compute(in, {}).value;
  }

  // The loop nest over the axes of a tile of `shape`: body(coordinates, lanes that are there or
  // null).
  using PackBody = std::function<void(const Coordinates&, llvm::Value* mask)>;
  void loop_nest(const std::vector<llvm::Value*>& counts, Coordinates& at, const PackBody& body) {
    const size_t axis = at.size();
    if (counts.empty()) {
      body(at, nullptr);
      return;
    }
    if (axis + 1 < counts.size()) {
      loop_over(i64(0), counts[axis], 1, [&](llvm::Value* i) {
        at.push_back(Lanes::uniform(i));
        loop_nest(counts, at, body);
        at.pop_back();
      });
      return;
    }
    llvm::Value* count = counts[axis];
    const auto pack = [&](llvm::Value* first, llvm::Value* mask) {
      at.push_back(Lanes::affine(first, i64(1)));
      body(at, mask);
      at.pop_back();
    };
    const int64_t step = lanes_;
    llvm::Value* full = b.CreateAnd(count, i64(-step));
    loop_over(i64(0), full, step, [&](llvm::Value* first) { pack(first, nullptr); });
    llvm::Value* rest = b.CreateSub(count, full);
    when(b.CreateICmpSGT(rest, i64(0)), [&] { pack(full, first_lanes(rest)); });
  }
  // Lanes 0..n-1 of a mask.
  llvm::Value* first_lanes(llvm::Value* n) {
    llvm::Value* narrow = b.CreateTrunc(n, b.getInt32Ty());
    return b.CreateICmpULT(lane_numbers(b.getInt32Ty()), emitter_.splat(narrow, lanes_));
  }
  llvm::Value* lane_numbers(llvm::Type* element) {
    std::vector<llvm::Constant*> numbers;
    for (unsigned i = 0; i < lanes_; ++i) numbers.push_back(llvm::ConstantInt::get(element, i));
    return llvm::ConstantVector::get(numbers);
  }

  void store_region(const std::vector<const Instruction*>& stores) {
    const Shape& shape = type(stores[0]->operands[0]).shape;
    // One mask bounds the loops: that of all stores, or none.
    ValueId mask = stores[0]->operands.size() > 2 ? stores[0]->operands[2] : -1;
    for (const Instruction* in : stores)
      if ((in->operands.size() > 2 ? in->operands[2] : -1) != mask) mask = -1;
    memo_.clear();
    std::vector<llvm::Value*> counts;
    for (int64_t size : shape) counts.push_back(i64(size));
    std::vector<int> bounded;  // the axis that each term of the mask bounds, or -1
    if (mask >= 0) bounded = bound(mask, counts);
    Coordinates at;
    loop_nest(counts, at, [&](const Coordinates& here, llvm::Value* rest) {
      memo_.clear();
      if (mask >= 0) assume_terms(mask, here, bounded, rest);
      std::vector<Lanes> offsets, values, masks;
      for (const Instruction* in : stores) {
        offsets.push_back(evaluate(in->operands[0], here));
        values.push_back(evaluate(in->operands[1], here));
        masks.push_back(in->operands.size() > 2 ? evaluate(in->operands[2], here)
                                                : Lanes::uniform(b.getTrue()));
        if (rest) masks.back() = both(masks.back(), Lanes::vector(rest));
      }
      for (size_t i = 0; i < stores.size(); ++i)
        store(*stores[i], offsets[i], values[i], masks[i], !here.empty());
    });
  }

  // --- masks that bound loops -------------------------------------------------------------------

  // The comparisons that a mask is the conjunction of, each where this mask evaluates it; others
  // are left out.
  void collect_terms(ValueId mask, const Coordinates& at, std::vector<Term>& terms) {
    const Instruction* in = definition(mask);
    if (!in) return;
    if (in->op == TileOp::apply && in->scalar == Op::bitwise_and) {
      collect_terms(in->operands[0], at, terms);
      collect_terms(in->operands[1], at, terms);
    } else if (in->op == TileOp::broadcast || in->op == TileOp::reshape ||
               in->op == TileOp::transpose) {
      collect_terms(in->operands[0], operand_coordinates(*in, at), terms);
    } else if (in->op == TileOp::apply && in->scalar == Op::less &&
               type(in->operands[0]).dtype == DType::i64) {
      terms.push_back({in, at});
    }
  }

  // Lowers the counts to what the mask leaves, and says which axis each of its terms bounds.
  std::vector<int> bound(ValueId mask, std::vector<llvm::Value*>& counts) {
    std::vector<int> axes;
    std::vector<llvm::Value*> limits;
    for (size_t axis = 0; axis < counts.size(); ++axis) {
      Coordinates probe(counts.size(), Lanes::uniform(i64(0)));
      probe[axis] = Lanes::affine(i64(0), i64(1));
      std::vector<Term> terms;
      collect_terms(mask, probe, terms);
      axes.resize(terms.size(), -1);
      limits.resize(terms.size());
      for (size_t t = 0; t < terms.size(); ++t) {
        const Lanes x = evaluate(terms[t].less->operands[0], terms[t].at);
        const Lanes y = evaluate(terms[t].less->operands[1], terms[t].at);
        if (x.is_uniform() && y.is_uniform()) continue;  // does not depend on this axis
        const bool bounds = x.kind == Lanes::Kind::affine && is_constant(x.stride, 1) &&
                            y.is_uniform() && axes[t] == -1;
        axes[t] = bounds ? static_cast<int>(axis) : -2;
        if (bounds) limits[t] = b.CreateSub(y.value, x.value);
      }
    }
    for (size_t t = 0; t < axes.size(); ++t) {
      if (axes[t] < 0) continue;
      llvm::Value*& count = counts[static_cast<size_t>(axes[t])];
      count = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, count, limits[t]);
    }
    for (llvm::Value*& count : counts)
      if (!llvm::isa<llvm::ConstantInt>(count))
        count = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, count, i64(0));
    return axes;
  }
  // In a pack within the bounds the terms that bound them hold.
  void assume_terms(ValueId mask, const Coordinates& here, const std::vector<int>& bounded,
                    llvm::Value* rest) {
    std::vector<Term> terms;
    collect_terms(mask, here, terms);
    for (size_t t = 0; t < terms.size(); ++t) {
      if (bounded[t] < 0) continue;
      const bool last = bounded[t] + 1 == static_cast<int>(here.size());
      memo_[{terms[t].less->results[0], terms[t].at}] =
          last && rest ? Lanes::vector(rest) : Lanes::uniform(b.getTrue());
    }
  }

  // --- values -----------------------------------------------------------------------------------

  Lanes evaluate(ValueId v, const Coordinates& at) {
    if (type(v).shape.rank() == 0) return Lanes::uniform(scalar(v));
    const auto key = std::pair(v, at);
    if (const auto found = memo_.find(key); found != memo_.end()) return found->second;
    const Lanes result = compute(*definition(v), at);
    memo_[key] = result;
    return result;
  }

  // Where an operand of a movement is read for the result to be there.
  Coordinates operand_coordinates(const Instruction& in, const Coordinates& at) {
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
  Coordinates reshaped(const Instruction& in, const Coordinates& at) {
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
    for (size_t i = 0; same && i < from_axes.size(); ++i)
      same = from[from_axes[i]] == to[to_axes[i]];
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
  Lanes arithmetic(Op op, const Lanes& x, const Lanes& y) {
    if (const auto affine = affine_result(op, x, y)) return *affine;
    const bool uniform = x.is_uniform() && y.is_uniform();
    llvm::Value* a = uniform ? x.value : as_vector(x);
    llvm::Value* c = uniform ? y.value : as_vector(y);
    llvm::Value* r = op == Op::add        ? b.CreateAdd(a, c)
                     : op == Op::multiply ? b.CreateMul(a, c)
                     : op == Op::divide   ? b.CreateUDiv(a, c)
                                          : b.CreateURem(a, c);
    return uniform ? Lanes::uniform(r) : Lanes::vector(r);
  }
  // base + stride * lane stays so under sums, differences and products with one number.
  std::optional<Lanes> affine_result(Op op, const Lanes& x, const Lanes& y) {
    using Kind = Lanes::Kind;
    if (x.kind == Kind::vector || y.kind == Kind::vector || (x.is_uniform() && y.is_uniform()))
      return std::nullopt;
    llvm::Value* zero = llvm::ConstantInt::get(x.value->getType(), 0);
    llvm::Value* stride_x = x.is_uniform() ? zero : x.stride;
    llvm::Value* stride_y = y.is_uniform() ? zero : y.stride;
    switch (op) {
      case Op::add:
        return Lanes::affine(b.CreateAdd(x.value, y.value), b.CreateAdd(stride_x, stride_y));
      case Op::subtract:
        return Lanes::affine(b.CreateSub(x.value, y.value), b.CreateSub(stride_x, stride_y));
      case Op::multiply:
        if (!x.is_uniform() && !y.is_uniform()) return std::nullopt;
        return Lanes::affine(b.CreateMul(x.value, y.value), x.is_uniform()
                                                                ? b.CreateMul(x.value, stride_y)
                                                                : b.CreateMul(stride_x, y.value));
      default: return std::nullopt;
    }
  }
  llvm::Value* as_vector(const Lanes& x) {
    if (x.kind == Lanes::Kind::vector) return x.value;
    llvm::Value* base = emitter_.splat(x.value, lanes_);
    if (x.is_uniform()) return base;
    llvm::Value* numbers = lane_numbers(x.value->getType());
    if (!is_constant(x.stride, 1)) numbers = b.CreateMul(numbers, emitter_.splat(x.stride, lanes_));
    return b.CreateAdd(base, numbers);
  }
  Lanes both(const Lanes& x, const Lanes& y) {
    if (is_true(x)) return y;
    if (is_true(y)) return x;
    if (x.value == y.value) return x;
    if (x.is_uniform() && y.is_uniform()) return Lanes::uniform(b.CreateAnd(x.value, y.value));
    return Lanes::vector(b.CreateAnd(as_vector(x), as_vector(y)));
  }
  static bool is_true(const Lanes& x) {
    return x.is_uniform() && llvm::isa<llvm::ConstantInt>(x.value) &&
           llvm::cast<llvm::ConstantInt>(x.value)->isOne();
  }

  Lanes compute(const Instruction& in, const Coordinates& at) {
    switch (in.op) {
      case TileOp::program_id: return Lanes::uniform(program_[static_cast<size_t>(in.axis)]);
      case TileOp::constant:
        return Lanes::uniform(emitter_.number(in.value, type(in.results[0]).dtype));
      case TileOp::arange: {
        Lanes index = at[0];
        if (type(in.results[0]).dtype == DType::i64) return index;
        llvm::Type* i32 = b.getInt32Ty();
        if (index.kind == Lanes::Kind::vector)
          return Lanes::vector(b.CreateTrunc(index.value, llvm::FixedVectorType::get(i32, lanes_)));
        index.value = b.CreateTrunc(index.value, i32);
        if (index.stride) index.stride = b.CreateTrunc(index.stride, i32);
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
      default: unsupported(in, "is not lowered yet");
    }
  }

  Lanes elementwise(const Instruction& in, const Coordinates& at) {
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

  // --- memory -----------------------------------------------------------------------------------

  llvm::Value* address(const Instruction& in, llvm::Value* offset) {
    const tile::Parameter& p = kernel_.parameters[static_cast<size_t>(in.parameter)];
    return b.CreateGEP(emitter_.memory_type(p.dtype), buffers_[static_cast<size_t>(in.parameter)],
                       widened(offset));
  }
  llvm::Value* widened(llvm::Value* offset) {
    llvm::Type* i64 = b.getInt64Ty();
    if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(offset->getType()))
      i64 = llvm::FixedVectorType::get(i64, vector->getNumElements());
    return b.CreateSExt(offset, i64);
  }

  Lanes load(const Instruction& in, const Coordinates& at) {
    const DType dtype = type(in.results[0]).dtype;
    const Lanes offset = evaluate(in.operands[0], at);
    const Lanes mask =
        in.operands.size() > 1 ? evaluate(in.operands[1], at) : Lanes::uniform(b.getTrue());
    const bool contiguous = offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 1);
    if (offset.is_uniform() && mask.is_uniform())
      return Lanes::uniform(load_scalar(in, dtype, offset.value, mask.value, at));
    llvm::Type* memory = emitter_.memory_type(dtype, lanes_);
    const llvm::Align align(size_of(dtype));
    if (contiguous && is_true(mask)) {
      llvm::Value* loaded = b.CreateAlignedLoad(memory, address(in, offset.value), align);
      return Lanes::vector(emitter_.from_memory(loaded, dtype));
    }
    llvm::Value* other = in.operands.size() > 2
                             ? emitter_.to_memory(as_vector(evaluate(in.operands[2], at)), dtype)
                             : llvm::Constant::getNullValue(memory);
    llvm::Value* lanes = as_vector(mask);
    llvm::Value* loaded =
        contiguous
            ? b.CreateMaskedLoad(memory, address(in, offset.value), align, lanes, other)
            : b.CreateMaskedGather(memory, address(in, as_vector(offset)), align, lanes, other);
    return Lanes::vector(emitter_.from_memory(loaded, dtype));
  }
  llvm::Value* load_scalar(const Instruction& in, DType dtype, llvm::Value* offset,
                           llvm::Value* mask, const Coordinates& at) {
    const auto loaded = [&] {
      return emitter_.from_memory(b.CreateLoad(emitter_.memory_type(dtype), address(in, offset)),
                                  dtype);
    };
    if (is_true(Lanes::uniform(mask))) return loaded();
    llvm::Value* other =
        in.operands.size() > 2 ? evaluate(in.operands[2], at).value : emitter_.number(0, dtype);
    BasicBlock* before = b.GetInsertBlock();
    BasicBlock* inside = block("load");
    BasicBlock* after = block("loaded");
    b.CreateCondBr(mask, inside, after);
    b.SetInsertPoint(inside);
    llvm::Value* value = loaded();
    BasicBlock* end = b.GetInsertBlock();
    b.CreateBr(after);
    b.SetInsertPoint(after);
    llvm::PHINode* result = b.CreatePHI(value->getType(), 2);
    result->addIncoming(other, before);
    result->addIncoming(value, end);
    return result;
  }

  void store(const Instruction& in, const Lanes& offset, const Lanes& value, const Lanes& mask,
             bool packed) {
    const DType dtype = type(in.operands[1]).dtype;
    const llvm::Align align(size_of(dtype));
    if (!packed) {
      const auto write = [&] {
        b.CreateStore(emitter_.to_memory(value.value, dtype), address(in, offset.value));
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
      if (is_true(mask))
        b.CreateAlignedStore(stored, to, align);
      else
        b.CreateMaskedStore(stored, to, align, as_vector(mask));
      return;
    }
    // Lanes are written in order, so the last of equal offsets wins.
    b.CreateMaskedScatter(stored, address(in, as_vector(offset)), align, as_vector(mask));
  }

  const tile::Kernel& kernel_;
  const unsigned lanes_;
  llvm::Module& module_;
  Emitter emitter_;
  llvm::IRBuilder<>& b;
  llvm::Function* function_ = nullptr;
  std::vector<llvm::Value*> scalars_;            // by ValueId, of those that have been computed
  std::vector<const Instruction*> definitions_;  // by ValueId; null of parameters
  std::vector<llvm::Value*> buffers_;            // by parameter
  std::vector<llvm::Value*> program_;            // this program's coordinates in the grid
  std::map<std::pair<ValueId, Coordinates>, Lanes> memo_;  // of the current pack
};

}  // namespace

void lower_for_cpu(const tile::Kernel& kernel, unsigned lanes, llvm::Module& module) {
  CpuLowering(kernel, lanes, module).run();
}

}  // namespace cairn::compiler
