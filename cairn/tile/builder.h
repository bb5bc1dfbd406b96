// The tile language: how kernels are written in C++, by people and by the compiler.
//
//   Kernel scale = build("scale", [](Builder& k) {
//     Buffer x = k.input("x", DType::f32), y = k.output("y", DType::f32);
//     Tile n = k.size("n");
//     k.grid([&] { return std::vector<Tile>{ceil_div(n, 1024)}; });
//     Tile i = k.program_id(0) * 1024 + k.arange(1024);
//     k.store(y, i, k.load(x, i, i < n) * 2.0, i < n);
//   });
//
// Operators are those of the tensor library: NumPy's broadcasting, numbers take the type of the
// tile beside them, and nothing else is promoted. An Error names the line of the program.
#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <optional>
#include <source_location>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::tile {

class Builder;

// A value of a kernel that is being written; valid as long as its builder.
class Tile {
 public:
  Tile() = default;
  // Copies: the kernel's table of types moves as it grows.
  TileType type() const;
  DType dtype() const { return type().dtype; }
  Shape shape() const { return type().shape; }
  ValueId id() const { return id_; }
  Builder& builder() const { return *builder_; }

 private:
  friend class Builder;
  Tile(Builder* builder, ValueId id) : builder_(builder), id_(id) {}
  Builder* builder_ = nullptr;
  ValueId id_ = -1;
};

struct Buffer {
  int parameter = -1;
};

// A tile or a number, with the line that passed it.
class Value {
 public:
  using Where = std::source_location;
  Value(const Tile& tile, const Where& where = Where::current()) : tile_(tile), where_(where) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Value(T number, const Where& where = Where::current()) : is_number_(true), where_(where) {
    if constexpr (std::is_floating_point_v<T>)
      number_ = Number(static_cast<double>(number));
    else
      number_ = Number(static_cast<int64_t>(number));
  }
  bool is_number() const { return is_number_; }
  const Number& number() const { return number_; }
  const Tile& tile() const { return tile_; }
  const Where& where() const { return where_; }

 private:
  Tile tile_;
  bool is_number_ = false;
  Number number_;
  Where where_;
};

class Builder {
 public:
  using Where = std::source_location;
  explicit Builder(std::string_view name) { kernel_.name = name; }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  // Parameters, in the order in which a launch passes them. `alignment` is a promise, in bytes;
  // `divisor` one of a number that divides the value.
  Buffer input(std::string_view name, DType dtype, int64_t alignment = 64);
  Buffer output(std::string_view name, DType dtype, int64_t alignment = 64);
  Buffer inout(std::string_view name, DType dtype, int64_t alignment = 64);
  Tile size(std::string_view name, int64_t divisor = 1) {
    return scalar(name, DType::i64, divisor);
  }
  Tile scalar(std::string_view name, DType dtype, int64_t divisor = 1);

  // The size of the grid along one to three axes, from scalar parameters; without it one program.
  void grid(const std::function<std::vector<Tile>()>& sizes, const Where& where = Where::current());
  Tile program_id(int axis, const Where& where = Where::current());

  Tile constant(Number value, DType dtype, const Where& where = Where::current());
  Tile full(const Shape& shape, Number value, DType dtype, const Where& where = Where::current());
  Tile arange(int64_t n, DType dtype = DType::i64, const Where& where = Where::current());

  // Offsets are in elements. Where the mask is false nothing is read, and `other`, or 0, comes
  // back.
  Tile load(Buffer buffer, const Value& offsets);
  Tile load(Buffer buffer, const Value& offsets, const Value& mask, const Value& other = 0);
  // A hint that these elements are read soon, or those of an output written: one of each line of
  // the caches does. They need not be there.
  void fetch(Buffer buffer, const Value& offsets);
  void store(Buffer buffer, const Value& offsets, const Value& value);
  void store(Buffer buffer, const Value& offsets, const Value& value, const Value& mask);
  Tile atomic(Combine kind, Buffer buffer, const Value& offsets, const Value& value);
  Tile atomic(Combine kind, Buffer buffer, const Value& offsets, const Value& value,
              const Value& mask);

  // for (i = begin; i < end; i += step) carried = body(i, carried).
  using Body = std::function<std::vector<Tile>(const Tile& i, const std::vector<Tile>& carried)>;
  std::vector<Tile> loop(const Value& begin, const Value& end, const Value& step,
                         std::vector<Tile> carried, const Body& body, int stages = 1);
  Tile loop(const Value& begin, const Value& end, const Value& step, const Tile& carried,
            const std::function<Tile(const Tile& i, const Tile& carried)>& body, int stages = 1);

  void assume(const Value& condition, std::string_view text);
  void print(const Value& tile, std::string_view text);

  // An instruction as it is given, for the functions below and for passes; `asked` as in infer.h.
  std::vector<Tile> emit(Instruction instruction, const TileType& asked = {});
  Tile emit_one(Instruction instruction, const TileType& asked = {}) {
    return emit(std::move(instruction), asked)[0];
  }
  // From here on, instructions carry this line instead of their own, until it is unset ({}): what a
  // pass puts in the place of an instruction keeps that one's line.
  void set_where(const Where& where) { where_ = where; }
  // A number as a tile of that type; a tile broadcast to that shape, which must be of that type.
  Tile as(const Value& value, DType dtype, const Shape& shape, std::string_view operation);

