// Cotangents of the custom primitives, control flow apart.
#include <array>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/rules.h"

namespace cairn::detail {
namespace {

using Cotangents = std::vector<Tensor>;

Cotangents vjp_reduce(const VjpContext& c) {
  const Tensor& x = c.inputs[0];
  const Ints& axes = c.node.attrs().ints(Attr::axes);
  const std::string& kind = c.node.attrs().text(Attr::kind);
  const Tensor ct = restore_axes(c.cotangents[0], x.shape(), axes);
  if (kind == "sum") return {ct};
  if (kind == "prod") return {ct * product_of_others(x, axes)};
  return {ct * tie_shares(x, c.outputs[0], axes)};
}

Cotangents vjp_cumulative(const VjpContext& c) {
  const int axis = static_cast<int>(c.node.attrs().integer(Attr::axis));
  const bool reverse = c.node.attrs().flag(Attr::reverse);
  const std::string& kind = c.node.attrs().text(Attr::kind);
  if (kind == "sum") return {cumsum(c.cotangents[0], axis, !reverse)};
  // The rest is written for a forward run along the last axis.
  const auto turn = [&](const Tensor& t) {
    const Tensor moved = moveaxis(t, axis, -1);
    return reverse ? flip(moved, {-1}) : moved;
  };
  const Tensor x = turn(c.inputs[0]);
  const Tensor ct = turn(c.cotangents[0]);
  const int last = x.rank() - 1;
  Tensor result;
  if (kind == "prod") {
    // d x[j] = (product before j) * s[j], where s[j] = ct[j] + x[j+1] s[j+1]. No division, so zeros
    // and second derivatives are as any other value.
    const Tensor s = flip(
        linear_recurrence(flip(shift(x, last, -1, 0.0), {last}), flip(ct, {last}), last), {last});
    result = exclusive_product(x, last) * s;
  } else {
    result = add_at_last(ct, running_index(x, turn(c.outputs[0]), kind == "max"), x.shape()[last]);
  }
  return {moveaxis(reverse ? flip(result, {-1}) : result, -1, axis)};
}

// Of sort and top_k: the cotangents return to where the values came from.
Cotangents vjp_ordered(const VjpContext& c) {
  if (!c.cotangents[0].defined()) return {Tensor()};
  const Shape& x = c.inputs[0].shape();
  const int axis =
      c.node.op() == Op::sort ? static_cast<int>(c.node.attrs().integer(Attr::axis)) : x.rank() - 1;
  const Tensor back =
      add_at_last(moveaxis(c.cotangents[0], axis, -1), moveaxis(c.outputs[1], axis, -1), x[axis]);
  return {moveaxis(back, -1, axis)};
}

Cotangents vjp_dynamic_slice(const VjpContext& c) {
  std::vector<Tensor> operands{zeros_of(tangent_type(c.inputs[0].type())), c.cotangents[0]};
  operands.insert(operands.end(), c.inputs.begin() + 1, c.inputs.end());
  Cotangents result(c.inputs.size());
  result[0] = make(Op::dynamic_update_slice, std::move(operands));
  return result;
}

Cotangents vjp_dynamic_update_slice(const VjpContext& c) {
  const std::vector<Tensor> starts(c.inputs.begin() + 2, c.inputs.end());
  Cotangents result(c.inputs.size());
  if (c.wanted[0]) {
    std::vector<Tensor> operands{c.cotangents[0], zeros_of(tangent_type(c.inputs[1].type()))};
    operands.insert(operands.end(), starts.begin(), starts.end());
    result[0] = make(Op::dynamic_update_slice, std::move(operands));
  }
  if (c.wanted[1]) {
    std::vector<Tensor> operands{c.cotangents[0]};
    operands.insert(operands.end(), starts.begin(), starts.end());
    result[1] =
        make(Op::dynamic_slice, std::move(operands), {{Attr::shape, Ints(c.inputs[1].shape())}});
  }
  return result;
}

Attrs with_kind(const Attrs& attrs, const char* kind) {
  Attrs changed = attrs;
  changed.set(Attr::kind, std::string(kind));
  return changed;
}

Attrs gather_attrs(const Attrs& attrs) {
  return {{Attr::axis, attrs.integer(Attr::axis)},
          {Attr::batch_dims, attrs.integer(Attr::batch_dims)}};
}

Cotangents vjp_gather(const VjpContext& c) {
  const Tensor zeros = zeros_of(tangent_type(c.inputs[0].type()));
  return {
      make(Op::scatter, {zeros, c.inputs[1], c.cotangents[0]}, with_kind(c.node.attrs(), "add")),
      Tensor()};
}

// With repeated indices only the last update stays; it is found by scattering the updates' numbers.
Tensor last_writer(const VjpContext& c, const Attrs& take) {
  const Shape& shape = c.inputs[2].shape();
  const DType dtype =
      shape.elements() > INT32_MAX || c.inputs[0].elements() > INT32_MAX ? DType::i64 : DType::i32;
  TensorType type{dtype, {shape.elements()}, {}, {}};
  std::vector<Tensor> number{
      make(Op::iota, {},
           {{Attr::dtype, dtype}, {Attr::shape, Ints(type.shape)}, {Attr::axis, int64_t{0}}}),
      c.inputs[0]};
  vary_together(number);
  const Tensor own = reshape(number[0], shape);
  type = c.inputs[0].type();
  type.dtype = dtype;
  const Tensor written =
      make(Op::scatter, {constant_of(type, -1), c.inputs[1], own}, c.node.attrs());
  return equal(make(Op::gather, {written, c.inputs[1]}, take), own);
}

Cotangents vjp_scatter(const VjpContext& c) {
  const std::string& kind = c.node.attrs().text(Attr::kind);
  const Attrs take = gather_attrs(c.node.attrs());
  const Tensor& indices = c.inputs[1];
  const Tensor& ct = c.cotangents[0];
  const auto gathered = [&] { return make(Op::gather, {ct, indices}, take); };
  Cotangents result(3);
  if (kind == "add") {
    result[0] = ct;
    if (c.wanted[2]) result[2] = gathered();
  } else if (kind == "set") {
    if (c.wanted[0])
      result[0] = make(Op::scatter, {ct, indices, zeros_of(tangent_type(c.inputs[2].type()))},
                       c.node.attrs());
    if (c.wanted[2]) result[2] = where(last_writer(c, take), gathered(), 0.0);
  } else if (kind == "max" || kind == "min") {
    const ScatterShares shares = scatter_shares(c.node, c.inputs, c.outputs[0]);
    if (c.wanted[0]) result[0] = ct * shares.of_x;
    if (c.wanted[2]) result[2] = gathered() * shares.of_updates;
  } else {
    fail("grad", c.node, "kind=prod has no derivative; use kind=add on logarithms, or custom_vjp");
  }
  return result;
}

Cotangents vjp_all_reduce(const VjpContext& c) {
  if (c.node.attrs().text(Attr::kind) != "sum")
    fail("grad", c.node,
         "only kind=sum has a derivative; use stop_gradient on its operand, or custom_vjp");
  const Attrs& along = c.node.attrs();
  return {make(
      Op::vary, {c.cotangents[0]},
      {{Attr::mesh_axis, along.text(Attr::mesh_axis)}, {Attr::size, along.integer(Attr::size)}})};
}

using Rows = std::array<Row<VjpRule>, kOpCount>;

constexpr const char* kQuantized =
    "quantized data has no derivative; use stop_gradient, or custom_vjp for a straight-through "
    "gradient";

constexpr Rows make_table() {
  Rows t{};
  const auto set = [&t](Op op, VjpRule rule) { t[static_cast<int>(op)].rule = rule; };
  const auto missing = [&t](Op op, const char* why) { t[static_cast<int>(op)].missing = why; };
  set(Op::reduce, vjp_reduce);
  set(Op::cumulative, vjp_cumulative);
  missing(Op::arg_reduce, "an index has no derivative");
  set(Op::sort, vjp_ordered);
  set(Op::top_k, vjp_ordered);
  set(Op::dynamic_slice, vjp_dynamic_slice);
  set(Op::dynamic_update_slice, vjp_dynamic_update_slice);
  set(Op::gather, vjp_gather);
  set(Op::scatter, vjp_scatter);
  missing(Op::quantize, kQuantized);
  missing(Op::dequantize, kQuantized);
  set(Op::cond, vjp_cond);
  set(Op::loop, vjp_loop);
  set(Op::custom, vjp_custom);
  set(Op::all_reduce, vjp_all_reduce);
  return t;
}

constexpr Rows kTable = make_table();

}  // namespace

const Row<VjpRule>& vjp_row(Op op) { return kTable[static_cast<int>(op)]; }

}  // namespace cairn::detail
