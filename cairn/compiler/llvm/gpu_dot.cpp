// Products of tiles: which strategy, operands into shared memory, and blocks of sums by fused
// multiply-adds.
#include "cairn/compiler/llvm/gpu_dot.h"

#include <algorithm>
#include <bit>

#include "cairn/compiler/llvm/gpu_function.h"
#include "cairn/compiler/llvm/gpu_reduce.h"
#include "cairn/tile/infer.h"

namespace cairn::compiler {

using llvm::Value;
using tile::Instruction;
using tile::TileOp;
using tile::TileType;
using tile::ValueId;

namespace {

// The first that fits is taken: the faster stands above. Those of sm_90 alone (wgmma, with operands
// by TMA) will stand at the top.
constexpr DotStrategy kStrategies[] = {
    {DotKind::mma, true, false, true, 16, 16, 16},
    {DotKind::mfma, false, true, true, 16, 16, 16},
    {DotKind::fma, true, true, false, 0, 0, 0},
};

bool fits(int64_t size, int64_t least) {
  return least == 0 || (size >= least && std::has_single_bit(static_cast<uint64_t>(size)));
}

}  // namespace

const DotStrategy& dot_strategy(const tile::Kernel& kernel, const Instruction& dot,
                                GpuTarget target) {
  const TileType &x = kernel.type(dot.operands[0]), &y = kernel.type(dot.operands[1]);
  if (tile::element_of_words(x.dtype, y.dtype))
    tile::fail("dot", "words of several elements have no lowering for a GPU; give y as it is",
               dot.where);
  const bool narrow = x.dtype == DType::f16 || x.dtype == DType::bf16;
  const auto* found = std::ranges::find_if(kStrategies, [&](const DotStrategy& s) {
    return (is_amd(target) ? s.amd : s.nvidia) && (narrow || !s.narrow) &&
           fits(x.shape[0], s.rows) && fits(y.shape[1], s.columns) && fits(x.shape[1], s.depth);
  });
  return *found;
}

void GpuFunction::deal_out_sums() {
  for (const auto& [dot, strategy] : dots_) {
    const TileType& z = type(dot->results[0]);
    const std::vector<int64_t> key(z.shape.begin(), z.shape.end());
    if (distributions_.contains(key)) continue;
    const int64_t waves = threads_ / device_.wave();
    switch (strategy->kind) {
      case DotKind::mma: distributions_.emplace(key, tile::mma_fragments(z.shape, waves)); break;
      case DotKind::mfma: distributions_.emplace(key, tile::mfma_fragments(z.shape, waves)); break;
      case DotKind::fma: {
        if (!fits(z.shape[0], 1) || !fits(z.shape[1], 1)) break;
        // All that have these rows share them out alike, so that what belongs to a row is there.
        int64_t columns = 0;
        for (const auto& [other, of] : dots_)
          if (const Shape& shape = type(other->results[0]).shape;
              shape[0] == z.shape[0] && of->kind == DotKind::fma && fits(shape[1], 1))
            columns = std::max(columns, shape[1]);
        const int64_t piece = kAccessBytes / shared_size(z.dtype);
        const int64_t each = std::max<int64_t>(1, z.shape[0] * columns / threads_);
        const int64_t width = std::min(columns, std::max(piece, each / 8));
        const int64_t rows = std::max<int64_t>(1, each / width);
        distributions_.emplace(
            key, tile::register_blocks(z.shape, threads_, std::max<int64_t>(1, z.shape[0] / rows),
                                       piece));
      }
    }
  }
}

void GpuFunction::emit_dot(const Instruction& in) {
  const auto found = std::ranges::find(dots_, &in, [](const auto& dot) { return dot.first; });
  switch (found->second->kind) {
    case DotKind::mma: emit_mma(in); return;
    case DotKind::mfma: emit_mfma(in); return;
    case DotKind::fma: emit_fma(in); return;
  }
}

// --- operands --------------------------------------------------------------------------------

DotOperand GpuFunction::operand_of(const Instruction& dot, int number) const {
  const auto found = std::ranges::find(dots_, &dot, [](const auto& d) { return d.first; });
  DotOperand result{dot.operands[static_cast<size_t>(number)], false, found->second->narrow};
  const Instruction* in = definitions_[static_cast<size_t>(result.tile)];
  if (in && in->op == TileOp::transpose && in->axes[0] == 1) {
    result.tile = in->operands[0];
    result.transposed = true;
  }
  return result;
}

const SharedTile* GpuFunction::staged(const DotOperand& operand) const {
  const auto found = known_.staged.find(operand);
  return found == known_.staged.end() ? nullptr : &found->second;
}

void GpuFunction::stage_into(const SharedTile& tile, const DotOperand& operand) {
  const Shape& shape = type(operand.tile).shape;
  const auto write = [&](const Pack& pack) {
    store_to(tile, pack.place, as_vector(evaluate(operand.tile, pack.place), pack.place.lanes),
             operand.turns());
  };
  // In rows, as neighbours in memory are loaded together; what products made, where it is.
  const std::vector<Pack>& rows = row_packs(shape);
  if (!is_known(operand.tile, rows)) {
    for (const Pack& pack : packs(shape)) write(pack);
    return;
  }
  const Instruction* in = definitions_[static_cast<size_t>(operand.tile)];
  const bool whole = in && in->op == TileOp::load && access_width(*in, rows[0].place) > 1;
  each_row_pack(shape, whole ? 1 : std::max(rows[0].place.lanes, 1u), write);
}

std::vector<SharedTile> GpuFunction::stage(const std::vector<DotOperand>& operands) {
  std::vector<SharedTile> result;
  std::vector<int64_t> places;
  int64_t bytes = 0;
  for (const DotOperand& operand : operands) {
    places.push_back(-1);
    if (const SharedTile* there = staged(operand)) {
      result.push_back(*there);
      continue;
    }
    const Shape& shape = type(operand.tile).shape;
    result.push_back(shared_tile(operand.turns() ? Shape{shape[1], shape[0]} : shape,
                                 type(operand.tile).dtype, operand.narrow));
    places.back() = bytes;
    bytes += (result.back().bytes() + kAccessBytes - 1) / kAccessBytes * kAccessBytes;
    if (!is_known(operand.tile, row_packs(shape))) prepare({operand.tile}, packs(shape));
  }
  if (bytes == 0) return result;
  Value* memory = scratch(bytes);
  for (size_t i = 0; i < operands.size(); ++i) {
    if (places[i] < 0) continue;
    result[i].memory = b_.CreateGEP(b_.getInt8Ty(), memory, i32(places[i]));
    stage_into(result[i], operands[i]);
  }
  device_.barrier();
  scratch_is_read_ = true;
  return result;
}

// --- fused multiply-adds ---------------------------------------------------------------------

void GpuFunction::emit_fma(const Instruction& in) {
  const ValueId z = in.operands[2];
  const DType from = type(in.operands[0]).dtype, other = type(in.operands[1]).dtype;
  const DType to = type(z).dtype;
  const DType wide = is_float(from) ? (from == DType::f64 ? DType::f64 : DType::f32) : DType::i32;
  const int64_t depth = type(in.operands[0]).shape[1];
  const std::vector<Pack> all = packs(type(z).shape);
  prepare({z}, all);
  const std::vector<SharedTile> tiles = stage({operand_of(in, 0), operand_of(in, 1)});
  const SharedTile &x = tiles[0], &y = tiles[1];
  // Elements of x that are read at once: neighbours in a piece of a row.
  const int64_t together = x.offsets.empty() ? 1 : std::min({depth, x.piece(), int64_t{4}});
  std::vector<Value*> sums;
  for (const Pack& pack : all)
    sums.push_back(
        emitter_.convert(as_vector(evaluate(z, pack.place), pack.place.lanes), to, wide));

  llvm::BasicBlock* before = b_.GetInsertBlock();
  llvm::BasicBlock* inside = block("product");
  llvm::BasicBlock* after = block("product_done");
  b_.CreateBr(inside);
  b_.SetInsertPoint(inside);
  const Known outside = known_;
  llvm::PHINode* k = b_.CreatePHI(b_.getInt32Ty(), 2);
  k->addIncoming(i32(0), before);
  std::vector<llvm::PHINode*> phis;
  for (Value*& sum : sums) {
    phis.push_back(b_.CreatePHI(sum->getType(), 2));
    phis.back()->addIncoming(sum, before);
    sum = phis.back();
  }
  std::map<Value*, Value*> left;                        // by row
  std::map<std::pair<Value*, unsigned>, Value*> right;  // by column and lanes
  for (const Pack& pack : all) {
    Value*& row = left[pack.place.at[0]];
    if (!row) row = load_from(x, pack.place.at[0], k, static_cast<unsigned>(together));
  }
  for (int64_t step = 0; step < together; ++step) {
    Value* down = k;
    if (step != 0) {
      down = b_.CreateAdd(k, i32(step));
      known_.split[down] = {k, step};
    }
    right.clear();
    for (size_t p = 0; p < all.size(); ++p) {
      const Place& place = all[p].place;
      // A pack down a column, of a result with one column, has a number of x for each lane.
      const bool across = place.axis != 0;
      const unsigned lanes = across ? place.lanes : 0;
      Value*& column = right[{place.at[1], lanes}];
      if (!column)
        column =
            emitter_.convert(load_from(y, down, place.at[1], std::max(lanes, 1u)), other, wide);
      Value* number = left.at(place.at[0]);
      if (together > 1) number = b_.CreateExtractElement(number, static_cast<uint64_t>(step));
      number = emitter_.convert(number, from, wide);
      Value* many = column;
      if (!across) {
        number = gathered(place.lanes, [&](unsigned j) {
          Value* row = b_.CreateAdd(place.at[0], i32(j));
          return j == 0 ? number : emitter_.convert(load_from(x, row, down, 1), from, wide);
        });
        many = emitter_.splat(column, place.lanes);
      } else if (lanes > 0) {
        number = emitter_.splat(number, lanes);
      }
      sums[p] = is_float(wide) ? emitter_.fma(number, many, sums[p])
                               : b_.CreateAdd(sums[p], b_.CreateMul(number, many));
    }
  }
  Value* next = b_.CreateAdd(k, i32(together));
  k->addIncoming(next, b_.GetInsertBlock());
  for (size_t p = 0; p < sums.size(); ++p) phis[p]->addIncoming(sums[p], b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpULT(next, i32(depth)), inside, after);
  b_.SetInsertPoint(after);
  known_ = outside;
  for (size_t p = 0; p < sums.size(); ++p)
    hold(in.results[0], all[p], emitter_.convert(sums[p], wide, to));
}

}  // namespace cairn::compiler
