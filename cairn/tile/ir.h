// Tile kernels: the second of cairn's three representations.
//
// A kernel is a program that runs once for each point of a grid, in any order or at the same time.
// It works on tiles: small arrays of a static shape, in registers or next to them. Memory is
// touched by load, store and atomic only, which take a buffer and a tile of offsets (in elements),
// never pointers: bounds are known to the interpreter, and two buffers alias only where the caller
// says so.
//
// Values are in SSA form and named by number. A loop owns a block; blocks nest and nothing else
// branches. Sizes and strides of tensors are scalar parameters, so that one kernel serves all
// sizes.
//
// tile/builder.h is how people and the compiler write one; tile/print.h and tile/parse.h give its
// text.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/core/dtype.h"
#include "cairn/core/shape.h"
#include "cairn/graph/attributes.h"
#include "cairn/graph/op.h"

namespace cairn::tile {

enum class TileOp : uint8_t {
#define CAIRN_TILE_OP(name, ...) name,
#include "cairn/tile/tile_ops.def"
#undef CAIRN_TILE_OP
};

struct TileOpInfo {
  std::string_view name;
  int operands;  // -1: the instruction decides
  int results;
  std::string_view summary;
};
const TileOpInfo& info(TileOp op);
inline std::string_view name(TileOp op) { return info(op).name; }

enum class Combine : uint8_t { sum, prod, max, min };
std::string_view name(Combine kind);
// Whether an instruction's first operands are elements of a buffer, which it names.
constexpr bool names_buffer(TileOp op) {
  return op == TileOp::load || op == TileOp::fetch || op == TileOp::store || op == TileOp::atomic;
}

// A scalar has rank 0.
struct TileType {
  DType dtype = DType::f32;
  Shape shape;
  friend bool operator==(const TileType&, const TileType&) = default;
};
std::string to_string(const TileType& type);  // "f32[16,64]"

using ValueId = int32_t;

struct Block;

struct Instruction {
  TileOp op = TileOp::constant;
  Op scalar = Op::add;  // of apply
  std::vector<ValueId> operands;
  std::vector<ValueId> results;
  int parameter = -1;  // of load, store, atomic: the buffer
  int axis = 0;        // of program_id, reduce, arg_reduce, scan
  Combine kind = Combine::sum;
  bool reverse = false;        // of scan
  int stages = 1;              // of loop: how many iterations' loads may be in flight
  Number value;                // of constant
  Ints axes;                   // of transpose
  std::vector<Block> regions;  // of loop: its body
  std::string text;            // of assume and print: what to say
  std::source_location where = {};
};

// Whether an element of the result comes from the same element of each operand.
inline bool is_elementwise(const Instruction& in) {
  return in.op == TileOp::apply || in.op == TileOp::fma || in.op == TileOp::multiply_high ||
         in.op == TileOp::lookup || in.op == TileOp::bitcast;
}

// Straight-line code. A loop's body has the arguments (i, carried...) and yields the next carried.
struct Block {
  std::vector<ValueId> arguments;
  std::vector<Instruction> code;
  std::vector<ValueId> yields;
};

struct Parameter {
  enum class Kind : uint8_t { input, output, inout, scalar };
  Kind kind = Kind::scalar;
  std::string name;
  DType dtype = DType::i64;
  // Of a scalar: a number that divides it. Of a buffer: its alignment in bytes.
  int64_t divisor = 1;
  ValueId value = -1;  // of a scalar

  bool is_buffer() const { return kind != Kind::scalar; }
  bool is_read() const { return kind == Kind::input || kind == Kind::inout; }
  bool is_written() const { return kind == Kind::output || kind == Kind::inout; }
};

inline constexpr int kMaxGridRank = 3;

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  // The size of the grid along each axis, computed from the scalar parameters: 1 to 3 yields of
  // i64.
  Block grid;
  Block body;
  std::vector<TileType> types;  // by ValueId

  const TileType& type(ValueId v) const { return types[static_cast<size_t>(v)]; }
  ValueId new_value(const TileType& type) {
    types.push_back(type);
    return static_cast<ValueId>(types.size()) - 1;
  }
};

// The order in which `reduce` sums n elements, for n up to any size: element i goes to lane i mod
// 64 of a chunk of 4096, lanes add up in increasing i from 0, and are then combined in halves (lane
// l with l + 32, then l + 16, ...); the sums of the chunks are summed in the same way. It depends
// on n alone, never on the processor, so eager = fused and one thread = many
// (docs/adr/0014-order-of-sums.md).
inline constexpr int64_t kReduceLanes = 64;
inline constexpr int64_t kReduceChunk = 4096;

}  // namespace cairn::tile
