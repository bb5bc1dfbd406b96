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
          hold_computed_words(late->second.emplace(begin_dot(in, {})));
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

bool CpuFunction::is_long(ValueId v) const {
  constexpr size_t kLong = 8;  // instructions; a load and a store cost about two
  std::vector<ValueId> below = {v};
  for (size_t i = 0; i < below.size() && below.size() < kLong; ++i) {
    const Instruction* in = definition(below[i]);
    if (!in || !tile::is_elementwise(*in) || stored_.contains(below[i])) continue;
    for (const ValueId operand : in->operands)
      if (type(operand).shape == type(v).shape && std::ranges::find(below, operand) == below.end())
        below.push_back(operand);
  }
  return below.size() >= kLong;
}

// An index of each row, of numbers that are at hand: scalar arithmetic, of which a copy in memory
// would take a pack for each.
bool CpuFunction::is_row_index(ValueId v) const {
  const Shape& shape = type(v).shape;
  if (shape.rank() == 0) return true;
  const Instruction* in = definition(v);
  if (!in || is_float(type(v).dtype) || shape[shape.rank() - 1] != 1) return false;
  if (in->op == TileOp::constant) return true;
  if (in->op == TileOp::broadcast || in->op == TileOp::reshape) {
    const Instruction* from = definition(in->operands[0]);
    return (from && from->op == TileOp::arange) || is_row_index(in->operands[0]);
  }
  const bool is_simple = in->op == TileOp::apply && in->scalar != Op::divide &&
                         in->scalar != Op::remainder && in->scalar != Op::select;
  return is_simple &&
         std::ranges::all_of(in->operands, [&](ValueId operand) { return is_row_index(operand); });
}

