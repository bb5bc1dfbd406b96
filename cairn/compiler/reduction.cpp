#include "cairn/compiler/reduction.h"

#include <fmt/format.h>

#include <limits>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/rows.h"

namespace cairn {

using tile::Combine;
using tile::Tile;

namespace {

// Columns of a program, where the axis is not the last: 64 lanes of as many columns are 16 KB, half
// of the first cache.
constexpr int64_t kColumns = 64;

Combine kind_of(const Node& node) {
  const std::string& kind = node.attrs().text(Attr::kind);
  return kind == "sum"    ? Combine::sum
         : kind == "prod" ? Combine::prod
         : kind == "max"  ? Combine::max
                          : Combine::min;
}

double nothing(Combine kind) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (kind) {
    case Combine::sum: return 0;
    case Combine::prod: return 1;
    case Combine::max: return -kInfinity;
    default: return kInfinity;
  }
}

Tile combined(Combine kind, const Tile& x, const Tile& y) {
  switch (kind) {
    case Combine::sum: return x + y;
    case Combine::prod: return x * y;
    case Combine::max: return maximum(x, y);
    default: return minimum(x, y);
  }
}

}  // namespace

bool is_reduction(const Node& node) {
  if (node.op() != Op::reduce || !can_compile_kernels()) return false;
  const TensorType& x = node.input(0).type();
  if (!is_float(x.dtype) || is_float8(x.dtype)) return false;
  int axes = 0;
  for (const int64_t axis : node.attrs().ints(Attr::axes))
    if (x.shape[static_cast<int>(axis)] != 1) ++axes;
  return axes == 1;
}

ReductionSizes reduction_sizes(const Node& node) {
  const Shape& shape = node.input(0).shape();
  const Ints& axes = node.attrs().ints(Attr::axes);
  ReductionSizes sizes;
  bool seen = false;
  for (int i = 0; i < shape.rank(); ++i) {
    if (axes.contains(i) && shape[i] != 1) {
      sizes.n = shape[i];
      seen = true;
    } else {
      (seen ? sizes.inner : sizes.outer) *= shape[i];
    }
  }
  return sizes;
}

ReductionForm reduction_form(const ReductionSizes& sizes) {
  return {sizes.inner == 1, sizes.n > tile::kReduceChunk};
}

int64_t reduction_programs(const ReductionSizes& sizes, const ReductionForm& form) {
  return form.along_rows ? sizes.outer : sizes.outer * ((sizes.inner + kColumns - 1) / kColumns);
}

int64_t reduction_block(const ReductionSizes& sizes, const ReductionForm& form) {
  return form.along_rows ? sizes.n : sizes.n * kColumns;
}

tile::Kernel make_reduction_kernel(const Node& node, const ReductionForm& form) {
  const DType dtype = node.input(0).dtype();
  const DType wide = tile::compute_type(dtype);
  const Combine kind = kind_of(node);
  tile::Builder k(fmt::format("reduce_{}_{}{}", name(kind), form.along_rows ? "rows" : "columns",
                              form.chunked ? "_long" : ""));
  const tile::Buffer x = k.input("x", dtype);
  const tile::Buffer out = k.output("out", dtype);
  const Tile outer = k.size("outer");
  const Tile n = k.size("n");
  const Tile inner = k.size("inner");
  k.grid([&] {
    return form.along_rows ? std::vector<Tile>{outer}
                           : std::vector<Tile>{outer, ceil_div(inner, kColumns)};
  });
  // The lanes of the order of sums: along rows 64 neighbours, along columns 64 rows of 64 columns.
  const Tile base = k.program_id(0) * (n * inner);
  const Tile lane =
      form.along_rows ? k.arange(tile::kReduceLanes) : expand_dims(k.arange(tile::kReduceLanes), 1);
  const Tile column = form.along_rows ? Tile() : k.program_id(1) * kColumns + k.arange(kColumns);
  const Tile across = form.along_rows ? Tile() : expand_dims(column, 0);
  const Shape shape =
      form.along_rows ? Shape{tile::kReduceLanes} : Shape{tile::kReduceLanes, kColumns};
  const Tile start = k.full(shape, nothing(kind), wide);
  const auto lanes_of = [&](const Tile& begin, const Tile& end) {
    return k.loop(begin, end, tile::kReduceLanes, start, [&](const Tile& at, const Tile& so_far) {
      const Tile i = at + lane;
      const Tile inside = form.along_rows ? i < n : (i < n) & (across < inner);
      const Tile offset = form.along_rows ? base + i : base + i * inner + across;
      const Tile value = tile::narrow(k.load(x, offset, inside), wide);
      return combined(kind, so_far, where(inside, value, nothing(kind)));
    });
  };
  Tile lanes;
  if (form.chunked) {
    // The result of chunk c joins lane c mod 64; the others join what changes nothing.
    lanes = k.loop(0, n, tile::kReduceChunk, start, [&](const Tile& begin, const Tile& so_far) {
      const Tile chunk = reduce(kind, lanes_of(begin, minimum(begin + tile::kReduceChunk, n)), 0);
      const Tile here = lane == begin / tile::kReduceChunk % tile::kReduceLanes;
      return combined(kind, so_far, where(here, chunk, nothing(kind)));
    });
  } else {
    lanes = lanes_of(k.constant(0, DType::i64), n);
  }
  const Tile result = tile::narrow(reduce(kind, lanes, 0), dtype);
  if (form.along_rows)
    k.store(out, k.program_id(0), result);
  else
    k.store(out, k.program_id(0) * inner + column, result, column < inner);
  return k.finish();
}

}  // namespace cairn
