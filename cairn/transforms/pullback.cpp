#include "cairn/transforms/pullback.h"

#include <algorithm>

#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/reverse_walk.h"
#include "cairn/transforms/substitute.h"
#include "cairn/transforms/transposes.h"

namespace cairn::detail {
namespace {

std::vector<Tensor> push_node(const Node& node, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& outputs,
                              std::span<const Tensor> tangents) {
  switch (node.info().trait) {
    case Trait::elementwise: {
      Tensor total;
      if (is_float(outputs[0].dtype()))
        for (size_t i = 0; i < inputs.size(); ++i)
          if (tangents[i].defined())
            total = add_defined(
                total, times_derivative({inputs, outputs[0]}, static_cast<int>(i), tangents[i],
                                        tangent_dtype(outputs[0].dtype())));
      return {total};
    }
    case Trait::linear: return push_linear(node, inputs, tangents);
    case Trait::custom: {
      const Row<JvpRule>& row = jvp_row(node.op());
      if (!row.rule) fail("jvp", node, row.missing);
      return row.rule({node, inputs, outputs, tangents});
    }
    case Trait::constant: break;
  }
  return std::vector<Tensor>(outputs.size());
}

}  // namespace

Tensor tangent_input(const Tensor& like, const std::string& prefix) {
  return Tensor::input(tangent_type(like.type()), prefix + like.name());
}

Graph pullback(const Graph& graph, const std::vector<bool>& given, const std::vector<int>& wrt,
               bool with_outputs, const MeshSizes& meshes) {
  std::vector<Tensor> sources;
  for (int i : wrt) sources.push_back(graph.inputs[static_cast<size_t>(i)]);
  const ReverseWalk walk(graph.outputs, sources, meshes);
  Graph result{graph.name, graph.inputs, {}, {}};
  std::vector<Tensor> cotangents(graph.outputs.size());
  for (size_t i = 0; i < cotangents.size(); ++i) {
    if (!given[i]) continue;
    cotangents[i] = Tensor::input(tangent_type(graph.outputs[i].type()), "ct" + std::to_string(i));
    result.inputs.push_back(cotangents[i]);
  }
  if (with_outputs) result.outputs = walk.roots();
  const std::vector<Tensor> pulled = walk.pull(cotangents);
  for (size_t i = 0; i < pulled.size(); ++i)
    result.outputs.push_back(pulled[i].defined() ? pulled[i]
                                                 : zeros_of(tangent_type(sources[i].type())));
  return result;
}

Pushed push(std::span<const Tensor> roots, const TensorMap<Tensor>& seeds) {
  TensorMap<Tensor> values, tangents = seeds;
  std::vector<Tensor> sources;
  for (const auto& [t, tangent] : seeds) sources.push_back(t);
  const auto value = [&](const Tensor& t) {
    const auto found = values.find(t);
    return found == values.end() ? t : found->second;
  };
  const auto tangent = [&](const Tensor& t) {
    const auto found = tangents.find(t);
    return found == tangents.end() ? Tensor() : found->second;
  };
  for (const Node* node : topological_order(roots)) {
    check_regions("jvp", *node, sources);
    std::vector<Tensor> inputs, given;
    bool changed = false, any = false;
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(value(input));
      given.push_back(tangent(input));
      changed |= !same(inputs.back(), input);
      any |= given.back().defined();
    }
    // What follows a rebuilt loop or branch is rebuilt too, so that the order of building stays.
    changed |= !values.empty();
    if (!any && !changed) continue;
    const std::vector<Tensor> old = all_outputs(Tensor(const_cast<Node*>(node), 0));
    const Origin origin(node->scope(), node->location());
    Pushed pushed;
    if (const JvpControlRule rule = any ? jvp_control_rule(node->op()) : nullptr) {
      pushed = rule(*node, inputs, given);
    } else {
      pushed.outputs = changed ? rebuild(*node, inputs) : old;
      if (any) pushed.tangents = push_node(*node, inputs, pushed.outputs, given);
    }
    for (size_t i = 0; i < old.size(); ++i) {
      if (!same(pushed.outputs[i], old[i])) values[old[i]] = pushed.outputs[i];
      if (i < pushed.tangents.size() && pushed.tangents[i].defined())
        tangents.try_emplace(old[i], pushed.tangents[i]);
    }
  }
  Pushed result;
  for (const Tensor& root : roots) {
    result.outputs.push_back(value(root));
    result.tangents.push_back(tangent(root));
  }
  return result;
}

PushedGraph push_graph(const Graph& graph, const std::vector<bool>& given) {
  PushedGraph result{graph.inputs, {}};
  TensorMap<Tensor> tangents;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    if (!given[i]) continue;
    const Tensor t = tangent_input(graph.inputs[i], "d_");
    tangents[graph.inputs[i]] = t;
    result.inputs.push_back(t);
  }
  result.results = push(graph.outputs, tangents);
  return result;
}

}  // namespace cairn::detail
