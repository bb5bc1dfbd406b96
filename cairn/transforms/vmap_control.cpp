// Batching of cond, loop and custom operations.
#include <algorithm>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/batching.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/pullback.h"
#include "cairn/transforms/substitute.h"

namespace cairn::detail {
namespace {

// c (B) against x (B, ...): x where c, else y.
Tensor select_examples(const Tensor& c, const Tensor& x, const Tensor& y) {
  std::vector<Tensor> all{c, x, y};
  vary_together(all);
  all[0] = make(Op::broadcast, {all[0]}, {{Attr::shape, Ints(x.shape())}, {Attr::axes, Ints{0}}});
  return make(Op::select, std::move(all));
}

// A gather or scatter on indices that are all in range. One that is not gathers what it would and
// still scatters nothing: it goes to a place behind the end that is cut off.
std::vector<Tensor> in_range(const Node& node, std::vector<Tensor> inputs) {
  if (node.op() != Op::gather && node.op() != Op::scatter) return {};
  const int axis = static_cast<int>(node.attrs().integer(Attr::axis));
  const int64_t size = inputs[0].shape()[axis];
  if (size == 0) return {};
  Tensor& indices = inputs[1];
  if (node.op() == Op::gather) {
    indices = minimum(maximum(indices, 0), size - 1);
    return rebuild(node, std::move(inputs));
  }
  indices = where(bitwise_and(indices >= 0, indices < size), indices, size);
  Ints none(inputs[0].rank(), 0), one = none;
  one[axis] = 1;
  inputs[0] = pad(inputs[0], none, one);
  return {slice_axis(rebuild(node, std::move(inputs))[0], axis, 0, size)};
}

// A graph that reports no index out of range, for work whose results may be thrown away.
Graph without_index_errors(const Graph& graph) {
  Graph result = graph;
  result.outputs = replace(graph.outputs, in_range, true);
  return result;
}

std::vector<bool> flags(const std::vector<Batched>& inputs) {
  std::vector<bool> result;
  for (const Batched& b : inputs) result.push_back(b.batched);
  return result;
}

std::vector<Tensor> values(const std::vector<Batched>& inputs) {
  std::vector<Tensor> result;
  for (const Batched& b : inputs) result.push_back(b.value);
  return result;
}

std::vector<Batched> marked(const std::vector<Tensor>& outputs, const std::vector<bool>& batched) {
  std::vector<Batched> result;
  for (size_t i = 0; i < outputs.size(); ++i) result.push_back({outputs[i], batched[i]});
  return result;
}

}  // namespace

std::vector<Batched> batch_cond(const BatchContext& c) {
  const Graph& then = *c.attrs().graph(Attr::then);
  const Graph& otherwise = *c.attrs().graph(Attr::otherwise);
  const std::vector<Batched> operands(c.inputs.begin() + 1, c.inputs.end());
  if (c.batched(0)) {
    // Each example takes part in both branches; an error of the one not taken does not exist.
    const std::vector<Batched> a = batch_graph(without_index_errors(then), operands, c.size);
    const std::vector<Batched> b = batch_graph(without_index_errors(otherwise), operands, c.size);
    std::vector<Batched> results;
    for (size_t i = 0; i < a.size(); ++i) {
      const auto full = [&](const Batched& v) {
        return v.batched ? v.value : repeat(v.value, c.size);
      };
      results.push_back({select_examples(c.value(0), full(a[i]), full(b[i])), true});
    }
    return results;
  }
  // A result is batched in both branches or in none.
  std::vector<bool> first, second;
  const Graph a = batched_graph(then, flags(operands), c.size, {}, first);
  const Graph b = batched_graph(otherwise, flags(operands), c.size, first, second);
  const Graph a_again =
      first == second ? a : batched_graph(then, flags(operands), c.size, second, first);
  Attrs attrs{{Attr::then, std::make_shared<const Graph>(a_again)},
              {Attr::otherwise, std::make_shared<const Graph>(b)}};
  return marked(rebuild(c.node, values(c.inputs), std::move(attrs)), second);
}

// Carried values are batched as soon as one step makes them so. With a batched trip count the loop
// runs until the longest example is done; those that are done keep their carried values and stack
// zeros.
std::vector<Batched> batch_loop(const BatchContext& c) {
  const Graph& as_given = *c.attrs().graph(Attr::body);
  const size_t carried = static_cast<size_t>(c.attrs().integer(Attr::carried));
  const size_t scanned = static_cast<size_t>(c.attrs().integer(Attr::scanned));
  const bool masked = c.batched(0);
  const Graph body = masked ? without_index_errors(as_given) : as_given;
  std::vector<bool> batched = flags(c.inputs);
  batched[0] = false;  // the step is the same for all
  std::vector<bool> forced(body.outputs.size(), masked), results;
  if (masked)
    std::fill(batched.begin() + 1, batched.begin() + 1 + static_cast<std::ptrdiff_t>(carried),
              true);
  Graph inner;
  for (bool grown = true; grown;) {
    grown = false;
    for (size_t i = 0; i < carried; ++i) forced[i] = batched[i + 1];
    inner = batched_graph(body, batched, c.size, forced, results);
    for (size_t i = 0; i < carried; ++i) {
      if (!results[i] || batched[i + 1]) continue;
      batched[i + 1] = true;
      grown = true;
    }
  }
  std::vector<Tensor> operands;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const int at = static_cast<int>(i);
    Tensor value = batched[i] ? c.with_batch(at) : c.value(at);
    // The rows of a scanned operand come first.
    if (batched[i] && i > carried && i <= carried + scanned) value = moveaxis(value, 1, 0);
    operands.push_back(value);
  }
  if (masked) {
    operands[0] =
        c.size ? max(c.value(0)) : zeros_of({DType::i32, {}, {}, c.value(0).type().varying});
    const Tensor counts = Tensor::input(c.value(0).type(), "counts");
    std::vector<Tensor> both{counts, inner.inputs[0]};
    vary_together(both);
    const Tensor running = less(both[1], both[0]);  // (B)
    for (size_t i = 0; i < inner.outputs.size(); ++i) {
      Tensor& out = inner.outputs[i];
      out = select_examples(running, out, i < carried ? inner.inputs[i + 1] : zeros_of(out.type()));
    }
    inner.inputs.push_back(counts);
    operands.push_back(c.value(0));
  }
  Attrs attrs = c.attrs();
  attrs.set(Attr::body, std::make_shared<const Graph>(std::move(inner)));
  std::vector<Batched> outputs =
      marked(rebuild(c.node, std::move(operands), std::move(attrs)), results);
  for (size_t i = carried; i < outputs.size(); ++i)
    if (outputs[i].batched) outputs[i].value = moveaxis(outputs[i].value, 1, 0);
  return outputs;
}

