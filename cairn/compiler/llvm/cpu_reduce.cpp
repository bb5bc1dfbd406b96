// Reductions and scans along an axis of a tile.
//
// The order of a sum is that of tile/reduction_order.h: 64 lanes, each adding up every 64th
// element, then halves. Along the last axis the lanes are those of a few packs; along another, 64
// packs in memory.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using tile::Combine;
using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

namespace {

Number identity_of(Combine kind, DType dtype) {
  switch (kind) {
    case Combine::sum: return 0;
    case Combine::prod: return 1;
    default: break;
  }
  const bool is_max = kind == Combine::max;
  if (is_float(dtype)) return is_max ? -HUGE_VAL : HUGE_VAL;
  if (dtype == DType::b8) return is_max ? 0 : 1;
  const int bits = 8 * static_cast<int>(size_of(dtype));
  if (is_unsigned(dtype))
    return is_max ? int64_t{0} : static_cast<int64_t>((uint64_t{1} << bits) - 1);
  const int64_t low =
      bits == 64 ? std::numeric_limits<int64_t>::min() : -(int64_t{1} << (bits - 1));
  return is_max ? low : -(low + 1);
}

Op operation_of(Combine kind) {
  switch (kind) {
    case Combine::sum: return Op::add;
    case Combine::prod: return Op::multiply;
    case Combine::max: return Op::maximum;
    default: return Op::minimum;
  }
}

// f16 and bf16 accumulate in f32, which is how they are held.
DType accumulator(DType dtype) {
  return dtype == DType::f16 || dtype == DType::bf16 ? DType::f32 : dtype;
}

bool same_number(const Number& a, const Number& b) { return a.as_double() == b.as_double(); }

}  // namespace

llvm::Value* CpuFunction::combine(const Instruction& in, llvm::Value* x, llvm::Value* y) {
  const DType dtype = accumulator(type(in.operands[0]).dtype);
  if (dtype == DType::b8)  // max and min of bools
    return in.kind == Combine::max ? b_.CreateOr(x, y) : b_.CreateAnd(x, y);
  llvm::Value* operands[] = {x, y};
  return emitter_.apply(operation_of(in.kind), dtype, dtype, operands);
}

llvm::Value* CpuFunction::identity(const Instruction& in) {
  const DType dtype = accumulator(type(in.operands[0]).dtype);
  return emitter_.number(identity_of(in.kind, dtype), dtype);
}

// Lane l with l + n/2, and so on.
llvm::Value* CpuFunction::across_lanes(const Instruction& in, llvm::Value* packed) {
  for (unsigned n = lanes_; n > 1; n /= 2) {
    std::vector<int> low, high;
    for (unsigned i = 0; i < n / 2; ++i) {
      low.push_back(static_cast<int>(i));
      high.push_back(static_cast<int>(i + n / 2));
    }
    packed = combine(in, b_.CreateShuffleVector(packed, low), b_.CreateShuffleVector(packed, high));
  }
  return b_.CreateExtractElement(packed, uint64_t{0});
}

ValueId CpuFunction::mask_leaving(const Number& nothing, ValueId v) {
  const Instruction* x = definition(v);
  if (!x || stored_.contains(v)) return -1;
  const bool is_select = x->op == TileOp::apply && x->scalar == Op::select;
  const bool is_load = x->op == TileOp::load && x->operands.size() > 1;
  if (!is_select && !is_load) return -1;
  if (is_load && x->operands.size() == 2) return same_number(nothing, 0) ? x->operands[1] : -1;
  // The other value, through broadcasts.
  const Instruction* other = definition(x->operands[2]);
  while (other && (other->op == TileOp::broadcast || other->op == TileOp::reshape))
    other = definition(other->operands[0]);
  if (!other || other->op != TileOp::constant || !same_number(other->value, nothing)) return -1;
  return is_select ? x->operands[0] : x->operands[1];
}

bool CpuFunction::is_needed_under(ValueId v, ValueId mask) const {
  std::set<ValueId> seen = {v};
  for (std::vector<ValueId> values = {v}; !values.empty();) {
    const ValueId value = values.back();
    values.pop_back();
    for (const Instruction* user : users_[static_cast<size_t>(value)]) {
      if (!user) return false;
      if (user->op == TileOp::store) {
        if (user->operands[0] == value || user->operands.back() != mask) return false;
      } else if (user->op == TileOp::apply && user->scalar == Op::select &&
                 user->operands[0] == mask) {
        if (user->operands[2] == value) return false;
      } else if (!tile::is_elementwise(*user)) {
        return false;
      } else if (seen.insert(user->results[0]).second) {
        values.push_back(user->results[0]);
      }
    }
  }
  return true;
}

