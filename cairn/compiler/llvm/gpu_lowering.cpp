#include "cairn/compiler/llvm/gpu_lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <optional>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/emitter.h"
#include "cairn/compiler/llvm/gpu_device.h"
#include "cairn/compiler/llvm/gpu_reduce.h"
#include "cairn/tile/axis.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/math.h"

namespace cairn::compiler {
namespace {

using llvm::BasicBlock;
using llvm::Value;
using tile::AxisFacts;
using tile::Block;
using tile::Instruction;
using tile::TileOp;
using tile::TileType;
using tile::ValueId;

// A block has as many threads as give each 16 elements of the largest tile, within bounds; beyond
// 32 elements, registers would spill.
constexpr int64_t kElementsPerThread = 16;
constexpr int64_t kMaxElementsPerThread = 32;
constexpr int64_t kMinThreads = 128;
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kAccessBytes = 16;

// Where a pack of a tile is: the coordinates of its first element, i32, and the axis along which
// the others follow. lanes 0: one element, not a vector.
struct Place {
  std::vector<Value*> at;
  int axis = -1;
  unsigned lanes = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

// A value at a place: one number for all lanes, first + stride * lane, or a vector.
struct Lanes {
  enum class Kind : uint8_t { uniform, affine, vector };
  Kind kind = Kind::uniform;
  Value* value = nullptr;
  int64_t stride = 0;  // of affine
};

struct Pack {
  Place place;
  Value* there;  // null: in all threads
};

class GpuLowering {
 public:
  GpuLowering(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module)
      : kernel_(kernel),
        module_(module),
        emitter_(module),
        b(emitter_.b),
        device_(target, module, b),
        facts_(tile::analyze_axes(kernel)),
        scalars_(kernel.types.size()),
        definitions_(kernel.types.size()),
        reduced_(kernel.types.size()),
        buffers_(kernel.parameters.size()),
        written_(kernel.parameters.size()) {}

  int run() {
    define(kernel_.body);
    plan(kernel_.body);
    make_function();
    for (const Instruction& in : kernel_.grid.code) emit_scalar(in);
    place_program();
    emit_block(kernel_.body);
    b.CreateRetVoid();
    if (shared_bytes_ > kSharedBytes)
      throw_error(fmt::format("kernel '{}' needs {} bytes of shared memory, a block has {}",
                              kernel_.name, shared_bytes_, kSharedBytes));
    return threads_;
  }

 private:
  [[noreturn]] void unsupported(const Instruction& in, std::string_view what) const {
    tile::fail(tile::spelled(in),
               fmt::format("{} (kernel '{}', lowering for a GPU)", what, kernel_.name), in.where);
  }
  BasicBlock* block(const char* name) {
    return BasicBlock::Create(module_.getContext(), name, function_);
  }
  Value* i32(int64_t v) { return b.getInt32(static_cast<uint32_t>(v)); }
  const TileType& type(ValueId v) const { return kernel_.type(v); }
  Value*& scalar(ValueId v) { return scalars_[static_cast<size_t>(v)]; }
  const Instruction* definition(ValueId v) const { return definitions_[static_cast<size_t>(v)]; }
  const tile::Parameter& buffer(const Instruction& in) const {
    return kernel_.parameters[static_cast<size_t>(in.parameter)];
  }
  // Of a value along a pack's axis.
  AxisFacts facts(ValueId v, const Place& place) const {
    if (place.axis < 0) return {0, tile::kUnbounded, 1};
    return facts_[static_cast<size_t>(v)].axes[static_cast<size_t>(place.axis)];
  }
  static ValueId mask_of(const Instruction& in) {
    const size_t at = in.op == TileOp::store ? 2 : 1;
    return in.operands.size() > at ? in.operands[at] : -1;
  }

  // --- the kernel -------------------------------------------------------------------------------

