#include "cairn/transforms/vmap.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/ops/movement.h"
#include "cairn/transforms/batching.h"
#include "cairn/transforms/helpers.h"

namespace cairn {
namespace detail {

Tensor repeat(const Tensor& x, int64_t size) {
  Shape shape = x.shape();
  shape.insert(0, size);
  Ints axes;
  for (int i = 1; i < shape.rank(); ++i) axes.push_back(i);
  return make(Op::broadcast, {x}, {{Attr::shape, Ints(shape)}, {Attr::axes, axes}});
}

Tensor BatchContext::with_batch(int i) const {
  return batched(i) ? value(i) : repeat(value(i), size);
}

std::vector<Tensor> BatchContext::all_with_batch() const {
  std::vector<Tensor> all;
  for (size_t i = 0; i < inputs.size(); ++i) all.push_back(with_batch(static_cast<int>(i)));
  return all;
}

Ints prefixed(const Ints& list, int64_t first) {
  Ints result = list;
  result.insert(0, first);
  return result;
}

Ints behind_batch(const Ints& axes) {
  Ints result = axes;
  for (int64_t& a : result) ++a;
  return result;
}

std::vector<Batched> all_batched(const std::vector<Tensor>& outputs) {
  std::vector<Batched> result;
  for (const Tensor& t : outputs) result.push_back({t, true});
  return result;
}

std::vector<Batched> batch_graph(const Graph& graph, std::vector<Batched> inputs, int64_t size) {
  TensorMap<Batched> map;
  for (size_t i = 0; i < inputs.size(); ++i) map[graph.inputs[i]] = std::move(inputs[i]);
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? Batched{t, false} : found->second;
  };
  for (const Node* node : topological_order(graph.outputs)) {
    std::vector<Batched> operands;
    bool changed = false, any = false;
    for (const Tensor& input : node->inputs()) {
      operands.push_back(now(input));
      changed |= !same(operands.back().value, input);
      any |= operands.back().batched;
    }
    if (!changed && !any) continue;
    const Origin origin(node->scope(), node->location());
    std::vector<Batched> outputs;
    if (!any) {
      std::vector<Tensor> values;
      for (const Batched& b : operands) values.push_back(b.value);
      for (const Tensor& t : rebuild(*node, std::move(values))) outputs.push_back({t, false});
    } else {
      const BatchContext context{*node, operands, size};
      if (node->info().trait == Trait::elementwise) {
        outputs = all_batched(rebuild(*node, context.all_with_batch()));
      } else if (const BatchRule rule = batch_rule(node->op())) {
        outputs = rule(context);
      } else {
        fail("vmap", *node, "has no batching rule");
      }
    }
    for (size_t i = 0; i < outputs.size(); ++i)
      map[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = outputs[i];
  }
  std::vector<Batched> results;
  for (const Tensor& output : graph.outputs) results.push_back(now(output));
  return results;
}

Graph batched_graph(const Graph& graph, const std::vector<bool>& batched, int64_t size,
                    const std::vector<bool>& forced, std::vector<bool>& results) {
  Graph result{graph.name, {}, {}, {}};
  std::vector<Batched> inputs;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    TensorType type = graph.inputs[i].type();
    if (batched[i]) type.shape.insert(0, size);
    result.inputs.push_back(Tensor::input(type, graph.inputs[i].name()));
    inputs.push_back({result.inputs.back(), batched[i]});
  }
  results.clear();
  for (const Batched& output : batch_graph(graph, inputs, size)) {
    const size_t i = results.size();
    const bool wanted = output.batched || (i < forced.size() && forced[i]);
    result.outputs.push_back(wanted && !output.batched ? repeat(output.value, size) : output.value);
    results.push_back(wanted);
  }
  return result;
}

}  // namespace detail

namespace {

const BatchAxis& axis_of(std::span<const BatchAxis> axes, size_t i) {
  return axes[std::min(i, axes.size() - 1)];
}

}  // namespace

Graph vmap(const Graph& graph, std::span<const BatchAxis> in_axes,
           std::span<const BatchAxis> out_axes, int64_t size) {
  CAIRN_ASSERT(in_axes.size() == graph.inputs.size() && out_axes.size() == graph.outputs.size());
  Graph result{graph.name, {}, {}, graph.output_names};
  std::vector<detail::Batched> inputs;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    TensorType type = graph.inputs[i].type();
    if (!in_axes[i]) {
      result.inputs.push_back(Tensor::input(type, graph.inputs[i].name()));
      inputs.push_back({result.inputs.back(), false});
      continue;
    }
    const int axis = normalize_axis("vmap", *in_axes[i], type.shape.rank() + 1);
    type.shape.insert(axis, size);
    result.inputs.push_back(Tensor::input(type, graph.inputs[i].name()));
    inputs.push_back({moveaxis(result.inputs.back(), axis, 0), true});
  }
  const std::vector<detail::Batched> outputs = detail::batch_graph(graph, std::move(inputs), size);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& [value, batched] = outputs[i];
    if (!out_axes[i]) {
      if (batched)
        throw_error(
            fmt::format("[vmap] result {} depends on a batched argument, so it needs an axis", i));
      result.outputs.push_back(value);
      continue;
    }
    const int axis = normalize_axis("vmap", *out_axes[i], graph.outputs[i].rank() + 1);
    result.outputs.push_back(moveaxis(batched ? value : detail::repeat(value, size), 0, axis));
  }
  return result;
}

TensorFunction vmap(TensorFunction fn, std::vector<BatchAxis> in_axes,
                    std::vector<BatchAxis> out_axes) {
  if (in_axes.empty() || out_axes.empty())
    throw_error("[vmap] in_axes and out_axes need at least one entry");
  return [fn = std::move(fn), in_axes = std::move(in_axes),
          out_axes = std::move(out_axes)](std::span<const Tensor> args) -> std::vector<Tensor> {
    std::vector<TensorType> types;
    std::vector<BatchAxis> in, out;
    std::optional<int64_t> size;
    for (size_t i = 0; i < args.size(); ++i) {
      types.push_back(args[i].type());
      in.push_back(axis_of(in_axes, i));
      if (!in.back()) continue;
      const int axis = normalize_axis("vmap", *in.back(), args[i].rank());
      const int64_t here = args[i].shape()[axis];
      if (size && *size != here)
        throw_error(fmt::format("[vmap] argument {} has {} examples along axis {}, others have {}",
                                i, here, axis, *size));
      size = here;
      types.back().shape.erase(axis);
    }
    if (!size) throw_error("[vmap] at least one argument must have a batch axis");
    const Graph traced = trace(fn, types);
    for (size_t i = 0; i < traced.outputs.size(); ++i) out.push_back(axis_of(out_axes, i));
    return call(vmap(traced, in, out, *size), args);
  };
}

}  // namespace cairn
