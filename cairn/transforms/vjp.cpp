#include "cairn/transforms/vjp.h"

#include <fmt/format.h>

#include "cairn/graph/infer.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/pullback.h"
#include "cairn/transforms/reverse_walk.h"
#include "cairn/transforms/substitute.h"

namespace cairn {
namespace {

std::string where(const Tensor& t) {
  const auto& location = t.node().location();
  return location.line() ? fmt::format(" (built at {})", locate(location)) : "";
}

void check_loss(std::string_view transform, std::span<const Tensor> outputs) {
  if (outputs.empty())
    throw_error(fmt::format("[{}] the function gives nothing to differentiate", transform));
  const Tensor& loss = outputs[0];
  if (loss.rank() == 0 && is_float(loss.dtype())) return;
  throw_error(fmt::format(
      "[{}] the loss must be a 0-d float, it is {}{}; reduce it with sum or mean, or use vjp",
      transform, to_string(loss.type()), where(loss)));
}

void check_float(std::string_view transform, const Tensor& t, std::string_view what) {
  if (is_float(t.dtype())) return;
  throw_error(fmt::format("[{}] {} is {}{}: only floats have derivatives", transform, what,
                          to_string(t.type()), where(t)));
}

std::vector<int> checked_argnums(std::string_view transform, const Graph& graph,
                                 std::span<const int> argnums) {
  std::vector<int> result(argnums.begin(), argnums.end());
  for (const int i : result) {
    if (i < 0 || i >= static_cast<int>(graph.inputs.size()))
      throw_error(fmt::format("[{}] argument {} does not exist: the function has {}", transform, i,
                              graph.inputs.size()));
    check_float(transform, graph.inputs[static_cast<size_t>(i)], fmt::format("argument {}", i));
  }
  return result;
}

std::vector<std::string> extended_names(const Graph& graph, size_t outputs) {
  if (graph.output_names.empty()) return {};
  std::vector<std::string> names = graph.output_names;
  while (names.size() < outputs)
    names.push_back(fmt::format("ct_{}", names.size() - graph.outputs.size()));
  return names;
}

std::vector<TensorType> types_of(std::span<const Tensor> tensors) {
  std::vector<TensorType> types;
  for (const Tensor& t : tensors) types.push_back(t.type());
  return types;
}

// A tensor that the caller gave for another one's cotangent.
void check_cotangent(const Tensor& ct, const Tensor& output, size_t i) {
  const TensorType wanted = detail::tangent_type(output.type());
  if (ct.dtype() == wanted.dtype && ct.shape() == wanted.shape) return;
  throw_error(fmt::format("[vjp] cotangent {} is {}, the output is {}", i, to_string(ct.type()),
                          to_string(output.type())));
}

}  // namespace

Graph vjp(const Graph& graph, std::span<const int> argnums) {
  std::vector<int> wrt = checked_argnums("vjp", graph, argnums);
  if (wrt.empty())
    for (size_t i = 0; i < graph.inputs.size(); ++i)
      if (is_float(graph.inputs[i].dtype())) wrt.push_back(static_cast<int>(i));
  std::vector<bool> given;
  for (const Tensor& output : graph.outputs) given.push_back(is_float(output.dtype()));
  Graph result = detail::pullback(graph, given, wrt, true);
  result.output_names = extended_names(graph, result.outputs.size());
  return result;
}

Graph value_and_grad(const Graph& graph, std::span<const int> argnums) {
  check_loss("grad", graph.outputs);
  std::vector<Tensor> wrt;
  for (const int i : checked_argnums("grad", graph, argnums))
    wrt.push_back(graph.inputs[static_cast<size_t>(i)]);
  ValuesAndGradients both = value_and_gradients(graph.outputs, wrt);
  Graph result{graph.name, graph.inputs, std::move(both.values), {}};
  result.outputs.insert(result.outputs.end(), both.gradients.begin(), both.gradients.end());
  result.output_names = extended_names(graph, result.outputs.size());
  return result;
}

Graph grad(const Graph& graph, std::span<const int> argnums) {
  Graph result = value_and_grad(graph, argnums);
  const auto skip = static_cast<std::ptrdiff_t>(graph.outputs.size());
  result.outputs.erase(result.outputs.begin(), result.outputs.begin() + skip);
  if (!result.output_names.empty())
    result.output_names.erase(result.output_names.begin(), result.output_names.begin() + skip);
  return result;
}

ValuesAndGradients value_and_gradients(std::span<const Tensor> values,
                                       std::span<const Tensor> wrt) {
  check_loss("grad", values);
  for (size_t i = 0; i < wrt.size(); ++i)
    check_float("grad", wrt[i], fmt::format("tensor {} of wrt", i));
  const detail::ReverseWalk walk(values, wrt);
  std::vector<Tensor> cotangents(values.size());
  cotangents[0] = detail::constant_of(detail::tangent_type(values[0].type()), 1);
  ValuesAndGradients result{walk.roots(), walk.pull(cotangents)};
  for (size_t i = 0; i < wrt.size(); ++i)
    if (!result.gradients[i].defined())
      result.gradients[i] = detail::zeros_of(detail::tangent_type(wrt[i].type()));
  return result;
}

std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> wrt) {
  return value_and_gradients({&loss, 1}, wrt).gradients;
}

TensorFunction grad(TensorFunction fn, std::vector<int> argnums) {
  return [fn = std::move(fn), argnums = std::move(argnums)](std::span<const Tensor> args) {
    return call(grad(trace(fn, types_of(args)), argnums), args);
  };
}

TensorFunction value_and_grad(TensorFunction fn, std::vector<int> argnums) {
  return [fn = std::move(fn), argnums = std::move(argnums)](std::span<const Tensor> args) {
    return call(value_and_grad(trace(fn, types_of(args)), argnums), args);
  };
}

Vjp vjp(const TensorFunction& fn, std::span<const Tensor> primals) {
  const Graph traced = trace(fn, types_of(primals));
  std::vector<Tensor> sources;
  for (const Tensor& input : traced.inputs)
    if (is_float(input.dtype())) sources.push_back(input);
  // Walked once on placeholders. Forward and backward part are then built on the primals through
  // one map, so that they share what both need.
  struct State {
    detail::ReverseWalk walk;
    TensorMap<Tensor> built;
  };
  const auto state =
      std::make_shared<State>(State{detail::ReverseWalk(traced.outputs, sources), {}});
  for (size_t i = 0; i < primals.size(); ++i) state->built[traced.inputs[i]] = primals[i];
  Vjp result;
  result.outputs = detail::substitute(state->walk.roots(), state->built);
  result.pullback = [state, inputs = traced.inputs,
                     outputs = result.outputs](std::span<const Tensor> given) {
    if (given.size() != outputs.size())
      throw_error(fmt::format("[vjp] {} cotangents for {} outputs", given.size(), outputs.size()));
    for (size_t i = 0; i < given.size(); ++i)
      if (given[i].defined()) check_cotangent(given[i], outputs[i], i);
    const std::vector<Tensor> pulled = state->walk.pull(given);
    std::vector<Tensor> cotangents(inputs.size());
    for (size_t i = 0, next = 0; i < inputs.size(); ++i) {
      if (!is_float(inputs[i].dtype())) continue;
      const Tensor& ct = pulled[next++];
      cotangents[i] = ct.defined() ? detail::substitute({&ct, 1}, state->built)[0]
                                   : detail::zeros_of(detail::tangent_type(inputs[i].type()));
    }
    return cotangents;
  };
  return result;
}

}  // namespace cairn