  void define(const Block& code) {
    for (const Instruction& in : code.code)
      for (ValueId v : in.results) definitions_[static_cast<size_t>(v)] = &in;
  }
  // The number of threads, and the lanes of a pack: 16 bytes of the smallest elements in memory.
  void plan(const Block& code) {
    int64_t elements = 1;
    for (const Instruction& in : code.code) {
      if (in.op == TileOp::store || in.op == TileOp::reduce) {
        const int64_t count = type(in.operands[0]).shape.elements();
        if (count > kMaxThreads * kMaxElementsPerThread)
          unsupported(in, fmt::format("a tile of {} elements is more than a block of threads "
                                      "holds, {}",
                                      count, kMaxThreads * kMaxElementsPerThread));
        elements = std::max(elements, count);
        if (in.op == TileOp::reduce)
          shared_bytes_ = std::max(shared_bytes_, count * shared_size(type(in.operands[0]).dtype));
      }
      if (in.parameter >= 0)
        access_lanes_ = std::max(
            access_lanes_,
            static_cast<unsigned>(kAccessBytes / static_cast<int64_t>(size_of(buffer(in).dtype))));
    }
    const auto wanted =
        static_cast<uint64_t>((elements + kElementsPerThread - 1) / kElementsPerThread);
    threads_ = static_cast<int>(
        std::clamp(static_cast<int64_t>(std::bit_ceil(wanted)), kMinThreads, kMaxThreads));
  }

  void make_function() {
    std::vector<llvm::Type*> types;
    for (const tile::Parameter& p : kernel_.parameters)
      types.push_back(p.is_buffer() ? b.getPtrTy(kGlobalMemory) : emitter_.memory_type(p.dtype));
    function_ = device_.make_kernel(kernel_.name, types, threads_);
    b.SetInsertPoint(block("entry"));
    for (unsigned i = 0; i < types.size(); ++i) {
      const tile::Parameter& p = kernel_.parameters[i];
      llvm::Argument* argument = function_->getArg(i);
      argument->setName(p.name);
      if (!p.is_buffer()) {
        scalar(p.value) = emitter_.from_memory(argument, p.dtype);
        continue;
      }
      buffers_[i] = argument;
      function_->addParamAttr(i, llvm::Attribute::NoAlias);
      function_->addParamAttr(
          i, llvm::Attribute::getWithAlignment(module_.getContext(), buffer_alignment(p)));
      if (!p.is_written()) function_->addParamAttr(i, llvm::Attribute::ReadOnly);
    }
    thread_ = device_.thread();
    if (shared_bytes_ > 0) tile_memory_ = device_.shared("tile", shared_bytes_);
  }
  static llvm::Align buffer_alignment(const tile::Parameter& p) {
    return llvm::Align(static_cast<uint64_t>(
        std::min<int64_t>(tile::power_of_two_in(std::max<int64_t>(p.divisor, 1)), 256)));
  }

  void place_program() {
    Value* program = b.CreateZExt(device_.program(), b.getInt64Ty());
    program_.assign(tile::kMaxGridRank, b.getInt64(0));
    for (size_t axis = kernel_.grid.yields.size(); axis-- > 1;) {
      Value* size = scalar(kernel_.grid.yields[axis]);
      program_[axis] = b.CreateURem(program, size);
      program = b.CreateUDiv(program, size);
    }
    program_[0] = program;
  }

  void emit_block(const Block& code) {
    for (size_t i = 0; i < code.code.size(); ++i) {
      const Instruction& in = code.code[i];
      switch (in.op) {
        case TileOp::store: {
          // Stores of one shape with no other effect between them are one: all is read before any
          // is written.
          std::vector<const Instruction*> stores = {&in};
          while (i + 1 < code.code.size() && code.code[i + 1].op == TileOp::store &&
                 type(code.code[i + 1].operands[0]).shape == type(in.operands[0]).shape)
            stores.push_back(&code.code[++i]);
          emit_stores(stores);
          break;
        }
        case TileOp::reduce: emit_reduce(in); break;
        case TileOp::assume:
        case TileOp::print: break;
        case TileOp::atomic:
        case TileOp::arg_reduce:
        case TileOp::scan:
        case TileOp::dot:
        case TileOp::loop: unsupported(in, "is not lowered yet");
        default:
          if (type(in.results[0]).shape.rank() == 0) emit_scalar(in);
      }
    }
  }
  void emit_scalar(const Instruction& in) { scalar(in.results[0]) = compute(in, {}).value; }

