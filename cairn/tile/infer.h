// The types of an instruction's results.
#pragma once

#include <optional>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::tile {

// Checks operands and attributes and gives the types of the results. `asked` is the type that the
// result is to have where the instruction decides that (constant, arange, broadcast, reshape,
// bitcast, cast); others ignore it. Throws Error "[tile <name>] ..." with the line of the program.
// Does not look into regions, but for the number and types of what a loop's body takes and yields.
std::vector<TileType> result_types(const Kernel& kernel, const Instruction& instruction,
                                   const TileType& asked);

// The shape that NumPy's broadcasting gives two tiles; throws Error "[tile <operation>] ...".
Shape broadcast_shape(std::string_view operation, const Shape& a, const Shape& b,
                      const std::source_location& where);

// What y holds in a dot whose second operand is words: 32 bits with the elements of as many rows of
// y as fit, the first in the lowest bits. None when it is a plain one.
std::optional<DType> element_of_words(DType x, DType y);

// "[tile <operation>] <what> (at <file:line>)".
[[noreturn]] void fail(std::string_view operation, std::string_view what,
                       const std::source_location& where);

// What the instruction is called: "add" of an apply, else the name of its TileOp.
std::string_view spelled(const Instruction& instruction);

}  // namespace cairn::tile