std::vector<ValueId> CpuFunction::worth_keeping(ValueId x, ValueId mask) const {
  const Shape& shape = type(x).shape;
  // What is computed at the same place, operands behind what they are operands of.
  std::vector<ValueId> values = {x};
  const auto has = [](const std::vector<ValueId>& list, ValueId v) {
    return std::ranges::find(list, v) != list.end();
  };
  const auto operands_of = [&](ValueId v) -> const std::vector<ValueId>& {
    static const std::vector<ValueId> none;
    const Instruction* in = definition(v);
    return in && tile::is_elementwise(*in) && !stored_.contains(v) ? in->operands : none;
  };
  const auto add_operands = [&](std::vector<ValueId>& list) {
    for (size_t i = 0; i < list.size(); ++i)
      for (const ValueId operand : operands_of(list[i]))
        if (type(operand).shape == shape && !has(list, operand)) list.push_back(operand);
  };
  add_operands(values);
  std::vector<ValueId> kept, covered;
  for (const ValueId v : values) {
    if (v == x || has(covered, v) || stored_.contains(v)) continue;
    const bool is_used_again =
        std::ranges::any_of(users_[static_cast<size_t>(v)], [&](const Instruction* user) {
          return user && (user->results.empty() || !has(values, user->results[0]));
        });
    if (!is_used_again || !is_needed_under(v, mask)) continue;
    if (!is_long(v)) continue;
    std::vector<ValueId> below = {v};
    add_operands(below);
    kept.push_back(v);
    covered.insert(covered.end(), below.begin(), below.end());
  }
  return kept;
}

Lanes CpuFunction::reduce_last(const Instruction& in, const Coordinates& outer) {
  const ValueId x = in.operands[0];
  const Shape& shape = type(x).shape;
  const int64_t n = shape[shape.rank() - 1];
  const bool ordered = in.kind == Combine::sum || in.kind == Combine::prod;
  if (ordered && n > tile::kReduceChunk)
    unsupported(in, fmt::format("over more than {} elements of a tile: loop over chunks",
                                tile::kReduceChunk));
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = tile::kReduceLanes / lanes;  // of an accumulator
  auto* packed = llvm::FixedVectorType::get(identity(in)->getType(), lanes_);
  std::vector<llvm::Value*> sums;
  for (int64_t p = 0; p < packs; ++p) {
    sums.push_back(stack(packed, "sum"));
    b_.CreateStore(emitter_.splat(identity(in), lanes_), sums.back());
  }
  // A row that ends early by its mask is walked only so far.
  llvm::Value* count = i64(n);
  const ValueId mask =
      shape.rank() == 1 ? mask_leaving(identity_of(in.kind, type(x).dtype), x) : -1;
  std::vector<int> bounded;
  if (mask >= 0) {
    std::vector<llvm::Value*> counts = {count};
    bounded = bound(mask, counts);
    count = counts[0];
  }
  std::vector<std::pair<ValueId, Stored>> kept;
  if (mask >= 0)
    for (const ValueId v : worth_keeping(x, mask)) kept.emplace_back(v, reserve(type(v)));
  const auto add = [&](llvm::Value* first, int64_t p, llvm::Value* tail) {
    memo_.clear();
    Coordinates at = outer;
    at.push_back(Lanes::affine(first, i64(1)));
    tail_ = tail;
    if (mask >= 0) assume_terms(mask, at, bounded);
    llvm::Value* value = as_vector(evaluate(x, at));
    for (const auto& [v, to] : kept) write(to, at, evaluate(v, at));
    tail_ = nullptr;
    if (tail) value = b_.CreateSelect(tail, value, emitter_.splat(identity(in), lanes_));
    llvm::Value* sum = sums[static_cast<size_t>(p)];
    b_.CreateStore(combine(in, b_.CreateLoad(packed, sum), value), sum);
  };
  llvm::Value* full = b_.CreateAnd(count, i64(-tile::kReduceLanes));
  if (!is_constant(full, 0))
    loop_over(i64(0), full, tile::kReduceLanes, [&](llvm::Value* first) {
      for (int64_t p = 0; p < packs; ++p) add(b_.CreateAdd(first, i64(p * lanes)), p, nullptr);
    });
  // The last lanes, fewer than 64.
  for (int64_t p = 0; p < packs; ++p) {
    llvm::Value* first = b_.CreateAdd(full, i64(p * lanes));
    llvm::Value* rest = b_.CreateSub(count, first);
    if (llvm::isa<llvm::ConstantInt>(rest)) {
      const int64_t left = llvm::cast<llvm::ConstantInt>(rest)->getSExtValue();
      if (left > 0) add(first, p, left >= lanes ? nullptr : first_lanes(rest));
      continue;
    }
    when(b_.CreateICmpSGT(rest, i64(0)), [&] {
      add(first, p, first_lanes(b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, rest, i64(lanes))));
    });
  }
  for (const auto& [v, to] : kept) stored_[v] = to;
  std::vector<llvm::Value*> values;
  for (llvm::Value* sum : sums) values.push_back(b_.CreateLoad(packed, sum));
  for (size_t half = values.size() / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) values[i] = combine(in, values[i], values[i + half]);
  return Lanes::uniform(across_lanes(in, values[0]));
}

