// What the f32 functions of tile/math.h are written in: operations that a tile of a kernel being
// built and one native number both have, with the same bits.
//
// A function is a template over its value type. Arithmetic and comparisons are operators; `fma`,
// `where`, `as_i32`, `as_u32`, `as_f32` (the same bits), `to_f32` (an i32 as a number) and
// `multiply_high` are found by argument. Products and sums never contract: an fma is one where it
// says so. A literal is a float beside f32 and has the suffix u beside integers.
//
// `Tile` emits instructions. `Float`, `Int`, `Uint` and `Bool` compute at once and are how the
// error budgets are measured.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "cairn/tile/builder.h"

namespace cairn::tile::f32 {

inline Tile as_i32(const Tile& x) { return bitcast(x, DType::i32); }
inline Tile as_u32(const Tile& x) { return bitcast(x, DType::u32); }
inline Tile as_f32(const Tile& x) { return bitcast(x, DType::f32); }
inline Tile to_f32(const Tile& x) { return cast(x, DType::f32); }
inline Tile round(const Tile& x) { return apply(Op::round, {x}); }
// A number of the type and shape of x.
inline Tile like(const Tile& x, uint32_t number) {
  return x.builder().full(x.shape(), Number(int64_t{number}), x.dtype());
}
inline Tile multiply_high(const Tile& x, const Tile& y) {
  Instruction in;
  in.op = TileOp::multiply_high;
  in.operands = {x.id(), y.id()};
  return x.builder().emit_one(std::move(in));
}

struct Bool {
  bool value;
  friend Bool operator&(Bool x, Bool y) { return {x.value && y.value}; }
  friend Bool operator|(Bool x, Bool y) { return {x.value || y.value}; }
};

struct Float {
  float value;
  Float(float v) : value(v) {}
  friend Float operator-(Float x) { return -x.value; }
  friend Float operator+(Float x, Float y) { return x.value + y.value; }
  friend Float operator-(Float x, Float y) { return x.value - y.value; }
  friend Float operator*(Float x, Float y) { return x.value * y.value; }
  friend Float operator/(Float x, Float y) { return x.value / y.value; }
  friend Bool operator<(Float x, Float y) { return {x.value < y.value}; }
  friend Bool operator<=(Float x, Float y) { return {x.value <= y.value}; }
  friend Bool operator>(Float x, Float y) { return {x.value > y.value}; }
  friend Bool operator>=(Float x, Float y) { return {x.value >= y.value}; }
  friend Bool operator==(Float x, Float y) { return {x.value == y.value}; }
  friend Float fma(Float x, Float y, Float z) { return std::fma(x.value, y.value, z.value); }
  friend Float round(Float x) { return std::nearbyint(x.value); }
  friend Float sqrt(Float x) { return std::sqrt(x.value); }
  friend Float where(Bool c, Float x, Float y) { return c.value ? x : y; }
};

// Integers wrap; a shift past the width gives 0, or the sign of an Int shifted right.
struct Uint {
  uint32_t value;
  Uint(uint32_t v) : value(v) {}
  friend Uint operator+(Uint x, Uint y) { return x.value + y.value; }
  friend Uint operator-(Uint x, Uint y) { return x.value - y.value; }
  friend Uint operator*(Uint x, Uint y) { return x.value * y.value; }
  friend Uint operator&(Uint x, Uint y) { return x.value & y.value; }
  friend Uint operator|(Uint x, Uint y) { return x.value | y.value; }
  friend Uint operator^(Uint x, Uint y) { return x.value ^ y.value; }
  friend Uint operator<<(Uint x, Uint n) { return n.value < 32 ? x.value << n.value : 0u; }
  friend Uint operator>>(Uint x, Uint n) { return n.value < 32 ? x.value >> n.value : 0u; }
  friend Bool operator<(Uint x, Uint y) { return {x.value < y.value}; }
  friend Bool operator==(Uint x, Uint y) { return {x.value == y.value}; }
  friend Uint where(Bool c, Uint x, Uint y) { return c.value ? x : y; }
  friend Uint multiply_high(Uint x, Uint y) {
    return static_cast<uint32_t>((uint64_t{x.value} * y.value) >> 32);
  }
};

struct Int {
  int32_t value;
};

inline Uint like(Uint, uint32_t number) { return number; }
inline Uint as_u32(Float x) { return std::bit_cast<uint32_t>(x.value); }
inline Uint as_u32(Int x) { return static_cast<uint32_t>(x.value); }
inline Int as_i32(Uint x) { return {static_cast<int32_t>(x.value)}; }
inline Float as_f32(Uint x) { return std::bit_cast<float>(x.value); }
inline Float to_f32(Int x) { return static_cast<float>(x.value); }

}  // namespace cairn::tile::f32
