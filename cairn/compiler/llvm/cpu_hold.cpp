// Tiles that are held in memory: which, and how they are written and read.
#include <algorithm>
#include <set>

#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using llvm::BasicBlock;
using tile::Instruction;
using tile::TileOp;
using tile::TileType;
using tile::ValueId;

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

}  // namespace cairn::compiler
