// Loops, and copies for their next turn while this one computes.
//
// A loop with stages has its products' operands copied ahead (cp.async) where they are loads whose
// offsets follow from the loop's index: a copy goes from global to shared memory past the
// registers, 16 bytes of it where offsets are shown to be aligned and masks to be uniform, and
// zeros where a mask is false. Two buffers, used in turn, one barrier a turn.
#include <algorithm>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/gpu_function.h"

namespace cairn::compiler {

using llvm::BasicBlock;
using llvm::Value;
using tile::Block;
using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

// Carried tiles are carried pack by pack, each thread its own.
void GpuFunction::emit_loop(const Instruction& in) {
  const Block& body = in.regions[0];
  Value *begin = scalar(in.operands[0]), *end = scalar(in.operands[1]);
  Value* step = scalar(in.operands[2]);
  const size_t carried = in.results.size();
  // The values of tile v, in each pack.
  const auto values = [&](ValueId v) {
    std::vector<Value*> result;
    prepare({v}, packs(type(v).shape));
    for (const Pack& pack : packs(type(v).shape))
      result.push_back(as_vector(evaluate(v, pack.place), pack.place.lanes));
    return result;
  };
  const auto set = [&](ValueId v, const std::vector<Value*>& to) {
    if (type(v).shape.rank() == 0) {
      scalar(v) = to[0];
      return;
    }
    known_.held[v].clear();
    const std::vector<Pack>& all = packs(type(v).shape);
    for (size_t p = 0; p < all.size(); ++p) hold(v, all[p], to[p]);
  };
  std::vector<std::vector<Value*>> first;
  for (size_t c = 0; c < carried; ++c) first.push_back(values(in.operands[c + 3]));
  mark_written(body);
  const auto staged_before = known_.staged;
  place_invariants(body);
  const std::vector<Stream> streams = streams_of(in);

  BasicBlock* skip = b_.GetInsertBlock();
  BasicBlock* first_turn = block("first");
  BasicBlock* inside = block("loop");
  BasicBlock* after = block("done");
  const Known outside = known_;
  const bool scratch_was_read = scratch_is_read_;
  b_.CreateCondBr(b_.CreateICmpSLT(begin, end), first_turn, after);
  b_.SetInsertPoint(first_turn);
  if (!streams.empty()) {
    device_.barrier();  // in a loop around this one, threads may still read the last turn's
    copy_turn(streams, body, begin, b_.getFalse());
  }
  BasicBlock* before = b_.GetInsertBlock();
  b_.CreateBr(inside);
  b_.SetInsertPoint(inside);
  const auto phis = [&](std::vector<std::vector<Value*>> incoming, BasicBlock* from) {
    for (std::vector<Value*>& row : incoming)
      for (Value*& value : row) {
        llvm::PHINode* phi = b_.CreatePHI(value->getType(), 2);
        phi->addIncoming(value, from);
        value = phi;
      }
    return incoming;
  };
  const auto join = [&](const std::vector<std::vector<Value*>>& to,
                        const std::vector<std::vector<Value*>>& from) {
    for (size_t c = 0; c < to.size(); ++c)
      for (size_t p = 0; p < to[c].size(); ++p)
        llvm::cast<llvm::PHINode>(to[c][p])->addIncoming(from[c][p], b_.GetInsertBlock());
  };
  const auto index_phi = phis({{begin}}, before);
  const auto slot_phi = phis({{b_.getFalse()}}, before);
  const auto now = phis(first, before);
  Value* i = scalar(body.arguments[0]) = index_phi[0][0];
  for (size_t c = 0; c < carried; ++c) set(body.arguments[c + 1], now[c]);
  // What the last turn read from scratch memory.
  scratch_is_read_ |= !dots_.empty();
  if (!streams.empty()) {
    // This turn's copies have arrived, and all threads are done with those of the last turn, whose
    // place the next turn's take.
    device_.wait_copies();
    device_.barrier();
    scratch_is_read_ = false;
    Value* other = b_.CreateNot(slot_phi[0][0]);
    when(b_.CreateICmpUGT(b_.CreateSub(end, i), step),
         [&] { copy_turn(streams, body, b_.CreateAdd(i, step), other); });
    for (const Stream& stream : streams) {
      SharedTile tile = stream.tile;
      tile.memory = slot_memory(stream, slot_phi[0][0]);
      known_.staged[stream.operand] = tile;
    }
  }
  emit_block(body);
  std::vector<std::vector<Value*>> next;
  for (size_t c = 0; c < carried; ++c) next.push_back(values(body.yields[c]));
  join(now, next);
  join(index_phi, {{b_.CreateAdd(i, step)}});
  join(slot_phi, {{b_.CreateNot(slot_phi[0][0])}});
  BasicBlock* latch = b_.GetInsertBlock();
  // As unsigned numbers: i + step past the end may overflow.
  b_.CreateCondBr(b_.CreateICmpUGT(b_.CreateSub(end, i), step), inside, after);

  b_.SetInsertPoint(after);
  scratch_is_read_ |= scratch_was_read;
  known_ = outside;
  known_.staged = staged_before;
  const auto last = phis(first, skip);
  for (size_t c = 0; c < carried; ++c) {
    for (size_t p = 0; p < last[c].size(); ++p)
      llvm::cast<llvm::PHINode>(last[c][p])->addIncoming(next[c][p], latch);
    set(in.results[c], last[c]);
  }
}

// What an iteration stores, the next one would read.
void GpuFunction::mark_written(const Block& code) {
  for (const Instruction& in : code.code) {
    if (in.op == TileOp::store || in.op == TileOp::atomic)
      written_[static_cast<size_t>(in.parameter)] = true;
    for (const Block& region : in.regions) mark_written(region);
  }
}

// --- operands that are in place --------------------------------------------------------------

bool GpuFunction::is_invariant(ValueId v, const Block& body) const {
  if (std::ranges::find(body.arguments, v) != body.arguments.end()) return false;
  for (const Instruction& in : body.code)
    if (std::ranges::find(in.results, v) != in.results.end()) return false;
  return true;
}

void GpuFunction::place_invariants(const Block& body) {
  bool is_free = false;  // in a loop around this one, threads may still read what was there
  for (const Instruction& in : body.code) {
    if (in.op != TileOp::dot) continue;
    for (int i = 0; i < 2; ++i) {
      const DotOperand operand = operand_of(in, i);
      if (!is_invariant(operand.tile, body) || staged(operand)) continue;
      const Shape& shape = type(operand.tile).shape;
      SharedTile tile = shared_tile(operand.turns() ? Shape{shape[1], shape[0]} : shape,
                                    type(operand.tile).dtype, operand.narrow);
      // Unless it fits beside what the loop needs, each turn puts it in place again.
      if (device_.shared_bytes() + 2 * tile.bytes() > shared_limit(target_) / 2) continue;
      tile.memory = device_.shared("placed", tile.bytes());
      if (!is_known(operand.tile, row_packs(shape))) prepare({operand.tile}, packs(shape));
      if (!is_free) device_.barrier();
      is_free = true;
      stage_into(tile, operand);
      known_.staged[operand] = tile;
    }
  }
  if (is_free) device_.barrier();
}

bool GpuFunction::follows_index(ValueId v, const Block& body) const {
  if (v == body.arguments[0]) return true;
  if (type(v).shape.rank() == 0 && is_invariant(v, body)) return true;
  const Instruction* in = definitions_[static_cast<size_t>(v)];
  if (!in) return false;
  switch (in->op) {
    case TileOp::constant:
    case TileOp::arange:
    case TileOp::apply:
    case TileOp::fma:
    case TileOp::multiply_high:
    case TileOp::bitcast:
    case TileOp::broadcast:
    case TileOp::reshape:
    case TileOp::transpose:
    case TileOp::program_id:
      return std::ranges::all_of(in->operands,
                                 [&](ValueId operand) { return follows_index(operand, body); });
    default: return false;
  }
}

unsigned GpuFunction::copy_width(const Instruction& load, const SharedTile& tile, bool turns) {
  const auto size = static_cast<int64_t>(size_of(tile.dtype));
  const Pack& pack = row_packs(type(load.results[0]).shape)[0];
  auto width = static_cast<unsigned>(
      turns ? 1 : std::min<int64_t>(std::max(pack.place.lanes, 1u), tile.piece()));
  if (turns || pack.place.axis != 1) width = 1;
  const auto fits = [&](unsigned w) {
    const tile::AxisFacts offsets = facts(load.operands[0], pack.place);
    const ValueId mask = mask_of(load);
    return w == 1 || (offsets.is_contiguous(w) && offsets.divisor_at(w) >= w &&
                      alignment(load, w).value() >= w * static_cast<uint64_t>(size) &&
                      (mask < 0 || facts(mask, pack.place).is_uniform(w)));
  };
  while (!fits(width)) width /= 2;
  return width * size >= 4 ? width : 0;
}

std::optional<GpuFunction::Stream> GpuFunction::stream_of(const DotOperand& operand,
                                                          const Block& body) {
  const Instruction* load = definitions_[static_cast<size_t>(operand.tile)];
  if (!load || load->op != TileOp::load || is_invariant(operand.tile, body) ||
      written_[static_cast<size_t>(load->parameter)])
    return std::nullopt;
  for (ValueId v : load->operands)
    if (!follows_index(v, body)) return std::nullopt;
  if (load->operands.size() > 2) {
    const Instruction* other = definitions_[static_cast<size_t>(load->operands[2])];
    while (other && other->op == TileOp::broadcast)
      other = definitions_[static_cast<size_t>(other->operands[0])];
    if (!other || other->op != TileOp::constant || other->value.as_double() != 0)
      return std::nullopt;
  }
  const Shape& shape = type(operand.tile).shape;
  const SharedTile tile = shared_tile(operand.turns() ? Shape{shape[1], shape[0]} : shape,
                                      type(operand.tile).dtype, operand.narrow);
  // The same bytes in both memories.
  if (tile.element_bytes() != static_cast<int64_t>(size_of(tile.dtype))) return std::nullopt;
  const unsigned width = copy_width(*load, tile, operand.turns());
  if (width == 0) return std::nullopt;
  return Stream{load, operand, tile, width};
}

std::vector<GpuFunction::Stream> GpuFunction::streams_of(const Instruction& loop) {
  std::vector<Stream> result;
  if (loop.stages < 2 || device_.amd()) return result;
  const Block& body = loop.regions[0];
  for (const Instruction& in : body.code) {
    if (in.op != TileOp::dot) continue;
    for (int i = 0; i < 2; ++i) {
      const DotOperand operand = operand_of(in, i);
      const auto is_same = [&](const Stream& stream) { return stream.operand == operand; };
      if (staged(operand) || std::ranges::any_of(result, is_same)) continue;
      std::optional<Stream> stream = stream_of(operand, body);
      if (!stream || device_.shared_bytes() + 2 * stream->tile.bytes() > shared_limit(target_) / 2)
        continue;
      stream->tile.memory = device_.shared("copied", 2 * stream->tile.bytes());
      result.push_back(*stream);
    }
  }
  return result;
}

Value* GpuFunction::slot_memory(const Stream& stream, Value* slot) {
  Value* bytes = b_.CreateSelect(slot, i32(stream.tile.bytes()), i32(0));
  return b_.CreateGEP(b_.getInt8Ty(), stream.tile.memory, bytes);
}

void GpuFunction::copy_turn(const std::vector<Stream>& streams, const Block& body, Value* i,
                            Value* slot) {
  const Known before = known_;
  const std::vector<Value*> scalars = scalars_;
  scalar(body.arguments[0]) = i;
  for (const Instruction& in : body.code)
    if (in.op != TileOp::loop && in.results.size() == 1 && in.parameter < 0 &&
        type(in.results[0]).shape.rank() == 0 && follows_index(in.results[0], body))
      emit_scalar(in);
  for (const Stream& stream : streams) {
    const Instruction& load = *stream.load;
    SharedTile tile = stream.tile;
    tile.memory = slot_memory(stream, slot);
    const auto bytes = static_cast<unsigned>(stream.width * size_of(tile.dtype));
    const Shape& shape = type(load.results[0]).shape;
    const unsigned lanes = std::max(row_packs(shape)[0].place.lanes, 1u);
    each_row_pack(shape, lanes / stream.width, [&](const Pack& pack) {
      const PackValue offset = evaluate(load.operands[0], pack.place);
      std::optional<PackValue> mask;
      if (mask_of(load) >= 0) mask = evaluate(mask_of(load), pack.place);
      for (unsigned first = 0; first < lanes; first += stream.width) {
        Value* from = lane(offset, first);
        Value* there = mask ? lane(*mask, first) : nullptr;
        if (there)
          from = b_.CreateSelect(there, from, llvm::Constant::getNullValue(from->getType()));
        Value *row = pack.place.at[0], *column = pack.place.at[1];
        Value*& moving = pack.place.axis == 0 ? row : column;
        if (first != 0) moving = index(llvm::Instruction::Add, moving, i32(first));
        if (stream.operand.turns()) std::swap(row, column);
        device_.copy(element_in(tile, row, column), address(load, from), bytes, there);
      }
    });
  }
  device_.commit_copies();
  known_ = before;
  scalars_ = scalars;
}

}  // namespace cairn::compiler
