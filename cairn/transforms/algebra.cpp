// Rewrites by algebra that keep every bit (see simplify.h).
#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/rewrite.h"

namespace cairn::detail {
namespace {

using Replacement = std::vector<Tensor>;

// The value of a constant that is one number everywhere.
std::optional<Number> number_of(const Tensor& t) {
  const Node& node = t.node();
  if (node.op() == Op::full) return node.attrs().number(Attr::value);
  // A shape or mesh axes around it change nothing.
  if (node.op() == Op::broadcast || node.op() == Op::vary || node.op() == Op::reshape)
    return number_of(node.input(0));
  return std::nullopt;
}

bool is_number(const Tensor& t, double wanted) {
  const auto n = number_of(t);
  return n && n->as_double() == wanted && std::signbit(n->as_double()) == std::signbit(wanted);
}

// An integer zero has no sign.
bool is_zero_that_adds_nothing(const Tensor& t) {
  return is_number(t, is_float(t.dtype()) ? -0.0 : 0.0);
}

// Whether each number of the float type `narrow` is one of the float type `wide`.
bool holds_every(DType wide, DType narrow) {
  return is_float(wide) && is_float(narrow) && size_of(narrow) >= 2 &&
         size_of(wide) > size_of(narrow);
}

Replacement elementwise(const Node& node) {
  const auto in = [&](int i) { return node.input(i); };
  switch (node.op()) {
    case Op::negate:
      if (in(0).node().op() == Op::negate) return {in(0).node().input(0)};
      break;
    case Op::cast:
      if (in(0).dtype() == node.output().dtype) return {in(0)};
      // There and back: what mixed precision leaves between two products.
      if (const Node& first = in(0).node(); first.op() == Op::cast) {
        const Tensor& x = first.input(0);
        if (x.dtype() == node.output().dtype && holds_every(in(0).dtype(), x.dtype())) return {x};
      }
      break;
    case Op::add:
      if (is_zero_that_adds_nothing(in(1))) return {in(0)};
      if (is_zero_that_adds_nothing(in(0))) return {in(1)};
      break;
    case Op::subtract:
      if (is_number(in(1), 0.0)) return {in(0)};
      break;
    case Op::multiply:
      if (is_number(in(1), 1.0)) return {in(0)};
      if (is_number(in(0), 1.0)) return {in(1)};
      break;
    case Op::divide:
      if (is_number(in(1), 1.0)) return {in(0)};
      break;
    case Op::select:
      if (const auto c = number_of(in(0))) return {c->as_double() != 0 ? in(1) : in(2)};
      if (same(in(1), in(2))) return {in(1)};
      break;
    default: break;
  }
  return {};
}

bool is_identity(const Ints& axes) {
  for (int i = 0; i < axes.size(); ++i)
    if (axes[i] != i) return false;
  return true;
}

bool all_are(const Ints& list, int64_t value) {
  for (const int64_t v : list)
    if (v != value) return false;
  return true;
}

// Rows of a table are taken before they are decoded or converted, where that is fewer of them.
Replacement gathered(const Node& node) {
  const Tensor& table = node.input(0);
  const Node& inner = table.node();
  if (node.output().shape.elements() >= table.elements()) return {};
  const auto taken = [&](const Tensor& x) {
    return make(Op::gather, {x, node.input(1)}, node.attrs());
  };
  // Blocks lie along the last axis.
  const auto decodes = [&](const Node& n) {
    return n.op() == Op::dequantize && node.attrs().integer(Attr::axis) + 1 < table.shape().rank();
  };
  if (decodes(inner) || inner.op() == Op::cast)
    return {make(inner.op(), {taken(inner.input(0))}, inner.attrs())};
  // Rows in codes, each with a scale of its own.
  if (inner.op() != Op::multiply || !decodes(inner.input(0).node()) || table.shape().rank() != 2)
    return {};
  const Node& scales = inner.input(1).node();
  if (scales.op() != Op::broadcast || scales.input(0).rank() != 1 ||
      scales.attrs().ints(Attr::axes)[0] != 0)
    return {};
  const Shape& shape = node.output().shape;
  Ints all, leading;
  for (int i = 0; i < shape.rank(); ++i) {
    all.push_back(shape[i]);
    if (i + 1 < shape.rank()) leading.push_back(i);
  }
  const Tensor spread =
      make(Op::broadcast, {taken(scales.input(0))}, {{Attr::shape, all}, {Attr::axes, leading}});
  const Node& codes = inner.input(0).node();
  const Tensor numbers = make(codes.op(), {taken(codes.input(0))}, codes.attrs());
  return {make(Op::multiply, {numbers, spread})};
}

Replacement movement(const Node& node) {
  if (node.inputs().empty()) return {};
  const Tensor& x = node.input(0);
  const Node& inner = x.node();
  const Attrs& attrs = node.attrs();
  const bool same_shape = x.shape() == node.output().shape;
  switch (node.op()) {
    case Op::reshape:
      if (same_shape) return {x};
      if (inner.op() == Op::reshape) return {reshape(inner.input(0), node.output().shape)};
      break;
    case Op::transpose: {
      const Ints& axes = attrs.ints(Attr::axes);
      if (is_identity(axes)) return {x};
      if (inner.op() != Op::transpose) break;
      Ints both;
      for (const int64_t a : axes)
        both.push_back(inner.attrs().ints(Attr::axes)[static_cast<int>(a)]);
      return {transpose(inner.input(0), both)};
    }
    case Op::broadcast: {
      if (same_shape) return {x};
      if (inner.op() != Op::broadcast) break;
      Ints both;
      for (const int64_t a : inner.attrs().ints(Attr::axes))
        both.push_back(attrs.ints(Attr::axes)[static_cast<int>(a)]);
      return {make(Op::broadcast, {inner.input(0)},
                   {{Attr::shape, attrs.ints(Attr::shape)}, {Attr::axes, both}})};
    }
    case Op::slice:
      if (same_shape) return {x};
      break;
    case Op::reverse:
      if (attrs.ints(Attr::axes).empty()) return {x};
      if (inner.op() == Op::reverse && inner.attrs().ints(Attr::axes) == attrs.ints(Attr::axes))
        return {inner.input(0)};
      break;
    case Op::pad:
      if (all_are(attrs.ints(Attr::low), 0) && all_are(attrs.ints(Attr::high), 0) &&
          all_are(attrs.ints(Attr::interior), 0))
        return {x};
      break;
    case Op::concatenate:
      if (node.inputs().size() == 1) return {x};
      break;
    case Op::dynamic_slice:
      // Starts are clamped, so the whole is all that fits.
      if (same_shape) return {x};
      break;
    case Op::gather: return gathered(node);
    case Op::reduce:
      if (attrs.ints(Attr::axes).empty()) return {x};
      break;
    default: break;
  }
  return {};
}

}  // namespace

std::vector<Tensor> simplify_algebra(const Node& node, KnownNodes&) {
  return node.info().trait == Trait::elementwise ? elementwise(node) : movement(node);
}

}  // namespace cairn::detail
