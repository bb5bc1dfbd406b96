// Matrix products: one program per block of the result, and what is computed from the result's
// elements before they are written.
//
// Each element is one chain of fused multiply-adds in increasing k from 0 (docs/adr/0004), in f32
// for 16-bit floats and f32, in f64 for f64, so the block's size has no part in the result.
#include <algorithm>

#include "cairn/compiler/group_forms.h"
#include "cairn/compiler/node_class.h"
#include "cairn/compiler/panels.h"
#include "cairn/tile/rows.h"

namespace cairn::detail {

using tile::Tile;

namespace {

constexpr int64_t kFewRows = 16;
constexpr int64_t kWaiting = 4;  // so few wait for memory whatever they do

// A block of y in panels from that step on: words where several elements lie together, or, of a
// type narrower than x's, the numbers as f32.
Tile read_panels(GroupWriter& w, const Node& product, const Tile& first_column, const Tile& first,
                 const ProductBlock& block) {
  tile::Builder& k = w.builder();
  const Tile& depth = w.size(w.rank() - 1);
  const int64_t together = panel_elements(product.input(1).dtype());
  const auto read = [&](const Tile& rows, const Tile& inside) {
    return w.panels(product, first_column, expand_dims(rows, 1), block.columns, inside);
  };
  if (together > 1 && !widens_panels(product)) {
    const Tile words = first / together + k.arange(block.depth / together);
    return read(words, expand_dims(words, 1) < ceil_div(depth, together));
  }
  const Tile steps = first + k.arange(block.depth);
  const Tile inside = expand_dims(steps, 1) < depth;
  if (!widens_panels(product)) return read(steps, inside);
  if (together == 1) return where(inside, tile::widen(read(steps, inside)), 0);
  // Two bf16 in a word: their bits are the upper halves of an f32.
  const Tile shift = expand_dims(tile::cast(steps % 2 * 16, DType::u32), 1);
  const Tile bits = read(steps / 2, inside) >> broadcast_to(shift, {block.depth, block.columns});
  return where(inside, bitcast(bits << 16, DType::f32), 0);
}

}  // namespace

void write_product(GroupWriter& w, const GroupForm& form) {
  tile::Builder& k = w.builder();
  const ProductBlock block = form.block;
  const Node& product = **std::ranges::find_if(
      w.group().nodes, [](const Node* node) { return class_of(*node) == NodeClass::product; });
  const int rank = w.rank(), m = rank - 3, n = rank - 2, depth = rank - 1;
  const int k_axis = w.domain().shape.rank() - 1;
  std::vector<int> batch;
  for (int axis = 0; axis < m; ++axis) batch.push_back(axis);
  // Neighbours share columns of y, which stay in the second cache, or rows of x.
  const int row_axis = form.rows_first ? 1 : 2, column_axis = 3 - row_axis;
  k.grid([&] {
    const Tile rows = ceil_div(w.size(m), block.rows);
    const Tile columns = ceil_div(w.size(n), block.columns);
    return form.rows_first ? std::vector<Tile>{w.count(batch), rows, columns}
                           : std::vector<Tile>{w.count(batch), columns, rows};
  });
  if (!batch.empty()) w.set_indices(batch, k.program_id(0));
  const Tile first_column = k.program_id(column_axis) * block.columns;
  const Tile row = expand_dims(k.program_id(row_axis) * block.rows + k.arange(block.rows), 1);
  const Tile column = expand_dims(first_column + k.arange(block.columns), 0);
  w.set_index(m, {row, row < w.size(m)});
  w.set_index(n, {column, column < w.size(n)});
  // The window of a row behind the last is that of the last, and not written.
  const Tile window = minimum(row, w.size(m) - 1);
  const DType from = product.input(0).dtype();
  const DType wide = is_float(from) ? tile::compute_type(from) : DType::i32;
  const auto add_step = [&](const Tile& first, const Tile& before) {
    const Tile steps = first + k.arange(block.depth);
    const auto operand = [&](int i, const Shape& shape) {
      return w.in_loop([&] {
        const Tile along = expand_dims(steps, i == 0 ? 0 : 1);
        const Tile inside = along < w.size(depth);
        w.set_index(depth, {along, inside});
        if (reads_windows(product, i))
          return broadcast_to(w.windows(product, window, along, inside), shape);
        const Tile value = broadcast_to(w.operand(product, i), shape);
        // What stays the same along K is 0 behind its end all the same.
        return w.moves_along(product, i, k_axis) ? value : where(inside, value, 0);
      });
    };
    const Tile left = operand(0, {block.rows, block.depth});
    if (!reads_panels(product, 1))
      return dot(left, operand(1, {block.depth, block.columns}), before);
    // While few rows are multiplied with what is read of a panel, by one block of registers after
    // the other, what is read next is on its way.
    if (block.rows > kWaiting && block.rows <= kFewRows) {
      const int64_t together = panel_elements(product.input(1).dtype());
      w.fetch_panel(product, first_column, (first + block.depth) / together,
                    block.depth / together);
    }
    return dot(left, read_panels(w, product, first_column, first, block), before);
  };
  const Tile zeros = k.full({block.rows, block.columns}, 0, wide);
  const Tile sum = form.is_one_step ? add_step(k.full({}, 0, DType::i64), zeros)
                                    : k.loop(0, w.size(depth), block.depth, zeros, add_step);
  w.set_value(product, tile::narrow(sum, product.output().dtype));
  w.store(Part::whole, {block.rows, block.columns});
}

namespace {

int64_t blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

// The first of the sizes whose blocks cover at most a twentieth more than n, else that which covers
// least.
int64_t fitting(int64_t n, std::initializer_list<int64_t> sizes) {
  int64_t best = 0;
  for (const int64_t size : sizes) {
    const int64_t covered = blocks(n, size) * size;
    if (covered * 20 <= n * 21) return size;
    if (!best || covered < blocks(n, best) * best) best = size;
  }
  return best;
}

constexpr std::initializer_list<int64_t> kFew = {16, 12, 8, 6, 4, 2, 1};

// With few rows y comes from memory and is used at once, so it is read in an order that memory
// likes: as pieces of rows of 4 KB, eight at a time, while the sums of all of their columns stay in
// the first cache (1 x 4096 x 4096 on Zen 4: 3.2 ms, with 64 columns 7.8). A transposed y is read
// along 16 rows of it.
ProductBlock few_rows_block(int64_t m, int64_t n, bool is_strided) {
  const int64_t rows = fitting(m, kFew);
  if (is_strided) return {rows, 16, 1024};
  const int64_t columns = fitting(n, {rows > 8 ? 512 : 1024, 256, 128, 64, 48, 32, 16});
  return {rows, columns, rows > 4 ? 16 : 8};
}

// Whether neighbours in memory of what the group reads are rows.
bool reads_down(const GroupBinding& binding, int64_t row_axis) {
  return std::ranges::any_of(binding.reads, [&](const GroupBinding::Read& read) {
    return !read.axes.empty() && read.axes.back() == row_axis;
  });
}

// Rows and columns that nobody uses are not computed (compiler/llvm/cpu_dot_operands.cpp), so that
// one size serves all above half of it.
constexpr int64_t kSomePrograms = 8;
int64_t many_rows(int64_t m) { return m > 96 ? 192 : m > 48 ? 96 : 48; }

// Blocks of about the same size keep all threads busy to the end, and what each puts in order of a
// transposed y serves all its rows (1024 x 1536 x 384 with gelu, two threads: 8.0 ms in blocks of
// 192 rows, of which the last has 64, 6.6 in those of 128).
int64_t even_rows(int64_t m) { return m > 96 ? fitting(m, {192, 128, 96}) : many_rows(m); }

}  // namespace

// Of 192 x 64 x 256 the sums (48 KB) and what is read again of y (64 KB) stay in the second cache,
// and what a program reads transposed, which it puts in order for itself, serves many: of y 192
// rows, of x 384 columns, whose sums take 288 KB. Measured on Zen 4 against blocks of 24 to 384
// rows and 64 to 384 columns. Small products get smaller blocks, so that there are some for all
// threads.
GroupForm product_form(const GroupBinding& binding, std::span<const int64_t> sizes) {
  const int64_t m = sizes[sizes.size() - 3], n = sizes[sizes.size() - 2];
  GroupForm form;
  // A panel is read from one end to the other; 64 KB of it stay in the second cache. So few rows
  // that they wait for memory read 8 or 16 KB of it from there, which stay in the first cache for
  // the second block of them (16 x 4096 x 4096: 7.9 ms with 64 KB, 5.3 with 16 and 5.0 with 8; of
  // 8 rows 2.5 ms with 16 KB, 2.9 with 8).
  if (binding.panel_elements) {
    const int64_t depth = m > kFewRows || m <= kWaiting ? 256 : m > 8 ? 32 : 64;
    form.block = {m <= kFewRows ? fitting(m, kFew) : many_rows(m), kPanelColumns,
                  depth * binding.panel_elements};
    return form;
  }
  if (m <= kFewRows) {
    form.block = few_rows_block(m, n, binding.is_strided);
    return form;
  }
  // What a block reads transposed is held whole: of few steps no more than that, or a product of
  // two steps takes 400 ns.
  const int64_t steps = sizes.back();
  const int64_t depth = steps <= 16 ? 16 : steps <= 64 ? 64 : steps <= 128 ? 128 : 256;
  form.block = {even_rows(m), fitting(n, {64, 80, 48, 32, 16}), depth};
  // Of a long x, too, the rows of a block are read again before they leave the second cache. What
  // is multiplied as words is written anew by each program, in rows as wide as the block.
  const bool is_long = steps >= 1024 && !binding.is_strided && binding.operand_bytes >= 4;
  if (n > 64 && (is_long || reads_down(binding, static_cast<int64_t>(sizes.size()) - 3)))
    form.block.columns = n > 192 ? 384 : n > 128 ? 192 : 128;
  form.is_one_step = steps <= depth;
  const auto is_short = [&] { return product_work(form, sizes).programs < kSomePrograms; };
  while (is_short() && form.block.rows > 64) form.block.rows /= 2;
  while (is_short() && form.block.columns > 64 && form.block.columns % 128 == 0)
    form.block.columns /= 2;
  // 64 rows are 16 blocks of four in registers, and 128 two equal programs.
  if (form.block.rows == 48) form.block.rows = fitting(m, {48, 64});
  return form;
}

// Each with the other order of programs, and blocks that are larger or deeper.
void product_forms(const GroupBinding& binding, const GroupForm& usual,
                   std::span<const int64_t> sizes, const AddForm& add) {
  const int64_t m = sizes[sizes.size() - 3], n = sizes[sizes.size() - 2], depth = sizes.back();
  const ProductBlock& block = usual.block;
  std::vector<ProductBlock> blocks = {block};
  for (const int64_t rows : {12, 24, 48, 96, 128, 192, 384})
    blocks.push_back({rows, block.columns, block.depth});
  // Panels have their own width, and are read in the steps that they were written in.
  if (!binding.panel_elements) {
    for (const int64_t columns : {32, 48, 64, 80, 128, 256, 384})
      blocks.push_back({block.rows, columns, block.depth});
    for (const int64_t steps : {128, 512}) blocks.push_back({block.rows, block.columns, steps});
  }
  for (const ProductBlock& each : blocks) {
    if (each.rows >= 2 * m && each.rows > block.rows) continue;
    if (each.columns >= 2 * n && each.columns > block.columns) continue;
    if (each.depth >= 2 * depth && each.depth > block.depth) continue;
    GroupForm form = usual;
    form.block = each;
    form.is_one_step = usual.is_one_step && depth <= each.depth;
    add(form);
    form.rows_first = true;
    if (each == block && m > each.rows && n > each.columns) add(form);
  }
}

GroupWork product_work(const GroupForm& form, std::span<const int64_t> sizes) {
  const size_t batch = sizes.size() - 3;
  const auto [rows, columns, depth] = form.block;
  GroupWork work{blocks(sizes[batch], rows) * blocks(sizes[batch + 1], columns), 0,
                 rows * columns * sizes[batch + 2]};
  for (size_t i = 0; i < batch; ++i) work.programs *= sizes[i];
  return work;
}

}  // namespace cairn::detail
