// Products of tiles: blocks of the result in registers, one fma chain per element in increasing k.
//
// A block is a few rows of x, read element by element and spread over a pack, times a few packs of
// a row of y. Both are values at coordinates like any other, so what is computed on the way (a
// cast, a scale, a dequantization) is part of the product.
//
// Products of bf16 take two k at a time: vdpbf16ps multiplies the upper halves of two registers of
// i32, adds that to the sum and then the lower halves' product, each as a fused multiply-add (but
// that subnormal numbers count as 0). Without that instruction the order is the same.
#include <fmt/format.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>

#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

namespace {

struct BlockSize {
  int64_t rows;
  int64_t packs;
};

// Accumulators, the packs of y and one of x fit the registers: 32 of AVX-512, 16 of AVX2. With x
// read directly, 6 rows of 4 packs reach the peak (docs/adr/0005-tile-compiler.md).
BlockSize block_of(unsigned lanes, int64_t packs, DType sum) {
  const int64_t registers = size_of(sum) == 8 ? 2 : 1;  // of a pack
  const int64_t accumulators = (lanes == 16 ? 24 : 12) / registers;
  const int64_t most = (lanes == 16 ? 4 : 2) / registers;
  const int64_t p = std::min(packs, most);
  return {accumulators / p, p};
}

// What products of that type add up in: f32 of 16-bit floats, f64 of f64, i32 of bytes.
DType sum_type(DType from) {
  if (!is_float(from)) return DType::i32;
  return from == DType::f64 ? DType::f64 : DType::f32;
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
  // A transposed right operand is put in order once for all rows.
  if (const ValueId y = in.operands[1]; !stored_.contains(y) && !transposed_loads({y}).empty())
    hold(y);
  const bool in_pairs = has_bf16_ && type(in.operands[0]).dtype == DType::bf16;
  llvm::Value* const pairs = in_pairs ? packed_pairs(in, depth) : nullptr;
  const int64_t packs = (shape[1] + lanes - 1) / lanes;
  for (int64_t column = 0; column < packs;) {
    const BlockSize block = block_of(lanes_, packs - column, type(z).dtype);
    // Packs that end behind the last column go by themselves, with a mask.
    int64_t width = block.packs;
    while (width > 1 && (column + width) * lanes > shape[1]) --width;
    const int64_t whole = shape[0] / block.rows * block.rows;
    if (whole)
      loop_over(i64(0), i64(whole), block.rows, [&](llvm::Value* row) {
        dot_block(in, depth, pairs, sum, {row, block.rows, column * lanes, width});
      });
    if (whole < shape[0])
      dot_block(in, depth, pairs, sum, {i64(whole), shape[0] - whole, column * lanes, width});
    column += width;
  }
  stored_[in.results[0]] = sum;
  memo_.clear();
}

void CpuFunction::dot_block(const Instruction& in, const Depth& depth, llvm::Value* pairs,
                            const Stored& sum, const DotBlock& block) {
  const DType from = type(in.operands[0]).dtype;
  const DType to = type(in.results[0]).dtype;
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t columns = type(in.operands[1]).shape[1];
  llvm::Value* const tail = block.column + block.packs * lanes > columns
                                ? first_lanes(i64(columns - block.column))
                                : nullptr;
  const DType wide = sum_type(from);
  const auto row = [&](int64_t r) { return b_.CreateAdd(block.row, i64(r)); };
  const auto at = [&](int64_t r, int64_t p) {
    return Coordinates{Lanes::uniform(row(r)),
                       Lanes::affine(i64(block.column + p * lanes), i64(1))};
  };
  auto* packed = llvm::FixedVectorType::get(emitter_.register_type(wide), lanes_);
  std::vector<llvm::Value*> sums;
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t p = 0; p < block.packs; ++p) {
      memo_.clear();
      tail_ = tail;
      llvm::Value* first = as_vector(evaluate(in.operands[2], at(r, p)));
      tail_ = nullptr;
      sums.push_back(stack(packed, "dot"));
      b_.CreateStore(emitter_.convert(first, to, wide), sums.back());
    }
  // Adds what is computed from an element of x, spread over a pack, and a pack of y.
  const auto add = [&](const std::vector<llvm::Value*>& right, auto left, auto product) {
    for (int64_t r = 0; r < block.rows; ++r) {
      llvm::Value* element = left(row(r));
      for (int64_t p = 0; p < block.packs; ++p) {
        llvm::Value* place = sums[static_cast<size_t>(r * block.packs + p)];
        llvm::Value* before = b_.CreateLoad(packed, place);
        b_.CreateStore(product(element, right[static_cast<size_t>(p)], before), place);
      }
    }
  };
  const auto add_one = [&](llvm::Value* k) {
    memo_.clear();
    std::vector<llvm::Value*> right;
    tail_ = tail;
    for (int64_t p = 0; p < block.packs; ++p)
      right.push_back(right_pack(in, depth, k, block.column + p * lanes));
    tail_ = nullptr;
    add(
        right,
        [&](llvm::Value* r) { return emitter_.splat(left_element(in, depth, r, k), lanes_); },
        [&](llvm::Value* x, llvm::Value* y, llvm::Value* z) {
          return is_float(wide) ? emitter_.fma(x, y, z) : b_.CreateAdd(z, b_.CreateMul(x, y));
        });
  };
  const auto add_pair = [&](llvm::Value* k, bool is_single) {
    memo_.clear();
    auto* numbers = llvm::FixedVectorType::get(b_.getInt32Ty(), lanes_);
    auto* halves = llvm::FixedVectorType::get(b_.getBFloatTy(), 2 * lanes_);
    const int64_t row_packs = (columns + lanes - 1) / lanes;
    std::vector<llvm::Value*> right;
    for (int64_t p = 0; p < block.packs; ++p) {
      llvm::Value* pack = b_.CreateAdd(b_.CreateMul(b_.CreateLShr(k, 1), i64(row_packs)),
                                       i64(block.column / lanes + p));
      right.push_back(b_.CreateBitCast(
          b_.CreateAlignedLoad(numbers, b_.CreateGEP(numbers, pairs, pack), llvm::Align(64)),
          halves));
    }
    add(
        right,
        [&](llvm::Value* r) {
          llvm::Value* pair = is_single ? joined(left_element(in, depth, r, k), nullptr)
                                        : left_pair(in, depth, r, k);
          return b_.CreateBitCast(emitter_.splat(pair, lanes_), halves);
        },
        [&](llvm::Value* x, llvm::Value* y, llvm::Value* z) -> llvm::Value* {
          return b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {}, {z, x, y});
        });
  };
  if (pairs)
    for_pairs(
        depth.depth, [&](llvm::Value* k) { add_pair(k, false); },
        [&](llvm::Value* k) { add_pair(k, true); });
  else if (from == DType::bf16)
    for_pairs(
        depth.depth,
        [&](llvm::Value* k) {
          add_one(b_.CreateAdd(k, i64(1)));
          add_one(k);
        },
        add_one);
  else
    loop_over(i64(0), depth.depth, 1, add_one);
  // A product of zeros that was left out would have made +0 of a sum that is -0.
  llvm::Value* skipped = nullptr;
  if (is_float(wide) && !llvm::isa<llvm::ConstantInt>(depth.depth)) {
    llvm::Value* some = b_.CreateICmpSLT(depth.depth, i64(type(in.operands[0]).shape[1]));
    skipped = emitter_.splat(
        b_.CreateSelect(some, emitter_.number(0.0, wide), emitter_.number(-0.0, wide)), lanes_);
  }
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t p = 0; p < block.packs; ++p) {
      llvm::Value* value = b_.CreateLoad(packed, sums[static_cast<size_t>(r * block.packs + p)]);
      if (skipped) value = b_.CreateFAdd(value, skipped);
      write(sum, at(r, p), Lanes::vector(emitter_.convert(value, wide, to)));
    }
  memo_.clear();
}

