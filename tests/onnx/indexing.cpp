// Operators that take, place or find elements by index.
#include "cairn/transforms/vmap.h"
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

Shape part(const Tensor& x, int first, int last) {
  Shape shape;
  for (int i = first; i < last; ++i) shape.push_back(x.size(i));
  return shape;
}

Shape joined(Shape a, const Shape& b) {
  for (const int64_t size : b) a.push_back(size);
  return a;
}

// x with its first axes flattened, and for each tuple along the last axis of `indices` its place
// along that axis. The first `batch` axes are the same in both, and not in the tuples.
struct Tuples {
  Tensor rows, places;
  Tuples(const Tensor& x, const Tensor& indices, int batch) {
    const int width = static_cast<int>(indices.size(-1));
    const Shape places_shape = part(indices, 0, indices.rank() - 1);
    const Shape inner = part(x, batch, batch + width);
    const Ints strides = inner.strides();
    places = zeros(places_shape, DType::i64);
    for (int i = 0; i < width; ++i) {
      const Tensor index =
          cast(reshape(slice_axis(indices, -1, i, i + 1), places_shape), DType::i64);
      places = places + where(index < 0, index + inner[i], index) * strides[i];
    }
    const Shape outer = part(x, 0, batch);
    const Ints outer_strides = outer.strides();
    for (int i = 0; i < batch; ++i)
      places = places + iota(places_shape, i, DType::i64) * (outer_strides[i] * inner.elements());
    rows =
        reshape(x, joined({outer.elements() * inner.elements()}, part(x, batch + width, x.rank())));
  }
};

Tensor gather_nd(const OnnxCall& c) {
  const Tuples tuples(c[0], c[1], static_cast<int>(c.integer("batch_dims", 0)));
  return take(tuples.rows, tuples.places, 0);
}

Tensor scatter_nd(const OnnxCall& c) {
  const Tuples t(c[0], c[1], 0);
  const std::string kind = c.text("reduction", "none");
  const auto update = kind == "add"   ? index_add
                      : kind == "mul" ? index_multiply
                      : kind == "min" ? index_min
                      : kind == "max" ? index_max
                                      : index_set;
  return reshape(update(t.rows, t.places, c[2], 0), c[0].shape());
}

// x cut down to the sizes of `indices` on every axis but one: ONNX lets those be smaller.
Tensor cut_to(Tensor x, const Tensor& indices, int axis) {
  for (int i = 0; i < x.rank(); ++i)
    if (i != axis) x = slice_axis(x, i, 0, indices.size(i));
  return x;
}

Tensor gather_elements(const OnnxCall& c) {
  const int axis = normalize_axis("GatherElements", c.axis(0), c[0].rank());
  return take_along_axis(cut_to(c[0], c[1], axis), c[1], axis);
}

Tensor scatter_elements(const OnnxCall& c) {
  const int axis = normalize_axis("ScatterElements", c.axis(0), c[0].rank());
  const std::string reduction = c.text("reduction", "none");
  const std::string kind = reduction == "none" ? "set" : reduction == "mul" ? "prod" : reduction;
  const Tensor x = cut_to(c[0], c[1], axis);
  const Tensor changed = put_along_axis(x, c[1], c[2], axis, kind);
  std::vector<Operand> starts(static_cast<size_t>(x.rank()), 0);
  return dynamic_update_slice(c[0], changed, starts);
}

Tensor one_hot_of(const OnnxCall& c) {
  const auto depth = static_cast<int64_t>(c.constant(1));
  const Tensor index = cast(c[0], DType::i64);
  const Tensor hot = one_hot(where(index < 0, index + depth, index), depth, DType::b8);
  const Tensor off = reshape(slice_axis(c[2], 0, 0, 1), {});
  const Tensor on = reshape(slice_axis(c[2], 0, 1, 2), {});
  const int axis = normalize_axis("OneHot", c.axis(-1), hot.rank());
  return moveaxis(where(hot, on, off), -1, axis);
}

