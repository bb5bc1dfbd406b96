// Launches of a named kernel's machine code, in all the ways that give the same bits.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/cairn/kernel_commands.h"
#include "cairn/base/thread_pool.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/runtime/cpu/timings.h"

namespace cairn::app {

// How a kernel is made and launched.
struct KernelChoice {
  Ints block;  // of NamedKernel::blocks
  KernelVersion version = {};
  // Times the programs that a thread takes at a time.
  double grain = 1;
};
std::string to_string(const KernelChoice& choice);
// The usual one first.
std::vector<KernelChoice> choices_of(const tile::NamedKernel& named, int threads);
tile::Kernel kernel_of(const ChosenKernel& chosen, const KernelChoice& choice);

// What sweeps found, and under which name they keep it.
Timings timings(int threads);
std::string work_of(const ChosenKernel& chosen);
// The best that sweeps found, else the usual one.
KernelChoice best_choice(const ChosenKernel& chosen, int threads);

// A number as a launch passes it, in the lowest bytes.
KernelSlot slot_of(const Number& number, DType dtype);

// One launch on a call's buffers, as often as it is asked for. Throws Error where the kernel cannot
// be compiled or run on this processor.
using Launch = std::function<void()>;
Launch compiled_launch(const ChosenKernel& chosen, const tile::KernelCall& call, ThreadPool& pool,
                       const KernelChoice& choice);

}  // namespace cairn::app
