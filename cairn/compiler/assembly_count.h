// What stands in the assembly text of a kernel: how the compiler's work is told in numbers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// Counts of instructions in the text, not of how often they run.
struct AssemblyCount {
  int instructions = 0;
  int vector = 0;     // that name a vector register
  int fused = 0;      // multiply-adds
  int divisions = 0;  // and square roots, of floats
  int gathers = 0;    // loads and stores of an element at a time
  int calls = 0;
  int vector_spills = 0;  // vector registers that go to the stack or come from it
  int scalar_spills = 0;
  int vector_registers = 0;  // different ones
  int widest = 0;            // bits of the widest
};

// Of x86-64 in AT&T syntax, as the compiler writes it.
AssemblyCount count_assembly(std::string_view text);

// What became of a line of C++ (KernelVersion::lines).
struct LineCount {
  std::string file;
  int line = 0;
  AssemblyCount count;
};
// Those with most instructions first; what comes from no line is left out.
std::vector<LineCount> count_lines(std::string_view text);

}  // namespace cairn
