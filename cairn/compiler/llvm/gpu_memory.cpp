// Loads and stores of packs, as wide as they are aligned.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cairn/compiler/llvm/gpu_function.h"

namespace cairn::compiler {

using llvm::Value;
using tile::AxisFacts;
using tile::Instruction;
using tile::ValueId;

llvm::Align GpuFunction::buffer_alignment(const tile::Parameter& p) {
  return llvm::Align(static_cast<uint64_t>(
      std::min<int64_t>(tile::power_of_two_in(std::max<int64_t>(p.divisor, 1)), 256)));
}

Value* GpuFunction::address(const Instruction& in, Value* offset) {
  return b_.CreateGEP(emitter_.memory_type(buffer(in).dtype),
                      buffers_[static_cast<size_t>(in.parameter)],
                      b_.CreateSExt(offset, b_.getInt64Ty()));
}

llvm::Align GpuFunction::alignment(const Instruction& in, unsigned count) const {
  const uint64_t bytes = count * size_of(buffer(in).dtype);
  return std::min(llvm::Align(std::min<uint64_t>(bytes, kAccessBytes)),
                  buffer_alignment(buffer(in)));
}

unsigned GpuFunction::access_width(const Instruction& in, const Place& place) const {
  const AxisFacts offsets = facts(in.operands[0], place);
  unsigned width = place.lanes;
  while (width > 1 && !(offsets.is_contiguous(width) && offsets.divisor_at(width) >= width))
    width /= 2;
  return width;
}

Value* GpuFunction::all_of(const PackValue& mask, unsigned first, unsigned count) {
  Value* result = lane(mask, first);
  for (unsigned j = 1; j < count && mask.kind != PackValue::Kind::uniform; ++j)
    result = b_.CreateAnd(result, lane(mask, first + j));
  return result;
}

Value* GpuFunction::load_elements(const Instruction& in, Value* offset, unsigned count) {
  llvm::Type* memory = emitter_.memory_type(buffer(in).dtype, count > 1 ? count : 0);
  Value* loaded = b_.CreateAlignedLoad(memory, address(in, offset), alignment(in, count));
  return emitter_.from_memory(loaded, buffer(in).dtype);
}

PackValue GpuFunction::load(const Instruction& in, const Place& place) {
  if (written_[static_cast<size_t>(in.parameter)])
    unsupported(in, "reads a buffer after it was written, which is not lowered yet");
  const PackValue offset = evaluate(in.operands[0], place);
  const ValueId mask_id = mask_of(in);
  std::optional<PackValue> mask, other;
  if (mask_id >= 0) mask = evaluate(mask_id, place);
  if (mask_id >= 0)
    other = in.operands.size() > 2
                ? evaluate(in.operands[2], place)
                : PackValue{PackValue::Kind::uniform, emitter_.number(0, buffer(in).dtype)};
  const auto one = [&](unsigned j) {
    const auto loaded = [&] { return load_elements(in, lane(offset, j), 1); };
    if (!mask) return loaded();
    Value* otherwise = lane(*other, j);
    return choose(lane(*mask, j), loaded, [&] { return otherwise; });
  };
  if (place.lanes == 0 || facts(in.results[0], place).is_uniform(place.lanes))
    return {PackValue::Kind::uniform, one(0)};
  const unsigned width = access_width(in, place);
  if (width <= 1) return {PackValue::Kind::vector, gathered(place.lanes, one)};
  // Elements first..first+width-1, as a vector.
  const auto several = [&](unsigned first) {
    Value* start = lane(offset, first);
    const auto whole = [&] { return load_elements(in, start, width); };
    if (!mask) return whole();
    const auto by_elements = [&] {
      return gathered(width, [&](unsigned j) { return one(first + j); });
    };
    const auto others = [&] {
      return gathered(width, [&](unsigned j) { return lane(*other, first + j); });
    };
    if (facts(mask_id, place).is_uniform(width)) return choose(lane(*mask, first), whole, others);
    return choose(all_of(*mask, first, width), whole, by_elements);
  };
  if (width == place.lanes) return {PackValue::Kind::vector, several(0)};
  std::vector<Value*> parts;
  for (unsigned first = 0; first < place.lanes; first += width) parts.push_back(several(first));
  return {PackValue::Kind::vector, gathered(place.lanes, [&](unsigned j) {
            return b_.CreateExtractElement(parts[j / width], j % width);
          })};
}

void GpuFunction::store_elements(const Instruction& in, Value* offset, Value* value,
                                 unsigned count) {
  b_.CreateAlignedStore(emitter_.to_memory(value, buffer(in).dtype), address(in, offset),
                        alignment(in, count));
}

void GpuFunction::store(const Instruction& in, const Place& place, const PackValue& offset,
                        const PackValue& value, const PackValue& mask) {
  const auto one = [&](unsigned j) {
    Value *at = lane(offset, j), *number = lane(value, j);
    when(lane(mask, j), [&] { store_elements(in, at, number, 1); });
  };
  const unsigned lanes = std::max(place.lanes, 1u), width = std::max(access_width(in, place), 1u);
  for (unsigned first = 0; first < lanes; first += width) {
    if (width == 1) {
      one(first);
      continue;
    }
    Value* start = lane(offset, first);
    Value* numbers = width == lanes
                         ? as_vector(value, lanes)
                         : gathered(width, [&](unsigned j) { return lane(value, first + j); });
    const auto whole = [&] { store_elements(in, start, numbers, width); };
    if (mask_of(in) < 0) {
      whole();
    } else if (facts(mask_of(in), place).is_uniform(width)) {
      when(lane(mask, first), whole);
    } else {
      Value* all = all_of(mask, first, width);
      when(all, whole);
      when(b_.CreateNot(all), [&] {
        for (unsigned j = 0; j < width; ++j) one(first + j);
      });
    }
  }
}

// In row-major order, each element in one thread. In which order threads come is not known, so sums
// of floats differ from run to run.
void GpuFunction::emit_atomic(const Instruction& in) {
  const DType dtype = buffer(in).dtype;
  using Operation = llvm::AtomicRMWInst::BinOp;
  const auto operation = [&]() -> Operation {
    const bool is_word = is_integer(dtype) && size_of(dtype) >= 4;
    switch (in.kind) {
      case tile::Combine::sum:
        if (is_word) return llvm::AtomicRMWInst::Add;
        if (dtype == DType::f32 || dtype == DType::f64) return llvm::AtomicRMWInst::FAdd;
        break;
      case tile::Combine::max:
        if (is_word) return is_signed(dtype) ? llvm::AtomicRMWInst::Max : llvm::AtomicRMWInst::UMax;
        break;
      case tile::Combine::min:
        if (is_word) return is_signed(dtype) ? llvm::AtomicRMWInst::Min : llvm::AtomicRMWInst::UMin;
        break;
      default: break;
    }
    unsupported(in, fmt::format("has no instruction for the {} of {}; there are sums of f32, f64 "
                                "and integers of 32 and 64 bits, and max and min of those integers",
                                tile::name(in.kind), name(dtype)));
  }();
  const std::vector<Pack>& all = row_packs(type(in.operands[0]).shape);
  prepare(in.operands, all);
  const ValueId mask_id = mask_of(in);
  for (const Pack& pack : all) {
    const PackValue offset = evaluate(in.operands[0], pack.place);
    const PackValue value = evaluate(in.operands[1], pack.place);
    const PackValue mask = mask_id < 0 ? PackValue{PackValue::Kind::uniform, b_.getTrue()}
                                       : evaluate(mask_id, pack.place);
    const auto one = [&](unsigned j) {
      Value *at = lane(offset, j), *with = lane(value, j);
      Value* there = lane(mask, j);
      if (pack.there) there = b_.CreateAnd(there, pack.there);
      return choose(
          there,
          [&]() -> Value* {
            return b_.CreateAtomicRMW(
                operation, address(in, at), with, llvm::Align(size_of(dtype)),
                llvm::AtomicOrdering::Monotonic,
                module_.getContext().getOrInsertSyncScopeID(device_.amd() ? "agent" : ""));
          },
          [&]() -> Value* { return emitter_.number(0, dtype); });
    };
    hold(in.results[0], pack, pack.place.lanes ? gathered(pack.place.lanes, one) : one(0));
  }
  if (type(in.results[0]).shape.rank() == 0)
    scalar(in.results[0]) = known_.values.at({in.results[0], all[0].place}).value;
  written_[static_cast<size_t>(in.parameter)] = true;
}

}  // namespace cairn::compiler
