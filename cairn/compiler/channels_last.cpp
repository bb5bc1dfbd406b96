#include "cairn/compiler/channels_last.h"

#include <algorithm>
#include <memory>

#include "cairn/compiler/node_class.h"
#include "cairn/graph/attributes.h"
#include "cairn/graph/compare.h"
#include "cairn/graph/scope.h"

namespace cairn {
namespace {

Shape permuted(const Shape& shape, const Ints& axes) {
  Shape result;
  for (const int64_t axis : axes) result.push_back(shape[static_cast<int>(axis)]);
  return result;
}

// first, ..., end - 1.
Ints behind(int first, int end) {
  Ints axes;
  for (int i = first; i < end; ++i) axes.push_back(i);
  return axes;
}

Ints permuted(const Ints& list, const Ints& axes) { return permuted(Shape(list), axes); }

// Axis i of the result is axis axes[i]: from the graph's order, and back.
Ints to_last(int rank) {
  Ints axes = {0};
  for (int i = 2; i < rank; ++i) axes.push_back(i);
  axes.push_back(1);
  return axes;
}
Ints to_first(int rank) {
  Ints axes = {0, rank - 1};
  for (int i = 1; i + 1 < rank; ++i) axes.push_back(i);
  return axes;
}
// Where an axis of the graph's order stands.
int64_t place_in_last(int64_t axis, int rank) {
  return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1;
}

Tensor reshaped(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return make(Op::reshape, {x}, {{Attr::shape, Ints(shape)}});
}

Tensor with_axis(const Tensor& x, int at) {
  Shape shape = x.shape();
  shape.insert(at, 1);
  return reshaped(x, shape);
}

// A transpose, as one with what is transposed; a reshape where only axes of one element move.
Tensor transposed(const Tensor& x, const Ints& axes) {
  Ints moving;
  for (const int64_t axis : axes)
    if (x.shape()[static_cast<int>(axis)] != 1) moving.push_back(axis);
  if (std::is_sorted(moving.begin(), moving.end())) return reshaped(x, permuted(x.shape(), axes));
  if (x.node().op() != Op::transpose) return make(Op::transpose, {x}, {{Attr::axes, axes}});
  return transposed(x.node().input(0), permuted(x.node().attrs().ints(Attr::axes), axes));
}

bool is_compiled_float(DType dtype) { return is_float(dtype) && !is_float8(dtype); }

}  // namespace

bool is_lowered_convolution(const Node& node) {
  if (node.op() != Op::convolution || node.attrs().has(Attr::axes)) return false;
  return node.output().shape.rank() < kMaxRank && is_compiled_float(node.input(0).dtype()) &&
         node.input(0).dtype() == node.input(1).dtype() && node.output().shape.elements() > 0 &&
         node.input(0).elements() > 0 && node.input(1).elements() > 0;
}

std::vector<Tensor> ChannelsLast::operator()(const Node& node, std::span<const Tensor> inputs) {
  // A path of their own: sizes of these nodes are in no attribute of the node that they come from,
  // where a recipe (runtime/recipe.h) would look for them.
  const auto path = std::make_shared<const std::string>(node.scope() ? *node.scope() : "");
  const Origin origin(path, node.location());
  if (is_lowered_convolution(node)) return convolution(node, inputs[0], inputs[1]);
  if (node.op() == Op::transpose && inputs[0].node().op() == Op::transpose)
    return {transposed(inputs[0], node.attrs().ints(Attr::axes))};
  if (std::ranges::none_of(inputs, [&](const Tensor& t) {
        const auto twin = twins_.find(t);
        return twin != twins_.end() && twin->second.is_computed;
      }))
    return {};
  if (node.info().trait == Trait::elementwise && node.output_count() == 1)
    return elementwise(node, inputs);
  if (node.op() == Op::reduce) return reduction(node, inputs[0]);
  return movement(node, inputs);
}

// --- convolutions --------------------------------------------------------------------------------

// Through transposes and reshapes that only add or drop axes of one element.
ChannelsLast::View ChannelsLast::view(const Tensor& x) {
  Tensor at = x;
  // For each axis of x that moves, the axis of `at`; -1 for one of one element.
  std::vector<int64_t> places;
  for (int i = 0; i < x.shape().rank(); ++i) places.push_back(x.shape()[i] == 1 ? -1 : i);
  const auto found = [&] {
    const auto twin = twins_.find(at);
    return twin != twins_.end() && at.shape().rank() == x.shape().rank();
  };
  while (!found()) {
    const Node& node = at.node();
    if (node.op() == Op::transpose) {
      for (int64_t& place : places)
        if (place >= 0) place = node.attrs().ints(Attr::axes)[static_cast<int>(place)];
    } else if (node.op() == Op::reshape &&
               squeezed(node.input(0).shape()) == squeezed(at.shape())) {
      const auto moving = [](const Shape& shape) {
        std::vector<int64_t> axes;
        for (int i = 0; i < shape.rank(); ++i)
          if (shape[i] != 1) axes.push_back(i);
        return axes;
      };
      const std::vector<int64_t> now = moving(at.shape()), before = moving(node.input(0).shape());
      for (int64_t& place : places)
        if (place >= 0)
          place = before[static_cast<size_t>(std::ranges::find(now, place) - now.begin())];
    } else {
      break;
    }
    at = node.input(0);
  }
  if (at.shape().rank() != x.shape().rank()) return {x, behind(0, x.shape().rank())};
  View result{at, {}};
  if (found()) {
    result.storage = twins_.at(at).value;
    for (int64_t& place : places)
      if (place >= 0) place = place_in_last(place, at.shape().rank());
  }
  // Axes of one element may be any of those.
  for (const int64_t place : places) result.axes.push_back(place);
  for (int64_t& place : result.axes) {
    if (place >= 0) continue;
    place = 0;
    while (std::ranges::count(result.axes, place) > 1 ||
           result.storage.shape()[static_cast<int>(place)] != 1)
      ++place;
  }
  return result;
}

Tensor ChannelsLast::padded(const Tensor& x, const Ints& low, const Ints& high,
                            const Ints& interior) {
  const auto is_zero = [](int64_t n) { return n == 0; };
  if (std::ranges::all_of(low, is_zero) && std::ranges::all_of(high, is_zero) &&
      std::ranges::all_of(interior, is_zero))
    return x;
  const Attrs attrs{{Attr::low, low}, {Attr::high, high}, {Attr::interior, interior}};
  for (const Tensor& known : paddings_)
    if (same(known.node().input(0), x) && same_attributes(known.node().attrs(), attrs))
      return known;
  const Tensor zero = make(
      Op::full, {}, {{Attr::value, Number(0)}, {Attr::dtype, x.dtype()}, {Attr::shape, Ints()}});
  paddings_.push_back(make(Op::pad, {x, zero}, attrs));
  return paddings_.back();
}

std::vector<Tensor> ChannelsLast::convolution(const Node& node, const Tensor& x, const Tensor& w) {
  const int rank = x.shape().rank();
  const View from = view(x);
  Attrs attrs = node.attrs();
  Ints low(rank, 0), high(rank, 0), interior(rank, 0);
  for (int i = 0; i + 2 < rank; ++i) {
    const auto at = static_cast<int>(from.axes[i + 2]);
    low[at] = attrs.ints(Attr::low)[i];
    high[at] = attrs.ints(Attr::high)[i];
    interior[at] = attrs.ints(Attr::lhs_dilation)[i] - 1;
  }
  attrs.set(Attr::low, Ints(rank - 2, 0));
  attrs.set(Attr::high, Ints(rank - 2, 0));
  attrs.set(Attr::lhs_dilation, Ints(rank - 2, 1));
  attrs.set(Attr::axes, from.axes);
  const int64_t groups = attrs.integer(Attr::groups);
  // [O, C, K...] to [groups, C, K..., O/groups].
  Ints order = behind(1, rank);
  order.push_back(0);
  Tensor right;
  if (groups == 1) {
    const View weights = view(w);
    right = with_axis(transposed(weights.storage, permuted(weights.axes, order)), 0);
  } else {
    Shape split = w.shape();
    split[0] /= groups;
    split.insert(0, groups);
    order = behind(2, rank + 1);
    order.insert(0, 0);
    order.push_back(1);
    right = transposed(reshaped(w, split), order);
  }
  const Tensor result =
      make(Op::convolution, {padded(from.storage, low, high, interior), right}, attrs);
  // [groups, N, S..., O/groups] to [N, S..., O].
  Ints back = behind(1, rank);
  back.push_back(0);
  back.push_back(rank);
  Shape joined = permuted(result.shape(), back);
  joined[rank - 1] *= joined[rank];
  joined.pop_back();
  return {first(reshaped(transposed(result, back), joined))};
}

// --- other operations ----------------------------------------------------------------------------

Tensor ChannelsLast::first(const Tensor& x) {
  const Tensor result = transposed(x, to_first(x.shape().rank()));
  twins_[result] = {x, true};
  return result;
}

Tensor ChannelsLast::last(const Tensor& x) {
  if (const auto twin = twins_.find(x); twin != twins_.end()) return twin->second.value;
  const Node& node = x.node();
  Tensor result;
  if (node.op() == Op::full) {
    Attrs attrs = node.attrs();
    attrs.set(Attr::shape, Ints(permuted(x.shape(), to_last(x.shape().rank()))));
    result = make(Op::full, {}, std::move(attrs));
  } else if (node.op() == Op::broadcast) {
    result = broadcast_last(node);
  } else {
    result = transposed(x, to_last(x.shape().rank()));
  }
  twins_[x] = {result, false};
  return result;
}

Tensor ChannelsLast::broadcast_last(const Node& broadcast) {
  const Tensor& x = broadcast.input(0);
  const int rank = broadcast.output().shape.rank();
  Ints places;
  for (const int64_t axis : broadcast.attrs().ints(Attr::axes))
    places.push_back(place_in_last(axis, rank));
  // A broadcast keeps the order of axes.
  Ints order = behind(0, places.size());
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return places[static_cast<int>(a)] < places[static_cast<int>(b)];
  });
  const bool is_whole = x.shape().rank() == rank;
  const Tensor moved = is_whole ? last(x) : transposed(x, order);
  return make(Op::broadcast, {moved},
              {{Attr::shape, Ints(permuted(broadcast.output().shape, to_last(rank)))},
               {Attr::axes, permuted(places, order)}});
}

