#include "cairn/runtime/schedule.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

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

bool is_given(const Node& node) { return node.op() == Op::input || node.op() == Op::leaf; }

namespace {

// Nodes by place, with the edges among them that are not operands: reader → overwriter.
struct Order {
  std::vector<const Node*> nodes;
  std::unordered_map<const Node*, int> place;
  std::vector<std::vector<int>> extra;  // before → after

  explicit Order(const Graph& graph) : nodes(topological_order(graph.outputs)) {
    for (size_t i = 0; i < nodes.size(); ++i) place[nodes[i]] = static_cast<int>(i);
    extra.resize(nodes.size());
  }
  // All places that must come before or at `from`, by operands and extra edges.
  std::vector<bool> ancestors(int from) const {
    std::vector<std::vector<int>> before(nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i)
      for (int j : extra[i]) before[static_cast<size_t>(j)].push_back(static_cast<int>(i));
    std::vector<bool> seen(nodes.size());
    std::vector<int> stack{from};
    seen[static_cast<size_t>(from)] = true;
    while (!stack.empty()) {
      const int at = stack.back();
      stack.pop_back();
      const auto visit = [&](int p) {
        if (!seen[static_cast<size_t>(p)]) {
          seen[static_cast<size_t>(p)] = true;
          stack.push_back(p);
        }
      };
      for (const Tensor& t : nodes[static_cast<size_t>(at)]->inputs()) visit(place.at(t.node_pointer()));
      for (int p : before[static_cast<size_t>(at)]) visit(p);
    }
    return seen;
  }
};

// Nodes that read the memory of `root`, through aliases too.
std::vector<int> readers_of(const Order& order, const Node* root) {
  std::vector<const Node*> memory{root};
  std::vector<int> readers;
  for (size_t i = 0; i < order.nodes.size(); ++i) {
    const Node* node = order.nodes[i];
    bool reads = false;
    for (const Tensor& t : node->inputs())
      reads |= std::find(memory.begin(), memory.end(), t.node_pointer()) != memory.end();
    if (!reads) continue;
    if (is_alias(*node)) memory.push_back(node);
    readers.push_back(static_cast<int>(i));
  }
  return readers;
}

}  // namespace

Schedule make_schedule(const Graph& graph, std::vector<std::pair<Tensor, Tensor>>& overwrites) {
  Order order(graph);
  std::vector<std::pair<Tensor, Tensor>> kept;
  bool reordered = false;
  for (auto& pair : overwrites) {
    const int writer = order.place.at(pair.second.node_pointer());
    std::vector<int> late;
    for (int reader : readers_of(order, pair.first.node_pointer()))
      if (reader > writer) late.push_back(reader);
    bool possible = true;
    for (int reader : late)
      if (order.ancestors(reader)[static_cast<size_t>(writer)]) possible = false;
    if (!possible) continue;
    for (int reader : late) {
      order.extra[static_cast<size_t>(reader)].push_back(writer);
      reordered = true;
    }
    kept.push_back(pair);
  }
  overwrites = std::move(kept);

  std::vector<const Node*> sequence = order.nodes;
  if (reordered) {
    // Kahn's algorithm, earliest built first.
    std::vector<int> waiting(order.nodes.size());
    std::vector<std::vector<int>> after = order.extra;
    for (size_t i = 0; i < order.nodes.size(); ++i)
      for (const Tensor& t : order.nodes[i]->inputs())
        after[static_cast<size_t>(order.place.at(t.node_pointer()))].push_back(static_cast<int>(i));
    for (const auto& list : after)
      for (int j : list) ++waiting[static_cast<size_t>(j)];
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (size_t i = 0; i < waiting.size(); ++i)
      if (!waiting[i]) ready.push(static_cast<int>(i));
    sequence.clear();
    while (!ready.empty()) {
      const int at = ready.top();
      ready.pop();
      sequence.push_back(order.nodes[static_cast<size_t>(at)]);
      for (int j : after[static_cast<size_t>(at)])
        if (--waiting[static_cast<size_t>(j)] == 0) ready.push(j);
    }
    CAIRN_ASSERT(sequence.size() == order.nodes.size());
  }

  Schedule schedule;
  for (const Node* node : sequence)
    if (!is_given(*node) && !is_alias(*node)) schedule.launches.push_back({{node}});
  return schedule;
}

}  // namespace cairn
