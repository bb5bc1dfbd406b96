// Products by matrix instructions: of f16 and bf16, summed in f32.
//
// The fragments of a result (tile/layout.h) are what its thread holds of the sums. Those of x have
// the same form, so x that is made of an earlier product's sums, as in attention, is used where it
// is and never stored.
#include <llvm/IR/IntrinsicsAMDGPU.h>
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>

#include "cairn/compiler/llvm/gpu_function.h"

namespace cairn::compiler {

namespace intrinsic = llvm::Intrinsic;
using llvm::Value;
using tile::Instruction;
using tile::Layout;
using tile::ValueId;

namespace {

// A warp does it together: it must not move into a branch. (LLVM 19 does not know this of itself.)
Value* by_all(llvm::CallInst* call) {
  call->setConvergent();
  return call;
}

}  // namespace

// The elements of a pack as memory has them, two or four of 16 bits in a vector.
Value* GpuFunction::words_of(ValueId v, const Pack& pack) {
  return emitter_.to_memory(as_vector(evaluate(v, pack.place), pack.place.lanes), type(v).dtype);
}

GpuFunction::MatrixOperands GpuFunction::place_operands(const Instruction& in,
                                                        const std::vector<Pack>& x_packs) {
  const ValueId x = in.operands[0];
  const DotOperand left = operand_of(in, 0), right = operand_of(in, 1);
  MatrixOperands result{{}, {}, left.transposed, right.transposed};
  // What an earlier product made and its threads have as this one takes it.
  const bool is_here =
      !staged(left) && !is_known(x, row_packs(type(x).shape)) && is_known(x, x_packs);
  std::vector<SharedTile> tiles = stage(is_here ? std::vector{right} : std::vector{right, left});
  result.y = tiles[0];
  if (!is_here) result.x = tiles[1];
  return result;
}

void GpuFunction::emit_mma(const Instruction& in) {
  const ValueId x = in.operands[0], z = in.operands[2];
  const Shape& shape = type(z).shape;
  const int64_t depth = type(x).shape[1], warps = threads_ / device_.wave();
  const int64_t down = std::min(warps, shape[0] / 16);
  const int64_t across = std::min(warps / down, shape[1] / 16);
  const std::vector<Pack> sums = dealt(tile::mma_fragments(shape, warps));
  const std::vector<Pack> x_packs = dealt(tile::mma_fragments({shape[0], depth}, down));
  prepare({z}, sums);
  const MatrixOperands operands = place_operands(in, x_packs);

  // Where each thread points for ldmatrix, which takes four matrices of 8 x 8: thread l of a warp
  // to row l % 8 of matrix l / 8. Coordinates (m, k) and (k, n); a matrix is read turned where
  // memory has the other order than a fragment.
  Layout of_x(2), of_y(2);
  if (operands.x_turned) {
    of_x.walk(1, 1, 8).walk(0, 8, 16).walk(1, 8, 16);
  } else {
    of_x.walk(0, 1, 16).walk(1, 8, 16);
  }
  of_x.walk(0, 16, 16 * down);
  if (operands.y_turned) {
    of_y.walk(1, 1, 8).walk(0, 8, 16).walk(1, 8, 16);
  } else {
    of_y.walk(0, 1, 16).walk(1, 8, 16);
  }
  of_y.stay(down).walk(1, shape[1] / across, shape[1]);
  Value* const x_at[] = {coordinate(of_x, 0), coordinate(of_x, 1)};
  Value* const y_at[] = {coordinate(of_y, 0), coordinate(of_y, 1)};
  const auto load = [&](const SharedTile& tile, bool swapped, bool turned, Value* row,
                        Value* column) {
    if (swapped) std::swap(row, column);
    const llvm::Intrinsic::ID id = turned ? intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_trans_b16
                                          : intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_b16;
    Value* at = element_in(tile, row, column);
    Value* loaded = by_all(b_.CreateIntrinsic(id, {at->getType()}, {at}));
    std::vector<Value*> words;
    for (unsigned i = 0; i < 4; ++i) words.push_back(b_.CreateExtractValue(loaded, i));
    return words;
  };
  const bool is_half = type(x).dtype == DType::f16;
  llvm::Type* word = is_half
                         ? static_cast<llvm::Type*>(llvm::FixedVectorType::get(b_.getHalfTy(), 2))
                         : b_.getInt32Ty();
  const llvm::Intrinsic::ID product =
      is_half ? llvm::Intrinsic::ID{intrinsic::nvvm_mma_m16n8k16_row_col_f32_f32}
              : llvm::Intrinsic::ID{intrinsic::nvvm_mma_m16n8k16_row_col_bf16};

  const auto tiles_down = static_cast<size_t>(shape[0] / (16 * down));
  const auto tiles_across = static_cast<size_t>(shape[1] / (8 * across));
  std::vector<Value*> c;  // four of each tile: two packs of two
  for (const Pack& pack : sums) {
    Value* two = as_vector(evaluate(z, pack.place), 2);
    for (uint64_t i = 0; i < 2; ++i) c.push_back(b_.CreateExtractElement(two, i));
  }
  for (int64_t k = 0; k < depth; k += 16) {
    std::vector<Value*> right;  // two of each tile
    for (size_t j = 0; j < tiles_across; j += 2)
      for (Value* w : load(operands.y, operands.y_turned, !operands.y_turned, plus(y_at[0], k),
                           plus(y_at[1], static_cast<int64_t>(8 * j))))
        right.push_back(w);
    for (size_t i = 0; i < tiles_down; ++i) {
      std::vector<Value*> left;
      if (operands.x.memory) {
        left = load(operands.x, operands.x_turned, operands.x_turned,
                    plus(x_at[0], 16 * down * static_cast<int64_t>(i)), plus(x_at[1], k));
      } else {
        const size_t at = i * static_cast<size_t>(depth / 8) + static_cast<size_t>(k / 8);
        for (size_t p = 2 * at; p < 2 * at + 4; ++p) left.push_back(words_of(x, x_packs[p]));
      }
      for (size_t j = 0; j < tiles_across; ++j) {
        std::vector<Value*> arguments;
        for (Value* w : left) arguments.push_back(b_.CreateBitCast(w, word));
        for (size_t w = 2 * j; w < 2 * j + 2; ++w)
          arguments.push_back(b_.CreateBitCast(right[w], word));
        const auto tile = c.begin() + static_cast<ptrdiff_t>(4 * (i * tiles_across + j));
        arguments.insert(arguments.end(), tile, tile + 4);
        Value* result = by_all(b_.CreateIntrinsic(product, {}, arguments));
        for (unsigned e = 0; e < 4; ++e) tile[e] = b_.CreateExtractValue(result, e);
      }
    }
  }
  for (size_t p = 0; p < sums.size(); ++p)
    hold(in.results[0], sums[p],
         emitter_.convert(gathered(2, [&](unsigned j) { return c[2 * p + j]; }), DType::f32,
                          type(z).dtype));
}

void GpuFunction::emit_mfma(const Instruction& in) {
  const ValueId x = in.operands[0], z = in.operands[2];
  const Shape& shape = type(z).shape;
  const int64_t depth = type(x).shape[1], waves = threads_ / device_.wave();
  const int64_t down = std::min(waves, shape[0] / 16);
  const int64_t across = std::min(waves / down, shape[1] / 16);
  const std::vector<Pack> sums = dealt(tile::mfma_fragments(shape, waves));
  const std::vector<Pack> x_packs = dealt(tile::mfma_fragments({shape[0], depth}, down));
  prepare({z}, sums);
  const MatrixOperands operands = place_operands(in, x_packs);

  // The transposed product of the transposed matrices: its fragment is four columns of a row, which
  // are stored together. Thread l has column l % 16 of y at four k from 4 (l / 16) on.
  Layout of_y(2);
  of_y.walk(1, 1, 16).walk(0, 4, 16).stay(down).walk(1, shape[1] / across, shape[1]);
  Value* const y_at[] = {coordinate(of_y, 0), coordinate(of_y, 1)};
  const auto four = [&](const SharedTile& tile, Value* row, Value* column, bool along_row) {
    if (along_row) return load_words(tile, row, column, 4);
    return gathered(4, [&](unsigned j) {
      return load_words(tile, j == 0 ? row : b_.CreateAdd(row, i32(j)), column, 1);
    });
  };
  const llvm::Intrinsic::ID product =
      type(x).dtype == DType::f16 ? llvm::Intrinsic::ID{intrinsic::amdgcn_mfma_f32_16x16x16f16}
                                  : llvm::Intrinsic::ID{intrinsic::amdgcn_mfma_f32_16x16x16bf16_1k};
  std::vector<Value*> c;
  for (const Pack& pack : sums) c.push_back(as_vector(evaluate(z, pack.place), 4));
  const auto tiles_across = static_cast<size_t>(shape[1] / (16 * across));
  const size_t tiles_down = sums.size() / tiles_across;
  for (int64_t k = 0; k < depth; k += 16) {
    std::vector<Value*> right;
    for (size_t j = 0; j < tiles_across; ++j) {
      Value *down_y = plus(y_at[0], k), *column = plus(y_at[1], static_cast<int64_t>(16 * j));
      right.push_back(operands.y_turned ? four(operands.y, column, down_y, true)
                                        : four(operands.y, down_y, column, false));
    }
    for (size_t i = 0; i < tiles_down; ++i) {
      const Pack& pack = x_packs[i * static_cast<size_t>(depth / 16) + static_cast<size_t>(k / 16)];
      const std::vector<Value*>& at = pack.place.at;
      Value* left = !operands.x.memory  ? words_of(x, pack)
                    : operands.x_turned ? four(operands.x, at[1], at[0], false)
                                        : four(operands.x, at[0], at[1], true);
      for (size_t j = 0; j < tiles_across; ++j) {
        Value*& sum = c[i * tiles_across + j];
        sum = b_.CreateIntrinsic(product, {}, {right[j], left, sum, i32(0), i32(0), i32(0)});
      }
    }
  }
  for (size_t p = 0; p < sums.size(); ++p)
    hold(in.results[0], sums[p], emitter_.convert(c[p], DType::f32, type(z).dtype));
}

}  // namespace cairn::compiler
