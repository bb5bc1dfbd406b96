#include "cairn/transforms/transposes.h"

#include <array>

#include "cairn/graph/graph.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"

namespace cairn::detail {
namespace {

const Tensor& only(const Linear& l) { return l.cotangents[0]; }

bool swaps_last_two(const Ints& axes) {
  const int rank = axes.size();
  for (int i = 0; i + 2 < rank; ++i)
    if (axes[i] != i) return false;
  return rank >= 2 && axes[rank - 1] == rank - 2 && axes[rank - 2] == rank - 1;
}

// --- movement -----------------------------------------------------------------------------------

Tensor of_reshape(const Linear& l, int) { return reshape(only(l), l.inputs[0].shape()); }

Tensor of_broadcast(const Linear& l, int) {
  const Shape& x = l.inputs[0].shape();
  const Shape& out = only(l).shape();
  const Ints& axes = l.node.attrs().ints(Attr::axes);
  Ints summed = other_axes(out.rank(), axes);
  for (int i = 0; i < axes.size(); ++i)
    if (const int at = static_cast<int>(axes[i]); x[i] == 1 && out[at] != 1) summed.push_back(at);
  return reshape(summed.empty() ? only(l) : sum(only(l), summed), x);
}

Tensor of_transpose(const Linear& l, int) {
  const Ints axes = inverse_permutation(l.node.attrs().ints(Attr::axes));
  const Node& product = only(l).node();
  // The gradient of a weight that is kept as [out, in] and multiplied as [in, out]: the product of
  // the operands in turns, which comes in order, is the same sum.
  if (product.op() == Op::matmul && swaps_last_two(axes))
    return make(Op::matmul,
                {swapaxes(product.input(1), -1, -2), swapaxes(product.input(0), -1, -2)},
                product.attrs());
  return transpose(only(l), axes);
}

Tensor of_slice(const Linear& l, int) {
  const Ints& start = l.node.attrs().ints(Attr::start);
  const Ints& step = l.node.attrs().ints(Attr::step);
  const Shape& x = l.inputs[0].shape();
  const Shape& out = only(l).shape();
  Ints high, interior;
  for (int i = 0; i < x.rank(); ++i) {
    const int64_t covered = out[i] ? (out[i] - 1) * step[i] + 1 : 0;
    high.push_back(x[i] - start[i] - covered);
    interior.push_back(step[i] - 1);
  }
  TensorType scalar = only(l).type();
  scalar.shape = {};
  return make(Op::pad, {only(l), zeros_of(scalar)},
              {{Attr::low, start}, {Attr::high, high}, {Attr::interior, interior}});
}

Tensor of_reverse(const Linear& l, int) { return rebuild(l.node, {only(l)})[0]; }

Tensor of_pad(const Linear& l, int operand) {
  const Tensor& ct = only(l);
  const Attrs& attrs = l.node.attrs();
  const Shape& x = l.inputs[0].shape();
  if (ct.elements() == 0) return {};
  if (operand == 1) {
    // The sum over what x does not cover.
    TensorType mask = tangent_type(l.inputs[0].type());
    mask.dtype = DType::b8;
    TensorType scalar = mask;
    scalar.shape = {};
    const Tensor padding =
        make(Op::pad, {constant_of(mask, false), constant_of(scalar, true)}, attrs);
    return sum(where(padding, ct, 0.0));
  }
  const Ints& low = attrs.ints(Attr::low);
  const Ints& high = attrs.ints(Attr::high);
  const Ints& interior = attrs.ints(Attr::interior);
  // Undo low and high, where a crop (negative) becomes zeros; then take every (interior + 1)-th.
  Ints unlow, unhigh, start, stop, step;
  for (int i = 0; i < x.rank(); ++i) {
    unlow.push_back(-low[i]);
    unhigh.push_back(-high[i]);
    start.push_back(0);
    stop.push_back(ct.shape()[i] - low[i] - high[i]);
    step.push_back(interior[i] + 1);
  }
  const Tensor inner = pad(ct, unlow, unhigh);
  return make(Op::slice, {inner}, {{Attr::start, start}, {Attr::stop, stop}, {Attr::step, step}});
}

Tensor of_concatenate(const Linear& l, int operand) {
  const int axis = static_cast<int>(l.node.attrs().integer(Attr::axis));
  int64_t start = 0;
  for (int i = 0; i < operand; ++i) start += l.inputs[i].shape()[axis];
  return slice_axis(only(l), axis, start, start + l.inputs[operand].shape()[axis]);
}

Tensor of_barrier(const Linear& l, int operand) { return l.cotangents[operand]; }

// --- collectives --------------------------------------------------------------------------------

// A value equal on all ranks that is used by each of them: the ranks' cotangents add up.
Tensor of_vary(const Linear& l, int) {
  const std::string& axis = l.node.attrs().text(Attr::mesh_axis);
  const auto size = l.meshes.find(axis);  // this node's own, or that of another collective
  if (size == l.meshes.end())
    fail("grad", l.node,
         "no collective of this graph says how many ranks the mesh axis '" + axis +
             "' has; reduce the loss over it with all_reduce");
  return make(
      Op::all_reduce, {only(l)},
      {{Attr::mesh_axis, axis}, {Attr::size, size->second}, {Attr::kind, std::string("sum")}});
}

Tensor of_all_gather(const Linear& l, int) {
  return make(Op::reduce_scatter, {only(l)}, l.node.attrs());
}

Tensor of_reduce_scatter(const Linear& l, int) {
  return make(Op::all_gather, {only(l)}, l.node.attrs());
}

// The cotangent is equal on all ranks; each keeps the slice that it contributed.
Tensor of_all_gather_invariant(const Linear& l, int) {
  const Attrs& attrs = l.node.attrs();
  const Attr keys[] = {Attr::mesh_axis, Attr::size};
  Attrs place;
  for (Attr key : keys) place.set(key, *attrs.find(key));
  const Shape& x = l.inputs[0].shape();
  const int axis = static_cast<int>(attrs.integer(Attr::axis));
  const Tensor rank = make(Op::axis_index, {}, place);
  const Tensor varying = make(Op::vary, {only(l)}, place);
  std::vector<Operand> starts(static_cast<size_t>(x.rank()), 0);
  starts[static_cast<size_t>(axis)] = rank * x[axis];
  return dynamic_slice(varying, starts, x);
}

Tensor of_all_to_all(const Linear& l, int) {
  Attrs attrs = l.node.attrs();
  attrs.set(Attr::split_axis, l.node.attrs().integer(Attr::concat_axis));
  attrs.set(Attr::concat_axis, l.node.attrs().integer(Attr::split_axis));
  return make(Op::all_to_all, {only(l)}, attrs);
}

Tensor of_permute(const Linear& l, int) {
  const auto to = l.node.attrs().literal(Attr::literal).span<int32_t>();
  std::vector<int32_t> from(to.size(), -1);
  for (size_t rank = 0; rank < to.size(); ++rank)
    if (to[rank] >= 0) from[static_cast<size_t>(to[rank])] = static_cast<int32_t>(rank);
  Attrs attrs = l.node.attrs();
  attrs.set(Attr::literal,
            HostArray::from<int32_t>(from, Shape{static_cast<int64_t>(from.size())}));
  return make(Op::permute, {only(l)}, attrs);
}

Tensor of_transfer(const Linear& l, int) {
  return make(Op::transfer, {only(l)}, {{Attr::placement, l.inputs[0].type().placement}});
}

constexpr std::array<TransposeRule, kOpCount> make_table() {
  std::array<TransposeRule, kOpCount> t{};
  const auto set = [&t](Op op, TransposeRule rule) { t[static_cast<int>(op)] = rule; };
  set(Op::matmul, transpose_matmul);
  set(Op::grouped_matmul, transpose_grouped_matmul);
  set(Op::convolution, transpose_convolution);
  set(Op::reshape, of_reshape);
  set(Op::broadcast, of_broadcast);
  set(Op::transpose, of_transpose);
  set(Op::slice, of_slice);
  set(Op::reverse, of_reverse);
  set(Op::pad, of_pad);
  set(Op::concatenate, of_concatenate);
  set(Op::barrier, of_barrier);
  set(Op::vary, of_vary);
  set(Op::all_gather, of_all_gather);
  set(Op::all_gather_invariant, of_all_gather_invariant);
  set(Op::reduce_scatter, of_reduce_scatter);
  set(Op::all_to_all, of_all_to_all);
  set(Op::permute, of_permute);
  set(Op::transfer, of_transfer);
  return t;
}

constexpr auto kTable = make_table();

// Linear in all operands at once, not in each by itself.
bool is_jointly_linear(Op op) {
  return op == Op::pad || op == Op::concatenate || op == Op::barrier;
}

bool is_product(Op op) {
  return op == Op::matmul || op == Op::grouped_matmul || op == Op::convolution;
}

}  // namespace

bool has_transpose(Op op) { return kTable[static_cast<int>(op)] != nullptr; }

Tensor transpose_rule(const Linear& l, int operand) {
  const TransposeRule rule = kTable[static_cast<int>(l.node.op())];
  CAIRN_ASSERT(rule);
  return rule(l, operand);
}

std::vector<Tensor> push_linear(const Node& node, const std::vector<Tensor>& inputs,
                                std::span<const Tensor> tangents) {
  if (is_jointly_linear(node.op())) {
    std::vector<Tensor> all;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool has_tangent = tangents[i].defined();
      // A barrier keeps values of other types; they have no tangent and need no place here.
      if (node.op() == Op::barrier && !has_tangent) continue;
      all.push_back(has_tangent ? tangents[i] : zeros_of(tangent_type(inputs[i].type())));
    }
    const std::vector<Tensor> pushed = rebuild(node, std::move(all));
    if (node.op() != Op::barrier) return pushed;
    std::vector<Tensor> results(inputs.size());
    for (size_t i = 0, next = 0; i < inputs.size(); ++i)
      if (tangents[i].defined()) results[i] = pushed[next++];
    return results;
  }
  Tensor total;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!tangents[i].defined()) continue;
    std::vector<Tensor> replaced = inputs;
    replaced[i] = tangents[i];
    const Tensor term = is_product(node.op())
                            ? product(node.op(), std::move(replaced), node.attrs(),
                                      tangent_dtype(node.output().dtype))
                            : rebuild(node, std::move(replaced))[0];
    total = add_defined(total, term);
  }
  return {total};
}

}  // namespace cairn::detail
