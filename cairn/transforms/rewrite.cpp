// The walk that the passes of simplify share, and merging of equal operations.
#include "cairn/transforms/rewrite.h"

#include <algorithm>
#include <unordered_map>

#include "cairn/graph/compare.h"
#include "cairn/graph/hash.h"

namespace cairn::detail {
namespace {

// Attributes whose regions went through the same rule.
Attrs rewritten_regions(const Node& node, const std::function<Rewrite()>& make_rule,
                        int64_t& rewrites) {
  Attrs attrs = node.attrs();
  for (const auto& [key, value] : node.attrs()) {
    const auto* region = std::get_if<GraphPtr>(&value);
    if (!region) continue;
    int64_t inside = 0;
    Graph changed = rewrite_graph(**region, make_rule, inside);
    if (inside == 0) continue;
    rewrites += inside;
    attrs.set(key, std::make_shared<const Graph>(std::move(changed)));
  }
  return attrs;
}

}  // namespace

Graph rewrite_graph(const Graph& graph, const std::function<Rewrite()>& make_rule,
                    int64_t& rewrites) {
  const Rewrite rule = make_rule();
  TensorMap<Tensor> map;
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  for (const Node* node : topological_order(graph.outputs)) {
    if (node->op() == Op::input || node->op() == Op::leaf) continue;
    std::vector<Tensor> inputs;
    inputs.reserve(node->inputs().size());
    bool changed = false;
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(now(input));
      changed |= !(inputs.back() == input);
    }
    const int64_t before = rewrites;
    if (node->op() == Op::cond || node->op() == Op::loop) {
      Attrs attrs = rewritten_regions(*node, make_rule, rewrites);
      if (rewrites > before) {
        const std::vector<Tensor> outputs = rebuild(*node, std::move(inputs), std::move(attrs));
        for (size_t i = 0; i < outputs.size(); ++i)
          map[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = outputs[i];
        continue;
      }
    }
    std::vector<Tensor> current = changed ? rebuild(*node, std::move(inputs))
                                          : all_outputs(Tensor(const_cast<Node*>(node), 0));
    const Origin origin(node->scope(), node->location());
    std::vector<Tensor> outputs = rule(current[0].node());
    bool same_types = !outputs.empty();
    for (size_t i = 0; i < outputs.size(); ++i)
      same_types &= outputs[i].type() == node->output(static_cast<int>(i));
    if (same_types) {
      ++rewrites;
      current = std::move(outputs);
    } else if (!changed) {
      continue;
    }
    for (size_t i = 0; i < current.size(); ++i)
      map[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = current[i];
  }
  Graph result{graph.name, graph.inputs, {}, graph.output_names};
  for (const Tensor& output : graph.outputs) result.outputs.push_back(now(output));
  return result;
}

Graph remove_stop_gradient(const Graph& graph, int64_t& rewrites) {
  const Rewrite rule = [](const Node& node) -> std::vector<Tensor> {
    if (node.op() != Op::stop_gradient) return {};
    return {node.input(0)};
  };
  return rewrite_graph(graph, [&] { return rule; }, rewrites);
}

namespace {

// Collectives have one order on all ranks and each is a message; results of a barrier are not seen
// through. Leaves, inputs and nodes without a result have nothing to merge.
bool may_merge(const Node& node) {
  switch (node.op()) {
    case Op::barrier:
    case Op::all_reduce:
    case Op::all_gather:
    case Op::all_gather_invariant:
    case Op::reduce_scatter:
    case Op::all_to_all:
    case Op::permute: return false;
    default: break;
  }
  // Regions may hold collectives.
  for (const auto& [key, value] : node.attrs())
    if (const auto* region = std::get_if<GraphPtr>(&value))
      for (const Node* inner : topological_order((*region)->outputs))
        if (inner->op() != Op::barrier && inner->op() != Op::input && !may_merge(*inner))
          return false;
  return true;
}

// compare.h leaves the functions of a definition out, but they decide the derivative.
bool same_definition(const Attrs& a, const Attrs& b) {
  const AttrValue* x = a.find(Attr::definition);
  const AttrValue* y = b.find(Attr::definition);
  if (!x || !y) return x == y;
  return std::get<DefinitionPtr>(*x) == std::get<DefinitionPtr>(*y);
}

std::vector<Tensor> find_equal(const Node& node,
                               std::unordered_map<uint64_t, std::vector<Tensor>>& known) {
  if (!may_merge(node)) return {};
  uint64_t key = hash_attributes(node.attrs()) * 31 + static_cast<uint64_t>(node.op());
  for (const Tensor& t : node.inputs()) key = key * 0x9E3779B97F4A7C15u + TensorHash()(t);
  const auto agrees = [&](const Node& other) {
    return other.op() == node.op() && std::ranges::equal(other.inputs(), node.inputs()) &&
           same_attributes(other.attrs(), node.attrs()) &&
           same_definition(other.attrs(), node.attrs());
  };
  std::vector<Tensor>& candidates = known[key];
  for (const Tensor& candidate : candidates)
    if (agrees(candidate.node())) return all_outputs(candidate);
  candidates.emplace_back(const_cast<Node*>(&node), 0);
  return {};
}

}  // namespace

Graph merge_equal(const Graph& graph, int64_t& rewrites) {
  const auto make_rule = []() -> Rewrite {
    auto known = std::make_shared<std::unordered_map<uint64_t, std::vector<Tensor>>>();
    return [known](const Node& node) { return find_equal(node, *known); };
  };
  return rewrite_graph(graph, make_rule, rewrites);
}

}  // namespace cairn::detail
