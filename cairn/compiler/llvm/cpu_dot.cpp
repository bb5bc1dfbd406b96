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

// A y that is read transposed is put in order by each program for itself; for so few rows on the
// way. The sums of a pack of columns and a square fit the registers.
int64_t few_rows(unsigned lanes) { return lanes == 16 ? 16 : 8; }

// Packs of a row that are written one after the other without a loop.
constexpr int64_t kFewPacks = 4;

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
  const ValueId y = in.operands[1], z = in.operands[2];
  const Shape& shape = type(z).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  // The sum lies in z's memory where this is its last use, as in a loop that carries it.
  const auto held = stored_.find(z);
  const bool in_place = held != stored_.end() && uses_[z] == 1;
  const Stored sum = in_place ? held->second : reserve(type(in.results[0]));
  const Depth depth = depth_of(in);
  const bool in_pairs = has_bf16_ && type(in.operands[0]).dtype == DType::bf16;
  const std::vector<ValueId> transposed =
      stored_.contains(y) ? std::vector<ValueId>() : transposed_loads({y});
  if (!transposed.empty() && shape[0] <= few_rows(lanes_)) {
    dot_squares(in, depth, transposed, sum);
  } else {
    // A transposed right operand is put in order once for all rows.
    if (!transposed.empty()) hold(y);
    const int64_t packs = shape[1] / lanes;
    const BlockSize block = block_of(lanes_, std::max<int64_t>(packs, 1), type(z).dtype);
    // Pairs that just one block of rows needs are made where they are.
    llvm::Value* const pairs =
        in_pairs && shape[0] > block.rows ? packed_pairs(in, depth) : nullptr;
    const auto rows = [&](llvm::Value* pack, int64_t count, llvm::Value* tail) {
      const int64_t most = block_of(lanes_, count, type(z).dtype).rows;
      const int64_t whole = shape[0] / most * most;
      if (whole)
        loop_over(i64(0), i64(whole), most, [&](llvm::Value* row) {
          dot_block(in, depth, in_pairs, pairs, sum, {row, most, pack, count, tail});
        });
      if (whole < shape[0])
        dot_block(in, depth, in_pairs, pairs, sum,
                  {i64(whole), shape[0] - whole, pack, count, tail});
    };
    const int64_t full = packs / block.packs * block.packs;
    if (full > block.packs)
      loop_over(i64(0), i64(full), block.packs,
                [&](llvm::Value* pack) { rows(pack, block.packs, nullptr); });
    else if (full)
      rows(i64(0), full, nullptr);
    if (full < packs) rows(i64(full), packs - full, nullptr);
    // The pack that ends behind the last column goes by itself, with a mask.
    if (packs * lanes < shape[1]) rows(i64(packs), 1, first_lanes(i64(shape[1] - packs * lanes)));
  }
  stored_[in.results[0]] = sum;
  memo_.clear();
}

llvm::Value* CpuFunction::row_of(const DotBlock& block, int64_t r) {
  return b_.CreateAdd(block.row, i64(r));
}
llvm::Value* CpuFunction::column_of(const DotBlock& block, int64_t p) {
  return b_.CreateMul(b_.CreateAdd(block.pack, i64(p)), i64(lanes_));
}

std::vector<llvm::Value*> CpuFunction::load_sums(const Instruction& in, const DotBlock& block) {
  const DType wide = sum_type(type(in.operands[0]).dtype);
  auto* packed = llvm::FixedVectorType::get(emitter_.register_type(wide), lanes_);
  std::vector<llvm::Value*> sums;
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t p = 0; p < block.packs; ++p) {
      memo_.clear();
      tail_ = block.tail;
      llvm::Value* first =
          as_vector(evaluate(in.operands[2], {Lanes::uniform(row_of(block, r)),
                                              Lanes::affine(column_of(block, p), i64(1))}));
      tail_ = nullptr;
      sums.push_back(stack(packed, "dot"));
      b_.CreateStore(emitter_.convert(first, type(in.results[0]).dtype, wide), sums.back());
    }
  return sums;
}

