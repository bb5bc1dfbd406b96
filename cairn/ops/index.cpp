#include "cairn/ops/index.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {
namespace {

// Negative indices counted from the end.
Tensor wrapped(const Operand& indices, int64_t size) {
  Tensor i = indices.is_number() ? indices.as(DType::i32) : indices.tensor();
  if (!is_integer(i.dtype()))
    throw_error(fmt::format("[take] indices are integers, not {} (at {})", name(i.dtype()), locate(indices.where())));
  if (i.dtype() != DType::i64) i = cast(i, size > INT32_MAX ? DType::i64 : DType::i32);
  return where(i < 0, i + size, i);
}

Tensor scatter(std::string_view kind, const Tensor& x, const Operand& indices, const Operand& updates, int axis) {
  const Provenance provenance(indices.where());
  const int at = normalize_axis("index_update", axis, x.rank());
  const Tensor i = wrapped(indices, x.size(at));
  Shape shape;
  for (int d = 0; d < at; ++d) shape.push_back(x.shape()[d]);
  for (int64_t s : i.shape()) shape.push_back(s);
  for (int d = at + 1; d < x.rank(); ++d) shape.push_back(x.shape()[d]);
  std::vector<Tensor> operands{x, i, broadcast_to(cast(updates.is_number() ? updates.as(x.dtype()) : updates.tensor(), x.dtype()), shape)};
  vary_together(operands);
  return make(Op::scatter, std::move(operands),
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
      throw_error(fmt::format("[{}] indices {} need the rank of x {}", op, to_string(indices_.shape()), to_string(x_.shape())));
    rank = x_.rank();
    axis = normalize_axis(op, axis_, rank);
    Shape left = x_.shape();
    Shape right = indices_.shape();
    left[axis] = right[axis] = 1;
    const Shape shapes[] = {left, right};
    Shape common = broadcast_shapes(op, shapes);
    common[axis] = x_.size(axis);
    x = move_axis(broadcast_to(x_, common), axis, -1);
    common[axis] = indices_.size(axis);
    indices = move_axis(broadcast_to(wrapped(indices_, x_.size(axis)), common), axis, -1);
  }
  Attrs attrs() const { return {{Attr::axis, int64_t{rank - 1}}, {Attr::batch_dims, int64_t{rank - 1}}}; }
};

}  // namespace

Tensor take(const Tensor& x, Operand indices, int axis) {
  const Provenance provenance(indices.where());
  const int at = normalize_axis("take", axis, x.rank());
  std::vector<Tensor> operands{x, wrapped(indices, x.size(at))};
  vary_together(operands);
  return make(Op::gather, std::move(operands), {{Attr::axis, int64_t{at}}, {Attr::batch_dims, int64_t{0}}});
}

Tensor take_along_axis(const Tensor& x, const Tensor& indices, int axis) {
  const Along a("take_along_axis", x, indices, axis);
  std::vector<Tensor> operands{a.x, a.indices};
  vary_together(operands);
  return move_axis(make(Op::gather, std::move(operands), a.attrs()), -1, a.axis);
}

Tensor put_along_axis(const Tensor& x, const Tensor& indices, const Tensor& updates, int axis, std::string_view kind) {
  const Along a("put_along_axis", x, indices, axis);
  Attrs attrs = a.attrs();
  attrs.set(Attr::kind, std::string(kind));
  std::vector<Tensor> operands{a.x, a.indices, move_axis(broadcast_to(cast(updates, x.dtype()), indices.shape()), a.axis, -1)};
  vary_together(operands);
  return move_axis(make(Op::scatter, std::move(operands), std::move(attrs)), -1, a.axis);
}

Tensor index_set(const Tensor& x, Operand i, Operand u, int axis) { return scatter("set", x, i, u, axis); }
Tensor index_add(const Tensor& x, Operand i, Operand u, int axis) { return scatter("add", x, i, u, axis); }
Tensor index_multiply(const Tensor& x, Operand i, Operand u, int axis) { return scatter("prod", x, i, u, axis); }
Tensor index_max(const Tensor& x, Operand i, Operand u, int axis) { return scatter("max", x, i, u, axis); }
Tensor index_min(const Tensor& x, Operand i, Operand u, int axis) { return scatter("min", x, i, u, axis); }

namespace {

std::vector<Tensor> sorted(const Tensor& x, int axis, bool descending) {
  Attrs attrs{{Attr::axis, int64_t{normalize_axis("sort", axis, x.rank())}}};
  if (descending) attrs.set(Attr::descending, true);
  return make_many(Op::sort, {x}, std::move(attrs));
}

}  // namespace

Tensor sort(const Tensor& x, int axis, bool descending) { return sorted(x, axis, descending)[0]; }
Tensor argsort(const Tensor& x, int axis, bool descending) { return sorted(x, axis, descending)[1]; }

std::pair<Tensor, Tensor> top_k(const Tensor& x, int k) {
  const auto both = make_many(Op::top_k, {x}, {{Attr::k, int64_t{k}}});
  return {both[0], both[1]};
}

