// Indexing and ordering.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"
#include "cairn/runtime/ref/lines.h"

namespace cairn::ref {
namespace {

// A tensor seen as [outer, n, inner] around one axis.
struct Lines {
  int64_t outer = 1;
  int64_t n;
  int64_t inner = 1;
  Lines(const Shape& shape, int axis) : n(shape[axis]) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
  int64_t count() const { return outer * inner; }
  int64_t base(int64_t line) const { return line / inner * n * inner + line % inner; }
};

// Numbers in ascending order as unsigned integers in ascending order; both zeros are one, and
// behind all of them NaN.
template <class T>
auto rank_of(T x, bool descending) {
  const auto value = load_element(x);
  using V = std::remove_const_t<decltype(value)>;
  using Key = std::conditional_t<sizeof(V) == 8, uint64_t, uint32_t>;
  constexpr Key kSign = Key{1} << (8 * sizeof(Key) - 1);
  Key key;
  if constexpr (std::is_floating_point_v<V>) {
    if (value != value) return ~Key{0};
    key = std::bit_cast<Key>(value + V{0});
    key = key & kSign ? ~key : key | kSign;
  } else {
    key = static_cast<Key>(value);
    if constexpr (std::is_signed_v<V>) key ^= kSign;
  }
  return descending ? static_cast<Key>(~key) : key;
}

// An element's rank and place: equal ranks are in order of their places. One integer where it
// holds both.
struct WidePlaced {
  uint64_t rank;
  int32_t place;
  auto operator<=>(const WidePlaced&) const = default;
};
WidePlaced placed(uint64_t rank, int32_t place) { return {rank, place}; }
uint64_t placed(uint32_t rank, int32_t place) {
  return uint64_t{rank} << 32 | static_cast<uint32_t>(place);
}
int32_t place_of(const WidePlaced& p) { return p.place; }
int32_t place_of(uint64_t p) { return static_cast<int32_t>(p); }

// The least `keep` of a line, in order.
template <class P>
void order_line(std::vector<P>& line, int64_t keep) {
  // Few of many: a heap of those, which most others do not enter (8 of 4096: 30 times as fast).
  if (keep < std::ssize(line) / 8)
    std::partial_sort(line.begin(), line.begin() + keep, line.end());
  else
    std::sort(line.begin(), line.end());
}

void run_order(const KernelArgs& args, int axis, int64_t keep, bool descending) {
  const Lines lines(args.node.input(0).shape(), axis);
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = static_cast<const T*>(args.inputs[0]);
    T* values = static_cast<T*>(args.outputs[0]);
    int32_t* indices = static_cast<int32_t*>(args.outputs[1]);
    args.pool.parallel_for(
        lines.count(), std::max<int64_t>(1, 1024 / std::max<int64_t>(lines.n, 1)),
        [&](int64_t begin, int64_t end) {
          std::vector<decltype(placed(rank_of(T(), descending), 0))> order;
          for (int64_t line = begin; line < end; ++line) {
            const int64_t base = lines.base(line);
            order.clear();
            for (int64_t k = 0; k < lines.n; ++k)
              order.push_back(
                  placed(rank_of(x[base + k * lines.inner], descending), static_cast<int32_t>(k)));
            order_line(order, keep);
            const int64_t out = line / lines.inner * keep * lines.inner + line % lines.inner;
            for (int64_t k = 0; k < keep; ++k) {
              const int32_t place = place_of(order[static_cast<size_t>(k)]);
              values[out + k * lines.inner] = x[base + place * lines.inner];
              indices[out + k * lines.inner] = place;
            }
          }
        });
  });
}

// x as [batch, before, n, after] and indices as [batch, count] (gather.h's batch_dims).
struct Gathering {
  int64_t batch = 1;
  int64_t before = 1;
  int64_t n;
  int64_t after = 1;
  int64_t count = 1;
  DType index_dtype;

  explicit Gathering(const Node& node) {
    const Shape& x = node.input(0).shape();
    const Shape& indices = node.input(1).shape();
    const int axis = static_cast<int>(node.attrs().integer(Attr::axis));
    const int batch_dims = static_cast<int>(node.attrs().integer(Attr::batch_dims));
    for (int i = 0; i < batch_dims; ++i) batch *= x[i];
    for (int i = batch_dims; i < axis; ++i) before *= x[i];
    n = x[axis];
    for (int i = axis + 1; i < x.rank(); ++i) after *= x[i];
    for (int i = batch_dims; i < indices.rank(); ++i) count *= indices[i];
    index_dtype = node.input(1).dtype();
  }
  int64_t index(const void* indices, int64_t i) const {
    return index_dtype == DType::i32 ? static_cast<const int32_t*>(indices)[i]
                                     : static_cast<const int64_t*>(indices)[i];
  }
};

}  // namespace

