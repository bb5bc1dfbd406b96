// Tangents of cond, loop and custom operations: values and tangents go through one body.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/pullback.h"
#include "cairn/transforms/reverse_walk.h"
#include "cairn/transforms/rules.h"
#include "cairn/transforms/substitute.h"

namespace cairn::detail {
namespace {

std::vector<bool> defined(std::span<const Tensor> tensors) {
  std::vector<bool> flags;
  for (const Tensor& t : tensors) flags.push_back(t.defined());
  return flags;
}

Tensor or_zeros(const Tensor& tangent, const Tensor& value) {
  return tangent.defined() ? tangent : zeros_of(tangent_type(value.type()));
}

// The graph's outputs and then the tangents that `wanted` marks.
Graph joined(const Graph& graph, const PushedGraph& pushed, const std::vector<bool>& wanted) {
  Graph result{graph.name, pushed.inputs, pushed.results.outputs, {}};
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i])
      result.outputs.push_back(or_zeros(pushed.results.tangents[i], pushed.results.outputs[i]));
  return result;
}

Pushed split(const std::vector<Tensor>& all, const std::vector<bool>& wanted) {
  Pushed result;
  result.outputs.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(wanted.size()));
  size_t next = wanted.size();
  for (const bool w : wanted) result.tangents.push_back(w ? all[next++] : Tensor());
  return result;
}

}  // namespace

Pushed jvp_cond(const Node& node, const std::vector<Tensor>& inputs,
                std::span<const Tensor> tangents) {
  const std::vector<bool> given = defined(tangents.subspan(1));
  const Graph& then = *node.attrs().graph(Attr::then);
  const Graph& otherwise = *node.attrs().graph(Attr::otherwise);
  const PushedGraph a = push_graph(then, given);
  const PushedGraph b = push_graph(otherwise, given);
  std::vector<bool> wanted;
  for (size_t i = 0; i < then.outputs.size(); ++i)
    wanted.push_back(a.results.tangents[i].defined() || b.results.tangents[i].defined());
  std::vector<Tensor> operands = inputs;
  for (const Tensor& t : tangents)
    if (t.defined()) operands.push_back(t);
  Attrs attrs{{Attr::then, std::make_shared<const Graph>(joined(then, a, wanted))},
              {Attr::otherwise, std::make_shared<const Graph>(joined(otherwise, b, wanted))}};
  return split(make_many(Op::cond, std::move(operands), std::move(attrs)), wanted);
}

Pushed jvp_loop(const Node& node, const std::vector<Tensor>& inputs,
                std::span<const Tensor> tangents) {
  const Graph& body = *node.attrs().graph(Attr::body);
  const size_t carried = static_cast<size_t>(node.attrs().integer(Attr::carried));
  const size_t scanned = static_cast<size_t>(node.attrs().integer(Attr::scanned));
  std::vector<bool> given = defined(tangents);
  PushedGraph pushed;
  // A carried value gets a tangent as soon as one step gives it one.
  for (bool grown = true; grown;) {
    grown = false;
    pushed = push_graph(body, given);
    for (size_t i = 0; i < carried; ++i) {
      if (!pushed.results.tangents[i].defined() || given[i + 1]) continue;
      given[i + 1] = true;
      grown = true;
    }
  }
  std::vector<bool> wanted = defined(pushed.results.tangents);
  for (size_t i = 0; i < carried; ++i) wanted[i] = given[i + 1];

  // Values and tangents by role: the step; carried; scanned; captured.
  const size_t count = body.inputs.size();
  std::vector<Tensor> tangent_of(count);
  for (size_t i = 0, next = count; i < count; ++i)
    if (given[i]) tangent_of[i] = pushed.inputs[next++];
  Graph dual{body.name, {body.inputs[0]}, {}, {}};
  std::vector<Tensor> operands{inputs[0]};
  int64_t roles[3] = {0, 0, 0};
  const size_t ends[] = {1, 1 + carried, 1 + carried + scanned, count};
  for (int role = 0; role < 3; ++role) {
    for (size_t i = ends[role]; i < ends[role + 1]; ++i) {
      dual.inputs.push_back(body.inputs[i]);
      operands.push_back(inputs[i]);
    }
    for (size_t i = ends[role]; i < ends[role + 1]; ++i) {
      if (!given[i]) continue;
      dual.inputs.push_back(tangent_of[i]);
      operands.push_back(or_zeros(tangents[i], inputs[i]));
    }
    roles[role] = static_cast<int64_t>(dual.inputs.size()) - 1;
  }
  const auto add_outputs = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) dual.outputs.push_back(pushed.results.outputs[i]);
    for (size_t i = from; i < to; ++i)
      if (wanted[i])
        dual.outputs.push_back(or_zeros(pushed.results.tangents[i], pushed.results.outputs[i]));
  };
  add_outputs(0, carried);
  add_outputs(carried, body.outputs.size());

  Attrs attrs = node.attrs();
  attrs.set(Attr::body, std::make_shared<const Graph>(std::move(dual)));
  attrs.set(Attr::carried, roles[0]);
  attrs.set(Attr::scanned, roles[1] - roles[0]);
  const std::vector<Tensor> all = make_many(Op::loop, std::move(operands), std::move(attrs));
  Pushed result;
  result.tangents.resize(body.outputs.size());
  size_t next = 0;
  const auto take_outputs = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) result.outputs.push_back(all[next++]);
    for (size_t i = from; i < to; ++i)
      if (wanted[i]) result.tangents[i] = all[next++];
  };
  take_outputs(0, carried);
  take_outputs(carried, body.outputs.size());
  return result;
}

