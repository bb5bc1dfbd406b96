// Pointwise groups: elementwise primitives, with the constants, broadcasts, transposes and slices
// that they read.
//
// Tensors of equal shape are one long row whatever their rank, and adding a bias has two axes.
#include "cairn/compiler/group_forms.h"

namespace cairn::detail {

using tile::Tile;

namespace {

// Elements of a program. Of one axis: 4 KB of f32, so that the loop's start is lost in it. Of two:
// as many, in rows long enough for several packs; where a transposed value is read, blocks that
// use whole cache lines of it, and many in a row of what lies further apart: longer rows are
// further apart where they are written, longer columns where they are read (12.8 MB in images: 2.9
// and 2.3 ms with blocks of 64 x 16, 1.9 and 1.7).
constexpr ProductBlock kRow = {1, 1024, 0};
constexpr ProductBlock kRows = {8, 256, 0}, kTall = {128, 16, 0}, kWide = {16, 128, 0};

}  // namespace

GroupForm pointwise_form(const GroupBinding& binding, std::span<const int64_t> sizes) {
  GroupForm form;
  if (sizes.size() == 1) form.block = kRow;
  if (sizes.size() < 2) return form;
  form.block = kRows;
  if (binding.is_strided) form.block = sizes[sizes.size() - 2] > sizes.back() ? kTall : kWide;
  return form;
}

void pointwise_forms(const GroupBinding& binding, std::span<const int64_t> sizes,
                     const AddForm& add) {
  std::vector<ProductBlock> blocks;
  if (sizes.size() == 1)
    blocks = {{1, 512, 0}, {1, 2048, 0}, {1, 4096, 0}, {1, 16384, 0}};
  else if (sizes.size() > 1 && binding.is_strided)
    blocks = {{16, 16, 0}, {32, 32, 0},  {16, 64, 0}, {64, 16, 0},
              {64, 64, 0}, {128, 16, 0}, {16, 128, 0}};
  else if (sizes.size() > 1)
    blocks = {{1, 1024, 0}, {4, 512, 0}, {16, 128, 0}, {8, 1024, 0}, {64, 64, 0}};
  for (const ProductBlock& block : blocks) {
    GroupForm form;
    form.block = block;
    // Blocks that reach far behind the end are another's with more to skip.
    const bool fits = block.columns < 2 * sizes.back() &&
                      (sizes.size() < 2 || block.rows < 2 * sizes[sizes.size() - 2]);
    if (fits) add(form);
  }
}

// Tiles along the last two axes, one place along the others.
void write_pointwise(GroupWriter& w, const GroupForm& form) {
  tile::Builder& k = w.builder();
  const int rank = w.rank();
  const ProductBlock& block = form.block;
  if (rank == 0) return w.store(Part::whole, {});
  if (rank == 1) {
    k.grid([&] { return std::vector<Tile>{ceil_div(w.size(0), block.columns)}; });
    const Tile at = k.program_id(0) * block.columns + k.arange(block.columns);
    w.set_index(0, {at, at < w.size(0)});
    return w.store(Part::whole, {block.columns});
  }
  std::vector<int> outer;
  for (int axis = 0; axis + 2 < rank; ++axis) outer.push_back(axis);
  const Tile &rows = w.size(rank - 2), &columns = w.size(rank - 1);
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

GroupWork pointwise_work(const GroupForm& form, std::span<const int64_t> sizes) {
  const auto blocks = [](int64_t n, int64_t block) { return (n + block - 1) / block; };
  const ProductBlock& block = form.block;
  if (sizes.empty()) return {1, 1};
  int64_t programs = blocks(sizes.back(), block.columns);
  if (sizes.size() > 1) programs *= blocks(sizes[sizes.size() - 2], block.rows);
  for (size_t i = 0; i + 2 < sizes.size(); ++i) programs *= sizes[i];
  return {programs, block.rows * block.columns};
}

}  // namespace cairn::detail
