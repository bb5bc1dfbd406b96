// The text form of kernels, written. parse.h has the grammar and reads it back.
//
// A kernel that is printed, parsed and printed again gives the same text. Parameters stand there by
// name; other values are numbered in the order in which the text defines them, so it does not
// depend on how the kernel was built. Source lines have no text.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::tile {

// More to say behind an instruction, as "// ..."; nothing when it is empty.
using Comment = std::function<std::string(const Instruction&)>;

// Prints kernels that verify() refuses, too: what cannot be named is "%?".
std::string to_text(const Kernel& kernel, const Comment& comment = nullptr);

// What the text calls each value: "%x", "%5"; "%?" for one that is defined nowhere.
std::vector<std::string> value_names(const Kernel& kernel);

// "load"; of an apply its primitive, "add". "?" for what is no instruction.
std::string_view word_of(const Instruction& instruction);

// The attributes in braces. Each is a field of Instruction; one that is not required is left out
// where it has the value that a new Instruction has.
enum class Key : uint8_t { axes, axis, kind, reverse, stages, text, value };
std::string_view name(Key key);
struct KeyUse {
  Key key;
  bool required;
};
std::span<const KeyUse> keys_of(TileOp op);

// "input", "output", "inout"; "" of a scalar.
std::string_view name(Parameter::Kind kind);
// What `divisor` is when nothing is said: builder.h's own defaults.
constexpr int64_t default_divisor(Parameter::Kind kind) {
  return kind == Parameter::Kind::scalar ? 1 : 64;
}

inline constexpr int kTileOpCount = 0
#define CAIRN_TILE_OP(name, ...) +1
#include "cairn/tile/tile_ops.def"
#undef CAIRN_TILE_OP
    ;
inline constexpr int kCombineCount = 4;
// Loops nest at most so deep in a kernel that verify() accepts; the printer goes no deeper.
inline constexpr int kMaxLoopDepth = 64;

}  // namespace cairn::tile