Lanes CpuFunction::reduce_other(const Instruction& in, const Coordinates& at) {
  const ValueId x = in.operands[0];
  const int64_t n = type(x).shape[in.axis];
  const bool ordered = in.kind == Combine::sum || in.kind == Combine::prod;
  if (ordered && n > tile::kReduceChunk)
    unsupported(in, fmt::format("over more than {} elements of a tile: loop over chunks",
                                tile::kReduceChunk));
  // Lanes of the order that hold anything; what has no order gets a few, which stay in registers.
  constexpr int64_t kChains = 4;
  const int64_t most = std::min(n, ordered ? tile::kReduceLanes : kChains);
  int64_t lanes = 1;
  while (lanes < most) lanes *= 2;
  auto* packed = llvm::FixedVectorType::get(identity(in)->getType(), lanes_);
  llvm::Value* const nothing = emitter_.splat(identity(in), lanes_);
  const auto value_at = [&](llvm::Value* i) {
    memo_.clear();
    Coordinates here = at;
    here.insert(here.begin() + in.axis, Lanes::uniform(i));
    return as_vector(evaluate(x, here));
  };
  const auto halve = [&](std::vector<llvm::Value*> values) {
    for (size_t half = values.size() / 2; half > 0; half /= 2)
      for (size_t i = 0; i < half; ++i) values[i] = combine(in, values[i], values[i + half]);
    return values[0];
  };
  const int64_t inner = std::min<int64_t>(lanes, 8);
  const int64_t outer = lanes / inner;
  llvm::Value* sums = stack(llvm::ArrayType::get(packed, static_cast<uint64_t>(lanes)), "sums");
  const auto slot = [&](llvm::Value* lane) { return b_.CreateGEP(packed, sums, lane); };
  if (n == lanes) {
    // An element a lane: every eighth of them is combined in registers, as they are read.
    loop_over(i64(0), i64(outer), 1, [&](llvm::Value* first) {
      std::vector<llvm::Value*> values;
      for (int64_t i = 0; i < inner; ++i)
        values.push_back(combine(in, nothing, value_at(b_.CreateAdd(first, i64(i * outer)))));
      b_.CreateStore(halve(std::move(values)), slot(first));
    });
    lanes = outer;
  } else {
    loop_over(i64(0), i64(lanes), 1,
              [&](llvm::Value* lane) { b_.CreateStore(nothing, slot(lane)); });
    loop_over(i64(0), i64(n), 1, [&](llvm::Value* i) {
      llvm::Value* to = slot(b_.CreateAnd(i, i64(lanes - 1)));
      b_.CreateStore(combine(in, b_.CreateLoad(packed, to), value_at(i)), to);
    });
  }
  for (int64_t half = lanes / 2; half >= 8; half /= 2)
    loop_over(i64(0), i64(half), 1, [&](llvm::Value* lane) {
      llvm::Value* other = b_.CreateLoad(packed, slot(b_.CreateAdd(lane, i64(half))));
      b_.CreateStore(combine(in, b_.CreateLoad(packed, slot(lane)), other), slot(lane));
    });
  std::vector<llvm::Value*> rest;
  for (int64_t i = 0; i < std::min<int64_t>(lanes, 8); ++i)
    rest.push_back(b_.CreateLoad(packed, slot(i64(i))));
  return Lanes::vector(halve(std::move(rest)));
}