void CpuFunction::store_sums(const Instruction& in, const Depth& depth, const Stored& to,
                             const DotBlock& block, const std::vector<llvm::Value*>& sums) {
  const DType wide = sum_type(type(in.operands[0]).dtype);
  auto* packed = llvm::FixedVectorType::get(emitter_.register_type(wide), lanes_);
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
      write(to, {Lanes::uniform(row_of(block, r)), Lanes::affine(column_of(block, p), i64(1))},
            Lanes::vector(emitter_.convert(value, wide, type(in.results[0]).dtype)));
    }
  memo_.clear();
}

// Adds what `product` makes of an element of x (or a few), spread over a pack, and a pack of y.
void CpuFunction::add_products(const DotBlock& block, const std::vector<llvm::Value*>& sums,
                               const std::vector<llvm::Value*>& right,
                               const std::function<llvm::Value*(llvm::Value*)>& left,
                               const Product& product) {
  for (int64_t r = 0; r < block.rows; ++r) {
    llvm::Value* element = left(row_of(block, r));
    for (int64_t p = 0; p < block.packs; ++p) {
      llvm::Value* place = sums[static_cast<size_t>(r * block.packs + p)];
      auto* packed = llvm::cast<llvm::AllocaInst>(place)->getAllocatedType();
      llvm::Value* before = b_.CreateLoad(packed, place);
      b_.CreateStore(product(element, right[static_cast<size_t>(p)], before), place);
    }
  }
}

void CpuFunction::add_one(const Instruction& in, const Depth& depth, const DotBlock& block,
                          const std::vector<llvm::Value*>& sums, llvm::Value* k,
                          const std::vector<llvm::Value*>& right) {
  const bool is_real = is_float(sum_type(type(in.operands[0]).dtype));
  add_products(
      block, sums, right,
      [&](llvm::Value* r) { return emitter_.splat(left_element(in, depth, r, k), lanes_); },
      [&](llvm::Value* x, llvm::Value* y, llvm::Value* z) {
        return is_real ? emitter_.fma(x, y, z) : b_.CreateAdd(z, b_.CreateMul(x, y));
      });
}

void CpuFunction::add_pair(const Instruction& in, const Depth& depth, const DotBlock& block,
                           const std::vector<llvm::Value*>& sums, llvm::Value* k, bool is_single,
                           const std::vector<llvm::Value*>& right) {
  auto* halves = llvm::FixedVectorType::get(b_.getBFloatTy(), 2 * lanes_);
  add_products(
      block, sums, right,
      [&](llvm::Value* r) {
        llvm::Value* pair =
            is_single ? joined(left_element(in, depth, r, k), nullptr) : left_pair(in, depth, r, k);
        return b_.CreateBitCast(emitter_.splat(pair, lanes_), halves);
      },
      [&](llvm::Value* x, llvm::Value* y, llvm::Value* z) -> llvm::Value* {
        return b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {},
                                  {z, x, b_.CreateBitCast(y, halves)});
      });
}

std::vector<llvm::Value*> CpuFunction::right_packs(const Instruction& in, const Depth& depth,
                                                   const DotBlock& block, llvm::Value* k) {
  memo_.clear();
  std::vector<llvm::Value*> right;
  tail_ = block.tail;
  for (int64_t p = 0; p < block.packs; ++p)
    right.push_back(right_pack(in, depth, k, column_of(block, p)));
  tail_ = nullptr;
  return right;
}