// Where a vector of bools is true, ascending. How many there are is a shape, so it is computed.
Tensor true_places(const OnnxCall& c, const Tensor& condition) {
  const auto count = c.values(sum(cast(condition, DType::i64))).span<int64_t>()[0];
  return slice_axis(argsort(logical_not(condition)), 0, 0, count);
}

Tensor compress(const OnnxCall& c) {
  const bool flat = !c.has_attribute("axis");
  const Tensor x = flat ? reshape(c[0], {-1}) : c[0];
  const int axis = flat ? 0 : c.axis(0);
  const Tensor rows = slice_axis(x, axis, 0, c[1].size(0));
  return take(rows, true_places(c, c[1]), axis);
}

Tensor non_zero(const OnnxCall& c) {
  const Tensor places = cast(true_places(c, reshape(not_equal(c[0], 0), {-1})), DType::i64);
  const Ints strides = c[0].shape().strides();
  std::vector<Tensor> rows;
  for (int i = 0; i < c[0].rank(); ++i)
    rows.push_back(remainder(floor_divide(places, strides[i]), c[0].size(i)));
  return stack(rows);
}

// The first sequence_lens[b] steps of each row of the batch in reverse order.
Tensor reverse_sequence(const OnnxCall& c) {
  const int time = static_cast<int>(c.integer("time_axis", 0));
  const int batch = static_cast<int>(c.integer("batch_axis", 1));
  Shape along(Ints(c[0].rank(), 1)), across(Ints(c[0].rank(), 1));
  along[time] = c[0].size(time);
  across[batch] = c[0].size(batch);
  const Tensor step = iota(along, time, DType::i64);
  const Tensor length = reshape(c[1], across);
  return take_along_axis(c[0], where(step < length, length - 1 - step, step), time);
}

// A key-value cache [batch, ..., tokens, width]: updates written from a token on that each row of
// the batch says.
Tensor tensor_scatter(const OnnxCall& c) {
  if (c.text("mode", "linear") != "linear") throw Unsupported("a cache that wraps around");
  const auto write = [](const Tensor& cache, const Tensor& update, const Tensor& start) {
    std::vector<Operand> starts(static_cast<size_t>(cache.rank()), Tensor::scalar(0, DType::i64));
    starts[starts.size() - 2] = start;
    return dynamic_update_slice(cache, update, starts);
  };
  if (c.axis(-2) != -2) throw Unsupported("a cache whose tokens are not the last axis but one");
  return vmap(write)(c[0], c[1], c[2]);
}

// Of all elements: values, first places, inverse, counts.
std::vector<Tensor> unique_of(const OnnxCall& c) {
  if (c.has_attribute("axis")) throw Unsupported("cairn's unique is of elements, not of slices");
  if (!c.integer("sorted", 1)) throw Unsupported("cairn's unique sorts its values");
  const Tensor x = reshape(c[0], {-1});
  const auto size = static_cast<int64_t>(c.values(unique(x, x.elements()).count).at(0));
  const Unique u = unique(x, size);
  const Tensor first = index_min(full({size}, x.elements(), DType::i64), u.inverse,
                                 arange(x.elements(), DType::i64));
  return {u.values, first, cast(u.inverse, DType::i64), cast(u.counts, DType::i64)};
}

}  // namespace

void add_indexing(OnnxTable& table) {
  table["Gather"] = one([](const OnnxCall& c) { return take(c[0], c[1], c.axis(0)); });
  table["GatherElements"] = one(gather_elements);
  table["GatherND"] = one(gather_nd);
  table["ScatterElements"] = one(scatter_elements);
  table["ScatterND"] = one(scatter_nd);
  table["OneHot"] = one(one_hot_of);
  table["Compress"] = one(compress);
  table["NonZero"] = one(non_zero);
  table["ReverseSequence"] = one(reverse_sequence);
  table["TensorScatter"] = one(tensor_scatter);
  table["Unique"] = unique_of;
}

}  // namespace cairn::test
