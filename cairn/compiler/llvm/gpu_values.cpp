#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/gpu_function.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/math.h"

namespace cairn::compiler {

using llvm::Value;
using tile::AxisFacts;
using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

void GpuFunction::unsupported(const Instruction& in, std::string_view what) const {
  tile::fail(tile::spelled(in),
             fmt::format("{} (kernel '{}', lowering for a GPU)", what, kernel_.name), in.where);
}

AxisFacts GpuFunction::facts(ValueId v, const Place& place) const {
  if (place.axis < 0) return {0, tile::kUnbounded, 1};
  return facts_[static_cast<size_t>(v)].axes[static_cast<size_t>(place.axis)];
}

Value* GpuFunction::index(llvm::Instruction::BinaryOps op, Value* x, Value* y) {
  // Equal places must be the same values, for evaluate() to know them again.
  Value*& result = known_.indices[{op, x, y}];
  if (!result) {
    const auto* number = llvm::dyn_cast<llvm::ConstantInt>(y);
    const bool stays = number && number->isZero() &&
                       (op == llvm::Instruction::Add || op == llvm::Instruction::Xor);
    result = stays ? x : b_.CreateBinOp(op, x, y);
  }
  return result;
}

std::vector<Value*> GpuFunction::cut(Value* linear, const Shape& shape) {
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

Value* GpuFunction::joined(const std::vector<Value*>& at, const Shape& shape) {
  Value* linear = i32(0);
  const Ints strides = shape.strides();
  for (int a = 0; a < shape.rank(); ++a)
    if (shape[a] != 1)
      linear = index(llvm::Instruction::Add, linear,
                     index(llvm::Instruction::Mul, at[static_cast<size_t>(a)], i32(strides[a])));
  return linear;
}

std::optional<Place> GpuFunction::moved(const Instruction& in, const Place& place) {
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

Place GpuFunction::moved_lane(const Instruction& in, const Place& place, unsigned j) {
  Place one{place.at, -1, 0};
  Value*& at = one.at[static_cast<size_t>(place.axis)];
  at = index(llvm::Instruction::Add, at, i32(j));
  return *moved(in, one);
}

Value* GpuFunction::lane(const PackValue& x, unsigned j) {
  if (x.kind == PackValue::Kind::vector) return b_.CreateExtractElement(x.value, j);
  if (x.kind == PackValue::Kind::uniform || j == 0) return x.value;
  return b_.CreateAdd(x.value, llvm::ConstantInt::get(x.value->getType(),
                                                      static_cast<uint64_t>(x.stride) * j, true));
}

Value* GpuFunction::as_vector(const PackValue& x, unsigned lanes) {
  if (x.kind == PackValue::Kind::vector || lanes == 0) return x.value;
  Value* first = emitter_.splat(x.value, lanes);
  if (x.kind == PackValue::Kind::uniform) return first;
  std::vector<llvm::Constant*> steps;
  for (unsigned j = 0; j < lanes; ++j)
    steps.push_back(
        llvm::ConstantInt::get(x.value->getType(), static_cast<uint64_t>(x.stride) * j, true));
  return b_.CreateAdd(first, llvm::ConstantVector::get(steps));
}

Value* GpuFunction::gathered(unsigned lanes, const std::function<Value*(unsigned)>& element) {
  Value* result = nullptr;
  for (unsigned j = 0; j < lanes; ++j) {
    Value* x = element(j);
    if (!result) result = llvm::PoisonValue::get(llvm::FixedVectorType::get(x->getType(), lanes));
    result = b_.CreateInsertElement(result, x, j);
  }
  return result;
}

PackValue GpuFunction::evaluate(ValueId v, const Place& place) {
  if (type(v).shape.rank() == 0) return {PackValue::Kind::uniform, scalar(v)};
  const auto key = std::pair(v, place);
  if (const auto found = known_.values.find(key); found != known_.values.end())
    return found->second;
  const PackValue result = known_.in_shared.contains(v)
                               ? from_shared(v, place)
                               : compute(*definitions_[static_cast<size_t>(v)], place);
  known_.values[key] = result;
  return result;
}

PackValue GpuFunction::compute(const Instruction& in, const Place& place) {
  switch (in.op) {
    case TileOp::program_id:
      return {PackValue::Kind::uniform, program_[static_cast<size_t>(in.axis)]};
    case TileOp::constant:
      return {PackValue::Kind::uniform, emitter_.number(in.value, type(in.results[0]).dtype)};
    case TileOp::arange: {
      Value* first = b_.CreateZExt(place.at[0], emitter_.register_type(type(in.results[0]).dtype));
      if (place.lanes == 0) return {PackValue::Kind::uniform, first};
      return {PackValue::Kind::affine, first, 1};
    }
    case TileOp::broadcast:
    case TileOp::reshape:
    case TileOp::transpose: {
      if (const auto at = moved(in, place)) return evaluate(in.operands[0], *at);
      return {PackValue::Kind::vector, gathered(place.lanes, [&](unsigned j) {
                return evaluate(in.operands[0], moved_lane(in, place, j)).value;
              })};
    }
    case TileOp::load: return load(in, place);
    case TileOp::apply:
    case TileOp::fma:
    case TileOp::multiply_high:
    case TileOp::bitcast: return elementwise(in, place);
    default: unsupported(in, "is not lowered yet");
  }
}

PackValue GpuFunction::elementwise(const Instruction& in, const Place& place) {
  std::vector<PackValue> operands;
  bool uniform = true;
  for (ValueId v : in.operands) {
    operands.push_back(evaluate(v, place));
    uniform &= operands.back().kind == PackValue::Kind::uniform;
  }
  const DType from = type(in.operands.back()).dtype, to = type(in.results[0]).dtype;
  // What is known of the lanes from the first one is not computed for the others.
  const AxisFacts known = facts(in.results[0], place);
  const bool affine = is_integer(to) && known.run >= place.lanes && known.stride != 0;
  const bool first = uniform || affine || known.is_uniform(place.lanes);
  std::vector<Value*> values;
  for (const PackValue& x : operands)
    values.push_back(first ? lane(x, 0) : as_vector(x, place.lanes));
  Value* result = number(in, from, to, values);
  if (!first) return {PackValue::Kind::vector, result};
  return affine && !uniform ? PackValue{PackValue::Kind::affine, result, known.stride}
                            : PackValue{PackValue::Kind::uniform, result};
}

Value* GpuFunction::number(const Instruction& in, DType from, DType to,
                           std::span<Value* const> values) {
  switch (in.op) {
    case TileOp::fma: return emitter_.fma(values[0], values[1], values[2]);
    case TileOp::multiply_high: return emitter_.multiply_high(values[0], values[1]);
    case TileOp::bitcast: return emitter_.bitcast(values[0], from, to);
    default: break;
  }
  if (is_float(from) && (tile::f32::is_function(in.scalar) || in.scalar == Op::remainder))
    unsupported(in, fmt::format("of {} is a function call, which code for a GPU has none of; "
                                "expand_math writes out those that f32 has",
                                name(from)));
  if (!can_lower(in.scalar, from, to))
    unsupported(in, fmt::format("has no lowering from {} to {}", name(from), name(to)));
  return emitter_.apply(in.scalar, from, to, values);
}

}  // namespace cairn::compiler