  const Kernel& kernel() const { return kernel_; }
  Kernel finish() { return std::move(kernel_); }

 private:
  Buffer buffer(Parameter::Kind kind, std::string_view name, DType dtype, int64_t alignment);
  void require_own(const Tile& tile, std::string_view operation, const Where& where) const;
  // A block that is being written, and its instructions without effects by what they compute: an
  // equal one is the same value, so that `i < n` written twice is one mask.
  struct OpenBlock {
    Block* block;
    std::map<std::vector<int64_t>, ValueId> known = {};
  };
  // The value of an equal instruction in an open block, or -1.
  ValueId find_equal(const std::vector<int64_t>& code) const;
  Kernel kernel_;
  std::vector<OpenBlock> blocks_{{&kernel_.body}};
  Where where_ = {};
};

Kernel build(std::string_view name, const std::function<void(Builder&)>& body);

// Elementwise, with broadcasting. Comparisons give bool.
Tile apply(Op op, std::initializer_list<Value> operands);
inline Tile operator+(const Value& x, const Value& y) { return apply(Op::add, {x, y}); }
inline Tile operator-(const Value& x, const Value& y) { return apply(Op::subtract, {x, y}); }
inline Tile operator*(const Value& x, const Value& y) { return apply(Op::multiply, {x, y}); }
inline Tile operator/(const Value& x, const Value& y) { return apply(Op::divide, {x, y}); }
inline Tile operator%(const Value& x, const Value& y) { return apply(Op::remainder, {x, y}); }
inline Tile operator-(const Value& x) { return apply(Op::negate, {x}); }
inline Tile operator<(const Value& x, const Value& y) { return apply(Op::less, {x, y}); }
inline Tile operator<=(const Value& x, const Value& y) { return apply(Op::less_equal, {x, y}); }
inline Tile operator>(const Value& x, const Value& y) { return apply(Op::less, {y, x}); }
inline Tile operator>=(const Value& x, const Value& y) { return apply(Op::less_equal, {y, x}); }
inline Tile operator==(const Value& x, const Value& y) { return apply(Op::equal, {x, y}); }
inline Tile operator&(const Value& x, const Value& y) { return apply(Op::bitwise_and, {x, y}); }
inline Tile operator|(const Value& x, const Value& y) { return apply(Op::bitwise_or, {x, y}); }
inline Tile operator^(const Value& x, const Value& y) { return apply(Op::bitwise_xor, {x, y}); }
inline Tile operator<<(const Value& x, const Value& y) { return apply(Op::shift_left, {x, y}); }
inline Tile operator>>(const Value& x, const Value& y) { return apply(Op::shift_right, {x, y}); }
inline Tile maximum(const Value& x, const Value& y) { return apply(Op::maximum, {x, y}); }
inline Tile minimum(const Value& x, const Value& y) { return apply(Op::minimum, {x, y}); }
inline Tile abs(const Value& x) { return apply(Op::abs, {x}); }
inline Tile exp(const Value& x) { return apply(Op::exp, {x}); }
inline Tile log(const Value& x) { return apply(Op::log, {x}); }
inline Tile tanh(const Value& x) { return apply(Op::tanh, {x}); }
inline Tile logistic(const Value& x) { return apply(Op::logistic, {x}); }
inline Tile sqrt(const Value& x) { return apply(Op::sqrt, {x}); }
inline Tile erf(const Value& x) { return apply(Op::erf, {x}); }
Tile where(const Value& condition, const Value& x, const Value& y);
Tile cast(const Value& x, DType dtype);
Tile bitcast(const Value& x, DType dtype);
Tile fma(const Value& x, const Value& y, const Value& z);
// Bytes of u32 words that are below 16 replaced by those of a table of 16.
Tile lookup(const Value& words, std::span<const uint8_t, 16> table);
Tile ceil_div(const Value& x, const Value& y);

// Shapes.
Tile reshape(const Value& x, const Shape& shape);
Tile broadcast_to(const Value& x, const Shape& shape);
Tile expand_dims(const Value& x,
                 int axis);  // a new axis of size 1 there; negative counts from the end
Tile transpose(const Value& x, const Ints& axes);

// Along an axis, which disappears but in scan. The order of a sum: ir.h.
Tile reduce(Combine kind, const Value& x, int axis);
inline Tile sum(const Value& x, int axis) { return reduce(Combine::sum, x, axis); }
inline Tile max(const Value& x, int axis) { return reduce(Combine::max, x, axis); }
inline Tile min(const Value& x, int axis) { return reduce(Combine::min, x, axis); }
Tile arg_reduce(Combine kind, const Value& x, int axis);
Tile scan(Combine kind, const Value& x, int axis, bool reverse = false);

// z + x y for x[M, K], y[K, N], z[M, N]: one fma chain per element, in increasing k. y may come as
// words that hold its elements of several k (tile_ops.def).
Tile dot(const Value& x, const Value& y, const Value& z);

}  // namespace cairn::tile
