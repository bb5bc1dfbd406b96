#include "cairn/transforms/precision.h"

#include <fmt/format.h>

#include "cairn/ops/elementwise.h"
#include "cairn/transforms/substitute.h"

namespace cairn {
namespace {

bool is_product_of_f32(const Node& node) {
  const Op op = node.op();
  return (op == Op::matmul || op == Op::grouped_matmul || op == Op::convolution) &&
         node.input(0).dtype() == DType::f32 && node.input(1).dtype() == DType::f32 &&
         node.output().dtype == DType::f32;
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

// A custom operation that knows what to do with narrow numbers; empty: it has no such form.
std::vector<Tensor> narrow_custom(const Node& node, const std::vector<Tensor>& inputs,
                                  DType compute) {
  const AttrValue* value = node.attrs().find(Attr::definition);
  const DefinitionPtr definition = value ? std::get<DefinitionPtr>(*value) : nullptr;
  if (!definition || !definition->narrowed) return {};
  return definition->narrowed(inputs, compute);
}

// The bf16 that t is cast from, moved as t is; undefined: it is not.
Tensor bf16_behind(const Tensor& t) {
  const Node& node = t.node();
  switch (node.op()) {
    case Op::cast: return node.input(0).dtype() == DType::bf16 ? node.input(0) : Tensor();
    case Op::reshape:
    case Op::transpose:
    case Op::slice: {
      const Tensor behind = bf16_behind(node.input(0));
      return behind.defined() ? rebuild(node, {behind})[0] : Tensor();
    }
    default: return {};
  }
}

}  // namespace

std::vector<Tensor> with_precision(std::span<const Tensor> values, DType compute) {
  if (compute == DType::f32) return {values.begin(), values.end()};
  if (compute != DType::f16 && compute != DType::bf16)
    throw_error(
        fmt::format("[precision] products compute in f32, f16 or bf16, not in {}", name(compute)));
  const auto narrow = [compute](const Node& node,
                                const std::vector<Tensor>& inputs) -> std::vector<Tensor> {
    if (node.op() == Op::custom) return narrow_custom(node, inputs, compute);
    if (!is_product_of_f32(node)) return {};
    return {narrow_product(node, inputs, compute)};
  };
  return detail::replace(values, narrow);
}

Graph with_precision(const Graph& graph, DType compute) {
  return {graph.name, graph.inputs, with_precision(graph.outputs, compute), graph.output_names};
}

TensorFunction with_precision(TensorFunction fn, DType compute) {
  return [fn = std::move(fn), compute](std::span<const Tensor> args) {
    return with_precision(fn(args), compute);
  };
}

std::vector<Tensor> with_precision_of_weights(std::span<const Tensor> values) {
  return detail::replace(
      values, [](const Node& node, const std::vector<Tensor>& inputs) -> std::vector<Tensor> {
        if (node.op() != Op::matmul || !is_product_of_f32(node)) return {};
        const Tensor weights = bf16_behind(inputs[1]);
        if (!weights.defined()) return {};
        Attrs attrs = node.attrs();
        attrs.set(Attr::dtype, DType::f32);
        return {make(Op::matmul, {cast(inputs[0], DType::bf16), weights}, std::move(attrs))};
      });
}

Graph with_precision_of_weights(const Graph& graph) {
  return {graph.name, graph.inputs, with_precision_of_weights(graph.outputs), graph.output_names};
}

TensorFunction with_precision_of_weights(TensorFunction fn) {
  return [fn = std::move(fn)](std::span<const Tensor> args) {
    return with_precision_of_weights(fn(args));
  };
}

}  // namespace cairn
