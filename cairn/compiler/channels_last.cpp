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

// The axis as `first` times what is left.
Shape split(Shape shape, int axis, int64_t first) {
  shape[axis] /= first;
  shape.insert(axis, first);
  return shape;
}

// All axes, that one at the end.
Ints with_last(int rank, int64_t last) {
  Ints order = behind(0, rank);
  order.erase(static_cast<int>(last));
  order.push_back(last);
  return order;
}

Tensor with_axis(const Tensor& x, int at) {
  Shape shape = x.shape();
  shape.insert(at, 1);
  return reshaped(x, shape);
}

// An axis of one element that is none of `axes`, at the end if there is none.
int64_t free_axis(Tensor& x, const Ints& axes) {
  int axis = 0;
  while (axis < x.shape().rank() && (x.shape()[axis] != 1 || axes.contains(axis))) ++axis;
  if (axis == x.shape().rank()) x = with_axis(x, axis);
  return axis;
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

// Images [N, Q0, Q1, ..., C], one for each of d0 x d1 x ..., as [N, Q0, d0, Q1, d1, ..., C]: one
// launch that reads each where its elements are, where concatenations would be several.
Tensor interleaved(std::vector<Tensor> parts, const Ints& dilation) {
  const Shape& part = parts[0].shape();
  Shape shape = {part[0]};
  Ints axes = {0};
  for (int i = 0; i < dilation.size(); ++i) {
    axes.push_back(shape.rank());
    shape.push_back(part[i + 1]);
    shape.push_back(dilation[i]);
  }
  axes.push_back(shape.rank());
  shape.push_back(part.back());
  for (Tensor& t : parts)
    t = make(Op::broadcast, {t}, {{Attr::shape, Ints(shape)}, {Attr::axes, axes}});
  for (int i = dilation.size(); i-- > 0;) {
    if (dilation[i] == 1) continue;
    const Tensor place =
        make(Op::iota, {},
             {{Attr::dtype, DType::i32}, {Attr::shape, Ints(shape)}, {Attr::axis, 2 * i + 2}});
    const auto d = static_cast<size_t>(dilation[i]);
    std::vector<Tensor> joined;
    for (size_t first = 0; first < parts.size(); first += d) {
      Tensor value = parts[first + d - 1];
      for (size_t r = d - 1; r-- > 0;) {
        const Tensor end = make(Op::full, {},
                                {{Attr::value, Number(static_cast<int64_t>(r + 1))},
                                 {Attr::dtype, DType::i32},
                                 {Attr::shape, Ints(shape)}});
        value = make(Op::select, {make(Op::less, {place, end}, {}), parts[first + r], value});
      }
      joined.push_back(value);
    }
    parts = std::move(joined);
  }
  return parts[0];
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

ChannelsLast::View ChannelsLast::followed(const Tensor& x, bool may_reverse, int rank) const {
  Tensor at = x;
  // For each axis of x that moves, the axis of `at`; -1 for one of one element.
  std::vector<int64_t> places;
  for (int i = 0; i < x.shape().rank(); ++i) places.push_back(x.shape()[i] == 1 ? -1 : i);
  std::vector<bool> is_reversed(places.size());
  while (at.shape().rank() != rank || !twins_.contains(at)) {
    const Node& node = at.node();
    if (node.op() == Op::reverse && may_reverse) {
      for (size_t i = 0; i < places.size(); ++i)
        if (places[i] >= 0 && node.attrs().ints(Attr::axes).contains(places[i]))
          is_reversed[i] = !is_reversed[i];
    } else if (node.op() == Op::transpose) {
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
  View result{at, {}};
  for (const int64_t place : places) result.axes.push_back(place);
  for (size_t i = 0; i < places.size(); ++i)
    if (is_reversed[i]) result.reversed.push_back(static_cast<int64_t>(i));
  return result;
}

// Through transposes, reshapes that only add or drop axes of one element, and perhaps reversals.
ChannelsLast::View ChannelsLast::view(const Tensor& x, bool may_reverse) {
  const int rank = x.shape().rank();
  View result = followed(x, may_reverse, rank);
  if (result.storage.shape().rank() != rank) return {x, behind(0, rank)};
  if (const auto twin = twins_.find(result.storage); twin != twins_.end()) {
    result.storage = twin->second.value;
    for (int64_t& place : result.axes)
      if (place >= 0) place = place_in_last(place, rank);
  }
  // Axes of one element may be any of those.
  for (int64_t& place : result.axes)
    if (place < 0) place = free_axis(result.storage, result.axes);
  return result;
}

ChannelsLast::View ChannelsLast::split_view(const Tensor& x, bool may_reverse) {
  const int rank = x.shape().rank() - 1;
  View result = followed(x, may_reverse, rank);
  Tensor& at = result.storage;
  if (const auto twin = twins_.find(at); twin != twins_.end() && at.shape().rank() == rank) {
    at = twin->second.value;
    for (int64_t& place : result.axes)
      if (place >= 0) place = place_in_last(place, rank);
    return result;
  }
  if (at.node().op() != Op::reshape || at.shape().rank() != rank + 1) return result;
  // Channels that lie last are split there.
  const Tensor& whole = at.node().input(0);
  const auto twin = twins_.find(whole);
  if (twin == twins_.end() || split(whole.shape(), 1, at.shape()[1]) != at.shape()) return result;
  const Tensor& last = twin->second.value;
  for (int64_t& place : result.axes)
    if (place > 0) place = place < 3 ? place + rank - 2 : place - 2;
  at = reshaped(last, split(last.shape(), rank - 1, at.shape()[1]));
  return result;
}

ChannelsLast::View ChannelsLast::view_by_groups(const Tensor& x, int64_t groups) {
  const int rank = x.shape().rank();
  const Shape apart = split(x.shape(), 1, groups);
  const Node& node = x.node();
  const bool is_joined = node.op() == Op::reshape && node.input(0).shape() == apart;
  View result = split_view(is_joined ? node.input(0) : reshaped(x, apart), false);
  Tensor& storage = result.storage;
  // Images in the graph's order are put in the other, which more than this node may read.
  if (storage.shape().rank() == rank && result.axes[1] == 1) {
    storage = last(storage);
    for (int64_t& place : result.axes)
      if (place >= 0) place = place_in_last(place, rank);
  }
  const Ints order = with_last(storage.shape().rank(), result.axes[1]);
  storage = transposed(storage, order);
  for (int64_t& place : result.axes)
    if (place >= 0) place = std::ranges::find(order, place) - order.begin();
  // [N, groups, C/groups, S...] to [N, C/groups, S..., groups]; places have windows, so they are
  // axes of the storage.
  result.axes.push_back(result.axes[1]);
  result.axes.erase(1);
  for (int i = 2; i < rank; ++i)
    if (result.axes[i] < 0) result.axes[i] = free_axis(storage, result.axes);
  return result;
}

Tensor ChannelsLast::padded(const Tensor& x, Ints& low, Ints& high, const Ints& interior) {
  Ints before, after;
  bool is_padded = false;
  for (int i = 0; i < low.size(); ++i) {
    before.push_back(std::max<int64_t>(0, low[i]));
    after.push_back(std::max<int64_t>(0, high[i]));
    is_padded |= before[i] || after[i] || interior[i];
  }
  const auto cut = [&](Ints& amounts, const Ints& given) {
    for (int i = 0; i < amounts.size(); ++i) amounts[i] -= given[i];
  };
  const auto covers = [](const Ints& larger, const Ints& smaller) {
    return std::ranges::equal(larger, smaller, std::ranges::greater_equal());
  };
  if (!is_padded) return x;
  for (const Tensor& known : paddings_) {
    const Attrs& attrs = known.node().attrs();
    if (!same(known.node().input(0), x) || attrs.ints(Attr::interior) != interior ||
        !covers(attrs.ints(Attr::low), before) || !covers(attrs.ints(Attr::high), after))
      continue;
    cut(low, attrs.ints(Attr::low));
    cut(high, attrs.ints(Attr::high));
    return known;
  }
  const Tensor zero = make(
      Op::full, {}, {{Attr::value, Number(0)}, {Attr::dtype, x.dtype()}, {Attr::shape, Ints()}});
  paddings_.push_back(make(Op::pad, {x, zero},
                           {{Attr::low, before}, {Attr::high, after}, {Attr::interior, interior}}));
  cut(low, before);
  cut(high, after);
  return paddings_.back();
}

Tensor ChannelsLast::weights(const Tensor& w, int64_t groups, bool are_groups_last) {
  const int rank = w.shape().rank();
  if (groups > 1 && !are_groups_last) {
    // [O, C, K...] to [groups, C, K..., O/groups].
    Ints order = behind(2, rank + 1);
    order.insert(0, 0);
    order.push_back(1);
    return transposed(reshaped(w, split(w.shape(), 0, groups)), order);
  }
  // [O, C, K...] to [C, K..., O], or [groups, O/groups, C, K...] to [O/groups, C, K..., groups].
  const Shape shape = are_groups_last ? split(w.shape(), 0, groups) : w.shape();
  const View from = are_groups_last ? split_view(reshaped(w, shape), true) : view(w, true);
  const Ints order = with_last(shape.rank(), 0);
  Ints axes;
  for (const int64_t axis : order)
    if (from.axes[static_cast<int>(axis)] >= 0) axes.push_back(from.axes[static_cast<int>(axis)]);
  for (int i = 0; i < from.storage.shape().rank(); ++i)
    if (!axes.contains(i)) axes.push_back(i);  // of one element
  Tensor result = reshaped(transposed(from.storage, axes), permuted(shape, order));
  Ints reversed;
  for (int i = 0; i < shape.rank(); ++i)
    if (from.reversed.contains(order[i])) reversed.push_back(i);
  if (!reversed.empty()) result = make(Op::reverse, {result}, {{Attr::axes, reversed}});
  return are_groups_last ? result : with_axis(result, 0);
}

Tensor ChannelsLast::windowed(const View& x, const Tensor& w, Attrs attrs) {
  const int rank = w.shape().rank(), storage_rank = x.storage.shape().rank();
  const bool are_groups_last = x.axes.size() > rank;
  Ints low(storage_rank, 0), high(storage_rank, 0), interior(storage_rank, 0);
  const auto place = [&](int i) { return static_cast<int>(x.axes[i + 2]); };
  for (int i = 0; i + 2 < rank; ++i) {
    low[place(i)] = attrs.ints(Attr::low)[i];
    high[place(i)] = attrs.ints(Attr::high)[i];
    interior[place(i)] = attrs.ints(Attr::lhs_dilation)[i] - 1;
  }
  Tensor around = padded(x.storage, low, high, interior);
  Ints cut_low, cut_high;
  for (int i = 0; i + 2 < rank; ++i) {
    cut_low.push_back(low[place(i)]);
    cut_high.push_back(high[place(i)]);
  }
  Ints axes = x.axes;
  for (int64_t& axis : axes)
    if (axis < 0) axis = free_axis(around, axes);
  attrs.set(Attr::low, cut_low);
  attrs.set(Attr::high, cut_high);
  attrs.set(Attr::lhs_dilation, Ints(rank - 2, 1));
  attrs.set(Attr::axes, axes);
  const Tensor right = weights(w, attrs.integer(Attr::groups), are_groups_last);
  const Tensor result = make(Op::convolution, {around, right}, attrs);
  // [groups, N, S..., O/groups] or [O/groups, N, S..., groups] to [N, S..., O].
  Ints back = behind(1, rank);
  back.push_back(are_groups_last ? rank : 0);
  back.push_back(are_groups_last ? 0 : rank);
  Shape joined = permuted(result.shape(), back);
  joined[rank - 1] *= joined[rank];
  joined.pop_back();
  return reshaped(transposed(result, back), joined);
}

// With a dilation d, results whose places leave the same remainder by d (a phase) meet the same
// taps, every d-th: each phase is a convolution of x as it is. They are computed as if all had as
// many results, and laid side by side.
Tensor ChannelsLast::by_phases(const View& x, const Tensor& w, const Attrs& attrs,
                               const Shape& result) {
  const int spatial = w.shape().rank() - 2;
  const Ints& dilation = attrs.ints(Attr::lhs_dilation);
  int64_t count = 1;
  for (const int64_t d : dilation) count *= d;
  Ints counts;  // results of a phase
  for (int i = 0; i < spatial; ++i)
    counts.push_back((result[i + 2] + dilation[i] - 1) / dilation[i]);
  struct Phase {
    Ints first, low, high;
    bool is_empty = false;
  };
  std::vector<Phase> phases;
  Ints most_low(spatial, 0), most_high(spatial, 0);
  for (int64_t number = 0; number < count; ++number) {
    Phase phase;
    int64_t rest = number;
    Ints remainders(spatial, 0);
    for (int i = spatial; i-- > 0; rest /= dilation[i]) remainders[i] = rest % dilation[i];
    for (int i = 0; i < spatial; ++i) {
      const int64_t d = dilation[i], offset = attrs.ints(Attr::low)[i] - remainders[i];
      const int64_t first = (offset % d + d) % d;
      const int64_t taps = std::max<int64_t>(0, (w.shape()[i + 2] - first + d - 1) / d);
      phase.is_empty |= taps == 0;
      phase.first.push_back(first);
      phase.low.push_back((offset - first) / d);
      const int64_t size = x.storage.shape()[static_cast<int>(x.axes[i + 2])];
      phase.high.push_back(counts[i] + taps - 1 - size - phase.low[i]);
      if (taps == 0) continue;
      most_low[i] = std::max(most_low[i], phase.low[i]);
      most_high[i] = std::max(most_high[i], phase.high[i]);
    }
    phases.push_back(phase);
  }
  // One padding serves all.
  const Ints none(x.storage.shape().rank(), 0);
  Ints low = none, high = none;
  for (int i = 0; i < spatial; ++i) {
    low[static_cast<int>(x.axes[i + 2])] = most_low[i];
    high[static_cast<int>(x.axes[i + 2])] = most_high[i];
  }
  padded(x.storage, low, high, none);
  std::vector<Tensor> parts;
  for (const Phase& phase : phases) {
    Shape shape = {result[0]};
    for (const int64_t n : counts) shape.push_back(n);
    shape.push_back(result[1]);
    if (phase.is_empty) {
      parts.push_back(
          make(Op::full, {},
               {{Attr::value, Number(0)}, {Attr::dtype, w.dtype()}, {Attr::shape, Ints(shape)}}));
    } else {
      Ints start = {0, 0}, step = {1, 1};
      for (int i = 0; i < spatial; ++i) {
        start.push_back(phase.first[i]);
        step.push_back(dilation[i]);
      }
      const Tensor taps =
          make(Op::slice, {w},
               {{Attr::start, start}, {Attr::stop, Ints(w.shape())}, {Attr::step, step}});
      Attrs own = attrs;
      own.set(Attr::low, phase.low);
      own.set(Attr::high, phase.high);
      own.set(Attr::lhs_dilation, Ints(spatial, 1));
      parts.push_back(windowed(x, taps, own));
    }
  }
  Shape whole = {result[0]};
  for (int i = 0; i < spatial; ++i) whole.push_back(counts[i] * dilation[i]);
  whole.push_back(result[1]);
  Ints stop = whole;
  for (int i = 0; i < spatial; ++i) stop[i + 1] = result[i + 2];
  const Tensor side_by_side = reshaped(interleaved(std::move(parts), dilation), whole);
  if (stop == whole) return side_by_side;
  return make(Op::slice, {side_by_side},
              {{Attr::start, Ints(spatial + 2, 0)},
               {Attr::stop, stop},
               {Attr::step, Ints(spatial + 2, 1)}});
}

// Of images in the graph's order a kernel reads a few elements of each channel's plane at a time,
// which neighbours share when windows overlap. Where they do not, it is faster to put many channels
// last first: 128 channels of 56 x 56, 3 x 3 with stride 2: 43 ms, with the transpose 22; 512 of
// 28 x 28, 1 x 1: 27 ms, 19.
bool ChannelsLast::is_better_last(const Node& node) const {
  constexpr int64_t kManyChannels = 16;
  const Shape &x = node.input(0).shape(), &w = node.input(1).shape();
  const bool is_apart =
      w.elements() == w[0] * w[1] ||
      std::ranges::any_of(node.attrs().ints(Attr::strides), [](int64_t n) { return n != 1; });
  const View from = followed(node.input(0), false, x.rank());
  return is_apart && x[1] >= kManyChannels && from.storage.shape().rank() == x.rank() &&
         from.axes[1] == 1;
}

std::vector<Tensor> ChannelsLast::convolution(const Node& node, const Tensor& x, const Tensor& w) {
  const Attrs& attrs = node.attrs();
  const auto all_one = [&](Attr key) {
    return std::ranges::all_of(attrs.ints(key), [](int64_t n) { return n == 1; });
  };
  // Results of a group fill a vector, or groups do.
  constexpr int64_t kFewResults = 8;
  const int64_t groups = attrs.integer(Attr::groups);
  const bool are_groups_last = groups >= kFewResults && w.shape()[0] / groups < kFewResults;
  if (!are_groups_last && is_better_last(node)) last(followed(x, false, x.shape().rank()).storage);
  const View from = are_groups_last ? view_by_groups(x, groups) : view(x, false);
  // Parts of a result have two for each spatial axis.
  const int axes = 2 + 2 * (x.shape().rank() - 2);
  const bool has_phases = !all_one(Attr::lhs_dilation) && all_one(Attr::strides) &&
                          all_one(Attr::rhs_dilation) && axes <= kMaxRank;
  return {first(has_phases ? by_phases(from, w, attrs, node.output().shape)
                           : windowed(from, w, attrs))};
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
