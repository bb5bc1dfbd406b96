#include "cairn/transforms/substitute.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/transforms/helpers.h"

namespace cairn::detail {

std::vector<Tensor> substitute(std::span<const Tensor> roots, TensorMap<Tensor>& map) {
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> order, stack;
  const auto visit = [&](const Tensor& t) {
    if (map.contains(t)) return;
    if (seen.insert(t.node_pointer()).second) stack.push_back(t.node_pointer());
  };
  for (const Tensor& root : roots) visit(root);
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    order.push_back(node);
    for (const Tensor& input : node->inputs()) visit(input);
  }
  std::sort(order.begin(), order.end(),
            [](const Node* a, const Node* b) { return a->id() < b->id(); });
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  for (const Node* node : order) {
    bool changed = false;
    std::vector<Tensor> inputs;
    inputs.reserve(node->inputs().size());
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(now(input));
      changed |= !same(inputs.back(), input);
    }
    if (!changed) continue;
    const std::vector<Tensor> outputs = rebuild(*node, std::move(inputs));
    for (size_t i = 0; i < outputs.size(); ++i)
      map.try_emplace(Tensor(const_cast<Node*>(node), static_cast<int>(i)), outputs[i]);
  }
  std::vector<Tensor> results;
  for (const Tensor& root : roots) results.push_back(now(root));
  return results;
}

std::vector<Tensor> replace(std::span<const Tensor> roots, const Replacement& replacement,
                            bool into_definitions) {
  TensorMap<Tensor> map;
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  for (const Node* node : topological_order(roots)) {
    const Origin origin(node->scope(), node->location());
    bool changed = false;
    std::vector<Tensor> inputs;
    inputs.reserve(node->inputs().size());
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(now(input));
      changed |= !same(inputs.back(), input);
    }
    std::vector<Tensor> outputs = replacement(*node, inputs);
    if (outputs.empty()) {
      Attrs attrs = node->attrs();
      if (into_definitions || !attrs.has(Attr::definition))
        for (const auto& [key, value] : node->attrs())
          if (const auto* region = std::get_if<GraphPtr>(&value)) {
            Graph inside = **region;
            inside.outputs = replace(inside.outputs, replacement, into_definitions);
            if (same(inside.outputs, (*region)->outputs)) continue;
            attrs.set(key, std::make_shared<const Graph>(std::move(inside)));
            changed = true;
          }
      if (!changed) continue;
      outputs = rebuild(*node, std::move(inputs), std::move(attrs));
    }
    for (size_t i = 0; i < outputs.size(); ++i)
      map[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = outputs[i];
  }
  std::vector<Tensor> results;
  for (const Tensor& root : roots) results.push_back(now(root));
  return results;
}

std::vector<const Graph*> regions(const Node& node) {
  std::vector<const Graph*> graphs;
  for (const auto& [key, value] : node.attrs())
    if (const auto* graph = std::get_if<GraphPtr>(&value)) graphs.push_back(graph->get());
  return graphs;
}

void add_mesh_sizes(std::span<const Node* const> nodes, MeshSizes& sizes) {
  for (const Node* node : nodes) {
    if (node->attrs().has(Attr::mesh_axis) && node->attrs().has(Attr::size))
      sizes[node->attrs().text(Attr::mesh_axis)] = node->attrs().integer(Attr::size);
    for (const Graph* region : regions(*node))
      add_mesh_sizes(topological_order(region->outputs), sizes);
  }
}

std::unordered_set<const Node*> dependents(std::span<const Tensor> roots,
                                           std::span<const Tensor> tensors) {
  TensorMap<bool> sources;
  for (const Tensor& t : tensors) sources[t] = true;
  std::unordered_set<const Node*> found;
  for (const Node* node : topological_order(roots)) {
    const auto reads = [&](const Tensor& t) {
      return sources.contains(t) || found.contains(t.node_pointer());
    };
    if (std::any_of(node->inputs().begin(), node->inputs().end(), reads)) found.insert(node);
  }
  return found;
}

void check_regions(std::string_view transform, const Node& node, std::span<const Tensor> tensors) {
  for (const Graph* region : regions(node)) {
    for (const Node* inner : topological_order(region->outputs)) {
      for (const Tensor& t : tensors)
        if (t.node_pointer() == inner)
          fail(transform, node,
               fmt::format("its body reads {} '{}' without having it as an operand, so no "
                           "derivative reaches it; "
                           "pass it as an operand",
                           to_string(t.type()), t.name()));
      check_regions(transform, *inner, tensors);
    }
  }
}

}  // namespace cairn::detail
