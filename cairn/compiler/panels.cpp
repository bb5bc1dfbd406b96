#include "cairn/compiler/panels.h"

#include <algorithm>
#include <cstring>

#include "cairn/compiler/custom_node.h"

namespace cairn {
namespace {

constexpr const char* kRows = "from_panels";

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

Tensor padded(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Ints high;
  for (int i = 0; i < shape.rank(); ++i) high.push_back(shape[i] - x.shape()[i]);
  const Ints none(static_cast<size_t>(shape.rank()), 0);
  const Tensor zero = make(
      Op::full, {}, {{Attr::value, Number(0)}, {Attr::dtype, x.dtype()}, {Attr::shape, Ints()}});
  return make(Op::pad, {x, zero}, {{Attr::low, none}, {Attr::high, high}, {Attr::interior, none}});
}

}  // namespace

int64_t panel_elements(DType dtype) {
  if (dtype == DType::bf16) return 2;
  return size_of(dtype) == 1 ? 4 : 1;
}

Tensor in_panels(const Tensor& matrix) {
  const int64_t depth = matrix.shape()[0], columns = matrix.shape()[1];
  const int64_t together = panel_elements(matrix.dtype());
  const int64_t groups = rounded_up(depth, together) / together;
  const int64_t panels = rounded_up(columns, kPanelColumns) / kPanelColumns;
  const auto ordered = [](const Tensor& x, const Ints& shape, const Ints& axes) {
    const Tensor split = make(Op::reshape, {x}, {{Attr::shape, shape}});
    return make(Op::transpose, {split}, {{Attr::axes, axes}});
  };
  // A transposed one is moved once, not twice.
  if (matrix.node().op() == Op::transpose)
    return ordered(padded(matrix.node().input(0), {panels * kPanelColumns, groups * together}),
                   {panels, kPanelColumns, groups, together}, {0, 2, 1, 3});
  return ordered(padded(matrix, {groups * together, panels * kPanelColumns}),
                 {groups, together, panels, kPanelColumns}, {2, 0, 3, 1});
}

bool reads_panels(const Node& node, int operand) {
  return node.op() == Op::matmul && operand == 1 && node.attrs().has(Attr::columns);
}

bool widens_panels(const Node& product) {
  const DType x = product.input(0).dtype(), y = product.input(1).dtype();
  return reads_panels(product, 1) && x == DType::f32 && (y == DType::f16 || y == DType::bf16);
}

bool is_worth_panels(int64_t depth, int64_t columns) { return depth >= 16 && columns >= 48; }

Shape panels_shape(DType dtype, int64_t rows, int64_t depth) {
  const int64_t together = panel_elements(dtype);
  return {rounded_up(rows, kPanelColumns) / kPanelColumns, rounded_up(depth, together) / together,
          kPanelColumns, together};
}

Tensor from_panels(const Tensor& panels, int64_t rows, int64_t depth) {
  CustomDefinition definition;
  definition.name = kRows;
  definition.fallback = [rows, depth](auto x) {
    const Shape& shape = x[0].shape();
    const Tensor ordered = make(Op::transpose, {x[0]}, {{Attr::axes, Ints{0, 2, 1, 3}}});
    const Tensor all = make(Op::reshape, {ordered},
                            {{Attr::shape, Ints{shape[0] * shape[2], shape[1] * shape[3]}}});
    return std::vector{make(
        Op::slice, {all},
        {{Attr::start, Ints{0, 0}}, {Attr::stop, Ints{rows, depth}}, {Attr::step, Ints{1, 1}}})};
  };
  return custom_node(std::move(definition), {panels})[0];
}

Tensor panels_of_rows(const Tensor& rows) {
  const Node& node = rows.node();
  const bool is_unpacked = node.op() == Op::custom && node.attrs().text(Attr::name) == kRows;
  return is_unpacked ? node.input(0) : Tensor();
}

// Elements of a row lie apart, so they are taken one by one, or as far as they lie together. What
// is no number of a row stays none.
Tensor gather_from_panels(const Tensor& panels, int64_t rows, int64_t depth,
                          const Tensor& numbers) {
  const Shape& shape = panels.shape();
  const int64_t groups = shape[1], together = shape[3], count = numbers.elements();
  const auto reshape = [](const Tensor& x, const Ints& to) {
    return make(Op::reshape, {x}, {{Attr::shape, to}});
  };
  const Ints each = {count, groups};
  const auto all = [&](int64_t value) {
    return make(Op::full, {},
                {{Attr::value, Number(value)}, {Attr::dtype, DType::i64}, {Attr::shape, each}});
  };
  const Tensor wide = reshape(make(Op::cast, {numbers}, {{Attr::dtype, DType::i64}}), {count});
  const Tensor row = make(Op::broadcast, {wide}, {{Attr::shape, each}, {Attr::axes, Ints{0}}});
  const Tensor group = make(
      Op::iota, {}, {{Attr::shape, each}, {Attr::axis, int64_t{1}}, {Attr::dtype, DType::i64}});
  const Tensor panel = make(Op::divide, {row, all(kPanelColumns)});
  const Tensor column = make(Op::remainder, {row, all(kPanelColumns)});
  const Tensor before =
      make(Op::add, {make(Op::multiply, {panel, all(groups)}), group});  // groups of 64 columns
  const Tensor at = make(Op::add, {make(Op::multiply, {before, all(kPanelColumns)}), column});
  const Tensor is_row =
      make(Op::bitwise_and, {make(Op::less, {all(-1), row}), make(Op::less, {row, all(rows)})});
  const Tensor table = reshape(panels, {shape.elements() / together, together});
  const Tensor taken = make(
      Op::gather, {table, make(Op::select, {is_row, at, all(-1)})},
      {{Attr::axis, int64_t{0}}, {Attr::batch_dims, int64_t{0}}});  // [count, groups, together]
  Ints result(numbers.shape());
  result.push_back(depth);
  const Tensor whole = reshape(taken, {count, groups * together});
  if (groups * together == depth) return reshape(whole, result);
  return reshape(
      make(Op::slice, {whole},
           {{Attr::start, Ints{0, 0}}, {Attr::stop, Ints{count, depth}}, {Attr::step, Ints{1, 1}}}),
      result);
}

namespace {

// A panel of `count` rows of units of T, the last of which may be cut short.
template <class T>
void write_panel(const char* from, int64_t count, int64_t row_bytes, T* to) {
  constexpr int64_t kUnit = sizeof(T);
  // What is written in a turn, 8 KB of words, stays in the first cache.
  constexpr int64_t kTurn = 32;
  const int64_t whole = row_bytes / kUnit;
  for (int64_t first = 0; first < whole; first += kTurn)
    for (int64_t row = 0; row < count; ++row) {
      const char* source = from + row * row_bytes;
      for (int64_t i = first; i < std::min(first + kTurn, whole); ++i)
        std::memcpy(to + i * kPanelColumns + row, source + i * kUnit, sizeof(T));
    }
  const auto rest = static_cast<size_t>(row_bytes % kUnit);
  if (rest == 0) return;
  for (int64_t row = 0; row < kPanelColumns; ++row) {
    T last = 0;
    if (row < count) std::memcpy(&last, from + row * row_bytes + whole * kUnit, rest);
    to[whole * kPanelColumns + row] = last;
  }
}

}  // namespace

void write_panels(DType dtype, const void* from, int64_t rows, int64_t depth, void* panels,
                  ThreadPool& pool) {
  const Shape shape = panels_shape(dtype, rows, depth);
  const auto size = static_cast<int64_t>(size_of(dtype));
  const int64_t row_bytes = depth * size, panel_bytes = shape[1] * shape[2] * shape[3] * size;
  pool.parallel_for(shape[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t count = std::min(kPanelColumns, rows - panel * kPanelColumns);
      const char* source = static_cast<const char*>(from) + panel * kPanelColumns * row_bytes;
      char* to = static_cast<char*>(panels) + panel * panel_bytes;
      if (count < kPanelColumns) std::memset(to, 0, static_cast<size_t>(panel_bytes));
      if (shape[3] * size == 4)
        write_panel(source, count, row_bytes, reinterpret_cast<uint32_t*>(to));
      else
        write_panel(source, count, row_bytes, reinterpret_cast<uint16_t*>(to));
    }
  });
}

}  // namespace cairn
