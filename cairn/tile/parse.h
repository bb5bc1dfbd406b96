// The text form of kernels, read. print.h writes it.
//
//   kernel      := "kernel" [@name] "(" [parameter, ...] ")" "{" [grid] instruction... "}"
//   parameter   := %name ":" ("input" | "output" | "inout") f32 ["align" bytes]
//                | %name ":" i64 ["divisor" number]
//   grid        := "grid" "{" instruction... yield "}"
//   instruction := [%name, ... "="] word "(" [%name, ...] ")" ["{" key "=" value, ... "}"] [body]
//                  [":" type, ...]
//   body        := "(" %name ":" type, ... ")" "{" instruction... yield "}"            of a loop
//   yield       := "yield" [%name, ...]
//   type        := f32[16,64]
//
// The words are the names of tile_ops.def, and instead of `apply` those of elementwise primitives
// (graph/ops.def). load, store and atomic name their buffer before their operands. Keys are those
// of keys_of (print.h). A value may have a number or a name; names of values are forgotten. A name
// stands for one value, and none is defined again while it can be seen: those of the grid in the
// grid, those of a loop's body in the body. Every result has a type, which is checked. Comments run
// from // or # to the end of the line.
#pragma once

#include <string_view>

#include "cairn/tile/ir.h"

namespace cairn::tile {

// Throws Error "line 2, column 8: what stands there and what was expected". Any bytes may be given:
// memory is bounded by the text's length, which is at most 4 MiB, and loops nest at most 64 deep.
// What comes back passes verify().
Kernel parse_kernel(std::string_view text);

}  // namespace cairn::tile
