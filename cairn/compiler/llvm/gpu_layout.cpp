// Which thread has which element of a tile, and what moves between them through shared memory.
#include <algorithm>
#include <bit>

#include "cairn/compiler/llvm/gpu_function.h"
#include "cairn/compiler/llvm/gpu_reduce.h"

namespace cairn::compiler {

using llvm::Value;
using tile::Distribution;
using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

namespace {

std::vector<int64_t> key_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

bool is_zero(const Value* x) {
  const auto* number = llvm::dyn_cast<llvm::ConstantInt>(x);
  return number && number->isZero();
}

bool are_powers_of_two(const Shape& shape) {
  return std::ranges::all_of(
      shape, [](int64_t n) { return std::has_single_bit(static_cast<uint64_t>(n)); });
}

}  // namespace

// --- places ----------------------------------------------------------------------------------

const Distribution* GpuFunction::distribution(const Shape& shape) const {
  const auto found = distributions_.find(key_of(shape));
  return found == distributions_.end() ? nullptr : &found->second;
}

const std::vector<Pack>& GpuFunction::packs(const Shape& shape) {
  const auto key = key_of(shape);
  if (const auto found = known_.packs.find(key); found != known_.packs.end()) return found->second;
  if (const Distribution* dealt_out = distribution(shape))
    return known_.packs[key] = dealt(*dealt_out);
  // A number for each row of sums is wherever the row is.
  if (shape.rank() == 2 && shape[1] == 1)
    for (const auto& [sums, dealt_out] : distributions_) {
      if (sums[0] != shape[0]) continue;
      std::vector<Pack> rows;
      for (const Pack& pack : packs({sums[0], sums[1]})) {
        Value* row = pack.place.at[0];
        if (std::ranges::none_of(rows, [&](const Pack& p) { return p.place.at[0] == row; }))
          rows.push_back({{{row, i32(0)}, -1, 0}, nullptr});
      }
      return known_.packs[key] = rows;
    }
  return known_.packs[key] = row_packs(shape);
}

const std::vector<Pack>& GpuFunction::row_packs(const Shape& shape) {
  const auto [found, is_new] = known_.row_packs.try_emplace(key_of(shape));
  if (!is_new) return found->second;
  std::vector<Pack>& result = found->second;
  int last = shape.rank() - 1;
  while (last > 0 && shape[last] == 1) --last;
  const int64_t lanes =
      last < 0 ? 1 : std::min<int64_t>(access_lanes_, tile::power_of_two_in(shape[last]));
  const int64_t elements = shape.elements();
  for (int64_t first = 0; first < elements; first += lanes * threads_) {
    Value*& linear = known_.linear[{first, lanes}];
    if (!linear) linear = b_.CreateAdd(b_.CreateMul(thread_, i32(lanes)), i32(first));
    Pack pack{{{}, lanes > 1 ? last : -1, lanes > 1 ? static_cast<unsigned>(lanes) : 0}, nullptr};
    Value* at = linear;
    if (first + lanes * threads_ > elements) {
      // Threads beyond the end compute the last pack, which then only its own thread stores.
      pack.there = b_.CreateICmpULT(linear, i32(elements));
      at = b_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, linear, i32(elements - lanes));
    }
    pack.place.at = cut(at, shape);
    result.push_back(pack);
  }
  return result;
}

void GpuFunction::each_row_pack(const Shape& shape, unsigned accesses,
                                const std::function<void(const Pack&)>& body) {
  // Beyond these, what does not change in a loop around takes more registers than the loads.
  constexpr size_t kMostAccesses = 8;
  const std::vector<Pack> all = row_packs(shape);
  const Known outside = known_;
  if (all.size() * accesses <= kMostAccesses || all.size() == 1 || all.back().there) {
    for (const Pack& pack : all) body(pack);
  } else {
    const Place& first = all[0].place;
    const int64_t lanes = std::max(first.lanes, 1u);
    walk(shape.elements(), lanes * threads_, [&](Value* i) {
      Value* at = b_.CreateAdd(b_.CreateMul(thread_, i32(lanes)), i);
      body({{cut(at, shape), first.axis, first.lanes}, nullptr});
    });
  }
  known_ = outside;
}

Value* GpuFunction::linear(const std::vector<int64_t>& images, Value* x) {
  if (const auto found = known_.split.find(x); found != known_.split.end())
    return index(llvm::Instruction::Xor, linear(images, found->second.first),
                 linear(images, i32(found->second.second)));
  if (const auto* number = llvm::dyn_cast<llvm::ConstantInt>(x)) {
    int64_t result = 0;
    for (size_t bit = 0; bit < images.size(); ++bit)
      if (number->getZExtValue() >> bit & 1) result ^= images[bit];
    return i32(result);
  }
  // Bits that move by the same distance move together.
  std::map<int, uint64_t> masks;
  for (size_t bit = 0; bit < images.size(); ++bit)
    for (auto rest = static_cast<uint64_t>(images[bit]); rest != 0; rest &= rest - 1)
      masks[std::countr_zero(rest) - static_cast<int>(bit)] |= uint64_t{1} << bit;
  Value* result = i32(0);
  for (const auto& [distance, mask] : masks) {
    Value* part = x;
    if (mask != (uint64_t{1} << images.size()) - 1)
      part = index(llvm::Instruction::And, part, i32(static_cast<int64_t>(mask)));
    if (distance != 0)
      part = index(distance > 0 ? llvm::Instruction::Shl : llvm::Instruction::LShr, part,
                   i32(std::abs(distance)));
    result = is_zero(result) ? part : index(llvm::Instruction::Xor, result, part);
  }
  return result;
}