  // --- packs ------------------------------------------------------------------------------------

  Value* index(llvm::Instruction::BinaryOps op, Value* x, Value* y) {
    // Equal places must be the same values, for evaluate() to know them again.
    Value*& result = indices_[{op, x, y}];
    if (!result) result = b.CreateBinOp(op, x, y);
    return result;
  }

  // This thread's packs of a tile, at the end of the straight line of code.
  const std::vector<Pack>& packs(const Shape& shape) {
    const auto [found, is_new] = packs_.try_emplace({shape.begin(), shape.end()});
    if (!is_new) return found->second;
    std::vector<Pack>& result = found->second;
    int last = shape.rank() - 1;
    while (last > 0 && shape[last] == 1) --last;
    const int64_t lanes =
        last < 0 ? 1 : std::min<int64_t>(access_lanes_, tile::power_of_two_in(shape[last]));
    const int64_t elements = shape.elements();
    for (int64_t first = 0; first < elements; first += lanes * threads_) {
      Value*& linear = linear_[{first, lanes}];
      if (!linear) linear = b.CreateAdd(b.CreateMul(thread_, i32(lanes)), i32(first));
      Pack pack{{{}, lanes > 1 ? last : -1, lanes > 1 ? static_cast<unsigned>(lanes) : 0}, nullptr};
      Value* at = linear;
      if (first + lanes * threads_ > elements) {
        // Threads beyond the end compute the last pack, which then only its own thread stores.
        pack.there = b.CreateICmpULT(linear, i32(elements));
        at = b.CreateBinaryIntrinsic(llvm::Intrinsic::umin, linear, i32(elements - lanes));
      }
      pack.place.at = cut(at, shape);
      result.push_back(pack);
    }
    return result;
  }
  // The coordinates of the element with that number.
  std::vector<Value*> cut(Value* linear, const Shape& shape) {
    std::vector<Value*> at(static_cast<size_t>(shape.rank()), i32(0));
    int64_t outer = shape.elements();
    for (int a = shape.rank(); a-- > 0;) {
      outer /= shape[a];
      if (shape[a] == 1) continue;
      at[static_cast<size_t>(a)] =
          outer == 1 ? linear : index(llvm::Instruction::URem, linear, i32(shape[a]));
      if (outer > 1) linear = index(llvm::Instruction::UDiv, linear, i32(shape[a]));
    }
    return at;
  }
  Value* joined(const std::vector<Value*>& at, const Shape& shape) {
    Value* linear = i32(0);
    const Ints strides = shape.strides();
    for (int a = 0; a < shape.rank(); ++a)
      if (shape[a] != 1)
        linear = index(llvm::Instruction::Add, linear,
                       index(llvm::Instruction::Mul, at[static_cast<size_t>(a)], i32(strides[a])));
    return linear;
  }

