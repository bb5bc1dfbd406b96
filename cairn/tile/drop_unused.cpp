#include "cairn/tile/drop_unused.h"

#include <algorithm>
#include <ranges>
#include <utility>
#include <vector>

namespace cairn::tile {
namespace {

class Dropper {
 public:
  explicit Dropper(size_t values) : used_(values) {}

  // From the end to the beginning, so that who reads a value is known before what makes it.
  void drop(Block& block) {
    use(block.yields);
    std::vector<Instruction> kept;
    for (Instruction& in : std::views::reverse(block.code)) {
      if (!has_effect(in) && !is_used(in)) continue;
      use(in.operands);
      for (Block& region : in.regions) drop(region);
      kept.push_back(std::move(in));
    }
    std::ranges::reverse(kept);
    block.code = std::move(kept);
  }

 private:
  void use(const std::vector<ValueId>& values) {
    for (ValueId v : values) used_[static_cast<size_t>(v)] = true;
  }
  bool is_used(const Instruction& in) const {
    return std::ranges::any_of(in.results,
                               [&](ValueId v) { return used_[static_cast<size_t>(v)]; });
  }
  static bool has_effect(const Instruction& in) {
    return in.results.empty() || in.op == TileOp::atomic ||
           std::ranges::any_of(in.regions, [](const Block& region) {
             return std::ranges::any_of(region.code, has_effect);
           });
  }

  std::vector<bool> used_;  // by ValueId
};

}  // namespace

Kernel drop_unused(const Kernel& kernel) {
  Kernel result = kernel;
  Dropper dropper(kernel.types.size());
  dropper.drop(result.body);
  dropper.drop(result.grid);
  return result;
}

}  // namespace cairn::tile
