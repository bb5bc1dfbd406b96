#include "cairn/runtime/ref/contraction.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/core/dispatch.h"
#include "cairn/runtime/ref/contraction_kernels.h"

namespace cairn::ref {
namespace {

using namespace detail;

const Kernels& kernels_for(CpuTarget target) {
  switch (target) {
    case CpuTarget::avx512: return avx512_kernels();
    case CpuTarget::avx2: return avx2_kernels();
    case CpuTarget::baseline: break;
  }
  return baseline_kernels();
}

// ---- Types

struct Types {
  Arithmetic arithmetic;
  StoreRow store;
};

// Sums of type S, seen as Sum, rounded to `Rounded` and converted to T.
template <class S, class Rounded, class T>
void store_row(const void* sums, int64_t count, void* to, int64_t stride) {
  const S* in = static_cast<const S*>(sums);
  T* out = static_cast<T*>(to);
  const auto value = [](S sum) {
    const Rounded rounded = static_cast<Rounded>(sum);
    if constexpr (std::is_floating_point_v<S>) {
      const Rounded clean =
          rounded != rounded ? std::numeric_limits<Rounded>::quiet_NaN() : rounded;
      if constexpr (std::is_floating_point_v<T>) {
        return static_cast<T>(clean);
      } else {
        return T(static_cast<float>(clean));
      }
    } else {
      return static_cast<T>(rounded);
    }
  };
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) out[i] = value(in[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) out[i * stride] = value(in[i]);
  }
}

template <class S, class Rounded>
StoreRow store_for(DType out) {
  return visit_dtype(out, [](auto tag) -> StoreRow {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_same_v<T, bool> && kIsFloatType<T> == std::is_floating_point_v<S>) {
      return store_row<S, Rounded, T>;
    } else {
      return nullptr;
    }
  });
}

Types types_of(const char* operation, DType a, DType b, DType accumulate, DType out) {
  const bool floats = is_float(a) && is_float(b);
  StoreRow store = nullptr;
  Arithmetic arithmetic = Arithmetic::f64_exact;
  if (floats) {
    if (a == DType::f64 || b == DType::f64) arithmetic = Arithmetic::f64_rounded;
    if (accumulate == DType::f32) store = store_for<double, float>(out);
    if (accumulate == DType::f64) store = store_for<double, double>(out);
  } else if (is_integer(a) && is_integer(b)) {
    arithmetic = accumulate == DType::i64 ? Arithmetic::u64 : Arithmetic::u32;
    if (accumulate == DType::i32) store = store_for<uint32_t, int32_t>(out);
    if (accumulate == DType::u32) store = store_for<uint32_t, uint32_t>(out);
    if (accumulate == DType::i64) store = store_for<uint64_t, int64_t>(out);
  }
  if (!store)
    throw_error(fmt::format(
        "[{}] no product of {} and {} accumulates in {} and gives {}; floats accumulate in f32 or "
        "f64, integers in i32, u32 or i64, and the result is of the same kind",
        operation, name(a), name(b), name(accumulate), name(out)));
  return {arithmetic, store};
}

// ---- Scratch memory

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

int64_t tile_scratch(int64_t rows, int64_t columns, int64_t kc, bool conv) {
  const int64_t r = round_up(rows, kRowMultiple), c = round_up(columns, kColumnMultiple);
  return 8 * (r * c + (r + kColumnMultiple) * kc + (conv ? c * (kc + kSegmentWords) : 0));
}

// Memory on the stack where it is little, so that products of a few elements cost no allocation.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) {
    if (bytes > static_cast<int64_t>(sizeof(here_)))
      heap_.reset(static_cast<char*>(::operator new(static_cast<size_t>(bytes), kAlignment)));
  }
  void* get() { return heap_ ? heap_.get() : here_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(char* p) const { ::operator delete(p, kAlignment); }
  };
  alignas(64) char here_[16384];
  std::unique_ptr<char, Free> heap_;
};

// ---- Tiles and threads

// Multiply-adds that are worth waking a thread for: about 20 us of one core.
constexpr int64_t kPieceWork = 200'000;

// Pieces of a loop over `count` equal tasks: big enough to be worth a thread, small enough that the
// threads end together. What a task computes does not depend on the piece it falls in.
int64_t grain_for(int64_t count, int64_t work, const ThreadPool& pool) {
  const int64_t enough = std::max<int64_t>(1, kPieceWork / std::max<int64_t>(1, work));
  return std::max(enough, count / (pool.threads() * 8));
}