  // Where an operand of a movement is read for the result to be there; nothing where a pack falls
  // apart.
  std::optional<Place> moved(const Instruction& in, const Place& place) {
    const Shape &from = type(in.operands[0]).shape, &to = type(in.results[0]).shape;
    Place result{std::vector<Value*>(static_cast<size_t>(from.rank()), i32(0)), -1, 0};
    const auto carry = [&](int a, int r) {
      result.at[static_cast<size_t>(a)] = place.at[static_cast<size_t>(r)];
      if (place.axis != r) return;
      result.axis = a;
      result.lanes = place.lanes;
    };
    if (in.op == TileOp::broadcast) {
      for (int a = 0; a < from.rank(); ++a)
        if (from[a] != 1) carry(a, a);
      return result;
    }
    if (in.op == TileOp::transpose) {
      for (int a = 0; a < to.rank(); ++a) carry(static_cast<int>(in.axes[a]), a);
      return result;
    }
    // Axes of size 1 come and go.
    std::vector<int> from_axes, to_axes;
    for (int a = 0; a < from.rank(); ++a)
      if (from[a] != 1) from_axes.push_back(a);
    for (int a = 0; a < to.rank(); ++a)
      if (to[a] != 1) to_axes.push_back(a);
    if (std::ranges::equal(
            from_axes, to_axes, {}, [&](int a) { return from[a]; }, [&](int a) { return to[a]; })) {
      for (size_t i = 0; i < from_axes.size(); ++i) carry(from_axes[i], to_axes[i]);
      return result;
    }
    if (place.axis >= 0 &&
        (place.axis != to_axes.back() || from[from_axes.back()] % place.lanes != 0))
      return std::nullopt;
    result.at = cut(joined(place.at, to), from);
    if (place.axis >= 0) {
      result.axis = from_axes.back();
      result.lanes = place.lanes;
    }
    return result;
  }

  // --- values -----------------------------------------------------------------------------------

  Value* lane(const Lanes& x, unsigned j) {
    if (x.kind == Lanes::Kind::vector) return b.CreateExtractElement(x.value, j);
    if (x.kind == Lanes::Kind::uniform || j == 0) return x.value;
    return b.CreateAdd(x.value, llvm::ConstantInt::get(x.value->getType(),
                                                       static_cast<uint64_t>(x.stride) * j, true));
  }
  Value* as_vector(const Lanes& x, unsigned lanes) {
    if (x.kind == Lanes::Kind::vector || lanes == 0) return x.value;
    Value* first = emitter_.splat(x.value, lanes);
    if (x.kind == Lanes::Kind::uniform) return first;
    std::vector<llvm::Constant*> steps;
    for (unsigned j = 0; j < lanes; ++j)
      steps.push_back(
          llvm::ConstantInt::get(x.value->getType(), static_cast<uint64_t>(x.stride) * j, true));
    return b.CreateAdd(first, llvm::ConstantVector::get(steps));
  }
  // A vector of what `element` gives for each lane.
  Value* gathered(unsigned lanes, const std::function<Value*(unsigned)>& element) {
    Value* result = nullptr;
    for (unsigned j = 0; j < lanes; ++j) {
      Value* x = element(j);
      if (!result) result = llvm::PoisonValue::get(llvm::FixedVectorType::get(x->getType(), lanes));
      result = b.CreateInsertElement(result, x, j);
    }
    return result;
  }

  Lanes evaluate(ValueId v, const Place& place) {
    if (type(v).shape.rank() == 0) return {Lanes::Kind::uniform, scalar(v)};
    const auto key = std::pair(v, place);
    if (const auto found = memo_.find(key); found != memo_.end()) return found->second;
    const Lanes result = compute(*definition(v), place);
    memo_[key] = result;
    return result;
  }

  Lanes compute(const Instruction& in, const Place& place) {
    switch (in.op) {
      case TileOp::program_id:
        return {Lanes::Kind::uniform, program_[static_cast<size_t>(in.axis)]};
      case TileOp::constant:
        return {Lanes::Kind::uniform, emitter_.number(in.value, type(in.results[0]).dtype)};
      case TileOp::arange: {
        Value* first = b.CreateZExt(place.at[0], emitter_.register_type(type(in.results[0]).dtype));
        if (place.lanes == 0) return {Lanes::Kind::uniform, first};
        return {Lanes::Kind::affine, first, 1};
      }
      case TileOp::broadcast:
      case TileOp::reshape:
      case TileOp::transpose: {
        if (const auto at = moved(in, place)) return evaluate(in.operands[0], *at);
        return {Lanes::Kind::vector, gathered(place.lanes, [&](unsigned j) {
                  Place one{place.at, -1, 0};
                  Value*& at = one.at[static_cast<size_t>(place.axis)];
                  at = index(llvm::Instruction::Add, at, i32(j));
                  return evaluate(in.operands[0], *moved(in, one)).value;
                })};
      }
      case TileOp::load: return load(in, place);
      case TileOp::reduce: return reduced(in, place);
      case TileOp::apply:
      case TileOp::fma:
      case TileOp::multiply_high:
      case TileOp::bitcast: return elementwise(in, place);
      default: unsupported(in, "is not lowered yet");
    }
  }

