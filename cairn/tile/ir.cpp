#include "cairn/tile/ir.h"

#include <array>

namespace cairn::tile {

const TileOpInfo& info(TileOp op) {
  static constexpr std::array kTable = {
#define CAIRN_TILE_OP(name, operands, results, summary) \
  TileOpInfo{#name, operands, results, summary},
#include "cairn/tile/tile_ops.def"
#undef CAIRN_TILE_OP
  };
  return kTable[static_cast<size_t>(op)];
}

std::string_view name(Combine kind) {
  static constexpr std::array<std::string_view, 4> kNames = {"sum", "prod", "max", "min"};
  return kNames[static_cast<size_t>(kind)];
}

std::string to_string(const TileType& type) {
  return std::string(cairn::name(type.dtype)) + cairn::to_string(type.shape);
}

}  // namespace cairn::tile
