// Pointwise groups: elementwise primitives, with the constants, broadcasts, transposes and slices
// that they read.
//
// Tensors of equal shape are one long row whatever their rank, and adding a bias has two axes.
#include "cairn/compiler/group_forms.h"

namespace cairn::detail {

using tile::Tile;

namespace {

// Elements of a program. Of one axis: 4 KB of f32, so that the loop's start is lost in it. Of two:
// as many, in rows long enough for several packs; where a transposed value is read, squares that
// use whole cache lines of it while they are in the first cache.
constexpr int64_t kBlock = 1024;
struct Block {
  int64_t rows, columns;
};
Block block_of(const GroupBinding& binding) {
  return binding.is_strided ? Block{64, 16} : Block{8, 256};
}

}  // namespace

// Tiles along the last two axes, one place along the others.
void write_pointwise(GroupWriter& w) {
  tile::Builder& k = w.builder();
  const int rank = w.rank();
  if (rank == 0) return w.store(Part::whole, {});
  if (rank == 1) {
    k.grid([&] { return std::vector<Tile>{ceil_div(w.size(0), kBlock)}; });
    const Tile at = k.program_id(0) * kBlock + k.arange(kBlock);
    w.set_index(0, {at, at < w.size(0)});
    return w.store(Part::whole, {kBlock});
  }
  std::vector<int> outer;
  for (int axis = 0; axis + 2 < rank; ++axis) outer.push_back(axis);
  const Tile &rows = w.size(rank - 2), &columns = w.size(rank - 1);
  const Block block = block_of(w.binding());
  const int first = outer.empty() ? 0 : 1;
  k.grid([&] {
    std::vector<Tile> grid;
    if (!outer.empty()) grid.push_back(w.count(outer));
    grid.push_back(ceil_div(rows, block.rows));
    grid.push_back(ceil_div(columns, block.columns));
    return grid;
  });
  if (!outer.empty()) w.set_indices(outer, k.program_id(0));
  const Tile row = expand_dims(k.program_id(first) * block.rows + k.arange(block.rows), 1);
  const Tile column =
      expand_dims(k.program_id(first + 1) * block.columns + k.arange(block.columns), 0);
  w.set_index(rank - 2, {row, row < rows});
  w.set_index(rank - 1, {column, column < columns});
  w.store(Part::whole, {block.rows, block.columns});
}

GroupWork pointwise_work(const GroupBinding& binding, std::span<const int64_t> sizes) {
  const auto blocks = [](int64_t n, int64_t block) { return (n + block - 1) / block; };
  if (sizes.empty()) return {1, 1};
  if (sizes.size() == 1) return {blocks(sizes[0], kBlock), kBlock};
  const size_t outer = sizes.size() - 2;
  const Block block = block_of(binding);
  int64_t programs = blocks(sizes[outer], block.rows) * blocks(sizes.back(), block.columns);
  for (size_t i = 0; i < outer; ++i) programs *= sizes[i];
  return {programs, block.rows * block.columns};
}

}  // namespace cairn::detail
