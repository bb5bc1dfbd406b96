// Checks a kernel against all that the compiler relies on. Run after every pass in Debug and CI.
//
// What verify() accepts prints, and its text is read back (parse.h); what parses is accepted.
#pragma once

#include <string>

#include "cairn/tile/ir.h"

namespace cairn::tile {

// Throws InternalError with the kernel's name, the instruction and the kernel's text, where the
// instruction is marked, when
//   - a value is used that is not defined there: later, in a loop's body from outside of it, in the
//     grid from the body or the other way round; or is defined twice; or is none at all
//   - the type of a result is not what result_types (infer.h) says, or an instruction lacks what it
//     needs: a region, a buffer, operands, stages
//   - the grid is more than 1 to 3 scalars of i64, computed from scalar parameters by arithmetic
//   - parameters have no name, share one, or promise an impossible divisor or alignment
// No kernel makes it crash, as long as its vectors are whole.
void verify(const Kernel& kernel);

// Rules that the parser applies too, with a place in the text: what is wrong, or nothing.
std::string fault_of(const Parameter& parameter);
// Of an instruction of the grid.
std::string fault_in_grid(const Kernel& kernel, const Instruction& instruction);
// Of what the grid yields.
std::string fault_of_grid(const Kernel& kernel);

}  // namespace cairn::tile