struct TileSize {
  int64_t rows, columns, kc;
};

// How a product of m rows and n columns is cut. Measured on Zen 4 (32 KiB of L1, 1 MiB of L2);
// within a factor of two the sizes hardly matter.
TileSize tile_size(int64_t m, bool contiguous_columns) {
  if (m <= kFewRows) {
    // Sums that stay in cache with the pieces of B that are being added to them.
    return contiguous_columns ? TileSize{m, 2048, 256} : TileSize{m, 128, 512};
  }
  if (m <= 32) {
    // Reading B is what takes the time, so it is read in long contiguous pieces.
    return contiguous_columns ? TileSize{m, 960, 16} : TileSize{m, 48, 512};
  }
  // A panel of B in L1, the block of A and the sums in L2.
  return {std::min<int64_t>(m, 144), 192, 128};
}

// Cuts tiles until there are enough for all threads, as long as they are not tiny.
TileSize fit(TileSize t, int64_t m, int64_t n, int64_t k, int64_t batch, int threads) {
  t.kc = std::max<int64_t>(1, std::min(t.kc, k));
  const auto tiles = [&] {
    return batch * ((m + t.rows - 1) / t.rows) * ((n + t.columns - 1) / t.columns);
  };
  while (threads > 1 && t.columns > 48 && tiles() < 4 * threads)
    t.columns = std::max<int64_t>(48, t.columns - 48);
  while (threads > 1 && t.rows > 24 && tiles() < 4 * threads) t.rows -= 24;
  return t;
}

// Runs the tiles of `batch` products of m rows and n columns; prepare(tile, i) sets what belongs to
// product i.
template <class Prepare>
void run_tiles(const Kernels& kernels, const Tile& prototype, TileSize size, int64_t batch,
               int64_t m, int64_t n, ThreadPool& pool, Prepare prepare) {
  const int64_t across = (n + size.columns - 1) / size.columns;
  const int64_t down = (m + size.rows - 1) / size.rows;
  const int64_t count = batch * across * down;
  const int64_t work = std::min(m, size.rows) * std::min(n, size.columns) * (prototype.k + 16);
  pool.parallel_for(count, grain_for(count, work, pool), [&](int64_t begin, int64_t end) {
    Scratch scratch(tile_scratch(std::min(m, size.rows), std::min(n, size.columns), size.kc,
                                 prototype.conv != nullptr));
    Tile tile = prototype;
    for (int64_t i = begin; i < end; ++i) {
      prepare(tile, i / (across * down));
      tile.m0 = i % down * size.rows;
      tile.m1 = std::min(m, tile.m0 + size.rows);
      tile.n0 = i / down % across * size.columns;
      tile.n1 = std::min(n, tile.n0 + size.columns);
      kernels.tile(tile, scratch.get());
    }
  });
}

int64_t bytes_of(DType dtype) { return static_cast<int64_t>(size_of(dtype)); }

const char* at(const void* base, int64_t element, DType dtype) {
  return static_cast<const char*>(base) + element * bytes_of(dtype);
}

}  // namespace

void matmul(const MatmulArgs& args, CpuTarget target, ThreadPool& pool) {
  const Types types = types_of("matmul", args.a_dtype, args.b_dtype, args.accumulate, args.c_dtype);
  if (args.batch <= 0 || args.m <= 0 || args.n <= 0) return;
  Tile tile{};
  tile.arithmetic = types.arithmetic;
  tile.a = {args.a, args.a_dtype, args.a_row_stride, args.a_column_stride};
  tile.b = {args.b, args.b_dtype, args.b_column_stride, args.b_row_stride};
  tile.k = std::max<int64_t>(0, args.k);
  int64_t m = args.m, n = args.n;
  int64_t a_batch = args.a_batch_stride, b_batch = args.b_batch_stride;
  tile.output = {static_cast<char*>(args.c), bytes_of(args.c_dtype), types.store, n, 1, n, 0};
  if (n < 24 && m > n) {
    // A tall C: its transpose fills the registers, which hold up to 24 columns. The terms are the
    // same, as a * b = b * a to the bit.
    std::swap(tile.a, tile.b);
    std::swap(a_batch, b_batch);
    std::swap(m, n);
    tile.output.row_stride = 1;
    tile.output.stride = m;
    tile.output.block = n;
  }
  const TileSize size =
      fit(tile_size(m, tile.b.stride == 1), m, n, tile.k, args.batch, pool.threads());
  tile.kc = size.kc;
  const Tile first = tile;
  run_tiles(kernels_for(target), tile, size, args.batch, m, n, pool, [&](Tile& t, int64_t i) {
    t.a.data = at(first.a.data, i * a_batch, first.a.dtype);
    t.b.data = at(first.b.data, i * b_batch, first.b.dtype);
    t.output.base = first.output.base + i * m * n * first.output.element_size;
  });
}

