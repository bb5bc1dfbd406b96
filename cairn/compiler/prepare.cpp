#include "cairn/compiler/prepare.h"

#include <algorithm>

#include "cairn/compiler/channels_last.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/quantized.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/scope.h"

namespace cairn {
namespace {

// Those that hold more than one element.
Ints reduced_axes(const Node& node) {
  Ints axes;
  for (const int64_t axis : node.attrs().ints(Attr::axes))
    if (node.input(0).shape()[static_cast<int>(axis)] != 1) axes.push_back(axis);
  std::sort(axes.begin(), axes.end());
  return axes;
}

bool has_several_axes(const Node& node) {
  return node.op() == Op::reduce && is_float(node.input(0).dtype()) &&
         !is_float8(node.input(0).dtype()) && reduced_axes(node).size() > 1;
}

bool changes(const Graph& graph) {
  return std::ranges::any_of(topological_order(graph.outputs), [](const Node* node) {
    if (node->op() == Op::custom) return false;  // computed by its kernel
    return has_several_axes(*node) || is_lowered_convolution(*node) ||
           std::ranges::any_of(regions_of(*node), [](const Graph* r) { return changes(*r); });
  });
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Attrs attrs;
  attrs.set(Attr::dtype, dtype);
  return make(Op::cast, {x}, std::move(attrs));
}

Tensor one_after_the_other(const Node& node, const Tensor& x) {
  const Origin origin(node.scope(), node.location());
  const DType dtype = x.dtype();
  Tensor value = cast(x, dtype == DType::f64 ? DType::f64 : DType::f32);
  const auto reduce = [&](const Ints& axes) {
    Attrs attrs;
    attrs.set(Attr::kind, node.attrs().text(Attr::kind));
    attrs.set(Attr::axes, axes);
    value = make(Op::reduce, {value}, std::move(attrs));
  };
  const Ints axes = reduced_axes(node);
  for (int i = axes.size(); i-- > 1;) reduce({axes[i]});
  // The first with those of one element, which lie where they were but for the axes that are gone.
  Ints rest = {axes[0]};
  for (const int64_t axis : node.attrs().ints(Attr::axes))
    if (!axes.contains(axis))
      rest.push_back(axis - std::count_if(axes.begin() + 1, axes.end(),
                                          [&](int64_t gone) { return gone < axis; }));
  reduce(rest);
  return cast(value, dtype);
}

bool all_are(const Ints& list, int64_t value) {
  return std::ranges::all_of(list, [&](int64_t v) { return v == value; });
}

// Windows of one element, apart from each other.
bool skips_elements(const Node& node) {
  if (!is_lowered_convolution(node)) return false;
  const Shape& w = node.input(1).shape();
  const Attrs& attrs = node.attrs();
  return w.elements() == w[0] * w[1] && !all_are(attrs.ints(Attr::strides), 1) &&
         all_are(attrs.ints(Attr::low), 0) && all_are(attrs.ints(Attr::high), 0) &&
         all_are(attrs.ints(Attr::lhs_dilation), 1);
}
// Of what is read alone: less is put in order (256 to 512 channels, 56 x 56, stride 2: 28 ms, 24).
Tensor of_read_elements(const Node& node, const Tensor& x, const Tensor& w) {
  const Origin origin(node.scope(), node.location());
  Attrs attrs = node.attrs();
  Ints step = {1, 1};
  for (const int64_t stride : attrs.ints(Attr::strides)) step.push_back(stride);
  attrs.set(Attr::strides, Ints(step.size() - 2, 1));
  const Tensor read = make(
      Op::slice, {x},
      {{Attr::start, Ints(step.size(), 0)}, {Attr::stop, Ints(x.shape())}, {Attr::step, step}});
  return make(Op::convolution, {read, w}, std::move(attrs));
}

}  // namespace

Graph prepare(const Graph& given) {
  const Graph graph = lower_quantized(given);
  if (!can_compile_kernels() || !changes(graph)) return graph;
  const Graph single = rebuild(
      graph, [](Graph&, const Node& node, std::span<const Tensor> inputs) -> std::vector<Tensor> {
        if (has_several_axes(node)) return {one_after_the_other(node, inputs[0])};
        if (skips_elements(node)) return {of_read_elements(node, inputs[0], inputs[1])};
        if (!owns_regions(node.op()) || node.op() == Op::custom) return {};
        return rebuild_with_regions(node, inputs, prepare);
      });
  ChannelsLast pass;
  return rebuild(single, [&](Graph&, const Node& node, std::span<const Tensor> inputs) {
    return pass(node, inputs);
  });
}

}  // namespace cairn
