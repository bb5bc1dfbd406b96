#include "cairn/ops/index.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;

namespace {

// Negative indices counted from the end; those out of range stay what they are, for the error.
Tensor wrapped(std::string_view op, const Operand& indices, int64_t size) {
  Tensor i = indices.is_number() ? indices.as(DType::i64) : indices.tensor();
  if (!is_integer(i.dtype()))
    fail(op, fmt::format("indices are integers, not {}", name(i.dtype())));
  if (i.dtype() != DType::i64)
    i = cast(i, size > INT32_MAX || i.dtype() == DType::u32 ? DType::i64 : DType::i32);
  if (is_unsigned(indices.value().dtype())) return i;
  return where(bitwise_and(i < 0, i >= -size), i + size, i);
}

Tensor scatter(std::string_view kind, const Operand& input, const Operand& indices,
               const Operand& updates, int axis) {
  const std::string function = "index_" + std::string(kind == "prod" ? "multiply" : kind);
  const Provenance provenance(input.where(), function);
  const Tensor x = input.value();
  const int at = normalize_axis(function, axis, x.rank());
  const Tensor i = wrapped(function, indices, x.size(at));
  Shape shape;
  for (int d = 0; d < at; ++d) shape.push_back(x.shape()[d]);
  for (int64_t s : i.shape()) shape.push_back(s);
  for (int d = at + 1; d < x.rank(); ++d) shape.push_back(x.shape()[d]);
  const Tensor values =
      updates.is_number() ? updates.as(x.dtype()) : cast(updates.tensor(), x.dtype());
  std::vector<Tensor> operands{x, i, broadcast_to(values, shape)};
  vary_together(operands);
  return make(
      Op::scatter, std::move(operands),
      {{Attr::kind, std::string(kind)}, {Attr::axis, int64_t{at}}, {Attr::batch_dims, int64_t{0}}});
}

// x and indices with `axis` last and all other axes leading and equal: gather's batch form.
struct Along {
  Tensor x;
  Tensor indices;
  int axis;
  int rank;
  Along(std::string_view op, const Tensor& x_, const Tensor& indices_, int axis_) {
    if (x_.rank() != indices_.rank())
      fail(op, fmt::format("indices {} need the rank of x {}", to_string(indices_.shape()),
                           to_string(x_.shape())));
    rank = x_.rank();
    axis = normalize_axis(op, axis_, rank);
    Shape left = x_.shape();
    Shape right = indices_.shape();
    left[axis] = right[axis] = 1;
    const Shape shapes[] = {left, right};
    Shape common = broadcast_shapes(op, shapes);
    common[axis] = x_.size(axis);
    x = moveaxis(broadcast_to(x_, common), axis, -1);
    common[axis] = indices_.size(axis);
    indices = moveaxis(broadcast_to(wrapped(op, indices_, x_.size(axis)), common), axis, -1);
  }
  Attrs attrs() const {
    return {{Attr::axis, int64_t{rank - 1}}, {Attr::batch_dims, int64_t{rank - 1}}};
  }
};

}  // namespace

Tensor take(Operand input, Operand indices, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int at = normalize_axis("take", axis, x.rank());
  std::vector<Tensor> operands{x, wrapped("take", indices, x.size(at))};
  vary_together(operands);
  return make(Op::gather, std::move(operands),
              {{Attr::axis, int64_t{at}}, {Attr::batch_dims, int64_t{0}}});
}

Tensor take_along_axis(Operand input, const Tensor& indices, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const Along a("take_along_axis", x, indices, axis);
  std::vector<Tensor> operands{a.x, a.indices};
  vary_together(operands);
  return moveaxis(make(Op::gather, std::move(operands), a.attrs()), -1, a.axis);
}

Tensor put_along_axis(Operand input, const Tensor& indices, const Tensor& updates, int axis,
                      std::string_view kind) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const Along a("put_along_axis", x, indices, axis);
  Attrs attrs = a.attrs();
  attrs.set(Attr::kind, std::string(kind));
  std::vector<Tensor> operands{
      a.x, a.indices,
      moveaxis(broadcast_to(cast(updates, x.dtype()), indices.shape()), a.axis, -1)};
  vary_together(operands);
  return moveaxis(make(Op::scatter, std::move(operands), std::move(attrs)), -1, a.axis);
}

Tensor index_set(Operand x, Operand i, Operand u, int axis) {
  return scatter("set", x, i, u, axis);
}
Tensor index_add(Operand x, Operand i, Operand u, int axis) {
  return scatter("add", x, i, u, axis);
}
Tensor index_multiply(Operand x, Operand i, Operand u, int axis) {
  return scatter("prod", x, i, u, axis);
}
Tensor index_max(Operand x, Operand i, Operand u, int axis) {
  return scatter("max", x, i, u, axis);
}
Tensor index_min(Operand x, Operand i, Operand u, int axis) {
  return scatter("min", x, i, u, axis);
}