namespace {

// Infinities and NaN, whose products with the zeros of padding are not zero.
bool all_finite(const void* data, DType dtype, int64_t count) {
  if (!is_float(dtype)) return true;
  return visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (kIsFloatType<T>) {
      // x * 0 is NaN for them alone; the sum keeps it, and the loop has no branch.
      using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
      const T* x = static_cast<const T*>(data);
      constexpr int64_t kLanes = 8;
      Sum sums[kLanes] = {};
      int64_t i = 0;
      for (; i + kLanes <= count; i += kLanes)
        for (int64_t j = 0; j < kLanes; ++j) sums[j] += static_cast<Sum>(x[i + j]) * Sum(0);
      for (; i < count; ++i) sums[0] += static_cast<Sum>(x[i]) * Sum(0);
      for (Sum s : sums)
        if (s != s) return false;
    }
    return true;
  });
}

// Whether some output reads outside the input or in a hole.
bool has_absent_terms(const ConvGeometry& g) {
  for (int d = 0; d < 3; ++d) {
    const int64_t last =
        (g.out[d] - 1) * g.stride[d] + (g.kernel[d] - 1) * g.rhs_dilation[d] - g.padding[d];
    if (g.padding[d] > 0 || g.lhs_dilation[d] > 1 || last >= g.in[d]) return true;
  }
  return false;
}

struct ConvShape {
  ConvGeometry geometry;  // of group 0
  int64_t positions, terms, group_outputs;
};

ConvShape shape_of(const ConvArgs& args) {
  const auto positive = [](const std::array<int64_t, 3>& v, int count) {
    return std::all_of(v.begin(), v.begin() + count, [](int64_t x) { return x >= 1; });
  };
  if (args.spatial < 1 || args.spatial > 3 || args.groups < 1 || args.in_channels % args.groups ||
      args.out_channels % args.groups || !positive(args.stride, args.spatial) ||
      !positive(args.lhs_dilation, args.spatial) || !positive(args.rhs_dilation, args.spatial))
    throw_error(fmt::format(
        "[convolution] needs 1 to 3 spatial dimensions, groups that divide {} and {} channels, and "
        "positive strides and dilations; got {} dimensions and {} groups",
        args.in_channels, args.out_channels, args.spatial, args.groups));
  ConvShape s{};
  ConvGeometry& g = s.geometry;
  g.x = args.x;
  g.dtype = args.x_dtype;
  g.images = args.batch;
  g.channels = args.in_channels / args.groups;
  g.channel_stride = s.positions = 1;
  s.terms = g.channels;
  for (int d = 0; d < 3; ++d) {
    const int from = d - (3 - args.spatial);  // missing dimensions come first
    const auto pick = [&](const std::array<int64_t, 3>& v, int64_t missing) {
      return from < 0 ? missing : v[static_cast<size_t>(from)];
    };
    g.in[d] = pick(args.in_size, 1);
    g.kernel[d] = pick(args.kernel_size, 1);
    g.out[d] = pick(args.out_size, 1);
    g.stride[d] = pick(args.stride, 1);
    g.padding[d] = pick(args.padding_low, 0);
    g.lhs_dilation[d] = pick(args.lhs_dilation, 1);
    g.rhs_dilation[d] = pick(args.rhs_dilation, 1);
    g.channel_stride *= g.in[d];
    s.positions *= g.out[d];
    s.terms *= g.kernel[d];
  }
  g.image_stride = g.channel_stride * args.in_channels;
  s.group_outputs = args.out_channels / args.groups;
  return s;
}