Value* GpuFunction::coordinate(const tile::Layout& threads, int axis) {
  std::vector<int64_t> images;
  for (int bit = 0; bit < threads.bits(); ++bit) images.push_back(threads.step(bit)[axis]);
  images.resize(static_cast<size_t>(std::countr_zero(static_cast<unsigned>(threads_))), 0);
  return linear(images, thread_);
}

Value* GpuFunction::plus(Value* part, int64_t fixed) {
  Value* at = index(llvm::Instruction::Add, part, i32(fixed));
  if (fixed != 0 && !llvm::isa<llvm::Constant>(at)) known_.split[at] = {part, fixed};
  return at;
}

std::vector<Pack> GpuFunction::dealt(const Distribution& distribution) {
  const tile::Layout& registers = distribution.registers;
  unsigned lanes = 1;
  for (int bit = 0; bit < registers.bits() && registers.step(bit)[1] == lanes; ++bit) lanes *= 2;
  Value* const parts[] = {coordinate(distribution.threads, 0), coordinate(distribution.threads, 1)};
  std::vector<Pack> result;
  for (int64_t r = 0; r < registers.places(); r += lanes) {
    Pack pack{{{}, lanes > 1 ? 1 : -1, lanes > 1 ? lanes : 0}, nullptr};
    for (int axis = 0; axis < 2; ++axis)
      pack.place.at.push_back(plus(parts[axis], registers.at(r)[axis]));
    result.push_back(pack);
  }
  return result;
}

// --- values that stay where they are ---------------------------------------------------------

void GpuFunction::hold(ValueId v, const Pack& pack, Value* value) {
  known_.values[{v, pack.place}] = {
      pack.place.lanes ? PackValue::Kind::vector : PackValue::Kind::uniform, value};
  known_.held[v].push_back(pack);
}

void GpuFunction::find_missing(ValueId v, const Place& place,
                               std::set<std::pair<ValueId, Place>>& seen, Missing& missing) {
  if (type(v).shape.rank() == 0 || known_.values.contains({v, place}) ||
      known_.in_shared.contains(v) || !seen.insert({v, place}).second)
    return;
  if (known_.held.contains(v)) {
    missing.insert(v);
    return;
  }
  const Instruction& in = *definitions_[static_cast<size_t>(v)];
  switch (in.op) {
    case TileOp::broadcast:
    case TileOp::reshape:
    case TileOp::transpose:
      if (const auto at = moved(in, place)) return find_missing(in.operands[0], *at, seen, missing);
      for (unsigned j = 0; j < place.lanes; ++j)
        find_missing(in.operands[0], moved_lane(in, place, j), seen, missing);
      return;
    default:
      for (ValueId operand : in.operands) find_missing(operand, place, seen, missing);
  }
}

bool GpuFunction::is_known(ValueId v, const std::vector<Pack>& packs) {
  std::set<std::pair<ValueId, Place>> seen;
  Missing missing;
  for (const Pack& pack : packs) find_missing(v, pack.place, seen, missing);
  return missing.empty();
}

void GpuFunction::prepare(const std::vector<ValueId>& values, const std::vector<Pack>& packs) {
  std::set<std::pair<ValueId, Place>> seen;
  Missing missing;
  for (ValueId v : values)
    for (const Pack& pack : packs) find_missing(v, pack.place, seen, missing);
  for (ValueId v : missing) {
    Value* memory = device_.shared("moved", type(v).shape.elements() * shared_size(type(v).dtype));
    device_.barrier();
    write_rows(v, known_.held.at(v), memory);
    device_.barrier();
    known_.in_shared[v] = memory;
  }
}

PackValue GpuFunction::from_shared(ValueId v, const Place& place) {
  const tile::TileType& x = type(v);
  Value* memory = known_.in_shared.at(v);
  const auto one = [&](Value* at) { return load_shared(emitter_, memory, at, x.dtype); };
  Value* first = joined(place.at, x.shape);
  if (place.lanes == 0) return {PackValue::Kind::uniform, one(first)};
  const int64_t step = x.shape.strides()[place.axis];
  return {PackValue::Kind::vector, gathered(place.lanes, [&](unsigned j) {
            return one(b_.CreateAdd(first, i32(step * j)));
          })};
}

