// What goes along an axis of a tile: reductions, the index of the best element, scans.
//
// Sums of a product are reduced where they are: where a thread and its neighbours in a warp have a
// whole line, the order of sums (tile/ir.h) is one of bits. Elements 64 apart are added up in
// order; then each halving combines those that differ in one bit of their number, which is a bit of
// the register's number or of the thread's, and so an addition or a shuffle. Other tiles go through
// shared memory (gpu_reduce.h).
#include <algorithm>
#include <bit>

#include "cairn/compiler/llvm/gpu_function.h"
#include "cairn/compiler/llvm/gpu_reduce.h"

namespace cairn::compiler {

using llvm::Value;
using tile::Combine;
using tile::Distribution;
using tile::Instruction;
using tile::TileType;
using tile::ValueId;

Value* GpuFunction::scratch(int64_t bytes) {
  if (scratch_is_read_) device_.barrier();
  scratch_is_read_ = false;
  if (scratch_) {
    device_.resize(scratch_, bytes);
  } else {
    scratch_ = device_.shared("tile", bytes);
  }
  return scratch_;
}

void GpuFunction::emit_reduce(const Instruction& in) {
  const TileType& x = type(in.operands[0]);
  const ValueId result = in.results[0];
  if (reduce_in_registers(in)) return;
  prepare({in.operands[0]}, packs(x.shape));
  Value* tile = scratch(x.shape.elements() * shared_size(x.dtype));
  write_rows(in.operands[0], packs(x.shape), tile);
  known_.in_shared[result] =
      reduce_shared(device_, emitter_, in.kind, x.dtype, x.shape, in.axis, tile, threads_);
  if (type(result).shape.rank() == 0) scalar(result) = from_shared(result, {}).value;
}

bool GpuFunction::reduce_in_registers(const Instruction& in) {
  const TileType& x = type(in.operands[0]);
  const Distribution* dealt_out = distribution(x.shape);
  if (!dealt_out || x.shape[in.axis] > tile::kReduceChunk) return false;
  const tile::Layout &registers = dealt_out->registers, &threads = dealt_out->threads;
  const int bits = std::countr_zero(static_cast<uint64_t>(x.shape[in.axis]));
  const int lane_bits = std::countr_zero(static_cast<uint64_t>(tile::kReduceLanes));
  // Where bit b of an element's number is: of a register's, or of a thread's.
  for (int b = 0; b < bits; ++b) {
    const int thread_bit = threads.bit_of(in.axis, b);
    if (registers.bit_of(in.axis, b) < 0 &&
        (b >= lane_bits || thread_bit < 0 || 1 << thread_bit >= device_.wave()))
      return false;
  }
  const DType wide = is_float(x.dtype) && size_of(x.dtype) == 2 ? DType::f32 : x.dtype;
  const auto combine = [&](Value* a, Value* c) {
    Value* operands[] = {a, c};
    return emitter_.apply(combining(in.kind), wide, wide, operands);
  };
  const std::vector<Pack>& all = packs(x.shape);
  prepare({in.operands[0]}, all);
  std::vector<Value*> elements;  // by register
  for (const Pack& pack : all) {
    Value* value = as_vector(evaluate(in.operands[0], pack.place), pack.place.lanes);
    for (unsigned j = 0; j < std::max(pack.place.lanes, 1u); ++j)
      elements.push_back(pack.place.lanes ? b_.CreateExtractElement(value, j) : value);
  }
  // The registers of the lanes, as bits of a register's number, and those that are added to them.
  size_t along = 0, far = 0;
  for (int b = 0; b < bits; ++b)
    if (const int bit = registers.bit_of(in.axis, b); bit >= 0)
      (b < lane_bits ? along : far) |= size_t{1} << bit;
  std::vector<size_t> steps = {0};  // to those that are far, in increasing order
  for (int b = lane_bits; b < bits; ++b) {
    const size_t step = size_t{1} << registers.bit_of(in.axis, b), count = steps.size();
    for (size_t i = 0; i < count; ++i) steps.push_back(steps[i] | step);
  }
  const bool sums = in.kind == Combine::sum || in.kind == Combine::prod;
  for (size_t r = 0; r < elements.size(); ++r) {
    if (r & far) continue;
    Value* sum = sums ? combine(start_of(emitter_, in.kind, wide), elements[r]) : elements[r];
    for (size_t i = 1; i < steps.size(); ++i) sum = combine(sum, elements[r | steps[i]]);
    elements[r] = sum;
  }
  std::vector<int> halvings;
  for (int b = std::min(bits, lane_bits); b-- > 0;) halvings.push_back(b);
  // What has no order is combined within the thread first.
  if (!sums)
    std::ranges::stable_partition(halvings,
                                  [&](int b) { return registers.bit_of(in.axis, b) >= 0; });
  for (const int b : halvings) {
    const int bit = registers.bit_of(in.axis, b);
    for (size_t r = 0; r < elements.size(); ++r) {
      if (r & far || (bit >= 0 && (r >> bit & 1) != 0)) continue;
      elements[r] = combine(
          elements[r], bit >= 0 ? elements[r | size_t{1} << bit]
                                : device_.exchange(elements[r], 1u << threads.bit_of(in.axis, b)));
    }
    // What is combined is not needed again.
    if (bit >= 0) far |= size_t{1} << bit;
  }
  const unsigned lanes = std::max(all[0].place.lanes, 1u);
  for (size_t r = 0; r < elements.size(); ++r) {
    if (r & (far | along)) continue;
    const Place& from = all[r / lanes].place;
    Value* kept = from.at[in.axis == 0 ? 1 : 0];
    if (in.axis == 0 && r % lanes != 0)
      kept = index(llvm::Instruction::Add, kept, i32(static_cast<int64_t>(r % lanes)));
    Value* sum = elements[r];
    hold(in.results[0], {{{kept}, -1, 0}, nullptr},
         emitter_.apply(Op::cast, wide, x.dtype, {&sum, 1}));
  }
  return true;
}

void GpuFunction::emit_scan(const Instruction& in) {
  const TileType& x = type(in.operands[0]);
  prepare({in.operands[0]}, packs(x.shape));
  Value* memory = device_.shared("scanned", x.shape.elements() * shared_size(x.dtype));
  device_.barrier();
  write_rows(in.operands[0], packs(x.shape), memory);
  device_.barrier();
  scan_shared(device_, emitter_, in, x, memory, threads_);
  device_.barrier();
  known_.in_shared[in.results[0]] = memory;
}

void GpuFunction::emit_arg_reduce(const Instruction& in) {
  const TileType& x = type(in.operands[0]);
  const ValueId result = in.results[0];
  prepare({in.operands[0]}, packs(x.shape));
  Value* tile = scratch(x.shape.elements() * shared_size(x.dtype));
  write_rows(in.operands[0], packs(x.shape), tile);
  known_.in_shared[result] =
      arg_reduce_shared(device_, emitter_, in.kind, x, in.axis, tile, threads_);
  if (type(result).shape.rank() == 0) scalar(result) = from_shared(result, {}).value;
}

}  // namespace cairn::compiler