  Lanes elementwise(const Instruction& in, const Place& place) {
    std::vector<Lanes> operands;
    bool uniform = true;
    for (ValueId v : in.operands) {
      operands.push_back(evaluate(v, place));
      uniform &= operands.back().kind == Lanes::Kind::uniform;
    }
    const DType from = type(in.operands.back()).dtype, to = type(in.results[0]).dtype;
    // What is known of the lanes from the first one is not computed for the others.
    const AxisFacts known = facts(in.results[0], place);
    const bool affine = is_integer(to) && known.run >= place.lanes && known.stride != 0;
    const bool first = uniform || affine || known.is_uniform(place.lanes);
    std::vector<Value*> values;
    for (const Lanes& x : operands)
      values.push_back(first ? lane(x, 0) : as_vector(x, place.lanes));
    Value* result = number(in, from, to, values);
    if (!first) return {Lanes::Kind::vector, result};
    return affine && !uniform ? Lanes{Lanes::Kind::affine, result, known.stride}
                              : Lanes{Lanes::Kind::uniform, result};
  }
  Value* number(const Instruction& in, DType from, DType to, std::span<Value* const> values) {
    switch (in.op) {
      case TileOp::fma: return emitter_.fma(values[0], values[1], values[2]);
      case TileOp::multiply_high: return emitter_.multiply_high(values[0], values[1]);
      case TileOp::bitcast: return emitter_.bitcast(values[0], from, to);
      default: break;
    }
    if (is_float(from) && (tile::f32::is_function(in.scalar) || in.scalar == Op::remainder))
      unsupported(in, fmt::format("is a function of {}, which a GPU's code cannot call; of f32, "
                                  "expand_math writes it out",
                                  name(from)));
    if (!can_lower(in.scalar, from, to))
      unsupported(in, fmt::format("has no lowering from {} to {}", name(from), name(to)));
    return emitter_.apply(in.scalar, from, to, values);
  }

  // --- memory -----------------------------------------------------------------------------------

  void when(Value* condition, const std::function<void()>& body) {
    BasicBlock* inside = block("then");
    BasicBlock* after = block("end");
    b.CreateCondBr(condition, inside, after);
    b.SetInsertPoint(inside);
    body();
    b.CreateBr(after);
    b.SetInsertPoint(after);
  }
  // condition ? yes() : no(), each in its branch.
  Value* choose(Value* condition, const std::function<Value*()>& yes,
                const std::function<Value*()>& no) {
    BasicBlock* inside = block("all");
    BasicBlock* outside = block("some");
    BasicBlock* after = block("end");
    b.CreateCondBr(condition, inside, outside);
    b.SetInsertPoint(inside);
    Value* x = yes();
    BasicBlock* end_inside = b.GetInsertBlock();
    b.CreateBr(after);
    b.SetInsertPoint(outside);
    Value* y = no();
    BasicBlock* end_outside = b.GetInsertBlock();
    b.CreateBr(after);
    b.SetInsertPoint(after);
    llvm::PHINode* result = b.CreatePHI(x->getType(), 2);
    result->addIncoming(x, end_inside);
    result->addIncoming(y, end_outside);
    return result;
  }