void arg_reduce(const KernelArgs& args) {
  const Lines lines(args.node.input(0).shape(),
                    static_cast<int>(args.node.attrs().integer(Attr::axis)));
  const bool largest = args.node.attrs().text(Attr::kind) == "max";
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = static_cast<const T*>(args.inputs[0]);
    int32_t* out = static_cast<int32_t*>(args.outputs[0]);
    const auto run = [&](int64_t begin, int64_t end) {
      decltype(load_element(T())) best[kLinesBeside];
      for_lines_beside(begin, end, lines.inner, [&](int64_t line, auto count) {
        const int64_t base = lines.base(line);
        for (int64_t i = 0; i < count; ++i) {
          best[i] = load_element(x[base + i]);
          out[line + i] = 0;
        }
        for (int64_t k = 1; k < lines.n; ++k)
          for (int64_t i = 0; i < count; ++i) {
            const auto value = load_element(x[base + k * lines.inner + i]);
            const bool beats = value != value || (largest ? value > best[i] : value < best[i]);
            if (!beats || best[i] != best[i]) continue;
            best[i] = value;
            out[line + i] = static_cast<int32_t>(k);
          }
      });
    };
    args.pool.parallel_for(lines.count(), line_grain(lines.n, lines.inner), run);
  });
}

void sort(const KernelArgs& args) {
  const int axis = static_cast<int>(args.node.attrs().integer(Attr::axis));
  run_order(args, axis, args.node.output().shape[axis], args.node.attrs().flag(Attr::descending));
}

void top_k(const KernelArgs& args) {
  run_order(args, args.node.input(0).rank() - 1, args.node.attrs().integer(Attr::k), true);
}

void gather(const KernelArgs& args) {
  const Gathering g(args.node);
  const size_t piece = static_cast<size_t>(g.after) * size_of(args.node.output().dtype);
  const char* x = static_cast<const char*>(args.inputs[0]);
  char* out = static_cast<char*>(args.outputs[0]);
  const int64_t total = g.batch * g.before * g.count;
  if (piece == 0) return;
  args.pool.parallel_for(total, std::max<int64_t>(1, 4 * kGrain / static_cast<int64_t>(piece)),
                         [&](int64_t begin, int64_t end) {
                           for (int64_t i = begin; i < end; ++i) {
                             const int64_t b = i / (g.before * g.count);
                             const int64_t index =
                                 g.index(args.inputs[1], b * g.count + i % g.count);
                             const int64_t clamped = std::clamp<int64_t>(index, 0, g.n - 1);
                             if (clamped != index) args.error.set(args.node, index);
                             const int64_t row = i / g.count * g.n + clamped;
                             std::memcpy(out + i * static_cast<int64_t>(piece),
                                         x + row * static_cast<int64_t>(piece), piece);
                           }
                         });
}

void scatter(const KernelArgs& args) {
  const Gathering g(args.node);
  const std::string& kind = args.node.attrs().text(Attr::kind);
  if (args.outputs[0] != args.inputs[0]) copy(args);
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = ComputeType<T>;
    T* out = static_cast<T*>(args.outputs[0]);
    const T* updates = static_cast<const T*>(args.inputs[2]);
    const auto run = [&](auto combine) {
      // Parallel over what cannot collide; updates of one place are applied in index order.
      const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, g.count * g.after));
      args.pool.parallel_for(g.batch * g.before, grain, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
          const int64_t b = o / g.before;
          for (int64_t i = 0; i < g.count; ++i) {
            const int64_t index = g.index(args.inputs[1], b * g.count + i);
            if (index < 0 || index >= g.n) {
              args.error.set(args.node, index);
              continue;
            }
            T* to = out + (o * g.n + index) * g.after;
            const T* from = updates + (o * g.count + i) * g.after;
            for (int64_t k = 0; k < g.after; ++k) to[k] = combine(to[k], from[k]);
          }
        }
      });
    };
    if (kind == "set") {
      run([](T, T update) { return update; });
    } else if constexpr (applies<Op::add, T>()) {
      const auto with = [&](auto op) {
        constexpr Op kOp = decltype(op)::value;
        run([](T a, T b) {
          return store_element<T>(
              static_cast<C>(Scalar<kOp>::of(load_element(a), load_element(b))));
        });
      };
      if (kind == "add")
        with(std::integral_constant<Op, Op::add>{});
      else if (kind == "prod")
        with(std::integral_constant<Op, Op::multiply>{});
      else if (kind == "max")
        with(std::integral_constant<Op, Op::maximum>{});
      else
        with(std::integral_constant<Op, Op::minimum>{});
    }
  });
}

}  // namespace cairn::ref
