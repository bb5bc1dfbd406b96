#include "cairn/compiler/group_domain.h"

#include <algorithm>

#include "cairn/compiler/node_class.h"
#include "cairn/compiler/panels.h"
#include "cairn/graph/infer.h"

namespace cairn {

Shape Domain::left() const {
  Shape result = shape;
  if (reduced >= 0) result.erase(reduced);
  return result;
}

namespace {

// Of a domain of that kind, as `anchor` has it.
Shape shape_of(GroupKind kind, const Node& anchor) {
  switch (kind) {
    case GroupKind::pointwise: return squeezed(anchor.output().shape);
    case GroupKind::product: {
      if (anchor.op() == Op::convolution) {
        // Groups, or results of a group where groups are last.
        const Shape& result = anchor.output().shape;
        const int64_t batch = result[0], n = result.back();
        Shape shape;
        if (batch != 1) shape.push_back(batch);
        shape.push_back(result.elements() / batch / n);
        shape.push_back(n);
        shape.push_back(anchor.input(1).elements() / batch / n);
        return shape;
      }
      const Shape& x = anchor.input(0).shape();
      const Shape& result = anchor.output().shape;
      Shape shape;
      for (int i = 0; i + 2 < result.rank(); ++i)
        if (result[i] != 1) shape.push_back(result[i]);
      shape.push_back(result[result.rank() - 2]);
      shape.push_back(result[result.rank() - 1]);
      shape.push_back(x[x.rank() - 1]);
      return shape;
    }
    default: return squeezed(anchor.input(0).shape());
  }
}

int axes_in(const Shape& shape) {
  int axes = 0;
  for (const int64_t size : shape) axes += size != 1;
  return axes;
}

}  // namespace

Domain domain_of(const Node& node) {
  switch (class_of(node)) {
    case NodeClass::reduction: {
      const Shape& x = node.input(0).shape();
      const int axis = reduced_axis(node);
      int reduced = 0;
      for (int i = 0; i < axis; ++i) reduced += x[i] != 1;
      const auto kind = reduced + 1 == axes_in(x) ? GroupKind::rows : GroupKind::columns;
      return {kind, shape_of(kind, node), reduced};
    }
    case NodeClass::product: return {GroupKind::product, shape_of(GroupKind::product, node)};
    default: return {GroupKind::pointwise, shape_of(GroupKind::pointwise, node)};
  }
}

Shape Domain::whole() const {
  if (kind != GroupKind::product) return shape;
  Shape result = shape;
  result.pop_back();
  return squeezed(result);
}

int anchor_of(const LaunchGroup& group) {
  int anchor = -1, fewest = 0;
  bool is_found = false;  // a reduction or product
  for (size_t i = 0; i < group.nodes.size(); ++i) {
    const Node& node = *group.nodes[i];
    const NodeClass c = class_of(node);
    const bool decides = c == NodeClass::reduction || c == NodeClass::product;
    if ((is_found && !decides) || (c == NodeClass::indexing && group.nodes.size() > 1)) continue;
    const int axes =
        axes_in(c == NodeClass::reduction ? node.input(0).shape() : node.output().shape);
    if (anchor >= 0 && decides == is_found && axes >= fewest) continue;
    anchor = static_cast<int>(i);
    fewest = axes;
    is_found = decides;
  }
  return anchor;
}

Part part_of(const Node& node, const Domain& domain) {
  if (domain.reduced < 0) return Part::whole;
  if (class_of(node) == NodeClass::reduction) return Part::left;
  return joined_axes(squeezed(node.output().shape), domain.shape) ? Part::whole : Part::left;
}

Part part_of_operand(const Node& node, int operand, const Domain& domain) {
  switch (class_of(node)) {
    case NodeClass::reduction: return Part::whole;
    case NodeClass::product: return operand == 0 ? Part::lhs : Part::rhs;
    default: return part_of(node, domain);
  }
}

bool reads_windows(const Node& node, int operand) {
  return node.op() == Op::convolution && operand == 0;
}

std::vector<int> axes_of(Part part, const Domain& domain) {
  const int rank = domain.shape.rank();
  const int k = domain.kind == GroupKind::product ? rank - 1 : -1;
  int without = k;
  if (part == Part::left) without = domain.reduced;
  if (part == Part::lhs) without = rank - 2;
  if (part == Part::rhs) without = rank - 3;
  std::vector<int> axes;
  for (int i = 0; i < rank; ++i)
    if (i != without) axes.push_back(i);
  if (part == Part::rhs) std::swap(axes[axes.size() - 2], axes.back());  // [K, N]
  return axes;
}

AxisMap map_of(const Shape& shape, Part part, const Domain& domain) {
  std::vector<int> axes = axes_of(part, domain);
  if (part == Part::lhs || part == Part::rhs) {
    // The last two axes move whatever their size: beyond it a block is masked.
    const int rank = shape.rank();
    Shape batch = shape;
    batch.erase(rank - 1);
    batch.erase(rank - 2);
    const int last = axes.back();
    axes.pop_back();
    const int row = axes.back();
    axes.pop_back();
    AxisMap map = map_onto(batch, axes);
    map.push_back({row, {}});
    map.push_back({last, {}});
    return map;
  }
  std::erase_if(axes, [&](int axis) { return domain.shape[axis] == 1; });
  const Shape joined = part == Part::whole ? domain.whole() : domain.left();
  const auto places = joined_axes(squeezed(shape), joined);
  CAIRN_ASSERT(places);
  std::vector<int> each;
  for (const int place : *places) each.push_back(axes[static_cast<size_t>(place)]);
  return map_onto(shape, each);
}

AxisMap map_of_operand(const Node& node, int operand, const Domain& domain) {
  const Shape& shape = node.input(operand).shape();
  if (node.op() == Op::pad) {
    if (operand == 1) return {};
    const Shape& result = node.output().shape;
    AxisMap map = map_of(result, part_of(node, domain), domain);
    for (int i = 0; i < shape.rank(); ++i)
      if (is_padded(node, i)) map[static_cast<size_t>(i)].steps.push_back({&node, i});
    return map;
  }
  if (node.op() != Op::convolution)
    return map_of(shape, part_of_operand(node, operand, domain), domain);
  // Weights [groups, C, taps..., O] or [O, C, taps..., groups]: channels and taps are K.
  CAIRN_ASSERT(!reads_windows(node, operand) && !reads_panels(node, operand));
  const std::vector<int> axes = axes_of(Part::rhs, domain);
  AxisMap map(static_cast<size_t>(shape.rank()));
  if (axes.size() == 3) map[0].axis = axes[0];
  for (int i = 1; i + 1 < shape.rank(); ++i)
    if (shape[i] != 1 || i + 2 == shape.rank())
      map[static_cast<size_t>(i)].axis = axes[axes.size() - 2];
  map.back().axis = axes.back();
  return map;
}

GroupSources::GroupSources(const LaunchGroup& group) {
  for (const Node* node : group.nodes) inside_.insert(node);
}

Source GroupSources::of(const Tensor& t, const AxisMap& axes) const {
  Traced traced = trace_indices(t, axes, [&](const Node& node) {
    return inside_.contains(&node) && class_of(node) == NodeClass::indexing;
  });
  Source source{Source::Kind::memory, traced.root, {}};
  const Node& node = traced.root.node();
  if (inside_.contains(&node)) {
    if (node.op() == Op::full) {
      source.kind = Source::Kind::constant;
    } else if (node.op() == Op::iota) {
      source.kind = Source::Kind::index;
      const auto axis = static_cast<size_t>(node.attrs().integer(Attr::axis));
      if (!traced.axes[axis].is_fixed()) source.axes.push_back(traced.axes[axis]);
    } else {
      source.kind = Source::Kind::computed;
    }
    return source;
  }
  // Axes that the domain has joined are one.
  for (AxisIndex& axis : traced.axes)
    if (!axis.is_fixed() && (axis.axis < 0 || source.axes.empty() || source.axes.back() != axis))
      source.axes.push_back(std::move(axis));
  return source;
}

bool reads_in_place(const LaunchGroup& group, int i, int result) {
  const Tensor& input = group.inputs[static_cast<size_t>(i)];
  const Tensor& output = group.outputs[static_cast<size_t>(result)];
  if (input.elements() != output.elements() || size_of(input.dtype()) != size_of(output.dtype()))
    return false;
  // A node that reads it as it is and has as many elements reads it in place, but for a product.
  const bool is_plain = std::ranges::none_of(group.nodes, [&](const Node* node) {
    const bool reads = std::ranges::any_of(
        node->inputs(), [&](const Tensor& t) { return same(root_of(t), input); });
    return reads && (class_of(*node) == NodeClass::product || node->op() == Op::broadcast ||
                     node->op() == Op::transpose || node->op() == Op::slice ||
                     node->op() == Op::reverse || node->op() == Op::pad);
  });
  if (is_plain) return true;
  const Domain domain = domain_of(*group.nodes[static_cast<size_t>(anchor_of(group))]);
  const GroupSources sources(group);
  AxisMap own;
  for (const int axis : axes_of(part_of(output.node(), domain), domain))
    if (domain.shape[axis] != 1) own.push_back({axis, {}});
  for (const Node* node : group.nodes) {
    if (class_of(*node) == NodeClass::indexing && group.nodes.size() > 1) continue;
    for (int o = 0; o < static_cast<int>(node->inputs().size()); ++o) {
      const Tensor& t = node->input(o);
      if (reads_windows(*node, o) || reads_panels(*node, o)) {
        if (same(root_of(t), input)) return false;
        continue;
      }
      const Source source = class_of(*node) == NodeClass::indexing
                                ? sources.of(output, map_of(output.shape(), Part::whole, domain))
                                : sources.of(t, map_of_operand(*node, o, domain));
      if (source.kind == Source::Kind::memory && same(source.root, input) && source.axes != own)
        return false;
    }
  }
  return true;
}

// --- parameters ----------------------------------------------------------------------------------

std::vector<bool> whole_slices(const LaunchGroup& group) {
  std::vector<bool> result;
  for (const Node* node : group.nodes)
    if (node->op() == Op::slice)
      for (int axis = 0; axis < node->output().shape.rank(); ++axis)
        result.push_back(is_whole({node, axis}));
  return result;
}

std::optional<Ints> GroupBinding::sizes(const LaunchGroup& group) const {
  const Shape shape = shape_of(kind, *group.nodes[static_cast<size_t>(anchor)]);
  if ((axes.empty() ? 0 : axes.back().second) != shape.rank()) return std::nullopt;
  Ints result;
  for (const auto& [first, last] : axes) {
    int64_t size = 1;
    for (int i = first; i < last; ++i) size *= shape[i];
    result.push_back(size);
  }
  for (const Read& read : reads) {
    int64_t elements = 1;
    for (int a : read.axes) elements *= result[a];
    if (elements != group.inputs[static_cast<size_t>(read.input)].elements()) return std::nullopt;
  }
  if (!whole_slices.empty() && cairn::whole_slices(group) != whole_slices) return std::nullopt;
  return result;
}

std::vector<std::vector<int64_t>> GroupBinding::tables(const LaunchGroup& group) const {
  const Node& node = *group.nodes[static_cast<size_t>(anchor)];
  if (node.op() != Op::convolution) return {};
  const Ints& axes = node.attrs().ints(Attr::axes);
  const Ints strides = node.input(0).shape().strides();
  // Places of everything that these axes hold, the last fastest.
  struct Axis {
    int64_t size, stride;
  };
  const auto places = [](int64_t first, std::span<const Axis> list) {
    std::vector<int64_t> table = {first};
    for (const Axis& axis : list) {
      std::vector<int64_t> next;
      next.reserve(table.size() * static_cast<size_t>(axis.size));
      for (const int64_t before : table)
        for (int64_t i = 0; i < axis.size; ++i) next.push_back(before + i * axis.stride);
      table = std::move(next);
    }
    return table;
  };
  const auto stride_of = [&](int i) { return strides[static_cast<int>(axes[i])]; };
  const Shape &result = node.output().shape, &w = node.input(1).shape();
  std::vector<Axis> rows = {{result[1], stride_of(0)}};
  if (!has_groups_last(node)) rows.insert(rows.begin(), {result[0], w[1] * stride_of(1)});
  std::vector<Axis> steps = {{w[1], stride_of(1)}};
  int64_t first = 0;  // elements before the first window are cut off
  for (int i = 0; i < node.attrs().ints(Attr::low).size(); ++i) {
    first -= stride_of(i + 2) * node.attrs().ints(Attr::low)[i];
    rows.push_back({result[i + 2], stride_of(i + 2) * node.attrs().ints(Attr::strides)[i]});
    steps.push_back({w[i + 2], stride_of(i + 2) * node.attrs().ints(Attr::rhs_dilation)[i]});
  }
  return {places(first, rows), places(0, steps)};
}

std::vector<int64_t> GroupBinding::step_values(const LaunchGroup& group) const {
  std::vector<int64_t> values;
  for (const Step& step : steps) {
    const Node& node = *group.nodes[static_cast<size_t>(step.node)];
    values.push_back(node.input(0).shape()[step.axis]);
    values.push_back(start_of({&node, step.axis}));
  }
  return values;
}

}  // namespace cairn