bool CpuFunction::is_better_held(ValueId v) const {
  constexpr int64_t kMost = 16 * 1024;  // elements, on the stack
  const Shape& shape = type(v).shape;
  if (shape.elements() > kMost || stored_.contains(v) || is_row_index(v)) return false;
  const auto& users = users_[static_cast<size_t>(v)];
  const auto depth = [&](ValueId value) { return depths_[static_cast<size_t>(value)]; };
  for (const Instruction* user : users)
    if (user && user->op == TileOp::dot && user->operands[2] != v &&
        depth(user->results[0]) > depth(v))
      return true;
  // What a product reads number by number is computed in packs instead, where it is made of what is
  // held.
  for (const Instruction* user : users)
    if (user && user->op == TileOp::dot && user->operands[0] == v && definition(v) &&
        tile::is_elementwise(*definition(v)) &&
        std::ranges::any_of(definition(v)->operands,
                            [&](ValueId operand) { return stored_.contains(operand); }))
      return true;
  // Only what leaves here for another shape or statement: the rest is part of something longer.
  const auto leaves = [&](const Instruction* user) {
    return !user || !tile::is_elementwise(*user) || type(user->results[0]).shape != shape ||
           !word_uses(user->results[0]).is_none();
  };
  if (std::ranges::none_of(users, leaves) || !is_long(v)) return false;
  // The statements that compute it, each for itself; some compute an element more than once.
  std::set<const Instruction*> statements;
  bool repeats = false;
  const std::function<void(ValueId)> follow = [&](ValueId value) {
    for (const Instruction* user : users_[static_cast<size_t>(value)]) {
      const bool moves = user && (tile::is_elementwise(*user) || user->op == TileOp::broadcast ||
                                  user->op == TileOp::reshape || user->op == TileOp::transpose);
      if (!moves || !word_uses(user->results[0]).is_none()) {
        statements.insert(user && user->op == TileOp::store ? nullptr : user);
        repeats |= user && user->op == TileOp::dot && user->operands[2] != value &&
                   !(user->operands[1] == value && reads_words_once(*user));
      } else {
        repeats |= type(user->results[0]).shape.elements() > type(value).shape.elements();
        follow(user->results[0]);
      }
    }
  };
  follow(v);
  return repeats || (statements.size() > 1 && shape.rank() > 1);
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

// --- tiles that are held -------------------------------------------------------------------------

llvm::Value* CpuFunction::stack(llvm::Type* type, const char* name) {
  BasicBlock& entry = function_->getEntryBlock();
  llvm::IRBuilder<> at(&entry, entry.begin());
  llvm::AllocaInst* variable = at.CreateAlloca(type, nullptr, name);
  variable->setAlignment(llvm::Align(64));
  return variable;
}

Stored CpuFunction::reserve(const TileType& type) {
  Stored stored;
  stored.dtype = type.dtype;
  const int rank = type.shape.rank();
  stored.strides.assign(static_cast<size_t>(rank), 1);
  const int64_t lanes = lanes_;
  int64_t elements = rank ? (type.shape[rank - 1] + lanes - 1) / lanes * lanes : 1;
  for (int i = rank - 2; i >= 0; --i) {
    stored.strides[static_cast<size_t>(i)] = elements;
    elements *= type.shape[i];
  }
  llvm::Type* element = type.dtype == DType::b8 ? emitter_.memory_type(type.dtype)
                                                : emitter_.register_type(type.dtype);
  stored.base = stack(llvm::ArrayType::get(element, static_cast<uint64_t>(elements)), "tile");
  return stored;
}

Lanes CpuFunction::place(const Stored& stored, const Coordinates& at) {
  Lanes offset = Lanes::uniform(i64(0));
  for (size_t i = 0; i < at.size(); ++i)
    offset = arithmetic(Op::add, offset,
                        arithmetic(Op::multiply, at[i], Lanes::uniform(i64(stored.strides[i]))));
  return offset;
}

void CpuFunction::write(const Stored& to, const Coordinates& at, const Lanes& value) {
  const Lanes offset = place(to, at);
  const bool is_bool = to.dtype == DType::b8;
  llvm::Type* element = is_bool ? emitter_.memory_type(to.dtype) : emitter_.register_type(to.dtype);
  llvm::Value* address = b_.CreateGEP(element, to.base, offset.value);
  // A row has room for whole packs, so the last one needs no mask.
  llvm::Value* stored = offset.is_uniform() ? value.value : as_vector(value);
  if (is_bool) stored = emitter_.to_memory(stored, to.dtype);
  const uint64_t bytes = element->getScalarSizeInBits() / 8;
  b_.CreateAlignedStore(stored, address, llvm::Align(bytes));
}

Lanes CpuFunction::read(const Stored& from, const Coordinates& at) {
  const Lanes offset = place(from, at);
  const bool is_bool = from.dtype == DType::b8;
  llvm::Type* element =
      is_bool ? emitter_.memory_type(from.dtype) : emitter_.register_type(from.dtype);
  const llvm::Align align(element->getScalarSizeInBits() / 8);
  const auto as_register = [&](llvm::Value* v) {
    return is_bool ? emitter_.from_memory(v, from.dtype) : v;
  };
  if (offset.is_uniform())
    return Lanes::uniform(as_register(
        b_.CreateAlignedLoad(element, b_.CreateGEP(element, from.base, offset.value), align)));
  auto* packed = llvm::FixedVectorType::get(element, lanes_);
  if (offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 1))
    return Lanes::vector(as_register(
        b_.CreateAlignedLoad(packed, b_.CreateGEP(element, from.base, offset.value), align)));
  llvm::Value* mask =
      tail_ ? tail_
            : llvm::Constant::getAllOnesValue(llvm::FixedVectorType::get(b_.getInt1Ty(), lanes_));
  return Lanes::vector(
      as_register(b_.CreateMaskedGather(packed, b_.CreateGEP(element, from.base, as_vector(offset)),
                                        align, mask, llvm::Constant::getNullValue(packed))));
}

void CpuFunction::copy_into(const Stored& to, ValueId v, int64_t few) {
  for_tile(type(v).shape, [&](const Coordinates& at) { write(to, at, evaluate(v, at)); }, few);
}

void CpuFunction::hold(ValueId v) {
  const Stored to = reserve(type(v));
  const std::vector<ValueId> transposed = transposed_loads({v});
  if (transposed.empty())
    copy_into(to, v);
  else
    for_squares(
        sizes_of(type(v).shape), transposed, [](const Coordinates&) {},
        [&](const Coordinates& at) { write(to, at, evaluate(v, at)); });
  stored_[v] = to;
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
    finish_products(dots, body.yields[0], places[0]);
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
