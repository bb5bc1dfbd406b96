#include "cairn/compiler/schedule.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "cairn/compiler/group_domain.h"
#include "cairn/graph/node_map.h"

namespace cairn {

bool is_alias(const Node& node) {
  switch (node.op()) {
    case Op::reshape:
    case Op::stop_gradient:
    case Op::barrier:
    case Op::vary: return true;
    case Op::transfer: return node.input(0).type().placement == node.output().placement;
    default: return false;
  }
}

Tensor root_of(Tensor t) {
  // The results of a barrier are its operands; all other aliases have one of each.
  while (is_alias(t.node())) t = t.node().input(t.node().op() == Op::barrier ? t.output() : 0);
  return t;
}

bool may_overwrite(const Node& node, int i, int result) {
  const Tensor& operand = node.input(i);
  if (operand.type().bytes() != node.output(result).bytes()) return false;
  const bool is_carried =
      node.op() == Op::loop && i == result + 1 && result < node.attrs().integer(Attr::carried);
  const bool is_updated =
      (node.op() == Op::dynamic_update_slice || node.op() == Op::scatter) && i == 0;
  if (is_carried || is_updated) {
    for (int j = 0; j < static_cast<int>(node.inputs().size()); ++j)
      if (j != i && same(root_of(node.input(j)), root_of(operand))) return false;
    return true;
  }
  return node.op() != Op::dynamic_update_slice && node.op() != Op::scatter &&
         node.info().trait == Trait::elementwise &&
         size_of(operand.dtype()) == size_of(node.output().dtype);
}

bool may_overwrite(const LaunchGroup& group, int i, int result) {
  if (!group.is_fused()) return may_overwrite(group.node(), i, result);
  return reads_in_place(group, i, result);
}

LaunchGroup group_of(const Node& node) {
  LaunchGroup group;
  group.nodes = {&node};
  group.inputs.assign(node.inputs().begin(), node.inputs().end());
  for (int i = 0; i < node.output_count(); ++i)
    group.outputs.emplace_back(const_cast<Node*>(&node), i);
  return group;
}

LaunchGroup fused_group(std::vector<const Node*> nodes, std::vector<Tensor> outputs) {
  LaunchGroup group;
  group.is_fused_ = true;
  // Of a few nodes a search is faster than a table.
  constexpr size_t kFew = 16;
  NodeMap<bool> table;
  if (nodes.size() > kFew)
    for (const Node* node : nodes) table.insert(node);
  const auto is_inside = [&](const Node* node) {
    return nodes.size() > kFew ? table.contains(node)
                               : std::find(nodes.begin(), nodes.end(), node) != nodes.end();
  };
  group.inputs.reserve(nodes.size() + 1);  // mostly enough
  for (const Node* node : nodes)
    for (const Tensor& t : node->inputs()) {
      const Tensor root = root_of(t);
      if (!is_inside(root.node_pointer()) && index_of(group.inputs, root) == group.inputs.size())
        group.inputs.push_back(root);
    }
  group.nodes = std::move(nodes);
  group.outputs = std::move(outputs);
  return group;
}

bool is_given(const Node& node) { return node.op() == Op::input || node.op() == Op::leaf; }

namespace {

// Nodes by place in the order of building, and for each the places that must come after it: its
// consumers, and the overwriters of what it reads.
struct Order {
  std::vector<const Node*> nodes;
  std::unordered_map<const Node*, int> place;
  std::vector<std::vector<int>> after;

  explicit Order(const Graph& graph)
      : nodes(topological_order(graph.outputs)), after(nodes.size()) {
    for (size_t i = 0; i < nodes.size(); ++i) place[nodes[i]] = static_cast<int>(i);
    for (size_t i = 0; i < nodes.size(); ++i)
      for (const Tensor& t : nodes[i]->inputs())
        after[static_cast<size_t>(place.at(t.node_pointer()))].push_back(static_cast<int>(i));
  }
  // All places that must come after `from`.
  std::vector<bool> descendants(int from) const {
    std::vector<bool> seen(nodes.size());
    std::vector<int> stack{from};
    while (!stack.empty()) {
      const int at = stack.back();
      stack.pop_back();
      for (int next : after[static_cast<size_t>(at)]) {
        if (seen[static_cast<size_t>(next)]) continue;
        seen[static_cast<size_t>(next)] = true;
        stack.push_back(next);
      }
    }
    return seen;
  }
};

// For each argument the places of the nodes that read its memory, through aliases too, in order.
std::unordered_map<const Node*, std::vector<int>> readers_of_arguments(const Order& order) {
  std::unordered_map<const Node*, std::vector<int>> readers;
  for (size_t i = 0; i < order.nodes.size(); ++i)
    for (const Tensor& t : order.nodes[i]->inputs()) {
      const Node* root = root_of(t).node_pointer();
      if (!is_given(*root)) continue;
      std::vector<int>& list = readers[root];
      if (list.empty() || list.back() != static_cast<int>(i)) list.push_back(static_cast<int>(i));
    }
  return readers;
}

}  // namespace

Schedule make_schedule(const Graph& graph, std::vector<std::pair<Tensor, Tensor>>& overwrites) {
  Order order(graph);
  std::vector<std::pair<Tensor, Tensor>> kept;
  auto readers_of = overwrites.empty() ? std::unordered_map<const Node*, std::vector<int>>()
                                       : readers_of_arguments(order);
  // As long as every edge leads forward in the order of building, what stands before the writer
  // does not come after it; a training step needs no walk then.
  bool forward = true;
  for (auto& pair : overwrites) {
    const int writer = order.place.at(pair.second.node_pointer());
    const std::vector<int>& readers = readers_of[pair.first.node_pointer()];
    const bool stand_before = readers.empty() || readers.back() <= writer;
    if (!forward || !stand_before) {
      const std::vector<bool> later = order.descendants(writer);
      if (std::any_of(readers.begin(), readers.end(),
                      [&](int r) { return later[static_cast<size_t>(r)]; }))
        continue;
    }
    forward &= stand_before;
    // Readers that stand before the writer get an edge too: another pair may move them.
    for (int reader : readers)
      if (reader != writer) order.after[static_cast<size_t>(reader)].push_back(writer);
    kept.push_back(pair);
  }
  overwrites = std::move(kept);

  // Kahn's algorithm, earliest built first.
  std::vector<int> waiting(order.nodes.size());
  for (const auto& list : order.after)
    for (int next : list) ++waiting[static_cast<size_t>(next)];
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t i = 0; i < waiting.size(); ++i)
    if (!waiting[i]) ready.push(static_cast<int>(i));
  std::vector<const Node*> sequence;
  while (!ready.empty()) {
    const int at = ready.top();
    ready.pop();
    sequence.push_back(order.nodes[static_cast<size_t>(at)]);
    for (int next : order.after[static_cast<size_t>(at)])
      if (--waiting[static_cast<size_t>(next)] == 0) ready.push(next);
  }
  CAIRN_ASSERT(sequence.size() == order.nodes.size());

  Schedule schedule;
  for (const Node* node : sequence)
    if (!is_given(*node) && !is_alias(*node)) schedule.launches.push_back(group_of(*node));
  return schedule;
}

}  // namespace cairn