std::vector<Tensor> ChannelsLast::elementwise(const Node& node, std::span<const Tensor> inputs) {
  std::vector<Tensor> operands;
  for (const Tensor& t : inputs) operands.push_back(last(t));
  return {first(make(node.op(), std::move(operands), node.attrs()))};
}

std::vector<Tensor> ChannelsLast::movement(const Node& node, std::span<const Tensor> inputs) {
  const int rank = node.output().shape.rank();
  const Ints order = to_last(rank);
  Attrs attrs = node.attrs();
  const auto permute = [&](std::initializer_list<Attr> keys) {
    for (const Attr key : keys) attrs.set(key, permuted(attrs.ints(key), order));
  };
  std::vector<Tensor> operands = {inputs.begin(), inputs.end()};
  switch (node.op()) {
    case Op::slice:
      permute({Attr::start, Attr::stop, Attr::step});
      operands[0] = last(inputs[0]);
      break;
    case Op::pad:
      if (inputs[0].shape().rank() < 3) return {};  // its value is an image
      permute({Attr::low, Attr::high, Attr::interior});
      operands[0] = last(inputs[0]);
      break;
    case Op::reverse: {
      Ints axes;
      for (const int64_t axis : attrs.ints(Attr::axes)) axes.push_back(place_in_last(axis, rank));
      attrs.set(Attr::axes, axes);
      operands[0] = last(inputs[0]);
      break;
    }
    case Op::concatenate:
      attrs.set(Attr::axis, place_in_last(attrs.integer(Attr::axis), rank));
      for (Tensor& t : operands) t = last(t);
      break;
    default: return {};
  }
  return {first(make(node.op(), std::move(operands), std::move(attrs)))};
}

// Along one axis of more than one element, and perhaps some of one.
std::vector<Tensor> ChannelsLast::reduction(const Node& node, const Tensor& x) {
  const Ints& axes = node.attrs().ints(Attr::axes);
  const int rank = x.shape().rank();
  Attrs attrs = node.attrs();
  Ints places;
  for (const int64_t axis : axes) places.push_back(place_in_last(axis, rank));
  attrs.set(Attr::axes, places);
  const bool keeps_images = !axes.contains(0) && !axes.contains(1);
  const bool keeps_order = axes.contains(1) || rank - axes.size() <= 2;
  if (!keeps_images && !axes.contains(1)) return {};
  if (axes.contains(0) && rank - axes.size() > 1 && !axes.contains(1)) return {};
  const Tensor result = make(Op::reduce, {last(x)}, std::move(attrs));
  return {keeps_order ? result : first(result)};
}

}  // namespace cairn
