#include "cairn/compiler/node_class.h"

#include <algorithm>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/panels.h"
#include "cairn/compiler/schedule.h"
#include "cairn/graph/infer.h"

namespace cairn {
namespace {

bool is_compiled_float(DType dtype) { return is_float(dtype) && !is_float8(dtype); }

bool is_indexing(const Node& node) {
  switch (node.op()) {
    case Op::full:
    case Op::broadcast:
    case Op::slice:
    case Op::reverse:
    case Op::transpose: return true;
    case Op::iota: return can_lower(Op::cast, DType::i64, node.output().dtype);
    default: return false;
  }
}

bool is_reduction(const Node& node) {
  if (node.op() != Op::reduce || !is_compiled_float(node.input(0).dtype())) return false;
  const Shape& shape = node.input(0).shape();
  return std::ranges::count_if(node.attrs().ints(Attr::axes), [&](int64_t axis) {
           return shape[static_cast<int>(axis)] != 1;
         }) == 1;
}

// Every window lies in x, which the kernel reads through tables of where it stands: padding and
// dilation of x are nodes of their own (channels_last.h).
bool is_plain_convolution(const Node& node) {
  const Attrs& attrs = node.attrs();
  if (!attrs.has(Attr::axes)) return false;
  const Shape& x = node.input(0).shape();
  if (has_groups_last(node) && x.strides()[static_cast<int>(attrs.ints(Attr::axes).back())] != 1)
    return false;
  return std::ranges::all_of(attrs.ints(Attr::low), [](int64_t n) { return n <= 0; }) &&
         std::ranges::all_of(attrs.ints(Attr::high), [](int64_t n) { return n <= 0; }) &&
         std::ranges::all_of(attrs.ints(Attr::lhs_dilation), [](int64_t n) { return n == 1; }) &&
         node.output().shape.elements() > 0;
}

bool is_product(const Node& node) {
  // The domain has an axis more: K (group_domain.h).
  const bool is_matmul = node.op() == Op::matmul && node.output().shape.rank() < kMaxRank;
  if (!is_matmul && !(node.op() == Op::convolution && is_plain_convolution(node))) return false;
  const DType from = node.input(0).dtype(), other = node.input(1).dtype();
  const DType to = node.output().dtype;
  const Attrs& attrs = node.attrs();
  if (attrs.has(Attr::columns)) {
    const Shape& panels = node.input(1).shape();
    if (panels[2] != kPanelColumns || panels[3] != panel_elements(other)) return false;
  }
  const DType sum =
      attrs.has(Attr::accumulate) ? attrs.dtype(Attr::accumulate) : default_accumulate(from);
  if (!can_lower(Op::cast, sum, to)) return false;
  const auto is_byte = [](DType t) { return t == DType::i8 || t == DType::u8; };
  if (is_byte(from)) return is_byte(other) && sum == DType::i32 && is_matmul;
  return (from == other || widens_panels(node)) && is_compiled_float(from) &&
         is_compiled_float(to) && sum == (from == DType::f64 ? DType::f64 : DType::f32);
}

}  // namespace

NodeClass class_of(const Node& node) {
  if (!can_compile_kernels() || is_alias(node) || node.output_count() != 1) return NodeClass::other;
  const DType to = node.output().dtype;
  if (is_float8(to)) return NodeClass::other;
  if (is_indexing(node)) return NodeClass::indexing;
  if (is_reduction(node)) return NodeClass::reduction;
  if (is_product(node)) return NodeClass::product;
  if (node.op() == Op::pad) return NodeClass::pointwise;
  const bool lowers = node.info().trait == Trait::elementwise &&
                      std::ranges::all_of(node.inputs(), [&](const Tensor& t) {
                        return can_lower(node.op(), t.dtype(), to);
                      });
  return lowers ? NodeClass::pointwise : NodeClass::other;
}

int reduced_axis(const Node& reduction) {
  const Shape& shape = reduction.input(0).shape();
  const Ints& axes = reduction.attrs().ints(Attr::axes);
  return static_cast<int>(*std::ranges::find_if(
      axes, [&](int64_t axis) { return shape[static_cast<int>(axis)] != 1; }));
}

Shape squeezed(const Shape& shape) {
  Shape result;
  for (int64_t size : shape)
    if (size != 1) result.push_back(size);
  return result;
}

}  // namespace cairn