// A pack of a row of y, as the sum's type.
llvm::Value* CpuFunction::right_pack(const Instruction& in, const Depth& depth, llvm::Value* k,
                                     int64_t column) {
  const ValueId y = in.operands[1];
  const Coordinates here = {Lanes::uniform(k), Lanes::affine(i64(column), i64(1))};
  if (depth.y_mask >= 0) assume_terms(depth.y_mask, here, depth.y_bounded);
  const DType from = type(y).dtype;
  return emitter_.convert(as_vector(evaluate(y, here)), from, sum_type(from));
}

llvm::Value* CpuFunction::left_element(const Instruction& in, const Depth& depth, llvm::Value* row,
                                       llvm::Value* k) {
  const ValueId x = in.operands[0];
  const Coordinates here = {Lanes::uniform(row), Lanes::uniform(k)};
  if (depth.x_mask >= 0) assume_terms(depth.x_mask, here, depth.x_bounded);
  const DType from = type(x).dtype;
  return emitter_.convert(evaluate(x, here).value, from, sum_type(from));
}

// --- pairs of bf16
// ----------------------------------------------------------------------------------

void CpuFunction::for_pairs(llvm::Value* depth, const std::function<void(llvm::Value*)>& pair,
                            const std::function<void(llvm::Value*)>& single) {
  llvm::Value* even = b_.CreateAnd(depth, i64(-2));
  if (!is_constant(even, 0)) loop_over(i64(0), even, 2, pair);
  if (is_constant(b_.CreateAnd(depth, i64(1)), 0)) return;
  when(b_.CreateICmpSLT(even, depth), [&] { single(even); });
}

