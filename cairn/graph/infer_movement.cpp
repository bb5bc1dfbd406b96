// Inference of operations that move elements without computing.
#include <fmt/format.h>

#include "cairn/graph/infer_context.h"

namespace cairn::detail {
namespace {

// Operands `first`... are one 0-d integer per axis.
void check_starts(const InferContext& c, int first, int rank) {
  if (c.count() != first + rank)
    c.fail(fmt::format("needs one start per axis: {} operands after the first {}, {} were given",
                       rank, first, c.count() - first));
  for (int i = first; i < c.count(); ++i)
    if (c.shape(i).rank() != 0 || !is_integer(c.dtype(i))) c.fail("starts are 0-d integers");
}

void check_one_type(const InferContext& c, int first, int last) {
  for (int i = first; i < last; ++i)
    if (c.dtype(i) != c.dtype(first)) c.fail("element types differ; cast first");
}

// Shape of what gather(x, indices) takes from x.
Shape gathered_shape(const InferContext& c) {
  const Shape& x = c.shape(0);
  const Shape& indices = c.shape(1);
  const int axis = c.axis(x.rank());
  const int64_t batch = c.attrs.integer(Attr::batch_dims);
  if (c.dtype(1) != DType::i32 && c.dtype(1) != DType::i64) c.fail("indices are i32 or i64");
  if (batch < 0 || batch > axis || batch > indices.rank())
    c.fail(fmt::format("batch_dims={} must be at most axis and the rank of the indices", batch));
  for (int i = 0; i < batch; ++i)
    if (x[i] != indices[i])
      c.fail(fmt::format("the first {} sizes of x and indices must agree", batch));
  Shape out;
  for (int i = 0; i < axis; ++i) out.push_back(x[i]);
  for (int i = static_cast<int>(batch); i < indices.rank(); ++i) out.push_back(indices[i]);
  for (int i = axis + 1; i < x.rank(); ++i) out.push_back(x[i]);
  return out;
}

}  // namespace

Types infer_reshape(const InferContext& c) {
  const Shape shape(c.attrs.ints(Attr::shape));
  if (checked_elements({shape.begin(), static_cast<size_t>(shape.size())}) != c.shape(0).elements())
    c.fail(
        fmt::format("{} elements do not fill shape {}", c.shape(0).elements(), to_string(shape)));
  return {c.result(c.dtype(0), shape)};
}

Types infer_broadcast(const InferContext& c) {
  const Shape shape(c.attrs.ints(Attr::shape));
  if (checked_elements({shape.begin(), static_cast<size_t>(shape.size())}) < 0)
    c.fail(fmt::format("shape {} is not possible", to_string(shape)));
  const Ints& axes = c.axes(shape.rank());
  if (axes.size() != c.shape(0).rank())
    c.fail("axes needs one number per dimension of the operand");
  for (int i = 0; i < axes.size(); ++i) {
    if (i && axes[i] <= axes[i - 1]) c.fail("axes must increase");
    if (c.shape(0)[i] != 1 && c.shape(0)[i] != shape[static_cast<int>(axes[i])])
      c.fail(fmt::format("size {} of axis {} cannot become {}", c.shape(0)[i], i,
                         shape[static_cast<int>(axes[i])]));
  }
  return {c.result(c.dtype(0), shape)};
}

Types infer_transpose(const InferContext& c) {
  const Ints& axes = c.axes(c.shape(0).rank());
  if (axes.size() != c.shape(0).rank())
    c.fail(fmt::format("axes {} must name every axis once", to_string(axes)));
  Shape out;
  for (int64_t a : axes) out.push_back(c.shape(0)[static_cast<int>(a)]);
  return {c.result(c.dtype(0), out)};
}

Types infer_slice(const InferContext& c) {
  const Ints& start = c.attrs.ints(Attr::start);
  const Ints& stop = c.attrs.ints(Attr::stop);
  const Ints& step = c.attrs.ints(Attr::step);
  const Shape& x = c.shape(0);
  if (start.size() != x.rank() || stop.size() != x.rank() || step.size() != x.rank())
    c.fail("start, stop and step need one number per axis");
  Shape out;
  for (int i = 0; i < x.rank(); ++i) {
    if (step[i] < 1) c.fail(fmt::format("step {} of axis {} is not at least 1", step[i], i));
    if (start[i] < 0 || start[i] > stop[i] || stop[i] > x[i])
      c.fail(fmt::format("{}:{} does not lie in axis {} of size {}", start[i], stop[i], i, x[i]));
    const int64_t size = stop[i] - start[i];
    out.push_back(size / step[i] + (size % step[i] != 0));
  }
  return {c.result(c.dtype(0), out)};
}

Types infer_reverse(const InferContext& c) {
  c.axes(c.shape(0).rank());
  return {c.result(c.dtype(0), c.shape(0))};
}

Types infer_dynamic_slice(const InferContext& c) {
  if (c.count() < 1) c.fail("needs an operand");
  const Shape shape(c.attrs.ints(Attr::shape));
  const Shape& x = c.shape(0);
  if (shape.rank() != x.rank()) c.fail("shape needs one size per axis");
  for (int i = 0; i < x.rank(); ++i)
    if (shape[i] < 0 || shape[i] > x[i])
      c.fail(fmt::format("size {} does not fit axis {} of size {}", shape[i], i, x[i]));
  check_starts(c, 1, x.rank());
  return {c.result(c.dtype(0), shape)};
}

Types infer_dynamic_update_slice(const InferContext& c) {
  if (c.count() < 2) c.fail("needs an operand and an update");
  check_one_type(c, 0, 2);
  if (c.shape(1).rank() != c.shape(0).rank()) c.fail("the update needs the operand's rank");
  for (int i = 0; i < c.shape(0).rank(); ++i)
    if (c.shape(1)[i] > c.shape(0)[i]) c.fail("the update is larger than the operand");
  check_starts(c, 2, c.shape(0).rank());
  return {c.result(c.dtype(0), c.shape(0))};
}

Types infer_pad(const InferContext& c) {
  check_one_type(c, 0, 2);
  if (c.shape(1).rank() != 0) c.fail("the padding value is 0-d");
  const Shape& x = c.shape(0);
  const Ints& low = c.attrs.ints(Attr::low);
  const Ints& high = c.attrs.ints(Attr::high);
  const Ints& interior = c.attrs.ints(Attr::interior);
  if (low.size() != x.rank() || high.size() != x.rank() || interior.size() != x.rank())
    c.fail("low, high and interior need one number per axis");
  Shape out;
  for (int i = 0; i < x.rank(); ++i) {
    if (interior[i] < 0) c.fail("interior padding cannot be negative");
    __int128 size = __int128{low[i]} + high[i] + x[i];
    if (x[i] > 1) size += __int128{x[i] - 1} * interior[i];
    out.push_back(size < 0 ? 0 : c.size(size));
  }
  return {c.result(c.dtype(0), out)};
}

Types infer_concatenate(const InferContext& c) {
  if (c.count() < 1) c.fail("needs at least one operand");
  check_one_type(c, 0, c.count());
  Shape out = c.shape(0);
  const int axis = c.axis(out.rank());
  for (int i = 1; i < c.count(); ++i) {
    const Shape& s = c.shape(i);
    if (s.rank() != out.rank()) c.fail("ranks differ");
    for (int d = 0; d < out.rank(); ++d)
      if (d != axis && s[d] != out[d]) c.fail(fmt::format("sizes differ outside axis {}", axis));
    out[axis] = c.size(__int128{out[axis]} + s[axis]);
  }
  return {c.result(c.dtype(0), out)};
}

Types infer_gather(const InferContext& c) {
  const Shape out = gathered_shape(c);
  const int axis = c.axis(c.shape(0).rank());
  if (c.shape(0)[axis] == 0 &&
      checked_elements({out.begin(), static_cast<size_t>(out.size())}) != 0)
    c.fail(fmt::format("axis {} of x has no elements to take", axis));
  return {c.result(c.dtype(0), out)};
}

Types infer_scatter(const InferContext& c) {
  const std::string& kind = c.attrs.text(Attr::kind);
  if (kind != "set" && kind != "add" && kind != "prod" && kind != "max" && kind != "min")
    c.fail(fmt::format("kind={} is not one of set, add, prod, max, min", kind));
  if (kind != "set" && (c.dtype(0) == DType::b8 || is_float8(c.dtype(0))))
    c.fail(fmt::format("kind={} takes numbers, not {}; cast first", kind, cairn::name(c.dtype(0))));
  if (c.dtype(2) != c.dtype(0)) c.fail("element types of x and updates differ; cast first");
  if (const Shape wanted = gathered_shape(c); c.shape(2) != wanted)
    c.fail(fmt::format("the updates must have the shape {}", to_string(wanted)));
  return {c.result(c.dtype(0), c.shape(0))};
}

}  // namespace cairn::detail
