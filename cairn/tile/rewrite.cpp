#include "cairn/tile/rewrite.h"

#include "cairn/base/error.h"

namespace cairn::tile {
namespace {

class Rewriter {
 public:
  Rewriter(const Kernel& from, const Replacement& replace)
      : from_(from), replace_(replace), to_(from.name), tiles_(from.types.size()) {}

  Kernel run() {
    for (const Parameter& p : from_.parameters) copy(p);
    if (!from_.grid.yields.empty())
      to_.grid([&] { return copy(from_.grid, [](auto&&...) { return std::nullopt; }); });
    copy(from_.body, replace_);
    return to_.finish();
  }

 private:
  Tile& tile(ValueId old) { return tiles_[static_cast<size_t>(old)]; }
  std::vector<Tile> tiles(std::span<const ValueId> old) {
    std::vector<Tile> result;
    for (ValueId v : old) result.push_back(tile(v));
    return result;
  }

  void copy(const Parameter& p) {
    switch (p.kind) {
      case Parameter::Kind::input: to_.input(p.name, p.dtype, p.divisor); break;
      case Parameter::Kind::output: to_.output(p.name, p.dtype, p.divisor); break;
      case Parameter::Kind::inout: to_.inout(p.name, p.dtype, p.divisor); break;
      case Parameter::Kind::scalar: tile(p.value) = to_.scalar(p.name, p.dtype, p.divisor); break;
    }
  }

  // Into the block that is being built; gives what the block yields.
  std::vector<Tile> copy(const Block& block, const Replacement& replace) {
    for (const Instruction& in : block.code) {
      const std::vector<Tile> results =
          in.op == TileOp::loop ? copy_loop(in, replace) : copy_instruction(in, replace);
      CAIRN_ASSERT(results.size() == in.results.size());
      for (size_t i = 0; i < results.size(); ++i) {
        CAIRN_ASSERT(results[i].type() == from_.type(in.results[i]));
        tile(in.results[i]) = results[i];
      }
    }
    return tiles(block.yields);
  }

  std::vector<Tile> copy_loop(const Instruction& in, const Replacement& replace) {
    const Block& body = in.regions[0];
    std::vector<Tile> operands = tiles(in.operands);
    const std::vector<Tile> carried(operands.begin() + 3, operands.end());
    return to_.loop(
        Value(operands[0], in.where), operands[1], operands[2], carried,
        [&](const Tile& i, const std::vector<Tile>& inner) {
          tile(body.arguments[0]) = i;
          for (size_t c = 0; c < inner.size(); ++c) tile(body.arguments[c + 1]) = inner[c];
          return copy(body, replace);
        },
        in.stages);
  }

  std::vector<Tile> copy_instruction(const Instruction& in, const Replacement& replace) {
    const std::vector<Tile> operands = tiles(in.operands);
    to_.set_where(in.where);
    std::optional<std::vector<Tile>> replaced = replace(to_, in, operands);
    to_.set_where({});
    if (replaced) return std::move(*replaced);
    Instruction same = in;
    same.results.clear();
    for (size_t i = 0; i < operands.size(); ++i) same.operands[i] = operands[i].id();
    return to_.emit(std::move(same), in.results.empty() ? TileType{} : from_.type(in.results[0]));
  }

  const Kernel& from_;
  const Replacement& replace_;
  Builder to_;
  std::vector<Tile> tiles_;  // by ValueId of from_
};

}  // namespace

Kernel rewrite(const Kernel& kernel, const Replacement& replace) {
  return Rewriter(kernel, replace).run();
}

}  // namespace cairn::tile