namespace {

std::vector<Tensor> sorted(std::string_view op, const Operand& input, int axis, bool descending) {
  const Provenance provenance(input.where(), op);
  const Tensor x = input.value();
  Attrs attrs{{Attr::axis, int64_t{normalize_axis(op, axis, x.rank())}}};
  if (descending) attrs.set(Attr::descending, true);
  return make_many(Op::sort, {x}, std::move(attrs));
}

}  // namespace

Tensor sort(Operand x, int axis, bool descending) { return sorted("sort", x, axis, descending)[0]; }
Tensor argsort(Operand x, int axis, bool descending) {
  return sorted("argsort", x, axis, descending)[1];
}

std::pair<Tensor, Tensor> top_k(Operand input, int k) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const auto both = make_many(Op::top_k, {x}, {{Attr::k, int64_t{k}}});
  return {both[0], both[1]};
}

Unique unique(Operand input, int64_t size, Number fill) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const Tensor flat = flatten(x);
  const int64_t n = flat.size(0);
  if (size < 1) fail("unique", fmt::format("size {} is not at least 1", size));
  if (n == 0)
    return {full({size}, fill, x.dtype()), zeros(x.shape(), DType::i32), zeros({size}, DType::i32),
            zeros({}, DType::i32)};
  const auto order = sorted("unique", flat, 0, false);
  const Tensor next = slice_axis(order[0], 0, 1, n);
  const Tensor previous = slice_axis(order[0], 0, 0, n - 1);
  Tensor differs = not_equal(next, previous);
  if (is_float(x.dtype()))
    differs = bitwise_and(differs, logical_not(isnan(previous)));  // NaN is last
  const Tensor starts = concatenate(std::vector<Tensor>{ones({1}, DType::b8), differs});
  const Tensor group = cumsum(cast(starts, DType::i32), 0) - 1;  // of each sorted element
  const Tensor count = slice(group, {-1}) + 1;
  // Groups past `size` go to one more place, which is cut off.
  const Tensor place = minimum(group, size);
  const Tensor values = index_set(full({size + 1}, fill, x.dtype()), place, order[0]);
  const Tensor counts = index_add(zeros({size + 1}, DType::i32), place, 1);
  const Tensor inverse = index_set(zeros({n}, DType::i32), order[1], minimum(group, size - 1));
  return {slice_axis(values, 0, 0, size), reshape(inverse, x.shape()),
          slice_axis(counts, 0, 0, size), count};
}

Tensor iota(const Shape& shape, int axis, DType dtype, const std::source_location& where) {
  const Provenance provenance(where);
  return make(Op::iota, {},
              {{Attr::dtype, dtype},
               {Attr::shape, Ints(shape)},
               {Attr::axis, int64_t{normalize_axis("iota", axis, shape.rank())}}});
}

Tensor arange(int64_t stop, DType dtype, const std::source_location& where) {
  const Provenance provenance(where);
  return iota({stop}, 0, dtype);
}

Tensor arange(double start, double stop, double step, DType dtype,
              const std::source_location& where) {
  const Provenance provenance(where);
  if (step == 0) fail("arange", "the step cannot be 0");
  const double count = std::max(0.0, std::ceil((stop - start) / step));
  if (!(count < 0x1p62))
    fail("arange", fmt::format("{}..{} in steps of {} has no end", start, stop, step));
  return cast(iota({static_cast<int64_t>(count)}, 0, DType::f64) * step + start, dtype);
}

Tensor linspace(double start, double stop, int64_t count, DType dtype, bool endpoint,
                const std::source_location& where) {
  const Provenance provenance(where);
  const int64_t steps = endpoint ? count - 1 : count;
  const Tensor i = iota({count}, 0, DType::f64);
  const Tensor line =
      steps > 0 ? i * ((stop - start) / static_cast<double>(steps)) + start : i + start;
  // Exact at both ends.
  return cast(
      endpoint && count > 1 ? cairn::where(equal(i, static_cast<double>(steps)), stop, line) : line,
      dtype);
}

Tensor one_hot(Operand indices, int64_t classes, DType dtype) {
  const Provenance provenance(indices.where());
  const Tensor given = indices.value();
  if (is_float(given.dtype()))
    fail("one_hot", fmt::format("takes integers, not {}; cast first", name(given.dtype())));
  // Wide enough for every class.
  const Tensor i = cast(
      given, given.dtype() == DType::i64 || given.dtype() == DType::u32 ? DType::i64 : DType::i32);
  Shape shape = i.shape();
  shape.push_back(classes);
  return cast(equal(expand_dims(i, -1), iota(shape, -1, i.dtype())), dtype);
}