void CpuFunction::dot_block(const Instruction& in, const Depth& depth, bool in_pairs,
                            llvm::Value* pairs, const Stored& sum, const DotBlock& block) {
  const std::vector<llvm::Value*> sums = load_sums(in, block);
  const auto one = [&](llvm::Value* k) {
    add_one(in, depth, block, sums, k, right_packs(in, depth, block, k));
  };
  const auto pair = [&](llvm::Value* k, bool is_single) {
    std::vector<llvm::Value*> right;
    if (!pairs) right = right_pairs(in, depth, block, k, is_single);
    memo_.clear();
    for (int64_t p = 0; pairs && p < block.packs; ++p)
      right.push_back(load_pairs(in, pairs, k, b_.CreateAdd(block.pack, i64(p))));
    add_pair(in, depth, block, sums, k, is_single, right);
  };
  if (in_pairs)
    for_pairs(
        depth.depth, [&](llvm::Value* k) { pair(k, false); },
        [&](llvm::Value* k) { pair(k, true); });
  else
    for_ones(in, depth, i64(0), one);
  store_sums(in, depth, sum, block, sums);
}

// One k after the other; of bf16 the order is that of pairs.
void CpuFunction::for_ones(const Instruction& in, const Depth& depth, llvm::Value* begin,
                           const std::function<void(llvm::Value*)>& one) {
  if (type(in.operands[0]).dtype != DType::bf16) return loop_over(begin, depth.depth, 1, one);
  for_pairs(
      depth.depth,
      [&](llvm::Value* k) {
        one(b_.CreateAdd(k, i64(1)));
        one(k);
      },
      one, begin);
}

// Few rows times a transposed y: each square of it is put in order in registers and used at once,
// where a copy of y would be written and read again for next to no use.
void CpuFunction::dot_squares(const Instruction& in, const Depth& depth,
                              const std::vector<ValueId>& loads, const Stored& sum) {
  const Shape& shape = type(in.operands[2]).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  const DType from = type(in.operands[0]).dtype;
  const bool in_pairs = has_bf16_ && from == DType::bf16;
  const int64_t step = in_pairs ? 2 * lanes : lanes;
  loop_over(i64(0), i64(shape[1] / lanes), 1, [&](llvm::Value* pack) {
    const DotBlock block{i64(0), shape[0], pack, 1, nullptr};
    const std::vector<llvm::Value*> sums = load_sums(in, block);
    llvm::Value* column = column_of(block, 0);
    llvm::Value* whole = b_.CreateAnd(depth.depth, i64(-step));
    loop_over(i64(0), whole, step, [&](llvm::Value* k) {
      std::vector<std::vector<llvm::Value*>> squares;
      for (int64_t first = 0; first < step; first += lanes)
        for (const ValueId load : loads)
          squares.push_back(transposed_square(depth, load, b_.CreateAdd(k, i64(first)), column));
      const auto right = [&](int64_t i) {
        const Coordinates here = {Lanes::uniform(b_.CreateAdd(k, i64(i))),
                                  Lanes::affine(column, i64(1))};
        memo_.clear();
        for (size_t l = 0; l < loads.size(); ++l)
          memo_[{loads[l], here}] =
              Lanes::vector(squares[static_cast<size_t>(i / lanes) * loads.size() + l]
                                   [static_cast<size_t>(i % lanes)]);
        return right_pack(in, depth, here[0].value, column);
      };
      for (int64_t i = 0; i < step; i += in_pairs ? 2 : 1) {
        llvm::Value* at = b_.CreateAdd(k, i64(i));
        if (in_pairs) {
          llvm::Value* low = right(i);
          add_pair(in, depth, block, sums, at, false, {joined(low, right(i + 1))});
        } else if (from == DType::bf16) {
          const int64_t other = i ^ 1;
          llvm::Value* value = right(other);
          add_one(in, depth, block, sums, b_.CreateAdd(k, i64(other)), {value});
        } else {
          llvm::Value* value = right(i);
          add_one(in, depth, block, sums, at, {value});
        }
      }
    });
    const auto pair = [&](llvm::Value* k, bool is_single) {
      add_pair(in, depth, block, sums, k, is_single, right_pairs(in, depth, block, k, is_single));
    };
    if (in_pairs)
      for_pairs(
          depth.depth, [&](llvm::Value* k) { pair(k, false); },
          [&](llvm::Value* k) { pair(k, true); }, whole);
    else
      for_ones(in, depth, whole, [&](llvm::Value* k) {
        add_one(in, depth, block, sums, k, right_packs(in, depth, block, k));
      });
    store_sums(in, depth, sum, block, sums);
  });
}