  Value* address(const Instruction& in, Value* offset) {
    return b.CreateGEP(emitter_.memory_type(buffer(in).dtype),
                       buffers_[static_cast<size_t>(in.parameter)],
                       b.CreateSExt(offset, b.getInt64Ty()));
  }
  // Of an access to `count` elements that start at a multiple of as many.
  llvm::Align alignment(const Instruction& in, unsigned count) const {
    const uint64_t bytes = count * size_of(buffer(in).dtype);
    return std::min(llvm::Align(std::min<uint64_t>(bytes, kAccessBytes)),
                    buffer_alignment(buffer(in)));
  }
  // How many elements of a pack are accessed at once.
  unsigned access_width(const Instruction& in, const Place& place) const {
    const AxisFacts offsets = facts(in.operands[0], place);
    unsigned width = place.lanes;
    while (width > 1 && !(offsets.is_contiguous(width) && offsets.divisor_at(width) >= width))
      width /= 2;
    return width;
  }
  // Whether all lanes first..first+count-1 of a mask hold.
  Value* all_of(const Lanes& mask, unsigned first, unsigned count) {
    Value* result = lane(mask, first);
    for (unsigned j = 1; j < count && mask.kind != Lanes::Kind::uniform; ++j)
      result = b.CreateAnd(result, lane(mask, first + j));
    return result;
  }

  Value* load_elements(const Instruction& in, Value* offset, unsigned count) {
    llvm::Type* memory = emitter_.memory_type(buffer(in).dtype, count > 1 ? count : 0);
    Value* loaded = b.CreateAlignedLoad(memory, address(in, offset), alignment(in, count));
    return emitter_.from_memory(loaded, buffer(in).dtype);
  }
  Lanes load(const Instruction& in, const Place& place) {
    if (written_[static_cast<size_t>(in.parameter)])
      unsupported(in, "reads a buffer after it was written, which is not lowered yet");
    const Lanes offset = evaluate(in.operands[0], place);
    const ValueId mask_id = mask_of(in);
    std::optional<Lanes> mask, other;
    if (mask_id >= 0) mask = evaluate(mask_id, place);
    if (mask_id >= 0)
      other = in.operands.size() > 2
                  ? evaluate(in.operands[2], place)
                  : Lanes{Lanes::Kind::uniform, emitter_.number(0, buffer(in).dtype)};
    const auto one = [&](unsigned j) {
      const auto loaded = [&] { return load_elements(in, lane(offset, j), 1); };
      if (!mask) return loaded();
      Value* otherwise = lane(*other, j);
      return choose(lane(*mask, j), loaded, [&] { return otherwise; });
    };
    if (place.lanes == 0 || facts(in.results[0], place).is_uniform(place.lanes))
      return {Lanes::Kind::uniform, one(0)};
    const unsigned width = access_width(in, place);
    if (width <= 1) return {Lanes::Kind::vector, gathered(place.lanes, one)};
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
    if (width == place.lanes) return {Lanes::Kind::vector, several(0)};
    std::vector<Value*> parts;
    for (unsigned first = 0; first < place.lanes; first += width) parts.push_back(several(first));
    return {Lanes::Kind::vector, gathered(place.lanes, [&](unsigned j) {
              return b.CreateExtractElement(parts[j / width], j % width);
            })};
  }

  void emit_stores(const std::vector<const Instruction*>& stores) {
    struct Ready {
      Lanes offset, value, mask;
    };
    const Shape& shape = type(stores[0]->operands[0]).shape;
    const std::vector<Pack>& all = packs(shape);
    std::vector<Ready> ready;
    bool in_place = false;
    for (const Instruction* in : stores) {
      in_place |= buffer(*in).is_read();
      for (const Pack& pack : all)
        ready.push_back({evaluate(in->operands[0], pack.place),
                         evaluate(in->operands[1], pack.place),
                         mask_of(*in) < 0 ? Lanes{Lanes::Kind::uniform, b.getTrue()}
                                          : evaluate(mask_of(*in), pack.place)});
    }
    if (in_place) device_.barrier();
    auto next = ready.begin();
    for (const Instruction* in : stores) {
      for (const Pack& pack : all) {
        const auto write = [&] { store(*in, pack.place, next->offset, next->value, next->mask); };
        if (pack.there) {
          when(pack.there, write);
        } else {
          write();
        }
        ++next;
      }
      written_[static_cast<size_t>(in->parameter)] = true;
    }
  }
  void store_elements(const Instruction& in, Value* offset, Value* value, unsigned count) {
    b.CreateAlignedStore(emitter_.to_memory(value, buffer(in).dtype), address(in, offset),
                         alignment(in, count));
  }
  void store(const Instruction& in, const Place& place, const Lanes& offset, const Lanes& value,
             const Lanes& mask) {
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
        when(b.CreateNot(all), [&] {
          for (unsigned j = 0; j < width; ++j) one(first + j);
        });
      }
    }
  }

