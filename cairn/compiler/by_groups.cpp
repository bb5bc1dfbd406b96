// Convolutions whose groups are last (depthwise ones): a column is a group, with an x and weights
// of its own, so that vectors lie along the groups.
//
// Each element is one chain of fused multiply-adds in increasing k from 0, as of other products. A
// few rows times a few vectors of sums stay in registers over the whole of K; each step reads as
// many vectors of x and, once for all rows, those of the weights.
#include <algorithm>

#include "cairn/compiler/group_forms.h"
#include "cairn/compiler/node_class.h"
#include "cairn/tile/rows.h"

namespace cairn::detail {

using tile::Tile;

namespace {

// Of a program that has more than one block: so many rows (places of the result) share the weights.
constexpr int64_t kBlocks = 8;

int64_t blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

}  // namespace

void write_by_groups(GroupWriter& w, const GroupForm& form) {
  tile::Builder& k = w.builder();
  const ProductBlock block = form.block;
  const Node& product = **std::ranges::find_if(
      w.group().nodes, [](const Node* node) { return class_of(*node) == NodeClass::product; });
  const int rank = w.rank(), m = rank - 3, n = rank - 2, depth = rank - 1;
  std::vector<int> batch;
  for (int axis = 0; axis < m; ++axis) batch.push_back(axis);
  const int64_t rows = form.is_one_block ? block.rows : block.rows * kBlocks;
  // Results of a group that neighbours compute are of the same x.
  k.grid([&] {
    const Tile down = ceil_div(w.size(m), rows);
    const Tile across =
        form.is_one_block ? ceil_div(w.size(n), block.columns) : k.constant(1, DType::i64);
    return std::vector<Tile>{down, w.count(batch), across};
  });
  if (!batch.empty()) w.set_indices(batch, k.program_id(1));
  const DType wide = tile::compute_type(product.input(0).dtype());
  const auto write_block = [&](const Tile& first_row, const Tile& first_column) {
    const Tile row = expand_dims(first_row + k.arange(block.rows), 1);
    const Tile column = expand_dims(first_column + k.arange(block.columns), 0);
    w.set_index(m, {row, row < w.size(m)});
    w.set_index(n, {column, column < w.size(n)});
    // The window of a row behind the last is that of the last, and not written.
    const Tile window = minimum(row, w.size(m) - 1);
    const Shape shape = {block.rows, block.columns};
    const Tile sum = k.loop(0, w.size(depth), 1, k.full(shape, 0, wide),
                            [&](const Tile& step, const Tile& before) {
                              return w.in_loop([&] {
                                w.set_index(depth, {step, {}});
                                const Tile x = w.windows(product, window, step, {});
                                const Tile y = broadcast_to(w.operand(product, 1), shape);
                                return fma(tile::widen(x), tile::widen(y), before);
                              });
                            });
    w.set_value(product, tile::narrow(sum, product.output().dtype));
    w.store(Part::whole, shape);
  };
  if (form.is_one_block) {
    write_block(k.program_id(0) * block.rows, k.program_id(2) * block.columns);
    return;
  }
  const Tile begin = k.program_id(0) * rows;
  const auto each = [&](const Tile& first, const Tile& end, int64_t step, const auto& body) {
    k.loop(first, end, step, std::vector<Tile>{}, [&](const Tile& at, const std::vector<Tile>&) {
      return w.in_loop([&] {
        body(at);
        return std::vector<Tile>{};
      });
    });
  };
  each(begin, minimum(begin + rows, w.size(m)), block.rows, [&](const Tile& row) {
    each(k.constant(0, DType::i64), w.size(n), block.columns,
         [&](const Tile& column) { write_block(row, column); });
  });
}

GroupForm by_groups_form(std::span<const int64_t> sizes) {
  const int64_t m = sizes[sizes.size() - 3], n = sizes[sizes.size() - 2], k = sizes.back();
  GroupForm form;
  // The gradient of weights has a row for each tap, and sums over all places.
  constexpr int64_t kFewRows = 64;
  form.is_one_block = m <= kFewRows && k > m;
  if (form.is_one_block) {
    const int64_t least = blocks(m, 9);
    form.block = {blocks(m, least), n > 32 ? 32 : 16, 0};
  } else {
    form.block = {6, 16, 0};
  }
  return form;
}

void by_groups_forms(const GroupForm& usual, const AddForm& add) {
  for (const int64_t rows : {3, 4, 6, 8, 9})
    for (const int64_t columns : {16, 32, 64}) {
      GroupForm form = usual;
      form.block = {rows, columns, 0};
      add(form);
    }
}

GroupWork by_groups_work(const GroupForm& form, std::span<const int64_t> sizes) {
  const size_t batch = sizes.size() - 3;
  const int64_t rows = form.is_one_block ? form.block.rows : form.block.rows * kBlocks;
  const int64_t across = form.is_one_block ? blocks(sizes[batch + 1], form.block.columns) : 1;
  const int64_t columns = form.is_one_block ? form.block.columns : sizes[batch + 1];
  GroupWork work{blocks(sizes[batch], rows) * across, 0, rows * columns * sizes[batch + 2]};
  for (size_t i = 0; i < batch; ++i) work.programs *= sizes[i];
  return work;
}

}  // namespace cairn::detail
