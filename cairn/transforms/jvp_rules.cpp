// Tangents of the custom primitives, control flow apart.
#include <array>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/rules.h"

namespace cairn::detail {
namespace {

using Tangents = std::vector<Tensor>;

// The tangent of operand i, zeros where it has none.
Tensor tangent(const JvpContext& c, int i) {
  return c.tangents[i].defined() ? c.tangents[i] : zeros_of(tangent_type(c.inputs[i].type()));
}

Tangents jvp_reduce(const JvpContext& c) {
  const Tensor& x = c.inputs[0];
  const Ints& axes = c.node.attrs().ints(Attr::axes);
  const std::string& kind = c.node.attrs().text(Attr::kind);
  Tensor t = c.tangents[0];
  if (kind == "prod") t = t * product_of_others(x, axes);
  if (kind == "max" || kind == "min") t = t * tie_shares(x, c.outputs[0], axes);
  return {axes.empty() ? t : sum(t, axes)};
}

Tangents jvp_cumulative(const JvpContext& c) {
  const int axis = static_cast<int>(c.node.attrs().integer(Attr::axis));
  const bool reverse = c.node.attrs().flag(Attr::reverse);
  const std::string& kind = c.node.attrs().text(Attr::kind);
  if (kind == "sum") return {cumsum(c.tangents[0], axis, reverse)};
  const auto turn = [&](const Tensor& t) {
    const Tensor moved = moveaxis(t, axis, -1);
    return reverse ? flip(moved, {-1}) : moved;
  };
  const Tensor x = turn(c.inputs[0]);
  const Tensor t = turn(c.tangents[0]);
  const int last = x.rank() - 1;
  // y[i] = x[i] y[i-1], so y'[i] = x[i] y'[i-1] + y[i-1] x'[i].
  const Tensor result = kind == "prod"
                            ? linear_recurrence(x, exclusive_product(x, last) * t, last)
                            : take_last(t, running_index(x, turn(c.outputs[0]), kind == "max"));
  return {moveaxis(reverse ? flip(result, {-1}) : result, -1, axis)};
}

Tangents jvp_ordered(const JvpContext& c) {
  const int rank = c.inputs[0].rank();
  const int axis =
      c.node.op() == Op::sort ? static_cast<int>(c.node.attrs().integer(Attr::axis)) : rank - 1;
  const Tensor t = take_last(moveaxis(c.tangents[0], axis, -1), moveaxis(c.outputs[1], axis, -1));
  return {moveaxis(t, -1, axis), Tensor()};
}

// Linear in all values together; the other operands are places.
template <int kValues>
Tangents jvp_places(const JvpContext& c) {
  std::vector<Tensor> operands = c.inputs;
  for (int i = 0; i < kValues; ++i) operands[i] = tangent(c, i);
  return rebuild(c.node, std::move(operands));
}

Tangents jvp_scatter(const JvpContext& c) {
  const std::string& kind = c.node.attrs().text(Attr::kind);
  if (kind == "prod")
    fail("jvp", c.node, "kind=prod has no derivative; use kind=add on logarithms");
  Tensor x = tangent(c, 0);
  Tensor updates = tangent(c, 2);
  Attrs attrs = c.node.attrs();
  if (kind == "max" || kind == "min") {
    const ScatterShares shares = scatter_shares(c.node, c.inputs, c.outputs[0]);
    x = x * shares.of_x;
    updates = updates * shares.of_updates;
    attrs.set(Attr::kind, std::string("add"));
  }
  return {make(Op::scatter, {x, c.inputs[1], updates}, std::move(attrs))};
}

Tangents jvp_all_reduce(const JvpContext& c) {
  if (c.node.attrs().text(Attr::kind) != "sum")
    fail("jvp", c.node, "only kind=sum has a derivative; use stop_gradient on its operand");
  return rebuild(c.node, {c.tangents[0]});
}

using Rows = std::array<Row<JvpRule>, kOpCount>;

constexpr const char* kQuantized = "quantized data has no derivative; use stop_gradient";

// cond, loop and custom build values and tangents together: jvp_control_rule.
constexpr Rows make_table() {
  Rows t{};
  const auto set = [&t](Op op, JvpRule rule) { t[static_cast<int>(op)].rule = rule; };
  const auto missing = [&t](Op op, const char* why) { t[static_cast<int>(op)].missing = why; };
  set(Op::reduce, jvp_reduce);
  set(Op::cumulative, jvp_cumulative);
  set(Op::arg_reduce, [](const JvpContext&) -> Tangents { return {Tensor()}; });
  set(Op::sort, jvp_ordered);
  set(Op::top_k, jvp_ordered);
  set(Op::dynamic_slice, jvp_places<1>);
  set(Op::dynamic_update_slice, jvp_places<2>);
  set(Op::gather, jvp_places<1>);
  set(Op::scatter, jvp_scatter);
  missing(Op::quantize, kQuantized);
  missing(Op::dequantize, kQuantized);
  set(Op::all_reduce, jvp_all_reduce);
  return t;
}

constexpr Rows kTable = make_table();

}  // namespace

const Row<JvpRule>& jvp_row(Op op) { return kTable[static_cast<int>(op)]; }

JvpControlRule jvp_control_rule(Op op) {
  if (op == Op::cond) return jvp_cond;
  if (op == Op::loop) return jvp_loop;
  if (op == Op::custom) return jvp_custom;
  return nullptr;
}

}  // namespace cairn::detail