void CpuFunction::emit_reduce(const Instruction& in) {
  const tile::TileType& result = type(in.results[0]);
  const Shape& shape = type(in.operands[0]).shape;
  const auto rounded = [&](Lanes value) {
    if (result.dtype != accumulator(result.dtype))
      value.value = emitter_.round_to(value.value, result.dtype);
    return value;
  };
  const bool last = in.axis + 1 == shape.rank();
  if (last && shape.rank() == 1) {
    scalar(in.results[0]) = rounded(reduce_last(in, {})).value;
    return;
  }
  const Stored to = reserve(result);
  if (last)
    for_elements(result.shape,
                 [&](const Coordinates& at) { write(to, at, rounded(reduce_last(in, at))); });
  else
    for_packs(sizes_of(result.shape), [&](const Coordinates& at) {
      llvm::Value* const tail = tail_;
      const Lanes value = rounded(reduce_other(in, at));
      tail_ = tail;
      write(to, at, value);
    });
  stored_[in.results[0]] = to;
}

// One element after the other along the axis; packs go along the last one where that is another.
void CpuFunction::emit_sequential(const Instruction& in) {
  const ValueId x = in.operands[0];
  const Shape& shape = type(x).shape;
  const DType dtype = type(x).dtype;
  const bool is_scan = in.op == TileOp::scan;
  const bool last = in.axis + 1 == shape.rank();
  Shape others = shape;
  others.erase(in.axis);
  const Stored to = reserve(type(in.results[0]));
  llvm::Type* element = identity(in)->getType();
  const auto typed = [&](llvm::Type* t) -> llvm::Type* {
    return last ? t : llvm::FixedVectorType::get(t, lanes_);
  };
  const auto one = [&](const Lanes& v) { return last ? v.value : as_vector(v); };
  const auto lanes = [&](llvm::Value* v) { return last ? Lanes::uniform(v) : Lanes::vector(v); };
  llvm::Value* best = stack(typed(element), "best");
  llvm::Value* where = stack(typed(b_.getInt32Ty()), "where");
  const int64_t n = shape[in.axis];
  const auto body = [&](const Coordinates& at) {
    llvm::Value* const tail = tail_;
    const auto inside = [&](llvm::Value* i) {
      Coordinates here = at;
      here.insert(here.begin() + in.axis, Lanes::uniform(i));
      return here;
    };
    b_.CreateStore(last ? identity(in) : emitter_.splat(identity(in), lanes_), best);
    b_.CreateStore(llvm::Constant::getNullValue(typed(b_.getInt32Ty())), where);
    loop_over(i64(0), i64(n), 1, [&](llvm::Value* step) {
      memo_.clear();
      tail_ = tail;
      llvm::Value* i = in.reverse ? b_.CreateSub(i64(n - 1), step) : step;
      llvm::Value* value = one(evaluate(x, inside(i)));
      llvm::Value* before = b_.CreateLoad(typed(element), best);
      if (is_scan) {
        llvm::Value* sum = combine(in, before, value);
        b_.CreateStore(sum, best);
        write(to, inside(i),
              lanes(dtype == accumulator(dtype) ? sum : emitter_.round_to(sum, dtype)));
        return;
      }
      // The first element; then a better one, where NaN is better than any number and a number no
      // better than an equal one.
      llvm::Value* better = in.kind == Combine::max
                                ? emitter_.compare_less(accumulator(dtype), before, value)
                                : emitter_.compare_less(accumulator(dtype), value, before);
      if (is_float(dtype))
        better = b_.CreateOr(
            better, b_.CreateAnd(b_.CreateFCmpUNO(value, value), b_.CreateFCmpORD(before, before)));
      llvm::Value* first = b_.CreateICmpEQ(i, i64(0));
      better = b_.CreateOr(better, last ? first : emitter_.splat(first, lanes_));
      llvm::Value* number = b_.CreateTrunc(i, b_.getInt32Ty());
      if (!last) number = emitter_.splat(number, lanes_);
      b_.CreateStore(b_.CreateSelect(better, value, before), best);
      b_.CreateStore(b_.CreateSelect(better, number, b_.CreateLoad(typed(b_.getInt32Ty()), where)),
                     where);
    });
    tail_ = tail;
    if (!is_scan) write(to, at, lanes(b_.CreateLoad(typed(b_.getInt32Ty()), where)));
  };
  if (last)
    for_elements(others, body);
  else
    for_packs(sizes_of(others), body);
  if (type(in.results[0]).shape.rank() == 0)
    scalar(in.results[0]) = read(to, {}).value;
  else
    stored_[in.results[0]] = to;
}

}  // namespace cairn::compiler
