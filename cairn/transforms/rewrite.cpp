#include "cairn/transforms/rewrite.h"

#include "cairn/graph/numbering.h"

namespace cairn::detail {
namespace {

Tensor handle(const Node& node, int output = 0) { return Tensor(const_cast<Node*>(&node), output); }

int64_t total(const std::vector<CountedRule>& rules) {
  int64_t sum = 0;
  for (const CountedRule& r : rules) sum += *r.rewrites;
  return sum;
}

// Attributes whose regions went through the same rules.
Attrs rewritten_regions(const Node& node, const std::vector<CountedRule>& rules) {
  Attrs attrs = node.attrs();
  for (const auto& [key, value] : node.attrs()) {
    const auto* region = std::get_if<GraphPtr>(&value);
    if (!region) continue;
    const int64_t before = total(rules);
    bool may_trim = false;
    Graph changed = rewrite_graph(**region, rules, may_trim);
    if (total(rules) > before) attrs.set(key, std::make_shared<const Graph>(std::move(changed)));
  }
  return attrs;
}

bool same_types(const std::vector<Tensor>& outputs, const Node& node) {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].type() != node.output(static_cast<int>(i))) return false;
  return true;
}

// A rewrite gives something smaller or something known, so chains of them are short.
constexpr int kMaxChain = 16;

// The results that `node` has in the new graph.
std::vector<Tensor> rewrite_node(Tensor node, const std::vector<CountedRule>& rules,
                                 KnownNodes& known) {
  const Origin origin(node.node().scope(), node.node().location());
  std::vector<Tensor> outputs;
  for (int i = 0; i < kMaxChain; ++i) {
    const Node& current = node.node();
    for (const CountedRule& r : rules) {
      std::vector<Tensor> better = r.rule(current, known);
      if (better.empty() || !same_types(better, current)) continue;
      ++*r.rewrites;
      outputs = std::move(better);
      break;
    }
    // What was there before has been through the rules; a new node has not.
    if (outputs.size() != 1 || outputs[0].node().id() <= current.id()) break;
    node = outputs[0];
    outputs.clear();
  }
  return outputs.empty() ? all_outputs(node) : outputs;
}

}  // namespace

Graph rewrite_graph(const Graph& graph, const std::vector<CountedRule>& rules, bool& may_trim) {
  const int64_t before = total(rules);
  NodeMap<uint32_t> places;  // 1 + where the results of a node begin in `results`
  const std::vector<const Node*> order = collect_nodes(graph.outputs, places);
  std::vector<Tensor> results;
  results.reserve(order.size() + order.size() / 8);
  const auto now = [&](const Tensor& t) -> const Tensor& {
    return results[*places.find(t.node_pointer()) - 1 + static_cast<uint32_t>(t.output())];
  };
  KnownNodes known(order.size());
  // After the first change every operation is built again. One that is not would keep its old
  // number and move before all that are: the schedule follows that order, and a product's
  // transposed weight would wait in memory from the start of the step.
  bool changed = false;
  for (const Node* node : order) {
    for (const Tensor& input : node->inputs()) changed |= !same(now(input), input);
    const bool has_regions = node->op() == Op::cond || node->op() == Op::loop;
    Attrs attrs;
    if (has_regions) {
      const int64_t inside = total(rules);
      attrs = rewritten_regions(*node, rules);
      changed |= total(rules) > inside;
    }
    may_trim |= has_regions || node->op() == Op::barrier;
    Tensor current = handle(*node);
    const bool is_given = node->op() == Op::input || node->op() == Op::leaf;
    if (changed && !is_given) {
      std::vector<Tensor> inputs;
      inputs.reserve(node->inputs().size());
      for (const Tensor& input : node->inputs()) inputs.push_back(now(input));
      current = rebuild(*node, std::move(inputs), has_regions ? attrs : node->attrs())[0];
    }
    *places.find(node) = static_cast<uint32_t>(results.size()) + 1;
    if (is_given) {
      results.push_back(std::move(current));
    } else {
      for (Tensor& t : rewrite_node(std::move(current), rules, known))
        results.push_back(std::move(t));
    }
  }
  if (total(rules) == before) return graph;
  Graph result{graph.name, graph.inputs, {}, graph.output_names};
  for (const Tensor& output : graph.outputs) result.outputs.push_back(now(output));
  return result;
}

std::vector<Tensor> drop_stop_gradient(const Node& node, KnownNodes&) {
  if (node.op() != Op::stop_gradient) return {};
  return {node.input(0)};
}

}  // namespace cairn::detail