// Blocks of output rows of one channel.
void convolve_directly(const ConvArgs& args, const ConvShape& shape, const Types& types,
                       bool zeros_for_absent, const Kernels& kernels, ThreadPool& pool) {
  const ConvGeometry& g = shape.geometry;
  const int64_t last = (g.out[2] + kConvRowSlack - 1) * g.stride[2] +
                       (g.kernel[2] - 1) * g.rhs_dilation[2] - g.padding[2];
  const int64_t terms_size = std::max<int64_t>(0, g.padding[2]) + std::max(g.in[2], last + 1);
  // Sums that stay in L1.
  const int64_t block = std::clamp<int64_t>(2048 / (g.out[2] + kConvRowSlack), 1, g.out[1]);
  const int64_t blocks = (g.out[1] + block - 1) / block;
  const int64_t input_rows =
      std::min(g.in[1], (block - 1) * g.stride[1] + (g.kernel[1] - 1) * g.rhs_dilation[1] + 1);
  const int64_t scratch_bytes = 8 * (block * (g.out[2] + kConvRowSlack) +
                                     g.kernel[1] * g.kernel[2] + input_rows * terms_size);
  const int64_t count = args.batch * args.out_channels * g.out[0] * blocks;
  const int64_t grain = grain_for(count, block * g.out[2] * (shape.terms + 16), pool);
  pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    Scratch scratch(scratch_bytes);
    ConvGeometry group = g;
    ConvRows rows{};
    rows.arithmetic = types.arithmetic;
    rows.conv = &group;
    rows.weights_dtype = args.w_dtype;
    rows.zeros_for_absent = zeros_for_absent;
    rows.terms_size = terms_size;
    rows.to_size = bytes_of(args.y_dtype);
    rows.store = types.store;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t plane = i / blocks;  // of an image, a channel and out[0]
      const int64_t channel = plane / g.out[0] % args.out_channels;
      group.x = at(g.x, channel / shape.group_outputs * g.channels * g.channel_stride, g.dtype);
      rows.weights = at(args.w, channel * shape.terms, args.w_dtype);
      rows.image = plane / g.out[0] / args.out_channels;
      rows.out0 = plane % g.out[0];
      rows.begin = i % blocks * block;
      rows.end = std::min(g.out[1], rows.begin + block);
      rows.to =
          static_cast<char*>(args.y) + (plane * g.out[1] + rows.begin) * g.out[2] * rows.to_size;
      kernels.conv_rows(rows, scratch.get());
    }
  });
}

}  // namespace

void convolution(const ConvArgs& args, CpuTarget target, ThreadPool& pool) {
  const Types types =
      types_of("convolution", args.x_dtype, args.w_dtype, args.accumulate, args.y_dtype);
  const ConvShape shape = shape_of(args);
  const int64_t m = shape.group_outputs, n = args.batch * shape.positions;
  if (m <= 0 || n <= 0) return;
  const Kernels& kernels = kernels_for(target);
  // Zeros may stand for absent terms if the weights are finite: they change no sum (none is ever
  // -0).
  const bool zeros = !has_absent_terms(shape.geometry) ||
                     all_finite(args.w, args.w_dtype, args.out_channels * shape.terms);
  // Gathering the input costs as much as two or three channels of output.
  if (m <= 2 || !zeros) return convolve_directly(args, shape, types, zeros, kernels, pool);

  // For each group: C[outputs, images * positions] = W[outputs, terms] X[terms, images *
  // positions].
  Tile tile{};
  tile.arithmetic = types.arithmetic;
  tile.a = {args.w, args.w_dtype, shape.terms, 1};
  tile.k = shape.terms;
  tile.output = {static_cast<char*>(args.y),
                 bytes_of(args.y_dtype),
                 types.store,
                 shape.positions,
                 1,
                 shape.positions,
                 args.out_channels * shape.positions};
  const TileSize size =
      fit({std::min<int64_t>(m, 144), 192, 128}, m, n, tile.k, args.groups, pool.threads());
  tile.kc = size.kc;
  const Tile first = tile;
  std::vector<ConvGeometry> groups(static_cast<size_t>(args.groups), shape.geometry);
  for (int64_t i = 0; i < args.groups; ++i)
    groups[static_cast<size_t>(i)].x =
        at(args.x, i * shape.geometry.channels * shape.geometry.channel_stride, args.x_dtype);
  tile.conv = groups.data();
  run_tiles(kernels, tile, size, args.groups, m, n, pool, [&](Tile& t, int64_t i) {
    t.conv = &groups[static_cast<size_t>(i)];
    t.a.data = at(first.a.data, i * m * shape.terms, first.a.dtype);
    t.output.base = first.output.base + i * m * shape.positions * first.output.element_size;
  });
}

}  // namespace cairn::ref
