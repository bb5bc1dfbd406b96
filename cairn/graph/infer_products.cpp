// Inference of products, reductions, ordering and random bits.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/core/block_format.h"
#include "cairn/graph/infer_context.h"

namespace cairn {

DType default_accumulate(DType operand) {
  if (operand == DType::f64 || operand == DType::i64) return operand;
  return is_float(operand) ? DType::f32 : DType::i32;
}

DType default_product_dtype(DType a, DType b) {
  if (is_float8(a)) return DType::f32;
  if (a == b && (is_float(a) || size_of(a) >= 4)) return a;
  return default_accumulate(a);
}

bool has_groups_last(const Node& convolution) {
  return convolution.attrs().has(Attr::axes) &&
         convolution.input(0).shape().rank() == convolution.input(1).shape().rank();
}

namespace detail {
namespace {

constexpr std::string_view kReductions[] = {"sum", "prod", "max", "min"};

void check_not_float8(const InferContext& c) {
  if (is_float8(c.dtype(0)))
    c.fail("8-bit floats take part in cast, quantize and matmul only; cast first");
}

void check_kind(const InferContext& c) {
  const std::string& kind = c.attrs.text(Attr::kind);
  if (std::find(std::begin(kReductions), std::end(kReductions), kind) == std::end(kReductions))
    c.fail(fmt::format("kind={} is not one of sum, prod, max, min", kind));
  check_not_float8(c);
  if (c.dtype(0) == DType::b8 && (kind == "sum" || kind == "prod"))
    c.fail(fmt::format("{} takes numbers, not bool; cast first, or use max (any) and min (all)",
                       kind));
}

void check_index_range(const InferContext& c, int64_t size) {
  if (size > INT32_MAX)
    c.fail(fmt::format("an axis of {} elements does not fit i32 indices", size));
}

// Operand types of a product: equal, or any two 8-bit floats, or any two of i8 and u8; panels may
// be of f16 or bf16 for an x of f32.
DType product_dtype(const InferContext& c) {
  const DType a = c.dtype(0);
  const DType b = c.dtype(1);
  const auto is_byte = [](DType t) { return t == DType::i8 || t == DType::u8; };
  const bool widens =
      c.attrs.has(Attr::columns) && a == DType::f32 && (b == DType::f16 || b == DType::bf16);
  if (a != b && !(is_float8(a) && is_float8(b)) && !(is_byte(a) && is_byte(b)) && !widens)
    c.fail("element types differ; cast first");
  if (a == DType::b8) c.fail("takes numbers, not bool; cast first");
  if (c.attrs.has(Attr::accumulate)) {
    const DType sum = c.attrs.dtype(Attr::accumulate);
    const bool fits = is_float(a)
                          ? sum == DType::f64 || (sum == DType::f32 && a != DType::f64)
                          : is_integer(sum) && size_of(sum) >= size_of(default_accumulate(a));
    if (!fits)
      c.fail(fmt::format("accumulate={} does not fit operands of {}", cairn::name(sum),
                         cairn::name(a)));
  }
  const DType result =
      c.attrs.has(Attr::dtype) ? c.attrs.dtype(Attr::dtype) : default_product_dtype(a, b);
  if (is_float(result) != is_float(a))
    c.fail(
        fmt::format("dtype={} does not fit operands of {}", cairn::name(result), cairn::name(a)));
  return result;
}

}  // namespace

Types infer_matmul(const InferContext& c) {
  const Shape& a = c.shape(0);
  const Shape& b = c.shape(1);
  const DType dtype = product_dtype(c);
  if (c.attrs.has(Attr::columns)) {
    const int64_t columns = c.attrs.integer(Attr::columns);
    const auto covers = [](int64_t pieces, int64_t size, int64_t n) {
      return size > 0 && pieces == (n + size - 1) / size;
    };
    if (a.rank() != 2 || b.rank() != 4 || columns < 1 || !covers(b[0], b[2], columns) ||
        !covers(b[1], b[3], a[1]))
      c.fail(fmt::format("with columns={} takes [M, K] and panels [columns / W, K / E, W, E]",
                         columns));
    return {c.result(dtype, {a[0], columns})};
  }
  if (a.rank() < 2 || a.rank() != b.rank()) c.fail("operands need the same rank, at least 2");
  const int r = a.rank();
  for (int i = 0; i < r - 2; ++i)
    if (a[i] != b[i])
      c.fail(fmt::format("batch dimensions differ: {} x {}", to_string(a), to_string(b)));
  if (a[r - 1] != b[r - 2])
    c.fail(fmt::format("inner dimensions differ: {} x {}", to_string(a), to_string(b)));
  Shape out = a;
  out[r - 1] = b[r - 1];
  return {c.result(dtype, out)};
}

Types infer_grouped_matmul(const InferContext& c) {
  const Shape& x = c.shape(0);
  const Shape& w = c.shape(1);
  const DType dtype = product_dtype(c);
  if (x.rank() != 2 || w.rank() != 3 || c.shape(2).rank() != 1)
    c.fail("takes x[T, K], w[G, K, N] and sizes[G]");
  if (x[1] != w[1] || w[0] != c.shape(2)[0])
    c.fail("sizes do not fit: x[T, K], w[G, K, N], sizes[G]");
  if (c.dtype(2) != DType::i32) c.fail("group sizes are i32");
  return {c.result(dtype, {x[0], w[2]})};
}

Types infer_convolution(const InferContext& c) {
  Shape x = c.shape(0);
  Shape w = c.shape(1);
  const DType dtype = product_dtype(c);
  const int64_t groups = c.attrs.integer(Attr::groups);
  const bool has_axes = c.attrs.has(Attr::axes);
  const bool are_groups_last = has_axes && x.rank() == w.rank();
  if (has_axes) {
    // As the form without axes has them.
    const Ints& axes = c.axes(x.rank());
    if (axes.size() != x.rank() || w.rank() != x.rank() + !are_groups_last || w.rank() < 4 ||
        (are_groups_last ? w.back() : w[0]) != groups)
      c.fail(
          "with axes takes one of them per axis of x and w[groups, C/groups, K..., O/groups], or "
          "w[O/groups, C/groups, K..., groups] for an x whose groups are an axis");
    for (int i = 0; i < axes.size(); ++i) x[i] = c.shape(0)[static_cast<int>(axes[i])];
    if (are_groups_last) {
      if (x.back() != groups) c.fail(fmt::format("x has {} groups, not {}", x.back(), groups));
      x[1] = c.size(__int128{x[1]} * x.back());
      x.pop_back();
    }
    w[0] = c.size(__int128{w[0]} * w.back());
    w.pop_back();
  }
  const int spatial = x.rank() - 2;
  if (spatial < 1 || w.rank() != x.rank())
    c.fail("takes x[N, C, S...] and w[O, C/groups, K...] of one rank");
  for (const Attr key :
       {Attr::strides, Attr::low, Attr::high, Attr::lhs_dilation, Attr::rhs_dilation})
    if (c.attrs.ints(key).size() != spatial)
      c.fail(fmt::format("{} needs {} numbers, one per spatial axis", cairn::name(key), spatial));
  if (groups < 1 || x[1] % groups || w[0] % groups || w[1] != x[1] / groups)
    c.fail(fmt::format("channels do not fit groups={}", groups));
  Shape out{x[0], w[0]};
  for (int i = 0; i < spatial; ++i) {
    const int64_t stride = c.attrs.ints(Attr::strides)[i];
    const int64_t lhs = c.attrs.ints(Attr::lhs_dilation)[i];
    const int64_t rhs = c.attrs.ints(Attr::rhs_dilation)[i];
    if (stride < 1 || lhs < 1 || rhs < 1) c.fail("strides and dilations are at least 1");
    const __int128 size = x[i + 2] ? __int128{x[i + 2] - 1} * lhs + 1 : 0;
    const __int128 padded = size + c.attrs.ints(Attr::low)[i] + c.attrs.ints(Attr::high)[i];
    const __int128 window = w[i + 2] ? __int128{w[i + 2] - 1} * rhs + 1 : 0;
    out.push_back(padded < window || padded < 0 ? 0 : c.size((padded - window) / stride + 1));
  }
  if (has_axes) {
    out.erase(1);
    out.insert(0, are_groups_last ? w[0] / groups : groups);
    out.push_back(are_groups_last ? groups : w[0] / groups);
  }
  return {c.result(dtype, out)};
}

Types infer_reduce(const InferContext& c) {
  check_kind(c);
  const Ints& axes = c.axes(c.shape(0).rank());
  Shape out;
  for (int i = 0; i < c.shape(0).rank(); ++i)
    if (!axes.contains(i)) out.push_back(c.shape(0)[i]);
  return {c.result(c.dtype(0), out)};
}

Types infer_cumulative(const InferContext& c) {
  check_kind(c);
  c.axis(c.shape(0).rank());
  return {c.result(c.dtype(0), c.shape(0))};
}

Types infer_arg_reduce(const InferContext& c) {
  check_not_float8(c);
  const std::string& kind = c.attrs.text(Attr::kind);
  if (kind != "max" && kind != "min") c.fail(fmt::format("kind={} is not max or min", kind));
  Shape out = c.shape(0);
  const int axis = c.axis(out.rank());
  if (out[axis] == 0) c.fail(fmt::format("axis {} has no elements", axis));
  check_index_range(c, out[axis]);
  out.erase(axis);
  return {c.result(DType::i32, out)};
}

Types infer_sort(const InferContext& c) {
  check_not_float8(c);
  const int axis = c.axis(c.shape(0).rank());
  check_index_range(c, c.shape(0)[axis]);
  return {c.result(c.dtype(0), c.shape(0)), c.result(DType::i32, c.shape(0))};
}

Types infer_top_k(const InferContext& c) {
  check_not_float8(c);
  Shape out = c.shape(0);
  if (out.rank() < 1) c.fail("needs at least one dimension");
  const int64_t k = c.attrs.integer(Attr::k);
  if (k < 0 || k > out.back())
    c.fail(fmt::format("k={} is not between 0 and the last axis's {} elements", k, out.back()));
  check_index_range(c, out.back());
  out.back() = k;
  return {c.result(c.dtype(0), out), c.result(DType::i32, out)};
}

Types infer_random_bits(const InferContext& c) {
  const Shape& key = c.shape(0);
  if (c.dtype(0) != DType::u32 || key.rank() < 1 || key.back() != 2)
    c.fail("the key is u32[..., 2]");
  if (c.dtype(1) != DType::i64) c.fail("the offset is i64");
  Shape batch = key;
  batch.erase(batch.rank() - 1);
  if (c.shape(1) != batch)
    c.fail(fmt::format("the offset has the shape of the keys: {}", to_string(batch)));
  for (int64_t size : c.attrs.ints(Attr::shape)) batch.push_back(size);
  if (checked_elements({batch.begin(), static_cast<size_t>(batch.size())}) < 0)
    c.fail(fmt::format("shape {} is not possible", to_string(batch)));
  return {c.result(DType::u32, batch)};
}

namespace {

const BlockFormat& format_of(const InferContext& c) {
  const BlockFormat* format = find_block_format(c.attrs.text(Attr::format));
  if (!format) c.fail(fmt::format("'{}' is not a block format", c.attrs.text(Attr::format)));
  return *format;
}

}  // namespace

Types infer_quantize(const InferContext& c) {
  const BlockFormat& format = format_of(c);
  if (!is_float(c.dtype(0))) c.fail("takes floats");
  Shape out = c.shape(0);
  if (out.rank() < 1 || out.back() % format.block_elements)
    c.fail(fmt::format("the last axis must be a multiple of the block of {} elements of {}",
                       format.block_elements, format.name));
  out.back() = c.size(__int128{out.back() / format.block_elements} * format.block_bytes);
  return {c.result(DType::u8, out)};
}

Types infer_dequantize(const InferContext& c) {
  const BlockFormat& format = format_of(c);
  if (c.dtype(0) != DType::u8) c.fail("takes bytes (u8)");
  if (!is_float(c.attrs.dtype(Attr::dtype))) c.fail("dtype must be a float");
  Shape out = c.shape(0);
  if (out.rank() < 1 || out.back() % format.block_bytes)
    c.fail(fmt::format("the last axis must be a multiple of the {} bytes of a block of {}",
                       format.block_bytes, format.name));
  out.back() = c.size(__int128{out.back() / format.block_bytes} * format.block_elements);
  return {c.result(c.attrs.dtype(Attr::dtype), out)};
}

}  // namespace detail
}  // namespace cairn
