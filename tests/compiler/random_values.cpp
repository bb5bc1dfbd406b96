#include <algorithm>
#include <array>

#include "cairn/compiler/kernel_compiler.h"
#include "tests/compiler/random_generator.h"

namespace cairn::test {

using tile::apply;
using tile::Combine;
using tile::Tile;

namespace {

constexpr std::array kTypes = {DType::f32,  DType::f32, DType::f64, DType::f16,
                               DType::bf16, DType::i64, DType::i32, DType::i16,
                               DType::i8,   DType::u8,  DType::u32, DType::b8};
constexpr std::array kLengths = {1, 2, 3, 7, 16, 17, 33, 63, 64, 65, 100, 130, 200};

bool compares(Op op) { return op == Op::equal || op == Op::less || op == Op::less_equal; }
bool is_costly(Op op) { return is_transcendental(op) || op == Op::remainder; }

// The primitives from tiles of a type to tiles of the same type.
std::vector<Op> primitives_of(DType dtype) {
  std::vector<Op> ops;
  for (int i = 0; i < kOpCount; ++i) {
    const auto op = static_cast<Op>(i);
    const OpInfo& row = info(op);
    if (row.trait != Trait::elementwise || op == Op::cast || op == Op::select || compares(op) ||
        !can_lower(op, dtype, dtype))
      continue;
    const bool shifts = op == Op::shift_left || op == Op::shift_right;
    const bool fits =
        row.types == TypeClass::any || (row.types == TypeClass::number && dtype != DType::b8) ||
        (row.types == TypeClass::floating && is_float(dtype)) ||
        (row.types == TypeClass::integer && !is_float(dtype) && !(shifts && dtype == DType::b8));
    if (fits) ops.push_back(op);
  }
  return ops;
}

}  // namespace

Tile Generator::value(DType dtype, const Shape& shape, int depth) {
  std::vector<Tile>& known = known_[{dtype, {shape.begin(), shape.end()}}];
  if (!known.empty() && random_.below(5) < 2) return random_.pick(known);
  const Tile made = broadcast_to(fresh(dtype, shape, depth), shape);
  known_[{dtype, {shape.begin(), shape.end()}}].push_back(made);
  return made;
}

Tile Generator::fresh(DType dtype, const Shape& shape, int depth) {
  if (depth <= 0) return leaf(dtype, shape, 0);
  const int64_t choice = random_.below(20);
  if (choice < 3) return load(dtype, shape, depth);
  if (choice < 6) return conversion(dtype, shape, depth - 1);
  if (choice < 8) return moved(dtype, shape, depth - 1);
  if (choice == 8 && options_.reductions) return reduced(dtype, shape, depth - 1);
  if (choice == 9 && options_.scans) return scanned(dtype, shape, depth - 1);
  if (choice == 10 && options_.dots) return product(dtype, shape, depth - 1);
  if (choice == 11 && options_.loops && loop_depth_ < 2) return looped(dtype, shape, depth - 1);
  return elementwise(dtype, shape, depth - 1);
}

Tile Generator::leaf(DType dtype, const Shape& shape, int depth) {
  switch (random_.below(8)) {
    case 0: return k_.full(shape, any_number(dtype), dtype);
    case 1:
      if (arguments_.size() < 20) return scalar(dtype, any_number(dtype));
      return k_.full(shape, any_number(dtype), dtype);
    case 2:
      if (!coordinates_.empty() && can_lower(Op::cast, DType::i64, dtype))
        return cast(random_.pick(coordinates_).tile, dtype);
      [[fallthrough]];
    case 3:
      if (shape.rank() > 0) {
        const int axis = static_cast<int>(random_.below(shape.rank()));
        const DType index = random_.one_in(2) ? DType::i32 : DType::i64;
        if (can_lower(Op::cast, index, dtype)) return cast(coordinate(shape, axis, index), dtype);
      }
      [[fallthrough]];
    default: return load(dtype, shape, depth);
  }
}

Tile Generator::elementwise(DType dtype, const Shape& shape, int depth) {
  const auto operand = [&](DType type) { return value(type, shape, depth); };
  if (random_.one_in(6)) {
    const Tile condition = operand(DType::b8), x = operand(dtype), y = operand(dtype);
    return where(condition, x, y);
  }
  if (dtype == DType::b8 && random_.below(3) != 0) {
    const DType type = random_.pick(kTypes);
    constexpr std::array kCompare = {Op::equal, Op::less, Op::less_equal};
    return apply(random_.pick(kCompare), {operand(type), operand(type)});
  }
  if ((dtype == DType::f32 || dtype == DType::f64) && random_.one_in(6)) {
    const Tile x = operand(dtype), y = operand(dtype), z = operand(dtype);
    return fma(x, y, z);
  }
  if (dtype == DType::u32 && random_.one_in(6)) {
    tile::Instruction in;
    in.op = tile::TileOp::multiply_high;
    in.operands = {operand(dtype).id(), operand(dtype).id()};
    return k_.emit_one(std::move(in));
  }
  const std::vector<Op> ops = primitives_of(dtype);
  Op op = random_.pick(ops);
  // A function of the library is a hundred instructions.
  if (is_costly(op) && random_.below(3) != 0) op = random_.pick(ops);
  if (info(op).operands == 1) return apply(op, {operand(dtype)});
  return apply(op, {operand(dtype), operand(dtype)});
}

Tile Generator::conversion(DType dtype, const Shape& shape, int depth) {
  const DType from = random_.pick(kTypes);
  const bool may_be_bits =
      size_of(from) == size_of(dtype) && from != DType::b8 && dtype != DType::b8;
  if (may_be_bits && random_.one_in(2)) {
    const Tile x = value(from, shape, depth);
    return bitcast(is_float(from) ? where(x == x, x, 1) : x, dtype);
  }
  if (!can_lower(Op::cast, from, dtype)) return elementwise(dtype, shape, depth);
  return cast(value(from, shape, depth), dtype);
}

Tile Generator::moved(DType dtype, const Shape& shape, int depth) {
  const int rank = shape.rank();
  Shape from = shape;
  switch (random_.below(4)) {
    case 0: {
      for (int i = 0; i < rank; ++i)
        if (random_.one_in(2)) from[i] = 1;
      while (from.rank() > 0 && from[0] == 1 && random_.one_in(2)) from.erase(0);
      return broadcast_to(value(dtype, from, depth), shape);
    }
    case 1: {
      Ints axes, source;
      for (int i = 0; i < rank; ++i)
        axes.insert(static_cast<int>(random_.below(axes.size() + 1)), i);
      for (int i = 0; i < rank; ++i) from[static_cast<int>(axes[i])] = shape[i];
      return transpose(value(dtype, from, depth), axes);
    }
    case 2:
      // Axes of size 1 come and go.
      from = {};
      for (int i = 0; i < rank; ++i)
        if (shape[i] != 1 || random_.one_in(2)) from.push_back(shape[i]);
      if (from.rank() < 4 && random_.one_in(2))
        from.insert(static_cast<int>(random_.below(from.rank() + 1)), 1);
      return reshape(value(dtype, from, depth), shape);
    default: {
      int64_t rest = shape.elements();
      from = {};
      for (const int64_t divisor : {2, 3, 5, 7})
        if (rest % divisor == 0 && from.rank() < 2 && random_.one_in(2)) {
          from.push_back(divisor);
          rest /= divisor;
        }
      from.insert(static_cast<int>(random_.below(from.rank() + 1)), rest);
      return reshape(value(dtype, from, depth), shape);
    }
  }
}

// --- along an axis -------------------------------------------------------------------------------

namespace {

Combine any_combine(Random& random, DType dtype) {
  constexpr std::array kKinds = {Combine::max, Combine::min, Combine::sum, Combine::prod};
  return kKinds[static_cast<size_t>(random.below(dtype == DType::b8 ? 2 : 4))];
}

}  // namespace

Tile Generator::reduced(DType dtype, const Shape& shape, int depth) {
  int64_t length = random_.pick(kLengths);
  // Of a large tile the lines are of one element.
  while (length > 1 && length * shape.elements() > 2 * options_.elements)
    length = random_.between(1, 4);
  if (shape.elements() == 1 && random_.one_in(8))
    length = random_.between(3000, options_.longest_reduction);
  Shape from = shape;
  const int axis = static_cast<int>(random_.below(shape.rank() + 1));
  from.insert(axis, length);
  if (dtype == DType::i32 && random_.one_in(2)) {
    const Tile x = value(random_.pick(kTypes), from, depth);
    return arg_reduce(any_combine(random_, DType::b8), x, axis);
  }
  const Tile x = value(dtype, from, depth);
  return reduce(any_combine(random_, dtype), x, axis);
}

Tile Generator::scanned(DType dtype, const Shape& shape, int depth) {
  if (shape.rank() == 0) return elementwise(dtype, shape, depth);
  const Tile x = value(dtype, shape, depth);
  const auto axis = static_cast<int>(random_.below(shape.rank()));
  const bool reverse = random_.one_in(2);
  return scan(any_combine(random_, dtype), x, axis, reverse);
}

Tile Generator::product(DType dtype, const Shape& shape, int depth) {
  if (shape.rank() != 2) return elementwise(dtype, shape, depth);
  const int64_t inner = random_.between(1, 20);
  std::pair<DType, DType> types{dtype, dtype};
  constexpr std::array kFactors = {DType::f32, DType::f16, DType::bf16};
  constexpr std::array kBytes = {DType::i8, DType::u8};
  if (dtype == DType::f32) types.first = types.second = random_.pick(kFactors);
  if (dtype == DType::i32) types = {random_.pick(kBytes), random_.pick(kBytes)};
  if (!options_.mixed_products && dtype == DType::i32) types.second = types.first;
  if (dtype != DType::i32 && !is_float(dtype)) return elementwise(dtype, shape, depth);
  const Tile x = value(types.first, {shape[0], inner}, depth);
  const Tile y = value(types.second, {inner, shape[1]}, depth);
  return dot(x, y, value(dtype, shape, depth));
}

Tile Generator::in_loop(const Tile& carried, const std::function<Tile(const Tile&)>& body) {
  const int64_t begin = random_.between(0, 2);
  const int64_t step = random_.between(1, 3);
  const int64_t end = begin + random_.between(0, 7);
  const Tile first = number(begin), last = number(end), by = number(step);
  const auto outside = known_;
  ++loop_depth_;
  const Tile result = k_.loop(
      first, last, by, carried,
      [&](const Tile& i, const Tile& c) {
        coordinates_.push_back({i, std::max<int64_t>(end, 1)});
        const Tile next = body(c);
        coordinates_.pop_back();
        return next;
      },
      static_cast<int>(random_.between(1, 3)));
  --loop_depth_;
  known_ = outside;
  return result;
}

Tile Generator::looped(DType dtype, const Shape& shape, int depth) {
  const std::vector<Op> ops = primitives_of(dtype);
  const Tile start = value(dtype, shape, depth);
  return in_loop(start, [&](const Tile& carried) {
    known_[{dtype, {shape.begin(), shape.end()}}].push_back(carried);
    Op op = random_.pick(ops);
    while (info(op).operands != 2) op = random_.pick(ops);
    return apply(op, {carried, value(dtype, shape, depth)});
  });
}

}  // namespace cairn::test
