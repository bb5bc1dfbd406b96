// A kernel run by the interpreter and as machine code on the same data, and what differs.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "cairn/base/cpu_features.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/interpreter.h"
#include "tests/compiler/random_kernel.h"

namespace cairn::test {

// What is wrong with the compiled kernel; nothing when it does what the interpreter does. Buffers
// lie between pages that cannot be touched and the bytes around them must stay as they are; one NaN
// is as good as another. An access that the system refuses is found, too. `seed` is of the data.
// Throws Error when the interpreter refuses the kernel. On avx512, products of bf16 may take
// subnormal numbers as they are or as 0.
std::optional<std::string> find_difference(const tile::Kernel& kernel,
                                           std::span<const RandomArgument> arguments, uint64_t seed,
                                           CpuTarget target);
// The same of what `compile` makes of the kernel, whose functions have been expanded.
using Compile = std::function<CompiledKernel(const tile::Kernel&)>;
std::optional<std::string> find_difference(const tile::Kernel& kernel,
                                           std::span<const RandomArgument> arguments, uint64_t seed,
                                           const Compile& compile,
                                           const tile::InterpretOptions& options = {});

// The interpreter alone; throws Error when it refuses the kernel.
void interpret(const tile::Kernel& kernel, std::span<const RandomArgument> arguments,
               uint64_t seed);

// A kernel with fewer instructions that still `fails`: each is dropped, or made a constant or one
// of its operands, as long as any can be.
tile::Kernel shrink(tile::Kernel kernel, const std::function<bool(const tile::Kernel&)>& fails);

}  // namespace cairn::test
