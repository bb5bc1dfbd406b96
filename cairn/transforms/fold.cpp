// Constant folding: elementwise operations and movement of values that are one number everywhere.
//
// The numbers go through the table that the reference backend computes with (graph/scalar.h), so
// folded and computed results have the same bits; what each backend approximates in its own way is
// left to it. Constants with different elements (iota, dense)
// stay: folding those would trade a cheap operation for bytes in the graph.
#include "cairn/graph/scalar.h"
#include "cairn/transforms/rewrite.h"

namespace cairn::detail {
namespace {

template <class T>
T element(const Tensor& full) {
  const Number& n = full.node().attrs().number(Attr::value);
  return n.is_integer() ? cast_element<T>(n.as_integer()) : cast_element<T>(n.as_double());
}

// Exact: every type but i64 fits in a double, and integers stay integers.
template <class T>
Number number(T value) {
  if constexpr (std::is_integral_v<T>) {
    return Number(static_cast<int64_t>(value));
  } else {
    return Number(static_cast<double>(load_element(value)));
  }
}

std::optional<Number> evaluate_cast(const Node& node) {
  std::optional<Number> result;
  visit_dtype(node.input(0).dtype(), [&](auto from) {
    const auto x = element<typename decltype(from)::type>(node.input(0));
    visit_dtype(node.output().dtype,
                [&](auto to) { result = number(cast_element<typename decltype(to)::type>(x)); });
  });
  return result;
}

template <class T>
std::optional<Number> evaluate_as(const Node& node) {
  std::optional<Number> result;
  const auto x = load_element(element<T>(node.input(0)));
  visit_unary(node.op(), [&](auto op) {
    if constexpr (applies<op(), T>()) result = number(store_element<T>(Scalar<op()>::of(x)));
  });
  if (result || node.inputs().size() != 2) return result;
  const auto y = load_element(element<T>(node.input(1)));
  visit_binary(node.op(), [&](auto op) {
    if constexpr (applies<op(), T>()) {
      if constexpr (op() == Op::equal || op() == Op::less || op() == Op::less_equal) {
        result = number(static_cast<bool>(Scalar<op()>::of(x, y)));
      } else {
        result = number(store_element<T>(static_cast<ComputeType<T>>(Scalar<op()>::of(x, y))));
      }
    }
  });
  return result;
}

bool moves_elements_only(Op op) {
  switch (op) {
    case Op::reshape:
    case Op::broadcast:
    case Op::transpose:
    case Op::slice:
    case Op::reverse:
    case Op::dynamic_slice: return true;
    default: return false;
  }
}

Tensor full_of(const TensorType& type, const Number& value) {
  return make(Op::full, {},
              {{Attr::value, value}, {Attr::dtype, type.dtype}, {Attr::shape, Ints(type.shape)}});
}

}  // namespace

std::optional<Number> evaluate(const Node& node) {
  if (node.op() == Op::cast) return evaluate_cast(node);
  if (node.op() == Op::select) return std::nullopt;  // simplify_algebra's
  std::optional<Number> result;
  visit_dtype(node.input(0).dtype(),
              [&](auto tag) { result = evaluate_as<typename decltype(tag)::type>(node); });
  return result;
}

std::vector<Tensor> fold_constants(const Node& node, KnownNodes&) {
  if (node.inputs().empty() || node.input(0).node().op() != Op::full) return {};
  if (moves_elements_only(node.op()))
    return {full_of(node.output(), node.input(0).node().attrs().number(Attr::value))};
  if (node.info().trait != Trait::elementwise) return {};
  // The backend that runs the graph has bits of its own.
  if (is_transcendental(node.op()) && is_float(node.output().dtype) &&
      node.output().dtype != DType::f64)
    return {};
  for (const Tensor& input : node.inputs())
    if (input.node().op() != Op::full) return {};
  const std::optional<Number> value = evaluate(node);
  if (!value) return {};
  return {full_of(node.output(), *value)};
}

}  // namespace cairn::detail