// A square of y from row k and that column on, in its rows, loaded down its columns.
std::vector<llvm::Value*> CpuFunction::transposed_square(const Depth& depth, ValueId load,
                                                         llvm::Value* k, llvm::Value* column) {
  std::vector<llvm::Value*> square;
  for (int64_t c = 0; c < static_cast<int64_t>(lanes_); ++c) {
    memo_.clear();
    const Coordinates down = {Lanes::affine(k, i64(1)),
                              Lanes::uniform(b_.CreateAdd(column, i64(c)))};
    if (depth.y_mask >= 0) assume_terms(depth.y_mask, down, depth.y_bounded);
    square.push_back(as_vector(evaluate(load, down)));
  }
  transpose_square(square);
  return square;
}

// A pack of a row of y, as the sum's type.
llvm::Value* CpuFunction::right_pack(const Instruction& in, const Depth& depth, llvm::Value* k,
                                     llvm::Value* column) {
  const ValueId y = in.operands[1];
  const Coordinates here = {Lanes::uniform(k), Lanes::affine(column, i64(1))};
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
                            const std::function<void(llvm::Value*)>& single, llvm::Value* begin) {
  llvm::Value* even = b_.CreateAnd(depth, i64(-2));
  if (!begin) begin = i64(0);
  if (!is_constant(even, 0)) loop_over(begin, even, 2, pair);
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
    const auto pack = [&](llvm::Value* p, llvm::Value* tail) {
      const DotBlock block{nullptr, 0, p, 1, tail};
      b_.CreateAlignedStore(right_pairs(in, depth, block, k, is_single)[0],
                            pairs_at(in, pairs, k, p), llvm::Align(64));
    };
    const int64_t whole = shape[1] / lanes;
    if (whole > kFewPacks)
      loop_over(i64(0), i64(whole), 1, [&](llvm::Value* p) { pack(p, nullptr); });
    else
      for (int64_t p = 0; p < whole; ++p) pack(i64(p), nullptr);
    if (whole < packs) pack(i64(whole), first_lanes(i64(shape[1] - whole * lanes)));
  };
  for_pairs(
      depth.depth, [&](llvm::Value* k) { fill(k, false); }, [&](llvm::Value* k) { fill(k, true); });
  memo_.clear();
  return pairs;
}

std::vector<llvm::Value*> CpuFunction::right_pairs(const Instruction& in, const Depth& depth,
                                                   const DotBlock& block, llvm::Value* k,
                                                   bool is_single) {
  std::vector<llvm::Value*> first = right_packs(in, depth, block, k), second(first.size());
  if (!is_single) second = right_packs(in, depth, block, b_.CreateAdd(k, i64(1)));
  for (size_t p = 0; p < first.size(); ++p) first[p] = joined(first[p], second[p]);
  return first;
}

llvm::Value* CpuFunction::pairs_at(const Instruction& in, llvm::Value* pairs, llvm::Value* k,
                                   llvm::Value* pack) {
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = (type(in.operands[1]).shape[1] + lanes - 1) / lanes;
  auto* numbers = llvm::FixedVectorType::get(b_.getInt32Ty(), lanes_);
  return b_.CreateGEP(numbers, pairs,
                      b_.CreateAdd(b_.CreateMul(b_.CreateLShr(k, 1), i64(packs)), pack));
}
llvm::Value* CpuFunction::load_pairs(const Instruction& in, llvm::Value* pairs, llvm::Value* k,
                                     llvm::Value* pack) {
  auto* numbers = llvm::FixedVectorType::get(b_.getInt32Ty(), lanes_);
  return b_.CreateAlignedLoad(numbers, pairs_at(in, pairs, k, pack), llvm::Align(64));
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