// bf16 are held as f32: their bits are the upper halves. Without a second it is 0.
llvm::Value* CpuFunction::joined(llvm::Value* first, llvm::Value* second) {
  llvm::Type* numbers = b_.getInt32Ty();
  if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(first->getType()))
    numbers = llvm::FixedVectorType::get(numbers, vector->getNumElements());
  llvm::Value* low = b_.CreateLShr(b_.CreateBitCast(first, numbers), 16);
  if (!second) return low;
  return b_.CreateOr(low, b_.CreateAnd(b_.CreateBitCast(second, numbers), 0xffff0000));
}

llvm::Value* CpuFunction::packed_pairs(const Instruction& in, const Depth& depth) {
  const Shape& shape = type(in.operands[1]).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = (shape[1] + lanes - 1) / lanes;
  auto* numbers = llvm::FixedVectorType::get(b_.getInt32Ty(), lanes_);
  llvm::Value* pairs = stack(
      llvm::ArrayType::get(numbers, static_cast<uint64_t>((shape[0] + 1) / 2 * packs)), "pairs");
  const auto fill = [&](llvm::Value* k, bool is_single) {
    for (int64_t p = 0; p < packs; ++p) {
      memo_.clear();
      tail_ = (p + 1) * lanes > shape[1] ? first_lanes(i64(shape[1] - p * lanes)) : nullptr;
      llvm::Value* first = right_pack(in, depth, k, p * lanes);
      llvm::Value* second =
          is_single ? nullptr : right_pack(in, depth, b_.CreateAdd(k, i64(1)), p * lanes);
      tail_ = nullptr;
      llvm::Value* place = b_.CreateAdd(b_.CreateMul(b_.CreateLShr(k, 1), i64(packs)), i64(p));
      b_.CreateAlignedStore(joined(first, second), b_.CreateGEP(numbers, pairs, place),
                            llvm::Align(64));
    }
  };
  for_pairs(
      depth.depth, [&](llvm::Value* k) { fill(k, false); }, [&](llvm::Value* k) { fill(k, true); });
  memo_.clear();
  return pairs;
}

llvm::Value* CpuFunction::left_pair(const Instruction& in, const Depth& depth, llvm::Value* row,
                                    llvm::Value* k) {
  if (const auto loaded = load_pair(in, depth, row, k)) return *loaded;
  return joined(left_element(in, depth, row, k),
                left_element(in, depth, row, b_.CreateAdd(k, i64(1))));
}

// Neighbours in memory under one mask are one load.
std::optional<llvm::Value*> CpuFunction::load_pair(const Instruction& in, const Depth& depth,
                                                   llvm::Value* row, llvm::Value* k) {
  const ValueId x = in.operands[0];
  const Instruction* load = definition(x);
  if (!load || load->op != TileOp::load || load->operands.size() > 2 || stored_.contains(x))
    return std::nullopt;
  const Coordinates along = {Lanes::uniform(row), Lanes::affine(k, i64(1))};
  if (depth.x_mask >= 0) assume_terms(depth.x_mask, along, depth.x_bounded);
  const Lanes offset = evaluate(load->operands[0], along);
  const Lanes mask =
      load->operands.size() > 1 ? evaluate(load->operands[1], along) : Lanes::uniform(b_.getTrue());
  if (offset.kind != Lanes::Kind::affine || !is_constant(offset.stride, 1) || !mask.is_uniform())
    return std::nullopt;
  llvm::Value* from = address(*load, offset.value);
  if (!is_true(mask)) {
    llvm::Value* nothing = stack(b_.getInt32Ty(), "nothing");
    b_.CreateStore(b_.getInt32(0), nothing);
    from = b_.CreateSelect(mask.value, from, nothing);
  }
  return b_.CreateAlignedLoad(b_.getInt32Ty(), from, llvm::Align(2));
}

}  // namespace cairn::compiler