namespace {

Tensor column_minus_row(const Shape& shape) { return iota(shape, -1) - iota(shape, -2); }

}  // namespace

Tensor eye(int64_t rows, int64_t columns, int k, DType dtype, const std::source_location& where) {
  const Provenance provenance(where);
  const Shape shape{rows, columns < 0 ? rows : columns};
  return cast(equal(column_minus_row(shape), k), dtype);
}
Tensor tril(Operand input, int k) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  return where(column_minus_row(x.shape()) <= k, x, zeros({}, x.dtype()));
}
Tensor triu(Operand input, int k) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  return where(column_minus_row(x.shape()) >= k, x, zeros({}, x.dtype()));
}

// The rows one after the other: a diagonal is every (columns + 1)-th element.
Tensor diagonal(Operand input, int k) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int64_t rows = x.size(-2);
  const int64_t columns = x.size(-1);
  const int64_t count =
      std::max<int64_t>(0, k >= 0 ? std::min(rows, columns - k) : std::min(rows + k, columns));
  const int64_t start = count == 0 ? 0 : k >= 0 ? k : -k * columns;
  const int64_t stop = count == 0 ? 0 : start + (count - 1) * (columns + 1) + 1;
  return slice_axis(flatten(x, -2, -1), -1, start, stop, columns + 1);
}
Tensor diag(Operand input, int k) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int64_t count = x.size(-1);
  const int64_t n = count + std::abs(k);
  Ints low(x.rank(), 0), high(x.rank(), 0), interior(x.rank(), 0);
  low.back() = k >= 0 ? k : -k * n;
  interior.back() = n;
  high.back() = n * n - low.back() - (count ? (count - 1) * (n + 1) + 1 : 0);
  std::vector<Tensor> operands{x, zeros({}, x.dtype())};
  vary_together(operands);
  Shape shape = x.shape();
  shape.back() = n;
  shape.push_back(n);
  return reshape(make(Op::pad, std::move(operands),
                      {{Attr::low, low}, {Attr::high, high}, {Attr::interior, interior}}),
                 shape);
}
Tensor trace_of(Operand x, int k) {
  const Provenance provenance(x.where());
  return sum(diagonal(x, k), {-1});
}

Tensor roll(Operand input, int64_t shift, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int64_t n = x.size(axis);
  if (n == 0) return x;
  const int64_t s = ((shift % n) + n) % n;
  if (s == 0) return x;
  return concatenate(
      std::vector<Tensor>{slice_axis(x, axis, n - s, n), slice_axis(x, axis, 0, n - s)}, axis);
}

Tensor repeat(Operand input, int64_t times, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int at = normalize_axis("repeat", axis, x.rank());
  if (times < 0) fail("repeat", fmt::format("{} times is not possible", times));
  Shape wide = x.shape();
  wide.insert(at + 1, times);
  Shape joined = x.shape();
  joined[at] *= times;
  return reshape(broadcast_to(expand_dims(x, at + 1), wide), joined);
}

Tensor repeat(Operand input, std::span<const int64_t> times, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int64_t n = x.size(axis);
  if (static_cast<int64_t>(times.size()) != n)
    fail("repeat",
         fmt::format("{} counts for axis {} of {}", times.size(), axis, to_string(x.shape())));
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < n; ++i) {
    if (times[static_cast<size_t>(i)] < 0)
      fail("repeat", fmt::format("{} times is not possible", times[static_cast<size_t>(i)]));
    indices.insert(indices.end(), static_cast<size_t>(times[static_cast<size_t>(i)]), i);
  }
  const auto count = static_cast<int64_t>(indices.size());
  return take(x, make(Op::dense, {}, {{Attr::literal, HostArray::from<int64_t>(indices, {count})}}),
              axis);
}

Tensor tiled(Operand input, const Ints& times) {
  const Provenance provenance(input.where());
  Tensor result = input.value();
  while (result.rank() < times.size()) result = expand_dims(result, 0);
  for (int i = 0; i < times.size(); ++i) {
    const int axis = result.rank() - times.size() + i;
    if (times[i] < 0) fail("tiled", fmt::format("{} times is not possible", times[i]));
    if (times[i] == 1) continue;
    Shape wide = result.shape();
    wide.insert(axis, times[i]);
    Shape joined = result.shape();
    joined[axis] *= times[i];
    result = reshape(broadcast_to(expand_dims(result, axis), wide), joined);
  }
  return result;
}

}  // namespace cairn
