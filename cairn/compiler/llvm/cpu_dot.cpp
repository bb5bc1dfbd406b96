// Products of tiles: blocks of the result in registers, one fma chain per element in increasing k.
//
// A block is a few rows of x, read element by element and spread over a pack, times a few packs of
// a row of y. Both are values at coordinates like any other, so what is computed on the way (a
// cast, a scale, a dequantization) is part of the product.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using tile::Instruction;
using tile::ValueId;

namespace {

struct Block {
  int64_t rows;
  int64_t packs;
};

// Accumulators, the packs of y and one of x fit the registers: 32 of AVX-512, 16 of AVX2. With x
// read directly, 6 rows of 4 packs reach the peak (docs/adr/0005-tile-compiler.md).
Block block_of(unsigned lanes, int64_t packs, DType sum) {
  const int64_t registers = size_of(sum) == 8 ? 2 : 1;  // of a pack
  const int64_t accumulators = (lanes == 16 ? 24 : 12) / registers;
  const int64_t most = (lanes == 16 ? 4 : 2) / registers;
  const int64_t p = std::min(packs, most);
  return {accumulators / p, p};
}

// Computed in the same way from the same values.
bool is_same(const llvm::Value* x, const llvm::Value* y, int depth = 8) {
  if (x == y) return true;
  const auto* a = llvm::dyn_cast<llvm::Instruction>(x);
  const auto* c = llvm::dyn_cast<llvm::Instruction>(y);
  if (!a || !c || depth == 0 || a->getOpcode() != c->getOpcode() ||
      a->getNumOperands() != c->getNumOperands() || a->mayReadOrWriteMemory() ||
      llvm::isa<llvm::PHINode>(a))
    return false;
  for (unsigned i = 0; i < a->getNumOperands(); ++i)
    if (!is_same(a->getOperand(i), c->getOperand(i), depth - 1)) return false;
  return true;
}

}  // namespace

CpuFunction::Depth CpuFunction::depth_of(const Instruction& in) {
  const ValueId x = in.operands[0], y = in.operands[1];
  Depth whole;
  whole.depth = i64(type(x).shape[1]);
  Depth result = whole;
  result.x_mask = mask_leaving(0, x);
  result.y_mask = mask_leaving(0, y);
  if (result.x_mask < 0 || result.y_mask < 0) return whole;
  memo_.clear();
  std::vector<llvm::Value*> x_counts = sizes_of(type(x).shape);
  std::vector<llvm::Value*> y_counts = sizes_of(type(y).shape);
  result.x_bounded = bound(result.x_mask, x_counts);
  result.y_bounded = bound(result.y_mask, y_counts);
  if (!is_same(x_counts[1], y_counts[0])) return whole;
  // Rows and columns that are masked off stay part of the product: 0 times an infinity is NaN.
  for (int& axis : result.x_bounded)
    if (axis != 1) axis = -1;
  for (int& axis : result.y_bounded)
    if (axis != 0) axis = -1;
  result.depth = x_counts[1];
  return result;
}

void CpuFunction::emit_dot(const Instruction& in) {
  const ValueId z = in.operands[2];
  const Shape& shape = type(z).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  // The sum lies in z's memory where this is its last use, as in a loop that carries it.
  const auto held = stored_.find(z);
  const bool in_place = held != stored_.end() && uses_[z] == 1;
  const Stored sum = in_place ? held->second : reserve(type(in.results[0]));
  const Depth depth = depth_of(in);
  const int64_t packs = (shape[1] + lanes - 1) / lanes;
  for (int64_t column = 0; column < packs;) {
    const Block block = block_of(lanes_, packs - column, type(z).dtype);
    // Packs that end behind the last column go by themselves, with a mask.
    int64_t width = block.packs;
    while (width > 1 && (column + width) * lanes > shape[1]) --width;
    const int64_t whole = shape[0] / block.rows * block.rows;
    if (whole)
      loop_over(i64(0), i64(whole), block.rows, [&](llvm::Value* row) {
        dot_block(in, depth, sum, row, block.rows, column * lanes, width);
      });
    if (whole < shape[0])
      dot_block(in, depth, sum, i64(whole), shape[0] - whole, column * lanes, width);
    column += width;
  }
  stored_[in.results[0]] = sum;
  memo_.clear();
}

