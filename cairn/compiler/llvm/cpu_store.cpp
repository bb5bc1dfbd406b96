// Stores: the loops over a tile that is written.
#include <algorithm>
#include <optional>

#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

void CpuFunction::emit_fetches() {
  for (const Instruction* in : std::exchange(fetches_, {}))
    for_elements(type(in->operands[0]).shape, [&](const Coordinates& at) {
      prefetch(*in, evaluate(in->operands[0], at).value, false);
    });
}

// One after the other they would wait for each other: a core has some twenty misses under way.
void CpuFunction::fetch_part(std::span<const Instruction* const> fetches, llvm::Value* step,
                             int64_t steps) {
  for (const Instruction* in : fetches) {
    const int64_t count = type(in->operands[0]).shape.elements();
    const int64_t each = (count + steps - 1) / steps;
    for (int64_t i = 0; i < each; ++i) {
      memo_.clear();
      llvm::Value* number = b_.CreateAdd(b_.CreateMul(step, i64(each)), i64(i));
      if (each * steps > count) number = less_of(number, i64(count - 1));
      prefetch(*in, evaluate(in->operands[0], {Lanes::uniform(number)}).value, false);
    }
  }
}

// Into the second cache: the first is full of what is computed with.
void CpuFunction::prefetch(const Instruction& access, llvm::Value* offset, bool is_written) {
  is_written |= !kernel_.parameters[static_cast<size_t>(access.parameter)].is_read();
  b_.CreateIntrinsic(
      llvm::Intrinsic::prefetch, {b_.getPtrTy()},
      {address(access, offset), b_.getInt32(is_written), b_.getInt32(2), b_.getInt32(1)});
}

void CpuFunction::store_region(const std::vector<const Instruction*>& stores) {
  const Shape& shape = type(stores[0]->operands[0]).shape;
  const auto mask_of = [](const Instruction* in) {
    return in->operands.size() > 2 ? in->operands[2] : -1;
  };
  // One mask bounds the loops: that of all stores, or none.
  ValueId mask = mask_of(stores[0]);
  for (const Instruction* in : stores)
    if (mask_of(in) != mask) mask = -1;
  std::vector<llvm::Value*> counts = sizes_of(shape);
  std::vector<int> bounded;
  if (mask >= 0) bounded = bound(mask, counts);
  const auto prepare = [&](const Coordinates& here) {
    if (mask >= 0) assume_terms(mask, here, bounded);
  };
  const auto body = [&](const Coordinates& here) {
    prepare(here);
    std::vector<Lanes> offsets, values, masks;
    for (const Instruction* in : stores) {
      offsets.push_back(evaluate(in->operands[0], here));
      values.push_back(evaluate(in->operands[1], here));
      masks.push_back(mask_of(in) >= 0 ? evaluate(mask_of(in), here)
                                       : Lanes::uniform(b_.getTrue()));
      if (tail_) masks.back() = both(masks.back(), Lanes::vector(tail_));
    }
    for (size_t i = 0; i < stores.size(); ++i)
      store(*stores[i], offsets[i], values[i], masks[i], !here.empty());
  };
  std::vector<ValueId> values;
  for (const Instruction* in : stores) values.push_back(in->operands[1]);
  const std::vector<ValueId> transposed = transposed_loads(values);
  if (transposed.empty()) return for_packs(counts, body);
  for_squares(counts, transposed, prepare, body);
}

std::vector<ValueId> CpuFunction::transposed_loads(std::vector<ValueId> values) {
  const Shape shape = type(values[0]).shape;
  const int64_t lanes = lanes_;
  if (shape.rank() != 2 || shape[0] % lanes || shape[1] % lanes) return {};
  std::vector<ValueId> loads;
  for (size_t i = 0; i < values.size(); ++i) {
    const Instruction* in = definition(values[i]);
    if (!in || stored_.contains(values[i]) || type(values[i]).shape != shape) continue;
    if (in->op == TileOp::load) {
      memo_.clear();
      const Lanes zero = Lanes::uniform(i64(0)), along = Lanes::affine(i64(0), i64(1));
      const auto is_contiguous = [&](const Coordinates& at) {
        const Lanes offset = evaluate(in->operands[0], at);
        return offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 1);
      };
      if (type(values[i]).dtype != DType::b8 && is_contiguous({along, zero}) &&
          !is_contiguous({zero, along}))
        loads.push_back(values[i]);
      continue;
    }
    for (const ValueId operand : in->operands)
      if (std::find(values.begin(), values.end(), operand) == values.end())
        values.push_back(operand);
  }
  memo_.clear();
  return loads;
}

