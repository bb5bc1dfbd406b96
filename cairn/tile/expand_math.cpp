#include "cairn/tile/expand_math.h"

#include "cairn/tile/math.h"
#include "cairn/tile/rewrite.h"

namespace cairn::tile {
namespace {

std::optional<std::vector<Tile>> expand(Builder&, const Instruction& in,
                                        std::span<const Tile> operands) {
  if (in.op != TileOp::apply || !f32::is_function(in.scalar)) return std::nullopt;
  const DType dtype = operands[0].dtype();
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) return std::nullopt;
  std::vector<Tile> x;
  for (const Tile& t : operands) x.push_back(dtype == DType::f32 ? t : cast(t, DType::f32));
  const Tile result = f32::compute(in.scalar, x.front(), x.back());
  return std::vector{dtype == DType::f32 ? result : cast(result, dtype)};
}

}  // namespace

Kernel expand_math(const Kernel& kernel) { return rewrite(kernel, expand); }

}  // namespace cairn::tile