void CpuFunction::dot_block(const Instruction& in, const Depth& depth, const Stored& sum,
                            llvm::Value* row, int64_t rows, int64_t column, int64_t packs) {
  const ValueId x = in.operands[0], y = in.operands[1];
  const DType from = type(x).dtype;
  const DType to = type(in.results[0]).dtype;
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t columns = type(y).shape[1];
  llvm::Value* const tail =
      column + packs * lanes > columns ? first_lanes(i64(columns - column)) : nullptr;
  // The sum is f32 for 16-bit floats, f64 for f64, i32 for bytes.
  const DType wide = is_float(from) ? (from == DType::f64 ? DType::f64 : DType::f32) : DType::i32;
  const auto at = [&](int64_t r, int64_t p) {
    return Coordinates{Lanes::uniform(b_.CreateAdd(row, i64(r))),
                       Lanes::affine(i64(column + p * lanes), i64(1))};
  };
  auto* packed = llvm::FixedVectorType::get(emitter_.register_type(wide), lanes_);
  std::vector<llvm::Value*> sums;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t p = 0; p < packs; ++p) {
      memo_.clear();
      tail_ = tail;
      llvm::Value* first = as_vector(evaluate(in.operands[2], at(r, p)));
      tail_ = nullptr;
      sums.push_back(stack(packed, "dot"));
      b_.CreateStore(emitter_.convert(first, to, wide), sums.back());
    }
  loop_over(i64(0), depth.depth, 1, [&](llvm::Value* k) {
    memo_.clear();
    tail_ = tail;
    std::vector<llvm::Value*> right;
    for (int64_t p = 0; p < packs; ++p) {
      const Coordinates here = {Lanes::uniform(k), Lanes::affine(i64(column + p * lanes), i64(1))};
      if (depth.y_mask >= 0) assume_terms(depth.y_mask, here, depth.y_bounded);
      right.push_back(emitter_.convert(as_vector(evaluate(y, here)), type(y).dtype, wide));
    }
    tail_ = nullptr;
    for (int64_t r = 0; r < rows; ++r) {
      const Coordinates here = {Lanes::uniform(b_.CreateAdd(row, i64(r))), Lanes::uniform(k)};
      if (depth.x_mask >= 0) assume_terms(depth.x_mask, here, depth.x_bounded);
      llvm::Value* left =
          emitter_.splat(emitter_.convert(evaluate(x, here).value, type(x).dtype, wide), lanes_);
      for (int64_t p = 0; p < packs; ++p) {
        llvm::Value* place = sums[static_cast<size_t>(r * packs + p)];
        llvm::Value* before = b_.CreateLoad(packed, place);
        llvm::Value* after =
            is_float(wide)
                ? emitter_.fma(left, right[static_cast<size_t>(p)], before)
                : b_.CreateAdd(before, b_.CreateMul(left, right[static_cast<size_t>(p)]));
        b_.CreateStore(after, place);
      }
    }
  });
  // A product of zeros that was left out would have made +0 of a sum that is -0.
  llvm::Value* skipped = nullptr;
  if (is_float(wide) && !llvm::isa<llvm::ConstantInt>(depth.depth)) {
    llvm::Value* some = b_.CreateICmpSLT(depth.depth, i64(type(x).shape[1]));
    skipped = emitter_.splat(
        b_.CreateSelect(some, emitter_.number(0.0, wide), emitter_.number(-0.0, wide)), lanes_);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t p = 0; p < packs; ++p) {
      llvm::Value* value = b_.CreateLoad(packed, sums[static_cast<size_t>(r * packs + p)]);
      if (skipped) value = b_.CreateFAdd(value, skipped);
      write(sum, at(r, p), Lanes::vector(emitter_.convert(value, wide, to)));
    }
  memo_.clear();
}

}  // namespace cairn::compiler