void CpuFunction::for_squares(const std::vector<llvm::Value*>& counts,
                              const std::vector<ValueId>& loads, const PackBody& prepare,
                              const PackBody& body) {
  const int64_t lanes = lanes_;
  std::vector<Stored> squares;
  for (const ValueId load : loads) squares.push_back(reserve({type(load).dtype, {lanes, lanes}}));
  const Lanes across = Lanes::affine(i64(0), i64(1));
  llvm::Value* rows = b_.CreateAnd(counts[0], i64(-lanes));
  llvm::Value* columns = b_.CreateAnd(counts[1], i64(-lanes));
  loop_over(i64(0), rows, lanes, [&](llvm::Value* row) {
    loop_over(i64(0), columns, lanes, [&](llvm::Value* column) {
      for (size_t i = 0; i < loads.size(); ++i) {
        std::vector<llvm::Value*> square;
        for (int64_t c = 0; c < lanes; ++c) {
          memo_.clear();
          const Coordinates down = {Lanes::affine(row, i64(1)),
                                    Lanes::uniform(b_.CreateAdd(column, i64(c)))};
          prepare(down);
          square.push_back(as_vector(evaluate(loads[i], down)));
        }
        transpose_square(square);
        for (int64_t r = 0; r < lanes; ++r)
          write(squares[i], {Lanes::uniform(i64(r)), across},
                Lanes::vector(square[static_cast<size_t>(r)]));
      }
      loop_over(i64(0), i64(lanes), 1, [&](llvm::Value* r) {
        memo_.clear();
        const Coordinates here = {Lanes::uniform(b_.CreateAdd(row, r)),
                                  Lanes::affine(column, i64(1))};
        for (size_t i = 0; i < loads.size(); ++i)
          memo_[{loads[i], here}] = read(squares[i], {Lanes::uniform(r), across});
        body(here);
      });
    });
    llvm::Value* rest = b_.CreateSub(counts[1], columns);
    when(b_.CreateICmpSGT(rest, i64(0)), [&] {
      loop_over(row, b_.CreateAdd(row, i64(lanes)), 1, [&](llvm::Value* r) {
        memo_.clear();
        tail_ = first_lanes(rest);
        body({Lanes::uniform(r), Lanes::affine(columns, i64(1))});
        tail_ = nullptr;
      });
    });
  });
  loop_over(rows, counts[0], 1, [&](llvm::Value* r) {
    Coordinates at = {Lanes::uniform(r)};
    loop_nest(counts, at, body);
  });
  memo_.clear();
}

// Element j of vector i becomes element i of vector j: squares of half the size change places, then
// those within each.
void CpuFunction::transpose_square(std::vector<llvm::Value*>& vectors) {
  const auto n = static_cast<int>(vectors.size());
  for (int half = n / 2; half > 0; half /= 2)
    for (int i = 0; i < n; ++i) {
      if (i & half) continue;
      std::vector<int> low, high;  // of the two vectors' elements, one behind the other
      for (int l = 0; l < n; ++l) {
        low.push_back(l & half ? n + l - half : l);
        high.push_back(l & half ? n + l : l + half);
      }
      llvm::Value*& a = vectors[static_cast<size_t>(i)];
      llvm::Value*& c = vectors[static_cast<size_t>(i) + static_cast<size_t>(half)];
      llvm::Value* first = b_.CreateShuffleVector(a, c, low);
      c = b_.CreateShuffleVector(a, c, high);
      a = first;
    }
}

}  // namespace cairn::compiler
