// Passes over tile kernels: a kernel is copied instruction by instruction, and a callback may put
// others in the place of one.
//
// The copy is built with a Builder, so types are inferred again and a pass is written in the tile
// language. Nothing is changed in place, and instructions only ever refer to earlier ones.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "cairn/tile/builder.h"

namespace cairn::tile {

// The tiles that stand for the results of `instruction`, of the same types; nothing to copy it as
// it is. `operands` are its operands in the new kernel. Whatever is emitted carries its source
// line. Not asked about loops, whose bodies are copied in the same way.
using Replacement = std::function<std::optional<std::vector<Tile>>(
    Builder& builder, const Instruction& instruction, std::span<const Tile> operands)>;

// The kernel with its body rewritten, in loops too. Parameters and the grid stay. Throws
// InternalError when a replacement has other types than what it replaces.
Kernel rewrite(const Kernel& kernel, const Replacement& replace);

}  // namespace cairn::tile
