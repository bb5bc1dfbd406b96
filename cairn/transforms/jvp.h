// Forward-mode derivatives, and matrices of derivatives. Names and meaning are JAX's.
#pragma once

#include "cairn/transforms/vjp.h"

namespace cairn {

// inputs: the graph's, then one tangent per number of argnums (empty: every float input).
// outputs: the graph's, then the tangent of each float output.
Graph jvp(const Graph& graph, std::span<const int> argnums = {});

struct Jvp {
  std::vector<Tensor> outputs;
  std::vector<Tensor> tangents;  // one per output; undefined for one that is not a float
};
// fn at the primals, and its derivative there in the direction of the tangents (one per primal; an
// undefined Tensor is zero, and the only choice for a primal that is not a float).
Jvp jvp(const TensorFunction& fn, std::span<const Tensor> primals,
        std::span<const Tensor> tangents);

// Matrices of derivatives of fn's first result with respect to argument `argnum`: shape of the
// result, then shape of the argument. jacfwd pushes one tangent per element of the argument, jacrev
// pulls one cotangent per element of the result; hessian is jacfwd of grad.
TensorFunction jacfwd(TensorFunction fn, int argnum = 0);
TensorFunction jacrev(TensorFunction fn, int argnum = 0);
TensorFunction hessian(TensorFunction fn, int argnum = 0);

template <TensorCallable F>
auto jacfwd(F f, int argnum = 0) {
  return [f = std::move(f), argnum](const std::same_as<Tensor> auto&... args) -> Tensor {
    const std::array<Tensor, sizeof...(args)> list{args...};
    return jacfwd(detail::pack<sizeof...(args)>(f), argnum)(list)[0];
  };
}
template <TensorCallable F>
auto jacrev(F f, int argnum = 0) {
  return [f = std::move(f), argnum](const std::same_as<Tensor> auto&... args) -> Tensor {
    const std::array<Tensor, sizeof...(args)> list{args...};
    return jacrev(detail::pack<sizeof...(args)>(f), argnum)(list)[0];
  };
}
template <TensorCallable F>
auto hessian(F f, int argnum = 0) {
  return [f = std::move(f), argnum](const std::same_as<Tensor> auto&... args) -> Tensor {
    const std::array<Tensor, sizeof...(args)> list{args...};
    return hessian(detail::pack<sizeof...(args)>(f), argnum)(list)[0];
  };
}

}  // namespace cairn
