#include "cairn/ops/movement.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"

namespace cairn {

using detail::fail;

Tensor reshape(Operand input, const Shape& shape) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  Shape full = shape;
  int free = -1;
  int64_t known = 1;
  for (int i = 0; i < full.rank(); ++i) {
    if (full[i] != -1) {
      known *= full[i];
    } else if (free < 0) {
      free = i;
    } else {
      fail("reshape", fmt::format("more than one size of {} is -1", to_string(shape)));
    }
  }
  if (free >= 0) {
    if (known == 0 || x.elements() % known)
      fail("reshape",
           fmt::format("{} elements do not fill shape {}", x.elements(), to_string(shape)));
    full[free] = x.elements() / known;
  }
  if (full == x.shape()) return x;
  return make(Op::reshape, {x}, {{Attr::shape, Ints(full)}});
}

Tensor flatten(Operand input, int first_axis, int last_axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  if (x.rank() == 0) return reshape(x, {1});
  const int first = normalize_axis("flatten", first_axis, x.rank());
  const int last = normalize_axis("flatten", last_axis, x.rank());
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    if (i > first && i <= last) {
      shape.back() *= x.shape()[i];
    } else {
      shape.push_back(x.shape()[i]);
    }
  }
  return reshape(x, shape);
}

Tensor squeeze(Operand input, Ints axes) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  Shape shape;
  const Ints normal = axes.empty() ? Ints() : normalize_axes("squeeze", axes, x.rank());
  for (int i = 0; i < x.rank(); ++i) {
    const bool drop = axes.empty() ? x.shape()[i] == 1 : normal.contains(i);
    if (drop && x.shape()[i] != 1)
      fail("squeeze", fmt::format("axis {} of {} is not of size 1", i, to_string(x.shape())));
    if (!drop) shape.push_back(x.shape()[i]);
  }
  return reshape(x, shape);
}

Tensor expand_dims(Operand input, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  Shape shape = x.shape();
  shape.insert(normalize_axis("expand_dims", axis, x.rank() + 1), 1);
  return reshape(x, shape);
}

Tensor transpose(Operand input, Ints axes) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  Ints order;
  if (axes.empty())
    for (int i = x.rank() - 1; i >= 0; --i) order.push_back(i);
  for (int64_t a : axes) order.push_back(normalize_axis("transpose", a, x.rank()));
  bool identity = order.size() == x.rank();
  for (int i = 0; i < order.size(); ++i) identity &= order[i] == i;
  if (identity) return x;
  return make(Op::transpose, {x}, {{Attr::axes, order}});
}

Tensor swapaxes(Operand input, int a, int b) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  Ints order;
  for (int i = 0; i < x.rank(); ++i) order.push_back(i);
  std::swap(order[normalize_axis("swapaxes", a, x.rank())],
            order[normalize_axis("swapaxes", b, x.rank())]);
  return transpose(x, order);
}

Tensor moveaxis(Operand input, int from, int to) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int source = normalize_axis("moveaxis", from, x.rank());
  const int target = normalize_axis("moveaxis", to, x.rank());
  Ints order;
  for (int i = 0; i < x.rank(); ++i)
    if (i != source) order.push_back(i);
  order.insert(target, source);
  return transpose(x, order);
}

Tensor flip(Operand input, Ints axes) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  return make(Op::reverse, {x}, {{Attr::axes, normalize_axes("flip", axes, x.rank())}});
}

Tensor slice(Operand x, std::initializer_list<Index> indices) {
  return slice(x, std::span(indices.begin(), indices.size()));
}

Tensor slice(Operand input, std::span<const Index> indices) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  if (static_cast<int>(indices.size()) > x.rank())
    fail("slice",
         fmt::format("{} indices for a tensor of shape {}", indices.size(), to_string(x.shape())));
  Ints start, stop, step, reversed;
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    const int64_t size = x.shape()[i];
    Slice s;
    bool drop = false;
    if (i < static_cast<int>(indices.size())) {
      s = indices[static_cast<size_t>(i)].slice();
      drop = indices[static_cast<size_t>(i)].drops();
    }
    if (drop) {
      const int64_t index = *s.start < 0 ? *s.start + size : *s.start;
      if (index < 0 || index >= size)
        fail("slice",
             fmt::format("index {} is out of range for axis {} of size {}", *s.start, i, size));
      s = {index, index + 1};
    }
    if (s.step == 0) fail("slice", "the step cannot be 0");
    const auto resolve = [size](std::optional<int64_t> v, int64_t otherwise, int64_t low,
                                int64_t high) {
      if (!v) return otherwise;
      return std::clamp(*v < 0 ? *v + size : *v, low, high);
    };
    int64_t first, last, stride = s.step;
    if (s.step > 0) {
      first = resolve(s.start, 0, 0, size);
      last = std::max(first, resolve(s.stop, size, 0, size));
    } else {
      // Elements start, start-|step|, ... above stop: the same elements forward, then reversed.
      const int64_t from = resolve(s.start, size - 1, -1, size - 1);
      const int64_t down_to = resolve(s.stop, -1, -1, size - 1);
      stride = -s.step;
      const int64_t count = from > down_to ? (from - down_to + stride - 1) / stride : 0;
      first = count ? from - (count - 1) * stride : 0;
      last = count ? from + 1 : 0;
      reversed.push_back(i);
    }
    start.push_back(first);
    stop.push_back(last);
    step.push_back(stride);
    if (!drop) shape.push_back((last - first + stride - 1) / stride);
  }
  bool whole = reversed.empty();
  for (int i = 0; i < x.rank(); ++i)
    whole &= start[i] == 0 && stop[i] == x.shape()[i] && step[i] == 1;
  Tensor result =
      whole ? x
            : make(Op::slice, {x}, {{Attr::start, start}, {Attr::stop, stop}, {Attr::step, step}});
  if (!reversed.empty()) result = flip(result, reversed);
  return reshape(result, shape);
}

