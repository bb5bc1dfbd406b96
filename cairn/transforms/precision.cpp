#include "cairn/transforms/precision.h"

#include <fmt/format.h>

#include "cairn/ops/elementwise.h"

namespace cairn {
namespace {

bool is_product(Op op) {
  return op == Op::matmul || op == Op::grouped_matmul || op == Op::convolution;
}

// A product of f32 on operands of type `compute`, its result in f32 again.
Tensor narrow_product(const Node& node, std::vector<Tensor> inputs, DType compute) {
  inputs[0] = cast(inputs[0], compute);
  inputs[1] = cast(inputs[1], compute);
  // A convolution's result has its operands' type; a matrix product's is what `dtype` says.
  Attrs attrs;
  if (node.op() == Op::convolution) {
    attrs = node.attrs();
  } else if (node.attrs().has(Attr::accumulate)) {
    attrs.set(Attr::accumulate, node.attrs().dtype(Attr::accumulate));
  }
  return cast(make(node.op(), std::move(inputs), std::move(attrs)), DType::f32);
}

std::vector<Tensor> rewritten(std::span<const Tensor> roots, DType compute) {
  TensorMap<Tensor> map;
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  for (const Node* node : topological_order(roots)) {
    const Origin origin(node->scope(), node->location());
    std::vector<Tensor> inputs;
    bool changed = false;
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(now(input));
      changed |= !(inputs.back() == input);
    }
    const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32; };
    std::vector<Tensor> outputs;
    if (is_product(node->op()) && is_f32(node->input(0).type()) && is_f32(node->input(1).type()) &&
        is_f32(node->output())) {
      outputs = {narrow_product(*node, std::move(inputs), compute)};
    } else {
      Attrs attrs = node->attrs();
      if (!attrs.has(Attr::definition))
        for (const auto& [key, value] : node->attrs())
          if (const auto* region = std::get_if<GraphPtr>(&value)) {
            attrs.set(key, std::make_shared<const Graph>(with_precision(**region, compute)));
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

}  // namespace

std::vector<Tensor> with_precision(std::span<const Tensor> values, DType compute) {
  if (compute == DType::f32) return {values.begin(), values.end()};
  if (compute != DType::f16 && compute != DType::bf16)
    throw_error(
        fmt::format("[precision] products compute in f32, f16 or bf16, not in {}", name(compute)));
  return rewritten(values, compute);
}

Graph with_precision(const Graph& graph, DType compute) {
  return {graph.name, graph.inputs, with_precision(graph.outputs, compute), graph.output_names};
}

TensorFunction with_precision(TensorFunction fn, DType compute) {
  return [fn = std::move(fn), compute](std::span<const Tensor> args) {
    return with_precision(fn(args), compute);
  };
}

}  // namespace cairn
