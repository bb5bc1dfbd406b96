#include "cairn/tile/builder.h"

#include <fmt/format.h>

#include <bit>

#include "cairn/base/error.h"
#include "cairn/tile/infer.h"

namespace cairn::tile {
namespace {

Builder& builder_of(std::string_view operation, std::span<const Value> values) {
  for (const Value& v : values)
    if (!v.is_number()) {
      if (v.tile().id() < 0) fail(operation, "got an empty tile", v.where());
      return v.tile().builder();
    }
  fail(operation, "needs at least one tile among its operands", values[0].where());
}

// One tile operand, which says where.
Instruction unary(TileOp op, const Value& x) {
  Instruction in;
  in.op = op;
  builder_of(name(op), std::span(&x, 1));
  in.operands = {x.tile().id()};
  in.where = x.where();
  return in;
}

int normalized(int axis, int rank) { return axis < 0 ? axis + rank : axis; }

// Numbers as tiles of the type of the first tile among `values`, all broadcast together.
std::vector<Tile> together(std::string_view operation, std::span<const Value> values) {
  Builder& b = builder_of(operation, values);
  DType dtype{};
  bool found = false;
  Shape shape;
  for (const Value& v : values) {
    if (v.is_number()) continue;
    if (!found) dtype = v.tile().dtype();
    found = true;
    shape = broadcast_shape(operation, shape, v.tile().shape(), v.where());
  }
  std::vector<Tile> tiles;
  for (const Value& v : values) tiles.push_back(b.as(v, dtype, shape, operation));
  return tiles;
}

std::vector<ValueId> ids(std::span<const Tile> tiles) {
  std::vector<ValueId> result;
  for (const Tile& t : tiles) result.push_back(t.id());
  return result;
}

// Equal operands give equal results, and nothing else happens.
bool has_no_effect(TileOp op) {
  switch (op) {
    case TileOp::load:
    case TileOp::fetch:
    case TileOp::store:
    case TileOp::atomic:
    case TileOp::loop:
    case TileOp::assume:
    case TileOp::print: return false;
    default: return true;
  }
}

// All that such an instruction is, but for its line.
std::vector<int64_t> encode(const Instruction& in, const TileType& result) {
  std::vector<int64_t> code = {
      static_cast<int64_t>(in.op),
      static_cast<int64_t>(in.scalar),
      in.axis,
      static_cast<int64_t>(in.kind),
      in.reverse,
      in.value.is_integer(),
      static_cast<int64_t>(in.value.is_integer() ? static_cast<uint64_t>(in.value.as_integer())
                                                 : std::bit_cast<uint64_t>(in.value.as_double())),
      static_cast<int64_t>(result.dtype)};
  code.insert(code.end(), result.shape.begin(), result.shape.end());
  code.push_back(-1);
  code.insert(code.end(), in.axes.begin(), in.axes.end());
  code.push_back(-1);
  code.insert(code.end(), in.operands.begin(), in.operands.end());
  return code;
}

}  // namespace

TileType Tile::type() const {
  if (!builder_) throw_error("an empty tile has no type");
  return builder_->kernel().type(id_);
}

Kernel build(std::string_view name, const std::function<void(Builder&)>& body) {
  Builder builder(name);
  body(builder);
  return builder.finish();
}

Buffer Builder::buffer(Parameter::Kind kind, std::string_view name, DType dtype,
                       int64_t alignment) {
  kernel_.parameters.push_back({kind, std::string(name), dtype, alignment, -1});
  return {static_cast<int>(kernel_.parameters.size()) - 1};
}
Buffer Builder::input(std::string_view name, DType dtype, int64_t alignment) {
  return buffer(Parameter::Kind::input, name, dtype, alignment);
}
Buffer Builder::output(std::string_view name, DType dtype, int64_t alignment) {
  return buffer(Parameter::Kind::output, name, dtype, alignment);
}
Buffer Builder::inout(std::string_view name, DType dtype, int64_t alignment) {
  return buffer(Parameter::Kind::inout, name, dtype, alignment);
}

Tile Builder::scalar(std::string_view name, DType dtype, int64_t divisor) {
  const ValueId value = kernel_.new_value({dtype, {}});
  kernel_.parameters.push_back({Parameter::Kind::scalar, std::string(name), dtype, divisor, value});
  return {this, value};
}

void Builder::grid(const std::function<std::vector<Tile>()>& sizes, const Where& where) {
  kernel_.grid = {};
  // Sees nothing of the body.
  const std::vector<OpenBlock> outer = std::exchange(blocks_, {{&kernel_.grid}});
  const std::vector<Tile> tiles = sizes();
  blocks_ = outer;
  if (tiles.empty() || tiles.size() > kMaxGridRank)
    fail("grid", fmt::format("a grid has one to three axes, got {}", tiles.size()), where);
  for (const Tile& t : tiles) {
    require_own(t, "grid", where);
    if (!(t.type() == TileType{DType::i64, {}}))
      fail("grid", fmt::format("a size is {}, expected i64[]", to_string(t.type())), where);
  }
  kernel_.grid.yields = ids(tiles);
}

std::vector<Tile> Builder::emit(Instruction instruction, const TileType& asked) {
  if (where_.line()) instruction.where = where_;
  const std::vector<TileType> types = result_types(kernel_, instruction, asked);
  const bool pure = has_no_effect(instruction.op);
  std::vector<int64_t> code;
  if (pure) {
    code = encode(instruction, types[0]);
    if (const ValueId equal = find_equal(code); equal >= 0) return {{this, equal}};
  }
  std::vector<Tile> tiles;
  for (const TileType& type : types) {
    instruction.results.push_back(kernel_.new_value(type));
    tiles.push_back({this, instruction.results.back()});
  }
  if (pure) blocks_.back().known.emplace(std::move(code), tiles[0].id());
  blocks_.back().block->code.push_back(std::move(instruction));
  return tiles;
}

ValueId Builder::find_equal(const std::vector<int64_t>& code) const {
  for (const OpenBlock& open : blocks_)
    if (const auto found = open.known.find(code); found != open.known.end()) return found->second;
  return -1;
}

void Builder::require_own(const Tile& tile, std::string_view operation, const Where& where) const {
  if (tile.id() < 0 || &tile.builder() != this)
    fail(operation, "got a tile of another kernel, or an empty one", where);
}

Tile Builder::as(const Value& value, DType dtype, const Shape& shape, std::string_view operation) {
  if (value.is_number()) return full(shape, value.number(), dtype, value.where());
  Tile tile = value.tile();
  require_own(tile, operation, value.where());
  if (tile.dtype() != dtype)
    fail(operation,
         fmt::format("got {} where {} stands beside it; cast one of them", to_string(tile.type()),
                     name(dtype)),
         value.where());
  if (tile.shape() == shape) return tile;
  if (tile.shape().rank() < shape.rank()) {
    Shape padded(shape.rank() - tile.shape().rank(), 1);
    for (int64_t s : tile.shape()) padded.push_back(s);
    Instruction in = unary(TileOp::reshape, value);
    tile = emit_one(std::move(in), {dtype, padded});
    if (padded == shape) return tile;
  }
  return emit_one(unary(TileOp::broadcast, Value(tile, value.where())), {dtype, shape});
}

Tile Builder::program_id(int axis, const Where& where) {
  Instruction in;
  in.op = TileOp::program_id;
  in.axis = axis;
  in.where = where;
  return emit_one(std::move(in));
}

Tile Builder::constant(Number value, DType dtype, const Where& where) {
  return full({}, value, dtype, where);
}
Tile Builder::full(const Shape& shape, Number value, DType dtype, const Where& where) {
  Instruction in;
  in.op = TileOp::constant;
  in.value = value;
  in.where = where;
  return emit_one(std::move(in), {dtype, shape});
}
Tile Builder::arange(int64_t n, DType dtype, const Where& where) {
  Instruction in;
  in.op = TileOp::arange;
  in.where = where;
  return emit_one(std::move(in), {dtype, Shape{n}});
}

namespace {

// The instruction of a memory access; operands beside the offsets are brought to their shape.
struct Access {
  Builder& builder;
  std::string_view operation;
  Instruction in;
  Shape shape;
  Access(Builder& builder, TileOp op, Buffer buffer,
         std::initializer_list<const Value*> of_one_shape)
      : builder(builder), operation(name(op)) {
    in.op = op;
    in.where = (*of_one_shape.begin())->where();
    in.parameter = buffer.parameter;
    if (buffer.parameter < 0 ||
        buffer.parameter >= static_cast<int>(builder.kernel().parameters.size()))
      fail(operation, "got a buffer of another kernel, or an empty one", in.where);
    for (const Value* v : of_one_shape)
      if (!v->is_number()) shape = broadcast_shape(operation, shape, v->tile().shape(), v->where());
  }
  DType dtype() const {
    return builder.kernel().parameters[static_cast<size_t>(in.parameter)].dtype;
  }
  void add(const Value& value, DType dtype) {
    in.operands.push_back(builder.as(value, dtype, shape, operation).id());
  }
  void add_offsets(const Value& offsets) {
    add(offsets, offsets.is_number() ? DType::i64 : offsets.tile().dtype());
  }
};

}  // namespace

Tile Builder::load(Buffer buffer, const Value& offsets) {
  Access a(*this, TileOp::load, buffer, {&offsets});
  a.add_offsets(offsets);
  return emit_one(std::move(a.in));
}
Tile Builder::load(Buffer buffer, const Value& offsets, const Value& mask, const Value& other) {
  Access a(*this, TileOp::load, buffer, {&offsets, &mask, &other});
  a.add_offsets(offsets);
  a.add(mask, DType::b8);
  a.add(other, a.dtype());
  return emit_one(std::move(a.in));
}
void Builder::fetch(Buffer buffer, const Value& offsets) {
  Access a(*this, TileOp::fetch, buffer, {&offsets});
  a.add_offsets(offsets);
  emit(std::move(a.in));
}
void Builder::store(Buffer buffer, const Value& offsets, const Value& value) {
  Access a(*this, TileOp::store, buffer, {&offsets, &value});
  a.add_offsets(offsets);
  a.add(value, a.dtype());
  emit(std::move(a.in));
}
void Builder::store(Buffer buffer, const Value& offsets, const Value& value, const Value& mask) {
  Access a(*this, TileOp::store, buffer, {&offsets, &value, &mask});
  a.add_offsets(offsets);
  a.add(value, a.dtype());
  a.add(mask, DType::b8);
  emit(std::move(a.in));
}
Tile Builder::atomic(Combine kind, Buffer buffer, const Value& offsets, const Value& value) {
  Access a(*this, TileOp::atomic, buffer, {&offsets, &value});
  a.in.kind = kind;
  a.add_offsets(offsets);
  a.add(value, a.dtype());
  return emit_one(std::move(a.in));
}
Tile Builder::atomic(Combine kind, Buffer buffer, const Value& offsets, const Value& value,
                     const Value& mask) {
  Access a(*this, TileOp::atomic, buffer, {&offsets, &value, &mask});
  a.in.kind = kind;
  a.add_offsets(offsets);
  a.add(value, a.dtype());
  a.add(mask, DType::b8);
  return emit_one(std::move(a.in));
}

std::vector<Tile> Builder::loop(const Value& begin, const Value& end, const Value& step,
                                std::vector<Tile> carried, const Body& body, int stages) {
  Instruction in;
  in.op = TileOp::loop;
  in.stages = stages;
  in.where = begin.where();
  for (const Value* v : {&begin, &end, &step})
    in.operands.push_back(as(*v, DType::i64, {}, "loop").id());
  Block inner;
  const ValueId index = kernel_.new_value({DType::i64, {}});
  inner.arguments.push_back(index);
  std::vector<Tile> arguments;
  for (const Tile& t : carried) {
    require_own(t, "loop", in.where);
    in.operands.push_back(t.id());
    inner.arguments.push_back(kernel_.new_value(TileType(t.type())));
    arguments.push_back({this, inner.arguments.back()});
  }
  blocks_.push_back({&inner});
  const std::vector<Tile> yielded = body({this, index}, arguments);
  blocks_.pop_back();
  for (const Tile& t : yielded) require_own(t, "loop", in.where);
  inner.yields = ids(yielded);
  in.regions.push_back(std::move(inner));
  return emit(std::move(in));
}

Tile Builder::loop(const Value& begin, const Value& end, const Value& step, const Tile& carried,
                   const std::function<Tile(const Tile& i, const Tile& carried)>& body,
                   int stages) {
  return loop(
      begin, end, step, std::vector<Tile>{carried},
      [&](const Tile& i, const std::vector<Tile>& c) { return std::vector<Tile>{body(i, c[0])}; },
      stages)[0];
}

void Builder::assume(const Value& condition, std::string_view text) {
  Instruction in = unary(TileOp::assume, condition);
  require_own(condition.tile(), "assume", in.where);
  in.text = text;
  emit(std::move(in));
}
void Builder::print(const Value& tile, std::string_view text) {
  Instruction in = unary(TileOp::print, tile);
  require_own(tile.tile(), "print", in.where);
  in.text = text;
  emit(std::move(in));
}

Tile apply(Op op, std::initializer_list<Value> operands) {
  const std::span<const Value> values(operands.begin(), operands.size());
  Instruction in;
  in.op = TileOp::apply;
  in.scalar = op;
  in.where = values[0].where();
  in.operands = ids(together(cairn::name(op), values));
  return builder_of(cairn::name(op), values).emit_one(std::move(in));
}

Tile where(const Value& condition, const Value& x, const Value& y) {
  Builder& b = builder_of("select", std::span(&condition, 1));
  Shape shape = condition.tile().shape();
  DType dtype = DType::f32;
  for (const Value* v : {&y, &x})
    if (!v->is_number()) {
      dtype = v->tile().dtype();
      shape = broadcast_shape("select", shape, v->tile().shape(), v->where());
    }
  Instruction in;
  in.op = TileOp::apply;
  in.scalar = Op::select;
  in.where = condition.where();
  in.operands = {b.as(condition, DType::b8, shape, "select").id(),
                 b.as(x, dtype, shape, "select").id(), b.as(y, dtype, shape, "select").id()};
  return b.emit_one(std::move(in));
}

Tile cast(const Value& x, DType dtype) {
  Instruction in = unary(TileOp::apply, x);
  in.scalar = Op::cast;
  return x.tile().builder().emit_one(std::move(in), {dtype, {}});
}
Tile bitcast(const Value& x, DType dtype) {
  Instruction in = unary(TileOp::bitcast, x);
  return x.tile().builder().emit_one(std::move(in), {dtype, {}});
}

Tile lookup(const Value& words, std::span<const uint8_t, 16> table) {
  Builder& k = words.tile().builder();
  Instruction in;
  in.op = TileOp::lookup;
  in.where = words.where();
  in.operands = {words.tile().id()};
  for (size_t i = 0; i < 16; i += 4) {
    const int64_t four =
        table[i] | table[i + 1] << 8 | table[i + 2] << 16 | int64_t{table[i + 3]} << 24;
    in.operands.push_back(k.full(words.tile().shape(), four, DType::u32, words.where()).id());
  }
  return k.emit_one(std::move(in));
}

Tile fma(const Value& x, const Value& y, const Value& z) {
  const std::array values = {x, y, z};
  Instruction in;
  in.op = TileOp::fma;
  in.where = x.where();
  in.operands = ids(together("fma", values));
  return builder_of("fma", values).emit_one(std::move(in));
}

Tile ceil_div(const Value& x, const Value& y) {
  const Value less_one = y.is_number() ? Value(y.number().as_integer() - 1, y.where()) : y - 1;
  return (x + less_one) / y;
}

Tile reshape(const Value& x, const Shape& shape) {
  Instruction in = unary(TileOp::reshape, x);
  return x.tile().builder().emit_one(std::move(in), {x.tile().dtype(), shape});
}
Tile broadcast_to(const Value& x, const Shape& shape) {
  Builder& b = builder_of("broadcast", std::span(&x, 1));
  return b.as(x, x.tile().dtype(), shape, "broadcast");
}
Tile expand_dims(const Value& x, int axis) {
  builder_of("expand_dims", std::span(&x, 1));
  Shape shape = x.tile().shape();
  const int at = normalized(axis, shape.rank() + 1);
  if (at < 0 || at > shape.rank())
    fail("expand_dims", fmt::format("axis {} does not fit {}", axis, to_string(x.tile().type())),
         x.where());
  shape.insert(at, 1);
  return reshape(x, shape);
}
Tile transpose(const Value& x, const Ints& axes) {
  Instruction in = unary(TileOp::transpose, x);
  in.axes = axes;
  return x.tile().builder().emit_one(std::move(in));
}

namespace {

Tile along_axis(TileOp op, Combine kind, const Value& x, int axis, bool reverse) {
  Instruction in = unary(op, x);
  in.kind = kind;
  in.axis = normalized(axis, x.tile().shape().rank());
  in.reverse = reverse;
  return x.tile().builder().emit_one(std::move(in));
}

}  // namespace

Tile reduce(Combine kind, const Value& x, int axis) {
  return along_axis(TileOp::reduce, kind, x, axis, false);
}
Tile arg_reduce(Combine kind, const Value& x, int axis) {
  return along_axis(TileOp::arg_reduce, kind, x, axis, false);
}
Tile scan(Combine kind, const Value& x, int axis, bool reverse) {
  return along_axis(TileOp::scan, kind, x, axis, reverse);
}

Tile dot(const Value& x, const Value& y, const Value& z) {
  Instruction in = unary(TileOp::dot, x);
  for (const Value* v : {&y, &z})
    if (&builder_of("dot", std::span(v, 1)) != &x.tile().builder())
      fail("dot", "got a tile of another kernel", v->where());
  in.operands = {x.tile().id(), y.tile().id(), z.tile().id()};
  return x.tile().builder().emit_one(std::move(in));
}

}  // namespace cairn::tile