Tensor slice_axis(Operand input, int axis, int64_t start, int64_t stop, int64_t step) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  std::vector<Index> indices(static_cast<size_t>(normalize_axis("slice_axis", axis, x.rank())) + 1,
                             Slice{});
  indices.back() = Slice{start, stop, step};
  return slice(x, indices);
}

namespace {

void append_starts(std::vector<Tensor>& operands, std::span<const Operand> starts) {
  for (const Operand& s : starts) operands.push_back(s.is_number() ? s.as(DType::i32) : s.tensor());
  vary_together(operands);
}

}  // namespace

Tensor dynamic_slice(Operand input, std::span<const Operand> starts, const Shape& sizes) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  std::vector<Tensor> operands{x};
  append_starts(operands, starts);
  return make(Op::dynamic_slice, std::move(operands), {{Attr::shape, Ints(sizes)}});
}

Tensor dynamic_update_slice(Operand input, const Tensor& update, std::span<const Operand> starts) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  std::vector<Tensor> operands{x, update};
  append_starts(operands, starts);
  return make(Op::dynamic_update_slice, std::move(operands));
}

Tensor concatenate(std::span<const Tensor> parts, int axis, const std::source_location& where) {
  const Provenance provenance(where);
  if (parts.empty()) fail("concatenate", "needs at least one tensor");
  const std::vector<Operand> operands(parts.begin(), parts.end());
  const DType dtype = result_dtype("concatenate", operands);
  const int at = normalize_axis("concatenate", axis, parts[0].rank());
  if (parts.size() == 1) return parts[0];
  std::vector<Tensor> same;
  for (const Tensor& t : parts) same.push_back(cast(t, dtype));
  vary_together(same);
  return make(Op::concatenate, std::move(same), {{Attr::axis, int64_t{at}}});
}

Tensor stack(std::span<const Tensor> parts, int axis, const std::source_location& where) {
  const Provenance provenance(where);
  std::vector<Tensor> expanded;
  for (const Tensor& t : parts) expanded.push_back(expand_dims(t, axis));
  return concatenate(expanded, axis);
}

std::vector<Tensor> split(Operand input, int count, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int64_t size = x.size(axis);
  if (count < 1 || size % count)
    fail("split", fmt::format("axis {} of {} does not divide into {} equal parts", axis,
                              to_string(x.shape()), count));
  return split_sizes(x, std::vector<int64_t>(static_cast<size_t>(count), size / count), axis);
}

std::vector<Tensor> split_sizes(Operand input, std::span<const int64_t> sizes, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  std::vector<Tensor> parts;
  int64_t start = 0;
  for (int64_t size : sizes) {
    parts.push_back(slice_axis(x, axis, start, start + size));
    start += size;
  }
  if (start != x.size(axis))
    fail("split_sizes",
         fmt::format("sizes add up to {}, axis {} has {}", start, axis, x.size(axis)));
  return parts;
}

Tensor pad(Operand input, const Ints& low, const Ints& high, Operand value) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  std::vector<Tensor> operands{
      x, value.is_number() ? value.as(x.dtype()) : cast(value.tensor(), x.dtype())};
  vary_together(operands);
  return make(Op::pad, std::move(operands),
              {{Attr::low, low}, {Attr::high, high}, {Attr::interior, Ints(x.rank(), 0)}});
}

Tensor pad(Operand input, const Ints& low, const Ints& high, PadMode mode) {
  const Provenance provenance(input.where());
  Tensor x = input.value();
  if (low.size() != x.rank() || high.size() != x.rank())
    fail("pad", fmt::format("low {} and high {} need one number per axis of {}", to_string(low),
                            to_string(high), to_string(x.shape())));
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int64_t n = x.size(axis);
    const int64_t limit = mode == PadMode::reflect ? n - 1
                          : n > 0                  ? std::numeric_limits<int64_t>::max()
                                                   : 0;
    for (const int64_t width : {low[axis], high[axis]})
      if (width < 0 || width > std::max<int64_t>(limit, 0))
        fail("pad", fmt::format("width {} does not fit axis {} of size {}", width, axis, n));
    // `count` elements before or behind: the first or last repeated, or those next to it reversed.
    const auto border = [&](int64_t count, bool before) {
      if (mode == PadMode::reflect)
        return flip(
            before ? slice_axis(x, axis, 1, count + 1) : slice_axis(x, axis, n - 1 - count, n - 1),
            {axis});
      Shape shape = x.shape();
      shape[axis] = count;
      return broadcast_to(before ? slice_axis(x, axis, 0, 1) : slice_axis(x, axis, n - 1, n),
                          shape);
    };
    std::vector<Tensor> parts;
    if (low[axis]) parts.push_back(border(low[axis], true));
    parts.push_back(x);
    if (high[axis]) parts.push_back(border(high[axis], false));
    x = concatenate(parts, axis);
  }
  return x;
}

Tensor transfer(Operand x, Placement placement) {
  const Provenance provenance(x.where());
  return make(Op::transfer, {x.value()}, {{Attr::placement, placement}});
}

}  // namespace cairn
