// The statements of a tile kernel.
#include "cairn/compiler/llvm/cpu_function.h"

#include <fmt/format.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>
#include <set>

#include "cairn/base/error.h"
#include "cairn/tile/infer.h"

namespace cairn::compiler {

using llvm::BasicBlock;
using tile::Block;
using tile::Instruction;
using tile::TileOp;
using tile::TileType;
using tile::ValueId;

CpuFunction::CpuFunction(const tile::Kernel& kernel, const CpuFeatures& features,
                         const KernelVersion& version, llvm::Module& module)
    : kernel_(kernel),
      lanes_(features.lanes),
      features_(features),
      version_(version),
      module_(module),
      emitter_(module),
      b_(emitter_.b),
      scalars_(kernel.types.size()),
      definitions_(kernel.types.size()),
      depths_(kernel.types.size()),
      users_(kernel.types.size()),
      buffers_(kernel.parameters.size()) {}

void CpuFunction::emit() {
  llvm::Type* i64 = b_.getInt64Ty();
  auto* type = llvm::FunctionType::get(b_.getVoidTy(), {b_.getPtrTy(), i64, i64}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel_.name, module_);
  function_->addParamAttr(0, llvm::Attribute::ReadOnly);
  if (version_.lines) {
    // Until the first instruction, parameters and the grid belong to its line.
    const auto first = std::ranges::find_if(
        kernel_.body.code, [](const Instruction& in) { return in.where.line() > 0; });
    const auto where = first == kernel_.body.code.end() ? std::source_location() : first->where;
    lines_.emplace(*function_, where);
    lines_->set(b_, where);
  }
  b_.SetInsertPoint(block("entry"));
  load_parameters();
  define(kernel_.body, 0);
  define(kernel_.grid, 0);
  const std::vector<llvm::Value*> grid = grid_sizes();
  loop_over(function_->getArg(1), function_->getArg(2), 1, [&](llvm::Value* program) {
    place_program(program, grid);
    emit_block(kernel_.body);
  });
  // Stores past the caches are not ordered with what comes later, as a thread's word that it is
  // done.
  if (streams_) b_.CreateIntrinsic(llvm::Intrinsic::x86_sse_sfence, {}, {});
  b_.CreateRetVoid();
  if (lines_) lines_->finish();
}

void CpuFunction::unsupported(const Instruction& in, std::string_view what) const {
  tile::fail(tile::spelled(in),
             fmt::format("{} (kernel '{}', lowering for a CPU)", what, kernel_.name), in.where);
}

BasicBlock* CpuFunction::block(const char* name) {
  return BasicBlock::Create(module_.getContext(), name, function_);
}

void CpuFunction::loop_over(llvm::Value* begin, llvm::Value* end, int64_t step,
                            const std::function<void(llvm::Value*)>& body) {
  BasicBlock* before = b_.GetInsertBlock();
  BasicBlock* inside = block("loop");
  BasicBlock* after = block("done");
  b_.CreateCondBr(b_.CreateICmpSLT(begin, end), inside, after);
  b_.SetInsertPoint(inside);
  llvm::PHINode* i = b_.CreatePHI(b_.getInt64Ty(), 2);
  i->addIncoming(begin, before);
  body(i);
  llvm::Value* next = b_.CreateNSWAdd(i, i64(step));
  i->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, end), inside, after);
  b_.SetInsertPoint(after);
}

