// Reductions, running sums, ordering.
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

using Reduce = Tensor (*)(const Tensor& x, const Ints& axes, bool keep_dims);

// Axes are an operand in newer versions and an attribute in older ones; none means all, or nothing
// with noop_with_empty_axes.
OnnxBuilder reduction(Reduce reduce) {
  return one([reduce](const OnnxCall& c) {
    Ints axes = c.ints("axes");
    if (c.has(1))
      for (const int64_t axis : c.constants(1)) axes.push_back(axis);
    if (axes.empty() && c.integer("noop_with_empty_axes", 0)) return c[0];
    return reduce(c[0], axes, c.integer("keepdims", 1) != 0);
  });
}

void require_elements(const Tensor& x) {
  if (x.elements() == 0) throw Unsupported("cairn gives no largest or smallest of no elements");
}

Tensor largest(const Tensor& x, const Ints& axes, bool keep_dims) {
  require_elements(x);
  return x.dtype() == DType::b8 ? any(x, axes, keep_dims) : max(x, axes, keep_dims);
}

Tensor smallest(const Tensor& x, const Ints& axes, bool keep_dims) {
  require_elements(x);
  return x.dtype() == DType::b8 ? all(x, axes, keep_dims) : min(x, axes, keep_dims);
}

// The last of equal elements is the first of the flipped ones.
OnnxBuilder arg_reduction(bool largest) {
  return one([largest](const OnnxCall& c) {
    const int axis = normalize_axis("ArgMax", c.axis(0), c[0].rank());
    const bool keep = c.integer("keepdims", 1);
    const bool last = c.integer("select_last_index", 0);
    const Tensor x = last ? flip(c[0], {axis}) : c[0];
    const Tensor index = largest ? argmax(x, axis, keep) : argmin(x, axis, keep);
    return cast(last ? c[0].size(axis) - 1 - index : index, DType::i64);
  });
}

using Running = Tensor (*)(Operand x, int axis, bool reverse);

// exclusive: each element counts from the next one on, so all are moved by one and `first` enters.
OnnxBuilder running(Running function, int first) {
  return one([function, first](const OnnxCall& c) {
    const int axis = normalize_axis("CumSum", static_cast<int64_t>(c.constant(1)), c[0].rank());
    const bool reverse = c.integer("reverse", 0);
    const Tensor y = function(c[0], axis, reverse);
    if (!c.integer("exclusive", 0)) return y;
    Ints low(y.rank(), 0), high(y.rank(), 0);
    low[axis] = reverse ? -1 : 1;
    high[axis] = reverse ? 1 : -1;
    return pad(y, low, high, first);
  });
}

std::vector<Tensor> largest_or_smallest(const OnnxCall& c) {
  const int axis = normalize_axis("TopK", c.axis(-1), c[0].rank());
  const int k = static_cast<int>(c.has(1) ? c.constant(1) : static_cast<double>(c.integer("k", 1)));
  Tensor values, indices;
  if (c.integer("largest", 1)) {
    std::tie(values, indices) = top_k(moveaxis(c[0], axis, -1), k);
    values = moveaxis(values, -1, axis);
    indices = moveaxis(indices, -1, axis);
  } else {
    values = slice_axis(sort(c[0], axis), axis, 0, k);
    indices = slice_axis(argsort(c[0], axis), axis, 0, k);
  }
  return {values, cast(indices, DType::i64)};
}

}  // namespace

void add_reductions(OnnxTable& table) {
  const std::map<std::string, Reduce> reductions = {
      {"ReduceSum", [](const Tensor& x, const Ints& a, bool k) { return sum(x, a, k); }},
      {"ReduceProd", [](const Tensor& x, const Ints& a, bool k) { return prod(x, a, k); }},
      {"ReduceMean", [](const Tensor& x, const Ints& a, bool k) { return mean(x, a, k); }},
      {"ReduceMax", largest},
      {"ReduceMin", smallest},
      {"ReduceL1", [](const Tensor& x, const Ints& a, bool k) { return norm(x, 1, a, k); }},
      {"ReduceL2", [](const Tensor& x, const Ints& a, bool k) { return norm(x, 2, a, k); }},
      {"ReduceSumSquare",
       [](const Tensor& x, const Ints& a, bool k) { return sum(square(x), a, k); }},
      {"ReduceLogSum", [](const Tensor& x, const Ints& a, bool k) { return log(sum(x, a, k)); }},
      {"ReduceLogSumExp",
       [](const Tensor& x, const Ints& a, bool k) { return logsumexp(x, a, k); }}};
  for (const auto& [name, f] : reductions) table[name] = reduction(f);
  table["ArgMax"] = arg_reduction(true);
  table["ArgMin"] = arg_reduction(false);
  table["CumSum"] = running(cumsum, 0);
  table["CumProd"] = running(cumprod, 1);
  table["TopK"] = largest_or_smallest;
}

}  // namespace cairn::test
