#include "cairn/transforms/jvp.h"

#include <fmt/format.h>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/pullback.h"
#include "cairn/transforms/vmap.h"

namespace cairn {
namespace {

// An orthonormal basis of the tensors of `type`: [elements, shape].
Tensor basis_of(const TensorType& type) {
  const int64_t n = type.shape.elements();
  const auto index = [&](int64_t axis) {
    return make(Op::iota, {},
                {{Attr::dtype, DType::i64}, {Attr::shape, Ints{n, n}}, {Attr::axis, axis}});
  };
  Shape shape = type.shape;
  shape.insert(0, n);
  std::vector<Tensor> parts{reshape(cast(equal(index(0), index(1)), type.dtype), shape),
                            detail::zeros_of(type)};
  vary_together(parts);
  return parts[0];
}

void check_argument(std::string_view transform, std::span<const Tensor> args, int argnum) {
  if (argnum < 0 || argnum >= static_cast<int>(args.size()))
    throw_error(fmt::format("[{}] argument {} does not exist: {} were given", transform, argnum,
                            args.size()));
  const Tensor& x = args[static_cast<size_t>(argnum)];
  if (!is_float(x.dtype()))
    throw_error(fmt::format("[{}] argument {} is {}: only floats have derivatives", transform,
                            argnum, to_string(x.type())));
}

// The first of the outputs, which must have a derivative.
const Tensor& checked_output(std::string_view transform, std::span<const Tensor> outputs) {
  if (outputs.empty()) throw_error(fmt::format("[{}] the function gives nothing", transform));
  if (!is_float(outputs[0].dtype()))
    throw_error(fmt::format("[{}] the function gives {}: only floats have derivatives", transform,
                            to_string(outputs[0].type())));
  return outputs[0];
}

Shape joined(const Shape& a, const Shape& b) {
  Shape shape = a;
  for (const int64_t size : b) shape.push_back(size);
  return shape;
}

}  // namespace

Graph jvp(const Graph& graph, std::span<const int> argnums) {
  std::vector<bool> given(graph.inputs.size());
  for (const int i : argnums) {
    if (i < 0 || i >= static_cast<int>(given.size()) ||
        !is_float(graph.inputs[static_cast<size_t>(i)].dtype()))
      throw_error(fmt::format("[jvp] argument {} is not one of the graph's float inputs", i));
    given[static_cast<size_t>(i)] = true;
  }
  if (argnums.empty())
    for (size_t i = 0; i < given.size(); ++i) given[i] = is_float(graph.inputs[i].dtype());
  detail::PushedGraph pushed = detail::push_graph(graph, given);
  Graph result{graph.name, std::move(pushed.inputs), pushed.results.outputs, {}};
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    if (!is_float(graph.outputs[i].dtype())) continue;
    const Tensor& t = pushed.results.tangents[i];
    result.outputs.push_back(
        t.defined() ? t : detail::zeros_of(detail::tangent_type(graph.outputs[i].type())));
    if (!graph.output_names.empty()) result.output_names.push_back("d_" + graph.output_names[i]);
  }
  result.output_names.insert(result.output_names.begin(), graph.output_names.begin(),
                             graph.output_names.end());
  return result;
}

Jvp jvp(const TensorFunction& fn, std::span<const Tensor> primals,
        std::span<const Tensor> tangents) {
  if (primals.size() != tangents.size())
    throw_error(fmt::format("[jvp] {} tangents for {} primals", tangents.size(), primals.size()));
  std::vector<TensorType> types;
  std::vector<Tensor> args(primals.begin(), primals.end());
  std::vector<int> argnums;
  for (size_t i = 0; i < primals.size(); ++i) {
    types.push_back(primals[i].type());
    if (!tangents[i].defined()) continue;
    const TensorType wanted = detail::tangent_type(primals[i].type());
    if (!is_float(primals[i].dtype()) || tangents[i].dtype() != wanted.dtype ||
        tangents[i].shape() != wanted.shape)
      throw_error(fmt::format("[jvp] tangent {} is {}, the primal is {}", i,
                              to_string(tangents[i].type()), to_string(primals[i].type())));
    argnums.push_back(static_cast<int>(i));
    args.push_back(tangents[i]);
  }
  const Graph traced = trace(fn, types);
  const size_t outputs = traced.outputs.size();
  const std::vector<Tensor> all =
      argnums.empty() ? call(traced, args) : call(jvp(traced, argnums), args);
  Jvp result;
  result.outputs.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(outputs));
  size_t next = outputs;
  for (const Tensor& output : result.outputs) {
    const TensorType type = detail::tangent_type(output.type());
    if (!is_float(output.dtype())) {
      result.tangents.emplace_back();
    } else {
      result.tangents.push_back(argnums.empty() ? detail::zeros_of(type) : all[next++]);
    }
  }
  return result;
}

TensorFunction jacfwd(TensorFunction fn, int argnum) {
  return [fn = std::move(fn), argnum](std::span<const Tensor> args) -> std::vector<Tensor> {
    check_argument("jacfwd", args, argnum);
    const std::vector<Tensor> primals(args.begin(), args.end());
    const Tensor& x = primals[static_cast<size_t>(argnum)];
    const TensorFunction column = [&](std::span<const Tensor> direction) -> std::vector<Tensor> {
      std::vector<Tensor> tangents(primals.size());
      tangents[static_cast<size_t>(argnum)] = direction[0];
      const Jvp pushed = jvp(fn, primals, tangents);
      checked_output("jacfwd", pushed.outputs);
      return {pushed.tangents[0]};
    };
    const Tensor basis[] = {basis_of(detail::tangent_type(x.type()))};
    const Tensor columns = vmap(column)(basis)[0];  // (elements of x, shape of the result)
    Shape result = columns.shape();
    result.erase(0);
    return {reshape(moveaxis(columns, 0, -1), joined(result, x.shape()))};
  };
}

TensorFunction jacrev(TensorFunction fn, int argnum) {
  return [fn = std::move(fn), argnum](std::span<const Tensor> args) -> std::vector<Tensor> {
    check_argument("jacrev", args, argnum);
    const Vjp pulled = vjp(fn, args);
    const Tensor& x = args[static_cast<size_t>(argnum)];
    const Tensor& y = checked_output("jacrev", pulled.outputs);
    const TensorFunction row = [&](std::span<const Tensor> ct) -> std::vector<Tensor> {
      std::vector<Tensor> cotangents(pulled.outputs.size());
      cotangents[0] = ct[0];
      return {pulled.pullback(cotangents)[static_cast<size_t>(argnum)]};
    };
    const Tensor basis[] = {basis_of(detail::tangent_type(y.type()))};
    return {reshape(vmap(row)(basis)[0], joined(y.shape(), x.shape()))};
  };
}

TensorFunction hessian(TensorFunction fn, int argnum) {
  return jacfwd(grad(std::move(fn), {argnum}), argnum);
}

}  // namespace cairn