namespace {

// A definition for batches: its derivative is the derivative of one example, batched.
DefinitionPtr batched_definition(const DefinitionPtr& one, const GraphPtr& body, const Node& node,
                                 const std::vector<bool>& inputs, const std::vector<bool>& outputs,
                                 int64_t size) {
  auto many = std::make_shared<CustomDefinition>();
  many->name = "vmap(" + one->name + ")";
  many->fallback = [body](std::span<const Tensor> operands) { return call(*body, operands); };
  if (!one->vjp) return many;
  std::vector<TensorType> in_types;
  for (const Tensor& t : node.inputs()) in_types.push_back(t.type());
  const std::vector<TensorType> out_types(node.outputs().begin(), node.outputs().end());
  many->vjp = [one, in_types, out_types, inputs, outputs, size](
                  std::span<const Tensor> operands, std::span<const Tensor> results,
                  std::span<const Tensor> cotangents) {
    // The rule of one example as a graph of operands, results and the cotangents that exist.
    std::vector<TensorType> types = in_types;
    types.insert(types.end(), out_types.begin(), out_types.end());
    std::vector<Batched> args;
    for (size_t i = 0; i < operands.size(); ++i) args.push_back({operands[i], inputs[i]});
    for (size_t i = 0; i < results.size(); ++i) args.push_back({results[i], outputs[i]});
    for (size_t i = 0; i < cotangents.size(); ++i) {
      if (!cotangents[i].defined()) continue;
      types.push_back(tangent_type(out_types[i]));
      args.push_back({cotangents[i], outputs[i]});
    }
    std::vector<bool> has(in_types.size());
    Graph rule = trace(
        [&](std::span<const Tensor> all) {
          std::vector<Tensor> cts(cotangents.size());
          for (size_t i = 0, next = in_types.size() + out_types.size(); i < cts.size(); ++i)
            if (cotangents[i].defined()) cts[i] = all[next++];
          std::vector<Tensor> defined;
          const auto gave = one->vjp(all.first(in_types.size()),
                                     all.subspan(in_types.size(), out_types.size()), cts);
          for (size_t i = 0; i < gave.size() && i < has.size(); ++i) {
            has[i] = gave[i].defined();
            if (has[i]) defined.push_back(gave[i]);
          }
          return defined;
        },
        types);
    const std::vector<Batched> gave = batch_graph(rule, std::move(args), size);
    std::vector<Tensor> result(operands.size());
    for (size_t i = 0, next = 0; i < result.size(); ++i) {
      if (!has[i]) continue;
      const Batched& ct = gave[next++];
      if (inputs[i]) {
        result[i] = ct.batched ? ct.value : repeat(ct.value, size);
      } else {
        // An operand that all examples share gets the sum.
        result[i] = sum(ct.batched ? ct.value : repeat(ct.value, size), {0});
      }
    }
    return result;
  };
  return many;
}

}  // namespace

std::vector<Batched> batch_custom(const BatchContext& c) {
  const std::vector<bool> inputs = flags(c.inputs);
  // All results get the batch axis, so that each example has a cotangent of its own.
  const std::vector<bool> forced(static_cast<size_t>(c.node.output_count()), true);
  std::vector<bool> outputs;
  const auto body = std::make_shared<const Graph>(
      batched_graph(*c.attrs().graph(Attr::body), inputs, c.size, forced, outputs));
  const std::string& name = c.attrs().text(Attr::name);
  // A kernel is for one example; a checkpoint stays one.
  Attrs attrs{{Attr::name, name == kCheckpoint ? name : "vmap(" + name + ")"},
              {Attr::body, GraphPtr(body)}};
  if (const AttrValue* value = c.attrs().find(Attr::definition))
    if (const DefinitionPtr& one = std::get<DefinitionPtr>(*value))
      attrs.set(Attr::definition, batched_definition(one, body, c.node, inputs, outputs, c.size));
  return marked(rebuild(c.node, values(c.inputs), std::move(attrs)), outputs);
}

}  // namespace cairn::detail
