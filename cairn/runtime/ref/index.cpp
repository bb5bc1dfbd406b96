// Indexing and ordering.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"

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

// Positions 0..n-1 of a line in order: ascending or descending, equal ones by position, NaN last.
template <class T>
void order_line(const T* x, int64_t base, int64_t stride, bool descending,
                std::vector<int32_t>& order) {
  const auto value = [&](int32_t i) { return load_element(x[base + i * stride]); };
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const auto va = value(a);
    const auto vb = value(b);
    const bool nan_a = va != va;
    const bool nan_b = vb != vb;
    if (nan_a || nan_b) return !nan_a && nan_b;
    return descending ? va > vb : va < vb;
  });
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
          std::vector<int32_t> order(static_cast<size_t>(lines.n));
          for (int64_t line = begin; line < end; ++line) {
            const int64_t base = lines.base(line);
            order_line(x, base, lines.inner, descending, order);
            const int64_t out = line / lines.inner * keep * lines.inner + line % lines.inner;
            for (int64_t k = 0; k < keep; ++k) {
              values[out + k * lines.inner] = x[base + order[static_cast<size_t>(k)] * lines.inner];
              indices[out + k * lines.inner] = order[static_cast<size_t>(k)];
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
    args.pool.parallel_for(lines.count(), std::max<int64_t>(1, kGrain / lines.n),
                           [&](int64_t begin, int64_t end) {
                             for (int64_t line = begin; line < end; ++line) {
                               const int64_t base = lines.base(line);
                               auto best = load_element(x[base]);
                               int32_t at = 0;
                               for (int64_t k = 1; k < lines.n && best == best; ++k) {
                                 const auto value = load_element(x[base + k * lines.inner]);
                                 if (value != value || (largest ? value > best : value < best)) {
                                   best = value;
                                   at = static_cast<int32_t>(k);
                                 }
                               }
                               out[line] = at;
                             }
                           });
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
