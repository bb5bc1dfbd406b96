// How a kernel walks through memory: along the last axis of each tile that is loaded or stored, how
// far apart neighbours lie. What a compiler makes of an access follows from it: one wide load for
// neighbours, an element at a time for the rest.
#pragma once

#include <string>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::tile {

// How a value changes from one element to the next along an axis.
struct Stride {
  enum class Kind : uint8_t {
    fixed,   // by `number`
    scalar,  // by a number that is known when the kernel runs: the value `scalar`, or -1
    varies   // by something else for each element
  };
  Kind kind = Kind::fixed;
  int64_t number = 0;
  ValueId scalar = -1;
  friend bool operator==(const Stride&, const Stride&) = default;
};

struct MemoryAccess {
  const Instruction* instruction;  // a load, store or atomic of the kernel
  int loops = 0;                   // that it stands in
  Shape shape;
  Stride last;               // along the last axis that has more than one element
  bool one_element = false;  // the tile has just one
};

// In the order of the text. The kernel is one that verify() accepts and outlives the result.
std::vector<MemoryAccess> memory_accesses(const Kernel& kernel);

// "contiguous", "4 apart", "%n apart", "one element", ...
std::string describe(const Kernel& kernel, const MemoryAccess& access);

}  // namespace cairn::tile