void CpuFunction::when(llvm::Value* condition, const std::function<void()>& body) {
  BasicBlock* inside = block("then");
  BasicBlock* after = block("end");
  b_.CreateCondBr(condition, inside, after);
  b_.SetInsertPoint(inside);
  body();
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

void CpuFunction::load_parameters() {
  for (size_t i = 0; i < kernel_.parameters.size(); ++i) {
    const tile::Parameter& p = kernel_.parameters[i];
    llvm::Value* slot = b_.CreateConstInBoundsGEP1_64(b_.getInt64Ty(), function_->getArg(0), i);
    if (p.is_buffer()) {
      buffers_[i] = b_.CreateLoad(b_.getPtrTy(), slot, p.name);
    } else {
      llvm::Value* value = b_.CreateLoad(emitter_.memory_type(p.dtype), slot, p.name);
      scalar(p.value) = emitter_.from_memory(value, p.dtype);
    }
  }
  if (!version_.streams) return;
  llvm::Value* slot = b_.CreateConstInBoundsGEP1_64(b_.getInt64Ty(), function_->getArg(0),
                                                    kernel_.parameters.size());
  streams_ = b_.CreateICmpNE(b_.CreateLoad(b_.getInt64Ty(), slot, "streams"), i64(0));
}

void CpuFunction::define(const Block& code, int depth) {
  for (const Instruction& in : code.code) {
    for (ValueId v : in.results) {
      definitions_[static_cast<size_t>(v)] = &in;
      depths_[static_cast<size_t>(v)] = depth;
    }
    for (ValueId v : in.operands) {
      ++uses_[v];
      users_[static_cast<size_t>(v)].push_back(&in);
    }
    for (const Block& region : in.regions) {
      define(region, depth + 1);
      for (size_t i = 0; i < region.yields.size(); ++i)
        yielding_.insert({region.yields[i], {&in, i}});
    }
  }
  for (ValueId v : code.yields) {
    ++uses_[v];
    users_[static_cast<size_t>(v)].push_back(nullptr);
  }
}

std::vector<llvm::Value*> CpuFunction::grid_sizes() {
  for (const Instruction& in : kernel_.grid.code) emit_scalar(in);
  std::vector<llvm::Value*> sizes;
  for (ValueId v : kernel_.grid.yields) sizes.push_back(scalar(v));
  return sizes;
}

// The coordinates of a program in the grid, the last axis fastest.
void CpuFunction::place_program(llvm::Value* program, const std::vector<llvm::Value*>& grid) {
  program_.assign(tile::kMaxGridRank, i64(0));
  for (size_t axis = grid.size(); axis-- > 0;) {
    if (axis == 0) {
      program_[0] = program;
    } else {
      // Of non-negative numbers, so the cheaper unsigned division is right.
      program_[axis] = b_.CreateURem(program, grid[axis]);
      program = b_.CreateUDiv(program, grid[axis]);
    }
  }
  if (grid.empty()) program_[0] = program;
}

// A fetch waits for the product behind it, which shares it out among its steps, as do those that
// are computed at the end of a loop.
void CpuFunction::emit_block(const Block& code) {
  for (size_t i = 0; i < code.code.size(); ++i) {
    const Instruction& in = code.code[i];
    memo_.clear();
    if (lines_) lines_->set(b_, in.where);
    switch (in.op) {
      case TileOp::store: {
        // Stores of one shape to different buffers with no other effect between them are one
        // region: each pack is read whole before it is written, so an output may lie in an input's
        // memory.
        std::vector<const Instruction*> stores = {&in};
        std::set<int> buffers = {in.parameter};
        while (i + 1 < code.code.size() && code.code[i + 1].op == TileOp::store &&
               type(code.code[i + 1].operands[0]).shape == type(in.operands[0]).shape &&
               buffers.insert(code.code[i + 1].parameter).second)
          stores.push_back(&code.code[++i]);
        store_region(stores);
        break;
      }
      case TileOp::load: {
        const bool is_written = kernel_.parameters[static_cast<size_t>(in.parameter)].is_written();
        const ValueId v = in.results[0];
        if (type(v).shape.rank() == 0)
          emit_scalar(in);
        else if (is_written || (word_uses(v).is_none() && is_better_held(v)))
          hold(v);  // a later store may change what is there
        hold_words(v);
        break;
      }
      case TileOp::fetch: fetches_.push_back(&in); break;
      case TileOp::assume:
      case TileOp::print: break;
      case TileOp::atomic: emit_atomic(in); break;
      case TileOp::reduce: emit_reduce(in); break;
      case TileOp::scan:
      case TileOp::arg_reduce: emit_sequential(in); break;
      case TileOp::dot:
        if (const auto late = late_.find(&in); late != late_.end()) {
          hold_computed(late->second.emplace(begin_dot(in, {})));
          break;
        }
        emit_dot(in);
        break;
      case TileOp::loop: emit_loop(in); break;
      default:
        if (type(in.results[0]).shape.rank() == 0)
          emit_scalar(in);
        else if (word_uses(in.results[0]).is_none() && is_better_held(in.results[0]))
          hold(in.results[0]);
        hold_words(in.results[0]);
    }
  }
  if (late_.empty()) emit_fetches();
}

void CpuFunction::emit_scalar(const Instruction& in) {
  memo_.clear();
  scalar(in.results[0]) = compute(in, {}).value;
}

std::vector<llvm::Value*> CpuFunction::sizes_of(const Shape& shape) {
  std::vector<llvm::Value*> sizes;
  for (int64_t size : shape) sizes.push_back(i64(size));
  return sizes;
}

void CpuFunction::for_packs(const std::vector<llvm::Value*>& counts, const PackBody& body) {
  Coordinates at;
  loop_nest(counts, at, body);
  memo_.clear();
}

void CpuFunction::loop_nest(const std::vector<llvm::Value*>& counts, Coordinates& at,
                            const PackBody& body) {
  const size_t axis = at.size();
  if (counts.empty()) return body(at);
  if (axis + 1 < counts.size()) {
    loop_over(i64(0), counts[axis], 1, [&](llvm::Value* i) {
      at.push_back(Lanes::uniform(i));
      loop_nest(counts, at, body);
      at.pop_back();
    });
    return;
  }
  llvm::Value* count = counts[axis];
  const auto pack = [&](llvm::Value* first, llvm::Value* tail) {
    memo_.clear();
    tail_ = tail;
    at.push_back(Lanes::affine(first, i64(1)));
    body(at);
    at.pop_back();
    tail_ = nullptr;
  };
  const int64_t step = lanes_;
  llvm::Value* full = b_.CreateAnd(count, i64(-step));
  llvm::Value* begin = i64(0);
  if (const int64_t turn = step * version_.unroll; version_.unroll > 1 && !is_constant(full, 0)) {
    llvm::Value* turns = b_.CreateAnd(count, i64(-turn));
    loop_over(begin, turns, turn, [&](llvm::Value* first) {
      for (int64_t i = 0; i < turn; i += step) pack(b_.CreateAdd(first, i64(i)), nullptr);
    });
    begin = turns;
  }
  if (!is_constant(full, 0))
    loop_over(begin, full, step, [&](llvm::Value* first) { pack(first, nullptr); });
  llvm::Value* rest = b_.CreateSub(count, full);
  if (is_constant(rest, 0)) return;
  when(b_.CreateICmpSGT(rest, i64(0)), [&] { pack(full, first_lanes(rest)); });
}

bool CpuFunction::is_few_packs(const Shape& shape, int64_t most) const {
  if (shape.rank() == 0) return true;
  const int64_t lanes = lanes_;
  return shape[shape.rank() - 1] % lanes == 0 && shape.elements() / lanes <= most;
}

void CpuFunction::for_tile(const Shape& shape, const PackBody& body, int64_t most) {
  if (!is_few_packs(shape, most) || shape.rank() == 0) return for_packs(sizes_of(shape), body);
  const int64_t lanes = lanes_;
  const Ints strides = shape.strides();
  for (int64_t first = 0; first < shape.elements(); first += lanes) {
    Coordinates at;
    for (int i = 0; i < shape.rank(); ++i)
      at.push_back(Lanes::uniform(i64(first / strides[i] % shape[i])));
    at.back() = Lanes::affine(at.back().value, i64(1));
    memo_.clear();
    body(at);
  }
  memo_.clear();
}

void CpuFunction::for_elements(const Shape& shape, const PackBody& body) {
  Coordinates at;
  const std::function<void()> next = [&] {
    const auto axis = static_cast<int>(at.size());
    if (axis == shape.rank()) {
      memo_.clear();
      return body(at);
    }
    loop_over(i64(0), i64(shape[axis]), 1, [&](llvm::Value* i) {
      at.push_back(Lanes::uniform(i));
      next();
      at.pop_back();
    });
  };
  next();
  memo_.clear();
}

// --- loops ---------------------------------------------------------------------------------------

bool CpuFunction::updates_itself(ValueId v, const Block& body, size_t number) const {
  const TileType& own = type(body.arguments[number + 1]);
  if (own.shape.rank() == 0) return false;
  std::set<std::pair<ValueId, bool>> seen;
  const std::function<bool(ValueId, bool)> follow = [&](ValueId value, bool same_place) {
    for (size_t i = 1; i < body.arguments.size(); ++i)
      if (value == body.arguments[i])
        return type(value).shape.rank() == 0 || (i == number + 1 && same_place);
    if (stored_.contains(value) || type(value).shape.rank() == 0) return true;
    if (!seen.emplace(value, same_place).second) return true;
    const Instruction* in = definition(value);
    if (!in) return true;
    const bool moves = in->op == TileOp::broadcast || in->op == TileOp::reshape ||
                       in->op == TileOp::transpose || in->op == TileOp::load;
    return std::all_of(in->operands.begin(), in->operands.end(),
                       [&](ValueId operand) { return follow(operand, same_place && !moves); });
  };
  return follow(v, true);
}

void CpuFunction::emit_loop(const Instruction& in) {
  const Block& body = in.regions[0];
  llvm::Value* begin = scalar(in.operands[0]);
  llvm::Value* end = scalar(in.operands[1]);
  llvm::Value* step = scalar(in.operands[2]);
  const size_t carried = in.results.size();
  // One tile that is carried may have most of the registers.
  const int64_t few =
      carried == 1 ? std::max<int64_t>(kUnrolledPacks, lanes_ == 16 ? 20 : 12) : kUnrolledPacks;
  // Where the carried values are between iterations; a scalar's is promoted to a register by LLVM.
  std::vector<Stored> places;
  for (size_t i = 0; i < carried; ++i) {
    places.push_back(reserve(type(in.results[i])));
    copy_into(places[i], in.operands[i + 3], few);
  }
  const auto read_scalars = [&](const std::vector<ValueId>& values, size_t first) {
    for (size_t i = 0; i < carried; ++i)
      if (type(in.results[i]).shape.rank() == 0)
        scalar(values[i + first]) = read(places[i], {}).value;
  };
  BasicBlock* before = b_.GetInsertBlock();
  BasicBlock* inside = block("for");
  BasicBlock* after = block("end_for");
  b_.CreateCondBr(b_.CreateICmpSLT(begin, end), inside, after);
  b_.SetInsertPoint(inside);
  llvm::PHINode* index = b_.CreatePHI(b_.getInt64Ty(), 2);
  index->addIncoming(begin, before);
  scalar(body.arguments[0]) = index;
  for (size_t i = 0; i < carried; ++i)
    if (type(in.results[i]).shape.rank() > 0) stored_[body.arguments[i + 1]] = places[i];
  read_scalars(body.arguments, 1);
  const std::vector<const Instruction*> products = products_of(in);
  for (const Instruction* dot : products) late_[dot];
  emit_block(body);
  memo_.clear();
  if (!products.empty()) {
    std::vector<Dot> dots;
    for (const Instruction* dot : products) dots.push_back(*late_.extract(dot).mapped());
    finish_products(dots, body, places[0]);
    stored_[body.yields[0]] = places[0];
  }
  // All new values before any is written: they may depend on each other's old ones.
  std::vector<Stored> next(carried);
  for (size_t i = 0; i < carried; ++i) {
    const ValueId v = body.yields[i];
    const auto held = stored_.find(v);
    if (held != stored_.end() && held->second.base == places[i].base) continue;  // in place
    if (updates_itself(v, body, i)) continue;
    next[i] = reserve(type(v));
    copy_into(next[i], v);
  }
  for (size_t i = 0; i < carried; ++i) {
    const auto held = stored_.find(body.yields[i]);
    const bool in_place = held != stored_.end() && held->second.base == places[i].base;
    if (!next[i].base && !in_place) copy_into(places[i], body.yields[i], few);
  }
  for (size_t i = 0; i < carried; ++i)
    if (next[i].base)
      for_tile(type(in.results[i]).shape,
               [&](const Coordinates& at) { write(places[i], at, read(next[i], at)); });
  llvm::Value* following = b_.CreateNSWAdd(index, step);
  index->addIncoming(following, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(following, end), inside, after);
  b_.SetInsertPoint(after);
  for (size_t i = 0; i < carried; ++i)
    if (type(in.results[i]).shape.rank() > 0) stored_[in.results[i]] = places[i];
  read_scalars(in.results, 0);
  memo_.clear();
}

// --- atomics -------------------------------------------------------------------------------------

void CpuFunction::emit_atomic(const Instruction& in) {
  const DType dtype = type(in.results[0]).dtype;
  using Operation = llvm::AtomicRMWInst::BinOp;
  const bool floats = dtype == DType::f32 || dtype == DType::f64;
  if (in.kind == tile::Combine::prod || (is_float(dtype) && !floats) || dtype == DType::b8 ||
      (floats && in.kind != tile::Combine::sum))
    unsupported(in, fmt::format("of kind {} on {} has no instruction", name(in.kind), name(dtype)));
  const bool is_signed = cairn::is_signed(dtype);
  const Operation operation =
      in.kind == tile::Combine::sum   ? (floats ? Operation::FAdd : Operation::Add)
      : in.kind == tile::Combine::max ? (is_signed ? Operation::Max : Operation::UMax)
                                      : (is_signed ? Operation::Min : Operation::UMin);
  const Stored before = reserve(type(in.results[0]));
  for_elements(type(in.results[0]).shape, [&](const Coordinates& at) {
    llvm::Value* offset = evaluate(in.operands[0], at).value;
    llvm::Value* value = evaluate(in.operands[1], at).value;
    llvm::Value* mask = in.operands.size() > 2 ? evaluate(in.operands[2], at).value : b_.getTrue();
    write(before, at, Lanes::uniform(emitter_.number(0, dtype)));
    when(mask, [&] {
      llvm::Value* old = b_.CreateAtomicRMW(operation, address(in, offset), value,
                                            llvm::MaybeAlign(), llvm::AtomicOrdering::Monotonic);
      write(before, at, Lanes::uniform(old));
    });
  });
  if (type(in.results[0]).shape.rank() == 0)
    scalar(in.results[0]) = read(before, {}).value;
  else
    stored_[in.results[0]] = before;
}

void lower_for_cpu(const tile::Kernel& kernel, const CpuFeatures& features,
                   const KernelVersion& version, llvm::Module& module) {
  CpuFunction(kernel, features, version, module).emit();
}

}  // namespace cairn::compiler
