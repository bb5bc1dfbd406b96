// What the instructions that touch no memory compute: a tile from tiles. Shared by the interpreter
// and by passes that fold constants.
#pragma once

#include <span>

#include "cairn/core/host_array.h"
#include "cairn/tile/ir.h"

namespace cairn::tile {

// The one result, of type `result`, of a constant, arange, apply, fma, multiply_high, lookup,
// bitcast, broadcast, reshape, transpose, reduce, arg_reduce, scan or dot. Operands have the types
// that infer.h checked; a combination that has no meaning (a sum of bools) throws Error with the
// line of the program. f16 and bf16 compute in float and are rounded once an instruction.
HostArray evaluate(const Instruction& instruction, const TileType& result,
                   std::span<const HostArray> operands);

namespace detail {
// The parts of evaluate(), a file each.
HostArray evaluate_apply(const Instruction& in, const TileType& result,
                         std::span<const HostArray> operands);
HostArray evaluate_reduce(const Instruction& in, const TileType& result, const HostArray& x);
HostArray evaluate_arg_reduce(const Instruction& in, const TileType& result, const HostArray& x);
HostArray evaluate_scan(const Instruction& in, const TileType& result, const HostArray& x);
HostArray evaluate_dot(const TileType& result, std::span<const HostArray> operands,
                       bool bf16_subnormals_are_zero = false);
}  // namespace detail

// A number as one element of `dtype` at `at`: converted as `cast` does.
void write_number(const Number& number, DType dtype, void* at);

}  // namespace cairn::tile
