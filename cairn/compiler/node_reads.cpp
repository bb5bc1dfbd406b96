#include "cairn/compiler/node_reads.h"

#include <algorithm>
#include <numeric>

#include "cairn/compiler/axis_map.h"

namespace cairn {
namespace {

Use memory_use(const Tensor& t, int operand) {
  return {root_of(t), operand, all_axes(squeezed(t.shape()).rank())};
}

// Whether neighbours along the operand's last axis lie apart in memory.
bool steps_far(const Tensor& t, const Traced& traced) {
  const int last = squeezed(t.shape()).rank() - 1;
  for (size_t a = 0; a < traced.axes.size(); ++a)
    if (last >= 0 && traced.axes[a].axis == last)
      for (size_t behind = a + 1; behind < traced.axes.size(); ++behind)
        if (traced.seen[static_cast<int>(behind)] != 1) return true;
  return false;
}

// Indices cost nothing, but to read far apart what lies together does: a transposed value that
// several nodes read is worth a launch of its own, as is one that a reduction reads. A product
// reads each operand in blocks, and puts those of a transposed second one in order.
bool may_inline(const ScheduledNodes& nodes, int reader, int operand,
                const std::vector<int>& passed, bool is_strided) {
  const Shape& shape = nodes.node(reader).input(operand).shape();
  if (nodes.node(reader).op() == Op::convolution) return false;
  if (nodes.class_at(reader) == NodeClass::product) {
    // A product's axes of size 1 move too (map_of), which indices cannot say.
    return shape[shape.rank() - 1] != 1 && shape[shape.rank() - 2] != 1;
  }
  // A pad's rows are rows of an image, too short for squares that are put in order in registers
  // (8 x 144 x 56 x 56: 5.6 ms, in two launches 3.4).
  return !is_strided ||
         (nodes.class_at(reader) == NodeClass::pointwise && nodes.node(reader).op() != Op::pad &&
          std::ranges::all_of(passed, [&](int place) { return nodes.readers(place) == 1; }));
}

void follow(const ScheduledNodes& nodes, int reader, int operand, Reads& reads) {
  const Tensor& t = nodes.node(reader).input(operand);
  const int rank = squeezed(t.shape()).rank();
  std::vector<int> passed;
  bool is_constant = false;
  const Traced traced =
      trace_indices(t, map_onto(t.shape(), all_axes(rank)), [&](const Node& node) {
        const int place = nodes.place_of(Tensor(const_cast<Node*>(&node), 0));
        if (place < 0 || !nodes.is_indexing(place)) return false;
        passed.push_back(place);
        is_constant = node.inputs().empty();
        return true;
      });
  const bool is_strided = steps_far(t, traced);
  if (passed.empty() || !may_inline(nodes, reader, operand, passed, is_strided)) {
    reads.uses.push_back(memory_use(t, operand));
    return;
  }
  reads.is_strided |= is_strided;
  for (size_t p = passed.size(); p-- > 0;)
    if (std::ranges::find(reads.inlined, passed[p]) == reads.inlined.end())
      reads.inlined.push_back(passed[p]);
  if (is_constant) return;
  Use use{traced.root, operand, std::vector<int>()};
  for (size_t a = 0; a < traced.axes.size(); ++a) {
    if (traced.seen[static_cast<int>(a)] == 1) continue;
    const AxisIndex& axis = traced.axes[a];
    if (axis.axis < 0 || !axis.steps.empty()) use.axes.reset();
    if (use.axes) use.axes->push_back(axis.axis);
  }
  reads.uses.push_back(std::move(use));
}

}  // namespace

ScheduledNodes::ScheduledNodes(const Schedule& schedule) {
  for (const LaunchGroup& launch : schedule.launches) {
    *place_.insert(&launch.node()).first = static_cast<int>(nodes_.size());
    nodes_.push_back(&launch.node());
    classes_.push_back(class_of(launch.node()));
  }
  readers_.resize(nodes_.size());
  for (const Node* node : nodes_)
    for (const Tensor& t : node->inputs())
      if (const int place = place_of(root_of(t)); place >= 0)
        ++readers_[static_cast<size_t>(place)];
}

Reads reads_of(const ScheduledNodes& nodes, int reader) {
  const Node& node = nodes.node(reader);
  if (!nodes.joins(reader)) return reads_from_memory(node);
  Reads reads;
  for (int o = 0; o < static_cast<int>(node.inputs().size()); ++o) follow(nodes, reader, o, reads);
  // What it computes itself it does not read from memory too.
  const bool reads_inlined = std::ranges::any_of(reads.uses, [&](const Use& use) {
    const int place = nodes.place_of(use.root);
    return place >= 0 && std::ranges::find(reads.inlined, place) != reads.inlined.end();
  });
  return reads_inlined ? reads_from_memory(node) : reads;
}

Reads reads_from_memory(const Node& reader) {
  Reads reads;
  for (int o = 0; o < static_cast<int>(reader.inputs().size()); ++o)
    reads.uses.push_back(memory_use(reader.input(o), o));
  return reads;
}

std::vector<int> all_axes(int rank) {
  std::vector<int> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

}  // namespace cairn