  // --- reductions -------------------------------------------------------------------------------

  void emit_reduce(const Instruction& in) {
    const TileType& x = type(in.operands[0]);
    llvm::Type* element = shared_type(emitter_, x.dtype);
    for (const Pack& pack : packs(x.shape)) {
      Value* value = as_vector(evaluate(in.operands[0], pack.place), pack.place.lanes);
      Value* to = b.CreateGEP(element, tile_memory_, joined(pack.place.at, x.shape));
      const auto size = static_cast<uint64_t>(shared_size(x.dtype));
      b.CreateAlignedStore(
          to_shared(emitter_, value, x.dtype), to,
          llvm::Align(std::min<uint64_t>(size * std::max(pack.place.lanes, 1u), kAccessBytes)));
    }
    const ValueId result = in.results[0];
    reduced_[static_cast<size_t>(result)] =
        reduce_shared(device_, emitter_, in.kind, x.dtype, x.shape, in.axis, tile_memory_, threads_,
                      shared_bytes_);
    if (type(result).shape.rank() == 0) scalar(result) = reduced(in, {}).value;
  }
  Lanes reduced(const Instruction& in, const Place& place) {
    const TileType& x = type(in.results[0]);
    Value* memory = reduced_[static_cast<size_t>(in.results[0])];
    const auto one = [&](Value* at) { return load_shared(emitter_, memory, at, x.dtype); };
    Value* first = joined(place.at, x.shape);
    if (place.lanes == 0) return {Lanes::Kind::uniform, one(first)};
    const int64_t step = x.shape.strides()[place.axis];
    return {Lanes::Kind::vector, gathered(place.lanes, [&](unsigned j) {
              return one(b.CreateAdd(first, i32(step * j)));
            })};
  }

  const tile::Kernel& kernel_;
  llvm::Module& module_;
  Emitter emitter_;
  llvm::IRBuilder<>& b;
  GpuDevice device_;
  const std::vector<tile::ValueFacts> facts_;
  llvm::Function* function_ = nullptr;
  int threads_ = 0;
  unsigned access_lanes_ = 1;
  int64_t shared_bytes_ = 0;
  Value* thread_ = nullptr;
  Value* tile_memory_ = nullptr;                 // the tile that is being reduced
  std::vector<Value*> scalars_;                  // by ValueId, of those that have been computed
  std::vector<const Instruction*> definitions_;  // by ValueId; null of parameters
  std::vector<Value*> reduced_;                  // by ValueId: where a reduction's result lies
  std::vector<Value*> buffers_;                  // by parameter
  std::vector<bool> written_;                    // by parameter: stored to, so far
  std::vector<Value*> program_;                  // this program's coordinates in the grid
  std::map<std::vector<int64_t>, std::vector<Pack>> packs_;  // by shape
  std::map<std::pair<int64_t, int64_t>, Value*> linear_;
  std::map<std::tuple<int, Value*, Value*>, Value*> indices_;
  std::map<std::pair<ValueId, Place>, Lanes> memo_;
};

}  // namespace

int lower_for_gpu(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module) {
  return GpuLowering(kernel, target, module).run();
}

}  // namespace cairn::compiler
