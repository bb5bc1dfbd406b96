#include "cairn/tile/infer.h"

#include <fmt/format.h>

#include "cairn/base/error.h"
#include "cairn/graph/infer.h"

namespace cairn::tile {
namespace {

// A tile is small: what does not fit a processor's cache is a mistake (a size in place of a block).
constexpr int64_t kMaxTileElements = 1 << 20;

struct Context {
  const Kernel& kernel;
  const Instruction& instruction;
  const TileType& asked;

  [[noreturn]] void fail(std::string_view what) const {
    tile::fail(spelled(instruction), what, instruction.where);
  }
  void require(bool condition, std::string_view what) const {
    if (!condition) fail(what);
  }
  int count() const { return static_cast<int>(instruction.operands.size()); }
  const TileType& operand(int i) const {
    return kernel.type(instruction.operands[static_cast<size_t>(i)]);
  }
  void require_same(int i, int j) const {
    if (!(operand(i) == operand(j)))
      fail(fmt::format("operands of types {} and {} must be equal", to_string(operand(i)),
                       to_string(operand(j))));
  }
  void require_index(int i) const {
    if (operand(i).dtype != DType::i64 && operand(i).dtype != DType::i32)
      fail(fmt::format("operand {} is {}; an index is i64 or i32", i, to_string(operand(i))));
  }
  void require_axis(int rank) const {
    if (instruction.axis < 0 || instruction.axis >= rank)
      fail(fmt::format("axis {} is not one of the {} axes of {}", instruction.axis, rank,
                       to_string(operand(0))));
  }
  TileType without_axis(DType dtype) const {
    require_axis(operand(0).shape.rank());
    TileType result{dtype, operand(0).shape};
    result.shape.erase(instruction.axis);
    return result;
  }
  const Parameter& buffer() const {
    const auto p = static_cast<size_t>(instruction.parameter);
    if (instruction.parameter < 0 || p >= kernel.parameters.size() ||
        !kernel.parameters[p].is_buffer())
      fail("names no buffer of the kernel");
    return kernel.parameters[p];
  }
  // Bools have a largest and a smallest but no sum; 8-bit floats are for storage.
  void require_combines(DType dtype) const {
    const bool orders = instruction.kind == Combine::max || instruction.kind == Combine::min;
    if (is_float8(dtype) || (dtype == DType::b8 && !orders))
      fail(fmt::format("{} does not apply to {}", name(instruction.kind), cairn::name(dtype)));
  }
  // The optional mask of load, store and atomic.
  void require_mask(int i, const Shape& shape) const {
    if (count() > i && !(operand(i) == TileType{DType::b8, shape}))
      fail(fmt::format("the mask is {}, expected bool{}", to_string(operand(i)),
                       cairn::to_string(shape)));
  }
};

bool fits_class(TypeClass types, DType dtype) {
  switch (types) {
    case TypeClass::number: return dtype != DType::b8 && !is_float8(dtype);
    case TypeClass::floating: return is_float(dtype) && !is_float8(dtype);
    case TypeClass::integer: return is_integer(dtype) || dtype == DType::b8;
    default: return true;
  }
}

TileType infer_apply(const Context& c) {
  const OpInfo& row = cairn::info(c.instruction.scalar);
  c.require(row.trait == Trait::elementwise, "is not an elementwise primitive");
  c.require(c.count() == row.operands,
            fmt::format("takes {} operands, got {}", row.operands, c.count()));
  for (int i = 1; i < c.count(); ++i)
    if (c.operand(i).shape != c.operand(0).shape)
      c.fail(fmt::format("operands of types {} and {} must have one shape", to_string(c.operand(0)),
                         to_string(c.operand(i))));
  const TileType& x = c.operand(0);
  switch (c.instruction.scalar) {
    case Op::cast: return {c.asked.dtype, x.shape};
    case Op::select:
      c.require(x.dtype == DType::b8,
                fmt::format("the condition is {}, expected bool", to_string(x)));
      c.require_same(1, 2);
      return c.operand(1);
    default: break;
  }
  if (c.count() == 2) c.require_same(0, 1);
  const bool shifts =
      c.instruction.scalar == Op::shift_left || c.instruction.scalar == Op::shift_right;
  const bool compares = c.instruction.scalar == Op::equal || c.instruction.scalar == Op::less ||
                        c.instruction.scalar == Op::less_equal;
  c.require(fits_class(row.types, x.dtype) && !(compares && is_float8(x.dtype)) &&
                !(shifts && x.dtype == DType::b8),
            fmt::format("does not apply to {}", name(x.dtype)));
  return {compares ? DType::b8 : x.dtype, x.shape};
}

TileType infer_broadcast(const Context& c) {
  const Shape& from = c.operand(0).shape;
  const Shape& to = c.asked.shape;
  bool fits = from.rank() == to.rank();
  for (int i = 0; fits && i < to.rank(); ++i) fits = from[i] == to[i] || from[i] == 1;
  if (!fits)
    c.fail(fmt::format("{} does not broadcast to {} (sizes are equal, or 1 and repeated)",
                       to_string(c.operand(0)), cairn::to_string(to)));
  return {c.operand(0).dtype, to};
}

TileType infer_transpose(const Context& c) {
  const TileType& x = c.operand(0);
  const Ints& axes = c.instruction.axes;
  c.require(axes.size() == x.shape.rank(), "needs one axis for each axis of the tile");
  TileType result{x.dtype, {}};
  for (int i = 0; i < axes.size(); ++i) {
    for (int j = 0; j < i; ++j) c.require(axes[i] != axes[j], "an axis stands twice");
    c.require(axes[i] >= 0 && axes[i] < axes.size(), "an axis is not one of the tile's");
    result.shape.push_back(x.shape[static_cast<int>(axes[i])]);
  }
  return result;
}

TileType infer_load(const Context& c) {
  const Parameter& buffer = c.buffer();
  c.require(buffer.is_read(), fmt::format("buffer '{}' is not an input", buffer.name));
  c.require(c.count() >= 1 && c.count() <= 3, "takes offsets, a mask, another value");
  c.require_index(0);
  const Shape& shape = c.operand(0).shape;
  c.require_mask(1, shape);
  const TileType result{buffer.dtype, shape};
  if (c.count() == 3 && !(c.operand(2) == result))
    c.fail(fmt::format("the other value is {}, expected {}", to_string(c.operand(2)),
                       to_string(result)));
  return result;
}

void check_store(const Context& c) {
  const Parameter& buffer = c.buffer();
  c.require(buffer.is_written(), fmt::format("buffer '{}' is not an output", buffer.name));
  c.require(c.count() == 2 || c.count() == 3, "takes offsets, a value, a mask");
  c.require_index(0);
  const TileType expected{buffer.dtype, c.operand(0).shape};
  if (!(c.operand(1) == expected))
    c.fail(fmt::format("the value is {}, expected {} for buffer '{}'", to_string(c.operand(1)),
                       to_string(expected), buffer.name));
  c.require_mask(2, expected.shape);
}

TileType infer_dot(const Context& c) {
  const TileType &x = c.operand(0), &z = c.operand(2);
  TileType y = c.operand(1);
  if (const auto element = element_of_words(x.dtype, y.dtype); element && y.shape.rank() == 2) {
    y.dtype = *element;
    y.shape[0] *= 4 / static_cast<int64_t>(size_of(*element));
  }
  if (x.shape.rank() != 2 || y.shape.rank() != 2 || x.shape[1] != y.shape[0] ||
      z.shape != Shape{x.shape[0], y.shape[1]})
    c.fail(fmt::format("shapes {} x {} + {} do not fit ([M, K] x [K, N] + [M, N])", to_string(x),
                       to_string(y), to_string(z)));
  const bool floats =
      is_float(x.dtype) && x.dtype == y.dtype && (z.dtype == DType::f32 || z.dtype == x.dtype);
  const bool bytes = size_of(x.dtype) == 1 && size_of(y.dtype) == 1 && is_integer(x.dtype) &&
                     is_integer(y.dtype) && z.dtype == DType::i32;
  if (!floats && !bytes)
    c.fail(
        fmt::format("types {} x {} + {} have no product (two floats of one type into f32 or that "
                    "type; 8-bit integers into i32; bf16 or 8-bit integers with words of them)",
                    name(x.dtype), name(y.dtype), name(z.dtype)));
  return z;
}

std::vector<TileType> infer_loop(const Context& c) {
  c.require(c.count() >= 3, "takes begin, end, step and the carried values");
  for (int i = 0; i < 3; ++i)
    if (!(c.operand(i) == TileType{DType::i64, {}}))
      c.fail(
          fmt::format("begin, end and step are scalars of i64, got {}", to_string(c.operand(i))));
  c.require(c.instruction.regions.size() == 1, "has one region");
  const Block& body = c.instruction.regions[0];
  const size_t carried = c.instruction.operands.size() - 3;
  c.require(body.arguments.size() == carried + 1 && body.yields.size() == carried,
            "the body takes the index and the carried values, and yields as many");
  c.require(c.kernel.type(body.arguments[0]) == TileType{DType::i64, {}}, "the index is i64");
  std::vector<TileType> results;
  for (size_t i = 0; i < carried; ++i) {
    const TileType& type = c.operand(static_cast<int>(i) + 3);
    if (!(c.kernel.type(body.arguments[i + 1]) == type) || !(c.kernel.type(body.yields[i]) == type))
      c.fail(fmt::format("carried value {} is {}, the body takes {} and yields {}", i,
                         to_string(type), to_string(c.kernel.type(body.arguments[i + 1])),
                         to_string(c.kernel.type(body.yields[i]))));
    results.push_back(type);
  }
  return results;
}

std::vector<TileType> infer(const Context& c) {
  const Instruction& in = c.instruction;
  switch (in.op) {
    case TileOp::program_id:
      c.require(in.axis >= 0 && in.axis < kMaxGridRank, "a grid has three axes");
      return {{DType::i64, {}}};
    case TileOp::constant: return {c.asked};
    case TileOp::arange:
      c.require(
          c.asked.shape.rank() == 1 && (c.asked.dtype == DType::i64 || c.asked.dtype == DType::i32),
          "is i64[n] or i32[n]");
      return {c.asked};
    case TileOp::apply: return {infer_apply(c)};
    case TileOp::fma:
      c.require_same(0, 1);
      c.require_same(0, 2);
      c.require(c.operand(0).dtype == DType::f32 || c.operand(0).dtype == DType::f64,
                "applies to f32 and f64");
      return {c.operand(0)};
    case TileOp::multiply_high:
      c.require_same(0, 1);
      c.require(c.operand(0).dtype == DType::u32, "applies to u32");
      return {c.operand(0)};
    case TileOp::lookup:
      for (int i = 1; i < 5; ++i) c.require_same(0, i);
      c.require(c.operand(0).dtype == DType::u32, "applies to u32");
      return {c.operand(0)};
    case TileOp::bitcast:
      c.require(size_of(c.asked.dtype) == size_of(c.operand(0).dtype) &&
                    c.asked.dtype != DType::b8 && c.operand(0).dtype != DType::b8,
                "goes between types of one size, bool apart");
      return {{c.asked.dtype, c.operand(0).shape}};
    case TileOp::broadcast: return {infer_broadcast(c)};
    case TileOp::reshape:
      if (c.asked.shape.elements() != c.operand(0).shape.elements())
        c.fail(fmt::format("{} has not as many elements as {}", to_string(c.operand(0)),
                           cairn::to_string(c.asked.shape)));
      return {{c.operand(0).dtype, c.asked.shape}};
    case TileOp::transpose: return {infer_transpose(c)};
    case TileOp::load: return {infer_load(c)};
    case TileOp::fetch: c.require_index(0); return {};
    case TileOp::store: check_store(c); return {};
    case TileOp::atomic:
      check_store(c);
      c.require(c.buffer().kind == Parameter::Kind::inout,
                "needs a buffer that is read and written");
      c.require_combines(c.operand(1).dtype);
      return {c.operand(1)};
    case TileOp::reduce:
      c.require_combines(c.operand(0).dtype);
      return {c.without_axis(c.operand(0).dtype)};
    case TileOp::arg_reduce:
      c.require(in.kind == Combine::max || in.kind == Combine::min, "is of kind max or min");
      c.require_combines(c.operand(0).dtype);
      return {c.without_axis(DType::i32)};
    case TileOp::scan:
      c.require_combines(c.operand(0).dtype);
      c.require_axis(c.operand(0).shape.rank());
      return {c.operand(0)};
    case TileOp::dot: return {infer_dot(c)};
    case TileOp::loop: return infer_loop(c);
    case TileOp::assume: c.require(c.operand(0).dtype == DType::b8, "takes a bool"); return {};
    case TileOp::print: return {};
  }
  return {};
}

}  // namespace

void fail(std::string_view operation, std::string_view what, const std::source_location& where) {
  std::string text = fmt::format("[tile {}] {}", operation, what);
  if (where.line()) text += fmt::format(" (at {})", locate(where));
  throw_error(std::move(text));
}

std::string_view spelled(const Instruction& instruction) {
  return instruction.op == TileOp::apply ? cairn::name(instruction.scalar) : name(instruction.op);
}

Shape broadcast_shape(std::string_view operation, const Shape& a, const Shape& b,
                      const std::source_location& where) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  for (int i = 1; i <= shorter.rank(); ++i) {
    int64_t& size = result[longer.rank() - i];
    const int64_t other = shorter[shorter.rank() - i];
    if (size == 1) size = other;
    if (other != 1 && other != size)
      fail(operation,
           fmt::format("shapes {} and {} do not broadcast", cairn::to_string(a),
                       cairn::to_string(b)),
           where);
  }
  return result;
}

std::optional<DType> element_of_words(DType x, DType y) {
  if (y != DType::i32 && y != DType::u32) return std::nullopt;
  if (x == DType::bf16 && y == DType::u32) return DType::bf16;
  if (x == DType::i8 || x == DType::u8) return y == DType::i32 ? DType::i8 : DType::u8;
  return std::nullopt;
}

std::vector<TileType> result_types(const Kernel& kernel, const Instruction& instruction,
                                   const TileType& asked) {
  const Context c{kernel, instruction, asked};
  const int operands = info(instruction.op).operands;
  if (operands >= 0 && c.count() != operands)
    c.fail(fmt::format("takes {} operands, got {}", operands, c.count()));
  std::vector<TileType> types = infer(c);
  for (const TileType& type : types) {
    const int64_t elements = checked_elements({type.shape.begin(), type.shape.end()});
    if (elements < 1 || elements > kMaxTileElements)
      c.fail(fmt::format("a tile has 1 to {} elements; this one would be {}", kMaxTileElements,
                         to_string(type)));
  }
  return types;
}

}  // namespace cairn::tile