void GpuFunction::write_rows(ValueId v, const std::vector<Pack>& packs, Value* memory) {
  const tile::TileType& x = type(v);
  llvm::Type* element = shared_type(emitter_, x.dtype);
  const Ints strides = x.shape.strides();
  for (const Pack& pack : packs) {
    const Place& place = pack.place;
    Value* value = as_vector(evaluate(v, place), place.lanes);
    Value* first = joined(place.at, x.shape);
    if (place.lanes == 0 || strides[place.axis] == 1) {
      const auto size = static_cast<uint64_t>(shared_size(x.dtype));
      b_.CreateAlignedStore(
          to_shared(emitter_, value, x.dtype), b_.CreateGEP(element, memory, first),
          llvm::Align(std::min<uint64_t>(size * std::max(place.lanes, 1u), kAccessBytes)));
      continue;
    }
    for (unsigned j = 0; j < place.lanes; ++j)
      b_.CreateStore(
          to_shared(emitter_, b_.CreateExtractElement(value, j), x.dtype),
          b_.CreateGEP(element, memory, b_.CreateAdd(first, i32(strides[place.axis] * j))));
  }
}

// --- matrices in shared memory ---------------------------------------------------------------

int64_t SharedTile::element_bytes() const {
  return narrow ? static_cast<int64_t>(size_of(dtype)) : shared_size(dtype);
}

SharedTile GpuFunction::shared_tile(const Shape& shape, DType dtype, bool narrow) {
  SharedTile tile{nullptr, shape, dtype, narrow};
  if (are_powers_of_two(shape))
    tile.offsets = tile::Layout::swizzled(shape, tile.piece()).inverse(shape);
  return tile;
}

Value* GpuFunction::offset_in(const SharedTile& tile, Value* row, Value* column) {
  if (tile.offsets.empty())
    return index(llvm::Instruction::Add, index(llvm::Instruction::Mul, row, i32(tile.shape[1])),
                 column);
  Value* down = linear(tile.offsets[0], row);
  Value* across = linear(tile.offsets[1], column);
  // Of sums the parts that threads have come first, what is known of both last.
  return index(llvm::Instruction::Xor, down, across);
}

Value* GpuFunction::element_in(const SharedTile& tile, Value* row, Value* column) {
  llvm::Type* type =
      tile.narrow ? emitter_.memory_type(tile.dtype) : shared_type(emitter_, tile.dtype);
  return b_.CreateGEP(type, tile.memory, offset_in(tile, row, column));
}

Value* GpuFunction::load_words(const SharedTile& tile, Value* row, Value* column, unsigned count) {
  if (const auto piece = static_cast<unsigned>(tile.piece()); count > piece) {
    std::vector<Value*> parts;
    for (unsigned first = 0; first < count; first += piece)
      parts.push_back(
          load_words(tile, row, index(llvm::Instruction::Add, column, i32(first)), piece));
    return gathered(
        count, [&](unsigned j) { return b_.CreateExtractElement(parts[j / piece], j % piece); });
  }
  const unsigned lanes = count > 1 ? count : 0;
  return b_.CreateAlignedLoad(
      tile.narrow ? emitter_.memory_type(tile.dtype, lanes)
                  : emitter_.register_type(tile.dtype, lanes),
      element_in(tile, row, column),
      llvm::Align(static_cast<uint64_t>(count) * static_cast<uint64_t>(tile.element_bytes())));
}

Value* GpuFunction::load_from(const SharedTile& tile, Value* row, Value* column, unsigned count) {
  Value* loaded = load_words(tile, row, column, count);
  return tile.narrow ? emitter_.from_memory(loaded, tile.dtype) : loaded;
}

void GpuFunction::store_to(const SharedTile& tile, const Place& place, Value* value, bool turns) {
  const unsigned lanes = std::max(place.lanes, 1u);
  const auto memory_form = [&](Value* x) {
    return tile.narrow ? emitter_.to_memory(x, tile.dtype) : to_shared(emitter_, x, tile.dtype);
  };
  const auto width =
      static_cast<unsigned>(place.axis == 1 && !turns ? std::min<int64_t>(lanes, tile.piece()) : 1);
  for (unsigned first = 0; first < lanes; first += width) {
    Value* part = value;
    if (place.lanes > 0 && width < lanes)
      part = width == 1 ? b_.CreateExtractElement(value, first) : gathered(width, [&](unsigned j) {
        return b_.CreateExtractElement(value, first + j);
      });
    Value *row = place.at[0], *column = place.at[1];
    Value*& moving = place.axis == 0 ? row : column;
    if (first != 0) moving = index(llvm::Instruction::Add, moving, i32(first));
    if (turns) std::swap(row, column);
    b_.CreateAlignedStore(
        memory_form(part), element_in(tile, row, column),
        llvm::Align(static_cast<uint64_t>(width) * static_cast<uint64_t>(tile.element_bytes())));
  }
}

}  // namespace cairn::compiler
