#include "cairn/graph/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "cairn/graph/infer.h"
#include "cairn/graph/numbering.h"

namespace cairn {

Graph trace(const TensorFunction& fn, std::span<const TensorType> types,
            std::span<const std::string> names) {
  Graph graph;
  for (size_t i = 0; i < types.size(); ++i)
    graph.inputs.push_back(
        Tensor::input(types[i], i < names.size() ? names[i] : fmt::format("x{}", i)));
  graph.outputs = fn(graph.inputs);
  return graph;
}

std::vector<const Node*> topological_order(std::span<const Tensor> roots) {
  NodeMap<uint32_t> seen;
  return collect_nodes(roots, seen);
}

std::vector<Tensor> rebuild(const Node& node, std::vector<Tensor> inputs) {
  return rebuild(node, std::move(inputs), node.attrs());
}

std::vector<Tensor> rebuild(const Node& node, std::vector<Tensor> inputs, Attrs attrs) {
  if (node.op() == Op::leaf || node.op() == Op::input) return {Tensor(const_cast<Node*>(&node), 0)};
  const Origin origin(node.scope(), node.location());
  std::vector<Tensor> outputs = make_many(node.op(), std::move(inputs), std::move(attrs));
  return node.name().empty() ? outputs : all_outputs(outputs[0].named(node.name()));
}

bool same(std::span<const Tensor> a, std::span<const Tensor> b) {
  return std::ranges::equal(a, b, SameTensor());
}

size_t index_of(std::span<const Tensor> tensors, const Tensor& t) {
  const auto at = std::find_if(tensors.begin(), tensors.end(),
                               [&](const Tensor& other) { return same(other, t); });
  return static_cast<size_t>(at - tensors.begin());
}

std::vector<Tensor> call(const Graph& graph, std::span<const Tensor> args) {
  if (args.size() != graph.inputs.size())
    throw_error(fmt::format("[call] graph '{}' takes {} arguments, {} were given", graph.name,
                            graph.inputs.size(), args.size()));
  TensorMap<Tensor> map;
  for (size_t i = 0; i < args.size(); ++i) {
    const TensorType& wanted = graph.inputs[i].type();
    if (args[i].dtype() != wanted.dtype || args[i].shape() != wanted.shape)
      throw_error(fmt::format("[call] argument {} ('{}') of graph '{}' is {}, not {}", i,
                              graph.inputs[i].name(), graph.name, to_string(args[i].type()),
                              to_string(wanted)));
    map[graph.inputs[i]] = args[i];
  }
  for (const Node* node : topological_order(graph.outputs)) {
    Node* shared = const_cast<Node*>(node);
    bool changed = false;
    std::vector<Tensor> inputs;
    inputs.reserve(node->inputs().size());
    for (const Tensor& input : node->inputs()) {
      const auto found = map.find(input);
      if (found != map.end() && !same(found->second, input)) changed = true;
      inputs.push_back(found == map.end() ? input : found->second);
    }
    // What does not depend on the arguments stays shared.
    if (!changed) continue;
    std::vector<Tensor> outputs = rebuild(*node, std::move(inputs));
    for (size_t i = 0; i < outputs.size(); ++i)
      map[Tensor(shared, static_cast<int>(i))] = outputs[i];
  }
  std::vector<Tensor> results;
  for (const Tensor& output : graph.outputs) {
    const auto found = map.find(output);
    results.push_back(found == map.end() ? output : found->second);
  }
  return results;
}

Graph rebuild(const Graph& graph, const Replacement& replace) {
  Graph result = graph;
  TensorMap<Tensor> map;
  const auto mapped = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  for (const Node* node : topological_order(graph.outputs)) {
    std::vector<Tensor> inputs;
    inputs.reserve(node->inputs().size());
    for (const Tensor& t : node->inputs()) inputs.push_back(mapped(t));
    std::vector<Tensor> outputs = replace(result, *node, inputs);
    if (outputs.empty()) outputs = rebuild(*node, std::move(inputs));
    for (size_t i = 0; i < outputs.size(); ++i)
      map[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = outputs[i];
  }
  for (Tensor& output : result.outputs) output = mapped(output);
  return result;
}

const CustomKernel* kernel_of(const Node& custom) {
  const AttrValue* value = custom.attrs().find(Attr::definition);
  const DefinitionPtr definition = value ? std::get<DefinitionPtr>(*value) : nullptr;
  return definition ? definition->kernel.get() : nullptr;
}

Graph close_over(const Graph& graph, std::vector<Tensor>& captured) {
  std::unordered_set<const Node*> own;
  for (const Tensor& input : graph.inputs) own.insert(input.node_pointer());
  // A node belongs to the body when it depends on an input of it; everything else that such a node
  // reads is free, constants apart: those are built again inside.
  std::unordered_set<const Node*> inside;
  const auto order = topological_order(graph.outputs);
  for (const Node* node : order) {
    bool depends = own.count(node) > 0;
    for (const Tensor& input : node->inputs()) depends |= inside.count(input.node_pointer()) > 0;
    if (depends) inside.insert(node);
  }
  std::unordered_set<const Node*> constant;
  for (const Node* node : order) {
    if (inside.count(node)) continue;
    bool is_constant = node->op() == Op::full || node->op() == Op::iota || node->op() == Op::dense;
    if (!node->inputs().empty()) {
      is_constant = true;
      for (const Tensor& input : node->inputs())
        is_constant &= constant.count(input.node_pointer()) > 0;
    }
    if (is_constant) constant.insert(node);
  }
  Graph closed = graph;
  std::vector<Tensor> args = graph.inputs;
  TensorMap<Tensor> replaced;
  const auto capture = [&](const Tensor& t) {
    if (inside.count(t.node_pointer()) || constant.count(t.node_pointer()) || replaced.count(t))
      return;
    const Tensor parameter = Tensor::input(t.type(), fmt::format("c{}", captured.size()));
    replaced[t] = parameter;
    captured.push_back(t);
    closed.inputs.push_back(parameter);
  };
  for (const Node* node : order)
    if (inside.count(node))
      for (const Tensor& input : node->inputs()) capture(input);
  for (const Tensor& output : graph.outputs) capture(output);
  if (replaced.empty()) return closed;
  for (const Node* node : order) {
    if (!inside.count(node)) continue;
    bool changed = false;
    std::vector<Tensor> inputs;
    for (const Tensor& input : node->inputs()) {
      const auto found = replaced.find(input);
      changed |= found != replaced.end();
      inputs.push_back(found == replaced.end() ? input : found->second);
    }
    if (!changed) continue;
    const auto outputs = rebuild(*node, std::move(inputs));
    for (size_t i = 0; i < outputs.size(); ++i)
      replaced[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = outputs[i];
  }
  for (Tensor& output : closed.outputs)
    if (const auto found = replaced.find(output); found != replaced.end()) output = found->second;
  return closed;
}

}  // namespace cairn