namespace {

// A vjp rule is linear in the cotangents, and its transpose maps tangents of the operands to those
// of the results: a rule that a user gave holds for jvp as well.
std::vector<Tensor> transposed_rule(const Node& node, const CustomDefinition& definition,
                                    const std::vector<Tensor>& inputs,
                                    const std::vector<Tensor>& outputs,
                                    std::span<const Tensor> tangents) {
  std::vector<Tensor> cotangents(outputs.size()), wrt;
  TensorMap<Tensor> zeros;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!is_float(outputs[i].dtype())) continue;
    cotangents[i] = Tensor::input(tangent_type(outputs[i].type()), fmt::format("ct{}", i));
    zeros[cotangents[i]] = zeros_of(cotangents[i].type());
    wrt.push_back(cotangents[i]);
  }
  const std::vector<Tensor> rule = definition.vjp(inputs, outputs, cotangents);
  if (rule.size() != inputs.size())
    fail("jvp", node,
         fmt::format("the vjp of '{}' gives {} cotangents for {} operands", definition.name,
                     rule.size(), inputs.size()));
  std::vector<Tensor> roots, pushed;
  for (size_t i = 0; i < rule.size(); ++i) {
    if (!rule[i].defined() || !tangents[i].defined()) continue;
    roots.push_back(rule[i]);
    pushed.push_back(tangents[i]);
  }
  const ReverseWalk walk(roots, wrt);
  const std::vector<Tensor> pulled = walk.pull(pushed);
  std::vector<Tensor> result(outputs.size());
  for (size_t i = 0, next = 0; i < outputs.size(); ++i) {
    if (!cotangents[i].defined()) continue;
    const Tensor& t = pulled[next++];
    if (t.defined()) result[i] = substitute({&t, 1}, zeros)[0];
  }
  return result;
}

}  // namespace

Pushed jvp_custom(const Node& node, const std::vector<Tensor>& inputs,
                  std::span<const Tensor> tangents) {
  const Graph& body = *node.attrs().graph(Attr::body);
  const AttrValue* value = node.attrs().find(Attr::definition);
  const DefinitionPtr definition = value ? std::get<DefinitionPtr>(*value) : nullptr;
  if (definition && definition->vjp) {
    Pushed result{rebuild(node, inputs), {}};
    result.tangents = transposed_rule(node, *definition, inputs, result.outputs, tangents);
    return result;
  }
  const PushedGraph pushed = push_graph(body, defined(tangents));
  const std::vector<bool> wanted = defined(pushed.results.tangents);
  std::vector<Tensor> operands = inputs;
  for (const Tensor& t : tangents)
    if (t.defined()) operands.push_back(t);
  if (node.attrs().text(Attr::name) == kCheckpoint) {
    Attrs attrs{{Attr::name, std::string(kCheckpoint)},
                {Attr::body, std::make_shared<const Graph>(joined(body, pushed, wanted))}};
    return split(make_many(Op::custom, std::move(operands), std::move(attrs)), wanted);
  }
  // The values stay those of the kernel; the tangents are computed by the definition.
  Pushed result{rebuild(node, inputs), {}};
  result.tangents = split(call(joined(body, pushed, wanted), operands), wanted).tangents;
  return result;
}

}  // namespace cairn::detail
