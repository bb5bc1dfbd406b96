#include "cairn/compiler/panels.h"

#include <algorithm>

namespace cairn {
namespace {

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

}  // namespace cairn