Unique unique(const Tensor& x, int64_t size, Number fill) {
  const Tensor flat = flatten(x);
  const int64_t n = flat.size(0);
  if (n == 0) return {full({size}, fill, x.dtype()), reshape(zeros({0}, DType::i32), x.shape()), zeros({}, DType::i32)};
  const auto order = sorted(flat, 0, false);
  const Tensor first = ones({1}, DType::b8);
  const Tensor starts = n == 1 ? first : concatenate(std::vector<Tensor>{first, not_equal(slice_axis(order[0], 0, 1, n), slice_axis(order[0], 0, 0, n - 1))});
  const Tensor group = cumsum(cast(starts, DType::i32), 0) - 1;  // of each sorted element
  const Tensor count = slice(group, {At{-1}}) + 1;
  const Tensor kept = minimum(group, size - 1);
  // The first of each group writes its value; groups past `size` write nothing new: min keeps the smallest.
  const Tensor place = where(group < size, group, size);
  Tensor values = index_set(full({size + 1}, fill, x.dtype()), place, order[0]);
  values = slice_axis(values, 0, 0, size);
  const Tensor inverse = index_set(zeros({n}, DType::i32), order[1], kept);
  return {values, reshape(inverse, x.shape()), count};
}

Tensor iota(const Shape& shape, int axis, DType dtype) {
  return make(Op::iota, {}, {{Attr::dtype, dtype}, {Attr::shape, Ints(shape)}, {Attr::axis, int64_t{normalize_axis("iota", axis, shape.rank())}}});
}

Tensor arange(int64_t stop, DType dtype) { return iota({stop}, 0, dtype); }

Tensor arange(double start, double stop, double step, DType dtype) {
  if (step == 0) throw_error("[arange] the step cannot be 0");
  const auto count = static_cast<int64_t>(std::max(0.0, std::ceil((stop - start) / step)));
  return cast(iota({count}, 0, DType::f64) * step + start, dtype);
}

Tensor linspace(double start, double stop, int64_t count, DType dtype) {
  if (count == 1) return full({1}, start, dtype);
  const Tensor i = iota({count}, 0, DType::f64);
  // Exact at both ends.
  const Tensor line = i * ((stop - start) / static_cast<double>(count - 1)) + start;
  return cast(where(equal(i, static_cast<double>(count - 1)), stop, line), dtype);
}

Tensor one_hot(Operand indices, int64_t classes, DType dtype) {
  const Provenance provenance(indices.where());
  const Tensor i = indices.is_number() ? indices.as(DType::i32) : indices.tensor();
  Shape shape = i.shape();
  shape.push_back(classes);
  return cast(equal(expand_dims(i, -1), iota(shape, -1, i.dtype())), dtype);
}

namespace {

Tensor column_minus_row(const Shape& shape) {
  return iota(shape, -1) - iota(shape, -2);
}

}  // namespace

Tensor eye(int64_t rows, int64_t columns, DType dtype) {
  const Shape shape{rows, columns < 0 ? rows : columns};
  return cast(equal(column_minus_row(shape), 0), dtype);
}
Tensor tril(const Tensor& x, int k) { return where(column_minus_row(x.shape()) <= k, x, zeros({}, x.dtype())); }
Tensor triu(const Tensor& x, int k) { return where(column_minus_row(x.shape()) >= k, x, zeros({}, x.dtype())); }

Tensor diagonal(const Tensor& x) {
  const int64_t rows = x.size(-2);
  const int64_t columns = x.size(-1);
  const int64_t n = std::min(rows, columns);
  const Tensor square = slice_axis(slice_axis(x, -2, 0, n), -1, 0, n);
  return sum(where(equal(column_minus_row(square.shape()), 0), square, zeros({}, x.dtype())), {-1});
}
Tensor diag(const Tensor& x) {
  Shape shape = x.shape();
  shape.push_back(x.size(-1));
  return where(equal(column_minus_row(shape), 0), expand_dims(x, -1), zeros({}, x.dtype()));
}
Tensor trace_of(const Tensor& x) { return sum(diagonal(x), {-1}); }

Tensor roll(const Tensor& x, int64_t shift, int axis) {
  const int64_t n = x.size(axis);
  if (n == 0) return x;
  const int64_t s = ((shift % n) + n) % n;
  if (s == 0) return x;
  return concatenate(std::vector<Tensor>{slice_axis(x, axis, n - s, n), slice_axis(x, axis, 0, n - s)}, axis);
}

Tensor repeat(const Tensor& x, int64_t times, int axis) {
  const int at = normalize_axis("repeat", axis, x.rank());
  Shape wide = x.shape();
  wide.insert(at + 1, times);
  Shape joined = x.shape();
  joined[at] *= times;
  return reshape(broadcast_to(expand_dims(x, at + 1), wide), joined);
}

Tensor tile(const Tensor& x, const Ints& times) {
  Tensor result = x;
  while (result.rank() < times.size()) result = expand_dims(result, 0);
  for (int i = 0; i < times.size(); ++i) {
    const int axis = result.rank() - times.size() + i;
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
