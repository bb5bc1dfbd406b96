// The text form of plans, read. to_text(plan) writes it.
//
//   plan      := "plan" sizes "{" graph launches "}"                graph: graph/parse.h
//   sizes     := "peak" "=" N "arguments" "=" N "results" "=" N "arena" "=" N              in bytes
//   launches  := launch... "return" [result, ...]
//   launch    := [place, ...] "=" operation "(" [place, ...] ")" ["workspace" place] [regions]
//              | place "=" "copy" "(" place ")"                                         of a region
//   operation := matmul.3, the name and number of an operation of the graph
//   regions   := region            of loop
//              | region "else" region                                                    of cond
//   region    := "plan" sizes "{" launches "}"
//   result    := place ["over" argumentN]                 in the memory of an argument given away
//   place     := argumentN | resultN | arena[BEGIN:END]                 bytes of the arena from, to
//
//   plan peak=128 arguments=64 results=64 arena=0 {
//     graph(%x: f32[4]) -> (f32[4]) {
//       %0 = exp(%x) : f32[4]  // 0
//       return %0
//     }
//     result0 = exp.0(argument0)
//     return result0
//   }
//
// Operations are numbered from 0 in the order of the graph's text, those that no output depends on
// left out, and those of each region by themselves. Views (reshape) are not launched. A plan that
// is read computes the same bits as the plan that was printed; of what it was made of, source lines
// and scopes are lost.
#pragma once

#include <memory>
#include <string_view>

#include "cairn/base/error.h"
#include "cairn/runtime/plan.h"

namespace cairn {

// The error says line and column, what stands there and what was expected. What is accepted keeps
// all rules of verify_plan.h for that backend, so any bytes may be given, and what comes back may
// be run.
Result<std::shared_ptr<const Plan>> parse_plan(std::string_view text, const Backend& backend);

}  // namespace cairn
