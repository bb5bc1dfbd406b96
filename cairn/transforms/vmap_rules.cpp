// The table of batching rules, and those of reductions, movement and collectives.
#include <array>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/transforms/batching.h"
#include "cairn/transforms/helpers.h"

namespace cairn::detail {
namespace {

using Results = std::vector<Batched>;

Results rebuilt(const BatchContext& c, Attrs attrs) {
  return all_batched(rebuild(c.node, c.all_with_batch(), std::move(attrs)));
}

// Works on the last axes, or leaves them alone: the batch axis in front changes nothing.
Results unchanged(const BatchContext& c) { return rebuilt(c, c.attrs()); }

// One axis moves behind the batch.
template <Attr... kKeys>
Results one_axis(const BatchContext& c) {
  Attrs attrs = c.attrs();
  (attrs.set(kKeys, c.attrs().integer(kKeys) + 1), ...);
  return rebuilt(c, std::move(attrs));
}

Results several_axes(const BatchContext& c) {
  Attrs attrs = c.attrs();
  attrs.set(Attr::axes, behind_batch(c.attrs().ints(Attr::axes)));
  return rebuilt(c, std::move(attrs));
}

Results batch_reshape(const BatchContext& c) {
  return rebuilt(c, {{Attr::shape, prefixed(c.attrs().ints(Attr::shape), c.size)}});
}

Results batch_broadcast(const BatchContext& c) {
  return rebuilt(c, {{Attr::shape, prefixed(c.attrs().ints(Attr::shape), c.size)},
                     {Attr::axes, prefixed(behind_batch(c.attrs().ints(Attr::axes)), 0)}});
}

Results batch_transpose(const BatchContext& c) {
  return rebuilt(c, {{Attr::axes, prefixed(behind_batch(c.attrs().ints(Attr::axes)), 0)}});
}

Results batch_slice(const BatchContext& c) {
  return rebuilt(c, {{Attr::start, prefixed(c.attrs().ints(Attr::start), 0)},
                     {Attr::stop, prefixed(c.attrs().ints(Attr::stop), c.size)},
                     {Attr::step, prefixed(c.attrs().ints(Attr::step), 1)}});
}

Results batch_pad(const BatchContext& c) {
  Attrs attrs;
  for (Attr key : {Attr::low, Attr::high, Attr::interior})
    attrs.set(key, prefixed(c.attrs().ints(key), 0));
  const Tensor x = c.with_batch(0);
  if (!c.batched(1)) return {{make(Op::pad, {x, c.value(1)}, std::move(attrs)), true}};
  // One value per example: pad with anything, then put the values where the padding is.
  TensorType mask = x.type();
  mask.dtype = DType::b8;
  TensorType scalar = mask;
  scalar.shape = {};
  TensorType zero = x.type();
  zero.shape = {};
  const Tensor is_padding =
      make(Op::pad, {constant_of(mask, false), constant_of(scalar, true)}, attrs);
  const Tensor padded = make(Op::pad, {x, zeros_of(zero)}, std::move(attrs));
  const Tensor value = make(Op::broadcast, {c.value(1)},
                            {{Attr::shape, Ints(padded.shape())}, {Attr::axes, Ints{0}}});
  return {{make(Op::select, {is_padding, value, padded}), true}};
}

// The values of a barrier stay what they are; each keeps its own batch axis.
Results batch_barrier(const BatchContext& c) {
  std::vector<Tensor> values;
  for (const Batched& b : c.inputs) values.push_back(b.value);
  const std::vector<Tensor> outputs = rebuild(c.node, std::move(values));
  Results results;
  for (size_t i = 0; i < outputs.size(); ++i) results.push_back({outputs[i], c.inputs[i].batched});
  return results;
}

constexpr std::array<BatchRule, kOpCount> make_table() {
  std::array<BatchRule, kOpCount> t{};
  const auto set = [&t](Op op, BatchRule rule) { t[static_cast<int>(op)] = rule; };
  set(Op::reduce, several_axes);
  set(Op::cumulative, one_axis<Attr::axis>);
  set(Op::arg_reduce, one_axis<Attr::axis>);
  set(Op::sort, one_axis<Attr::axis>);
  set(Op::top_k, unchanged);
  set(Op::matmul, batch_matmul);
  set(Op::grouped_matmul, batch_grouped_matmul);
  set(Op::convolution, batch_convolution);
  set(Op::reshape, batch_reshape);
  set(Op::broadcast, batch_broadcast);
  set(Op::transpose, batch_transpose);
  set(Op::slice, batch_slice);
  set(Op::reverse, several_axes);
  set(Op::dynamic_slice, batch_dynamic_slice);
  set(Op::dynamic_update_slice, batch_dynamic_update_slice);
  set(Op::pad, batch_pad);
  set(Op::concatenate, one_axis<Attr::axis>);
  set(Op::gather, batch_gather);
  set(Op::scatter, batch_scatter);
  set(Op::random_bits, unchanged);
  set(Op::quantize, unchanged);
  set(Op::dequantize, unchanged);
  set(Op::cond, batch_cond);
  set(Op::loop, batch_loop);
  set(Op::custom, batch_custom);
  set(Op::barrier, batch_barrier);
  set(Op::vary, unchanged);
  set(Op::all_reduce, unchanged);
  set(Op::all_gather, one_axis<Attr::axis>);
  set(Op::all_gather_invariant, one_axis<Attr::axis>);
  set(Op::reduce_scatter, one_axis<Attr::axis>);
  set(Op::all_to_all, one_axis<Attr::split_axis, Attr::concat_axis>);
  set(Op::permute, unchanged);
  set(Op::transfer, unchanged);
  return t;
}

constexpr auto kTable = make_table();

}  // namespace

BatchRule batch_rule(Op op) { return kTable[static_cast<int>(op)]; }

}  // namespace cairn::detail
