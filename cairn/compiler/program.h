// A loop with all that its launches need, as one function: what runs a tiny model's training at the
// processor's speed, where a launch of 20 ns would cost more to dispatch than to compute.
//
// The places and steps are those of the loop's plan. The kernels are the launches' own, so the bits
// are too; their sizes are numbers in the code, which then has no loops over blocks, and what the
// graph writes as constants is passed in, so that a learning rate is not another program.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cairn/base/cpu_features.h"
#include "cairn/tile/ir.h"

namespace cairn {

struct Program;

// A scalar argument of a kernel: a number, or one of the program's constants.
struct ProgramScalar {
  int constant = -1;
  int64_t number = 0;  // its bits, where there is no constant
};

struct ProgramStep {
  enum class Kind : uint8_t { kernel, loop, cond, copy };
  Kind kind = Kind::kernel;
  std::vector<int> inputs;   // places
  std::vector<int> outputs;  // places
  int workspace = -1;        // a place
  // Of a kernel, whose functions are expanded (tile/expand_math.h).
  tile::Kernel kernel;
  std::vector<ProgramScalar> scalars;
  std::vector<std::vector<int64_t>> tables;
  int64_t programs = 0;  // of its grid
  // Of a loop.
  size_t carried = 0;
  size_t scanned = 0;
  int64_t max = 0;
  bool reverse = false;
  // Of a loop and a copy: of each operand and result.
  std::vector<size_t> input_bytes;
  std::vector<size_t> output_bytes;
  // Of loop and cond.
  std::vector<Program> regions;
};

struct Program {
  struct Place {
    enum class Kind : uint8_t { argument, result, arena };
    Kind kind = Kind::argument;
    int64_t index = 0;  // number; offset in the arena
  };
  std::vector<Place> places;
  std::vector<ProgramStep> steps;
};

// All that the code follows from.
std::string to_text(const Program& program);

// An object file with a CompiledFunction of that name. Its arguments: the program's arguments, its
// results, its arena, the constants; the range of programs is not looked at. Throws Error as
// compile_kernel() does.
std::string compile_program(const Program& program, const std::string& name, CpuTarget target);

}  // namespace cairn
