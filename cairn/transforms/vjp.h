// Reverse-mode derivatives. Names and meaning are JAX's.
//
//   auto f = [](Tensor x) { return sum(x * x); };
//   Tensor g = grad(f)(x);                                  // 2 x
//   Tensor h = grad([&](Tensor x) { return sum(sin(grad(f)(x))); })(x);
//   auto [values, gradients] = value_and_gradients({loss}, parameters);   // what a training step
//   uses
//
// A derivative is a graph of the same operations, so it has derivatives itself. A function is
// traced on placeholders of its arguments' types, transformed and called; tensors that it captures
// are constants. Only floats have derivatives: integers and bool have none, and those of 8-bit
// floats are f32. Sums of cotangents are formed in reverse order of building, so that equal graphs
// give equal bits.
#pragma once

#include <array>
#include <concepts>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

// --- of graphs ----------------------------------------------------------------------------------

// inputs: the graph's, then one cotangent per float output.
// outputs: the graph's, then one cotangent per number of argnums (empty: every float input).
Graph vjp(const Graph& graph, std::span<const int> argnums = {});
// outputs: the graph's, of which the first must be a 0-d float, then its gradient with respect to
// the inputs of argnums.
Graph value_and_grad(const Graph& graph, std::span<const int> argnums);
Graph grad(const Graph& graph, std::span<const int> argnums);

// --- of tensors ---------------------------------------------------------------------------------

struct ValuesAndGradients {
  std::vector<Tensor> values;
  std::vector<Tensor> gradients;
};
// Gradients of values[0], a 0-d float, with respect to tensors that it depends on (zeros for one
// that it does not). Use the returned `values` in place of those given: where there is a loop, they
// are built again so that forward and backward share one. Throws Error for a loss that is not a 0-d
// float and for a tensor of `wrt` that is not a float.
ValuesAndGradients value_and_gradients(std::span<const Tensor> values, std::span<const Tensor> wrt);
std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> wrt);

// --- of functions -------------------------------------------------------------------------------

// Gradients of fn's first result with respect to the arguments of argnums.
TensorFunction grad(TensorFunction fn, std::vector<int> argnums = {0});
// fn's results (a loss and auxiliary outputs), then the gradients of the first.
TensorFunction value_and_grad(TensorFunction fn, std::vector<int> argnums = {0});

struct Vjp {
  std::vector<Tensor> outputs;
  // Cotangents of the primals (undefined for one that is not a float) from those of the outputs; an
  // undefined Tensor stands for zero.
  std::function<std::vector<Tensor>(std::span<const Tensor>)> pullback;
};
Vjp vjp(const TensorFunction& fn, std::span<const Tensor> primals);

// --- functions of single tensors ----------------------------------------------------------------

// A callable of Tensors that gives a Tensor: f(Tensor), f(Tensor, Tensor), ... Name the parameters'
// type (not `auto`).
template <class F>
concept TensorCallable =
    !std::convertible_to<F, TensorFunction> && !std::same_as<std::decay_t<F>, Graph>;

namespace detail {
// f(Tensor, ...) of N arguments as a function of spans.
template <size_t N, class F>
TensorFunction pack(F f) {
  return [f = std::move(f)](std::span<const Tensor> args) -> std::vector<Tensor> {
    return [&]<size_t... I>(std::index_sequence<I...>) -> std::vector<Tensor> {
      return {f(args[I]...)};
    }(std::make_index_sequence<N>());
  };
}
}  // namespace detail

// d f / d argument `argnum`, as a function of the same arguments.
template <TensorCallable F>
auto grad(F f, int argnum = 0) {
  return [f = std::move(f), argnum](const std::same_as<Tensor> auto&... args) -> Tensor {
    const std::array<Tensor, sizeof...(args)> list{args...};
    return grad(detail::pack<sizeof...(args)>(f), std::vector<int>{argnum})(list)[0];
  };
}

// The pair (f, d f / d argument `argnum`), as a function of the same arguments.
template <TensorCallable F>
auto value_and_grad(F f, int argnum = 0) {
  return [f = std::move(f),
          argnum](const std::same_as<Tensor> auto&... args) -> std::pair<Tensor, Tensor> {
    const std::array<Tensor, sizeof...(args)> list{args...};
    const auto both =
        value_and_grad(detail::pack<sizeof...(args)>(f), std::vector<int>{argnum})(list);
    return {both[0], both[1]};
  };
}

}  // namespace cairn
