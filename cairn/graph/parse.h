// The text form of graphs, read. print.h writes it.
//
//   graph     := "graph" [@name] "(" [%name ":" type, ...] ")" ["->" "(" [type, ...] ")"]
//                "{" operation... "return" [%name ["as" word], ...] "}"
//   operation := %name, ... "=" word "(" operands ")" ["{" key "=" value, ... "}"] [regions]
//                [":" type, ...]
//              | %name "=" literal [":" type]
//   operands  := %name, ...        of a loop: n, carried... [";" scanned... [";" captured...]]
//   regions   := region            of loop and custom
//              | region "else" region                                                    of cond
//   region    := ["(" %name [":" type], ... ")"] "{" operation... "yield" [%name, ...] "}"
//   type      := f32[4,8] [@host:0] ["{" mesh axis, ... "}"]
//   literal   := "dense" "<" f32[2,2] ">" "(" number, ... ")"
//
// Comments run from // or # to the end of the line. A region reads values around it by their names:
// they become further operands, in the order in which the regions first name them. Its parameters
// are the other operands: of a loop the step, then carried, scanned (a row), captured; of cond all
// after the condition; of custom all. A name stands for one value; none is defined again while it
// can be seen. Types of results and of a region's parameters may be left out, because they follow;
// those that are given are checked.
#pragma once

#include <string_view>

#include "cairn/base/error.h"
#include "cairn/graph/graph.h"

namespace cairn {

// The error says line and column, what stands there and what was expected: "line 2, column 8:
// unknown operation 'mtmul'; the nearest is 'matmul'". Any bytes may be given: memory is bounded by
// the text's length, regions nest at most 64 deep, and a text has at most 32 MiB and a million
// values.
Result<Graph> parse_graph(std::string_view text);

}  // namespace cairn
