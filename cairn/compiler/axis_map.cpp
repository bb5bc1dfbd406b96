#include "cairn/compiler/axis_map.h"

#include "cairn/compiler/node_class.h"
#include "cairn/compiler/schedule.h"

namespace cairn {
namespace {

// The axes of a node's result, which is seen under another shape of the same axes but for those of
// size 1.
AxisMap of_result(const Node& node, const Shape& seen, const AxisMap& axes) {
  AxisMap moving;
  for (int i = 0; i < seen.rank(); ++i)
    if (seen[i] != 1) moving.push_back(axes[static_cast<size_t>(i)]);
  AxisMap result;
  size_t next = 0;
  for (const int64_t size : node.output().shape)
    result.push_back(size == 1 ? AxisIndex() : moving.at(next++));
  return result;
}

AxisMap of_operand(const Node& node, const AxisMap& result) {
  const Shape& shape = node.input(0).shape();
  AxisMap axes(static_cast<size_t>(shape.rank()));
  for (int i = 0; i < shape.rank(); ++i) {
    const auto at = static_cast<size_t>(i);
    switch (node.op()) {
      case Op::broadcast:
        if (shape[i] != 1) axes[at] = result[static_cast<size_t>(node.attrs().ints(Attr::axes)[i])];
        break;
      case Op::transpose:
        axes[static_cast<size_t>(node.attrs().ints(Attr::axes)[i])] = result[at];
        break;
      case Op::reverse:
        if (shape[i] == 1) break;
        axes[at] = result[at];
        if (node.attrs().ints(Attr::axes).contains(i)) axes[at].steps.push_back({&node, i});
        break;
      default: {  // slice
        if (shape[i] == 1) break;
        axes[at] = result[at];
        const IndexStep step{&node, i};
        if (!is_whole(step)) axes[at].steps.push_back(step);
      }
    }
  }
  return axes;
}

}  // namespace

std::optional<std::vector<int>> joined_axes(const Shape& shape, const Shape& joined) {
  std::vector<int> axes;
  int next = 0;
  for (int j = 0; j < joined.rank(); ++j) {
    int64_t size = 1;
    do {
      if (next == shape.rank()) return std::nullopt;
      size *= shape[next++];
      axes.push_back(j);
    } while (size < joined[j]);
    if (size != joined[j]) return std::nullopt;
  }
  return next == shape.rank() ? std::optional(axes) : std::nullopt;
}

AxisMap map_onto(const Shape& shape, const std::vector<int>& axes) {
  AxisMap map(static_cast<size_t>(shape.rank()));
  size_t next = 0;
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] != 1) map[static_cast<size_t>(i)].axis = axes.at(next++);
  CAIRN_ASSERT(next == axes.size());
  return map;
}

Traced trace_indices(const Tensor& t, AxisMap axes,
                     const std::function<bool(const Node&)>& passes) {
  Traced at{root_of(t), t.shape(), std::move(axes)};
  while (squeezed(at.seen) == squeezed(at.root.shape()) && passes(at.root.node())) {
    const Node& node = at.root.node();
    at.axes = of_result(node, at.seen, at.axes);
    at.seen = node.output().shape;
    if (node.inputs().empty()) break;  // a constant
    at.axes = of_operand(node, at.axes);
    at.seen = node.input(0).shape();
    at.root = root_of(node.input(0));
  }
  return at;
}

bool is_padded(const Node& pad, int axis) {
  const Attrs& attrs = pad.attrs();
  return attrs.ints(Attr::low)[axis] || attrs.ints(Attr::high)[axis] ||
         attrs.ints(Attr::interior)[axis];
}

int64_t start_of(const IndexStep& step) {
  switch (step.node->op()) {
    case Op::reverse: return step.node->output().shape[step.axis] - 1;
    case Op::pad: return step.node->attrs().ints(Attr::low)[step.axis];
    default: return step.node->attrs().ints(Attr::start)[step.axis];
  }
}

bool is_whole(const IndexStep& step) {
  return step.node->attrs().ints(Attr::start)[step.axis] == 0 &&
         step.node->output().shape[step.axis] == step.node->input(0).shape()[step.axis];
}

}  // namespace cairn
