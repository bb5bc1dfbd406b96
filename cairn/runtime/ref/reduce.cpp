// Reductions and running sums: every result is taken over its elements in increasing index.
//
// Sums and products of f32 and smaller are kept in f64 and rounded once; f64 and integers in their
// own type. A full sum is one chain of additions: slow, and the same bits with any number of
// threads.
//
// The loops over elements are functions of a range, compiled once for each operation and type; what
// is around them is compiled once for all (see elementwise.cpp).
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"
#include "cairn/runtime/ref/lines.h"

namespace cairn::ref {
namespace {

struct Sum {
  template <class A>
  static A identity() {
    return A(0);
  }
  template <class A>
  static A of(A a, A b) {
    return Scalar<Op::add>::of(a, b);
  }
};
struct Prod {
  template <class A>
  static A identity() {
    return A(1);
  }
  template <class A>
  static A of(A a, A b) {
    return Scalar<Op::multiply>::of(a, b);
  }
};
struct Max {
  template <class A>
  static A identity() {
    return std::numeric_limits<A>::has_infinity ? -std::numeric_limits<A>::infinity()
                                                : std::numeric_limits<A>::lowest();
  }
  template <class A>
  static A of(A a, A b) {
    return Scalar<Op::maximum>::of(a, b);
  }
};
struct Min {
  template <class A>
  static A identity() {
    return std::numeric_limits<A>::has_infinity ? std::numeric_limits<A>::infinity()
                                                : std::numeric_limits<A>::max();
  }
  template <class A>
  static A of(A a, A b) {
    return Scalar<Op::minimum>::of(a, b);
  }
};

// The type that accumulates elements of T under operation R.
template <class R, class T>
using Accumulator = std::conditional_t<
    kIsFloatType<T>,
    std::conditional_t<std::is_same_v<R, Sum> || std::is_same_v<R, Prod>, double, ComputeType<T>>,
    T>;

template <class T, class A>
T finish(A value) {
  return cast_element<T>(value);
}

// What inference lets through: no sums of bool, no 8-bit floats.
template <class R, class T>
constexpr bool reduces() {
  if constexpr (std::is_same_v<T, bool>)
    return std::is_same_v<R, Max> || std::is_same_v<R, Min>;
  else
    return applies<Op::add, T>();
}

// Axes of one kind (kept or reduced), neighbours merged.
struct Axes {
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t count() const {
    int64_t n = 1;
    for (int64_t s : sizes) n *= s;
    return n;
  }
  // Offset of the i-th index tuple in row-major order.
  int64_t offset(int64_t i) const {
    int64_t at = 0;
    for (size_t d = sizes.size(); d-- > 0;) {
      at += i % sizes[d] * strides[d];
      i /= sizes[d];
    }
    return at;
  }
};

struct Layout {
  Axes kept;
  Axes reduced;
  bool last_is_reduced = true;  // the axis of stride 1

  Layout(const Shape& shape, const Ints& axes) {
    const Ints strides = shape.strides();
    int previous = -1;  // 1: reduced, 0: kept
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] == 1) continue;
      const int kind = axes.contains(i);
      Axes& target = kind ? reduced : kept;
      if (kind == previous) {
        target.sizes.back() *= shape[i];
        target.strides.back() = strides[i];
      } else {
        target.sizes.push_back(shape[i]);
        target.strides.push_back(strides[i]);
      }
      previous = kind;
    }
    last_is_reduced = previous != 0;
  }
};

// What the loops of one launch share. x and out are of the launch's element type.
struct Task {
  const void* x;
  void* out;
  const Axes& kept;
  const Axes& reduced;
  Axes outer;         // kept or reduced axes but the last
  int64_t width = 1;  // of the last of those axes
};
using Piece = void (*)(const Task& task, int64_t begin, int64_t end);

void take_last_off(Task& task, const Axes& axes) {
  task.outer = axes;
  if (axes.sizes.empty()) return;
  task.width = axes.sizes.back();
  task.outer.sizes.pop_back();
  task.outer.strides.pop_back();
}

// Rows that lie contiguous: several at a time, so that their chains of additions overlap.
constexpr int64_t kRows = 8;

template <class R, class T>
void rows_piece(const Task& task, int64_t begin, int64_t end) {
  using A = Accumulator<R, T>;
  const T* x = static_cast<const T*>(task.x);
  T* out = static_cast<T*>(task.out);
  const int64_t run = task.width;
  const int64_t runs = task.outer.count();
  for (int64_t o = begin; o < end; o += kRows) {
    const int64_t rows = std::min(kRows, end - o);
    int64_t base[kRows];
    A sums[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      base[r] = task.kept.offset(o + std::min(r, rows - 1));
      sums[r] = R::template identity<A>();
    }
    for (int64_t outer_index = 0; outer_index < runs; ++outer_index) {
      const T* line = x + task.outer.offset(outer_index);
      if (rows == kRows) {
        for (int64_t k = 0; k < run; ++k)
          for (int64_t r = 0; r < kRows; ++r)
            sums[r] = R::of(sums[r], static_cast<A>(load_element(line[base[r] + k])));
      } else {
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t k = 0; k < run; ++k)
            sums[r] = R::of(sums[r], static_cast<A>(load_element(line[base[r] + k])));
      }
    }
    for (int64_t r = 0; r < rows; ++r) out[o + r] = finish<T>(sums[r]);
  }
}

void reduce_rows(const KernelArgs& args, const Layout& layout, Piece piece) {
  Task task{args.inputs[0], args.outputs[0], layout.kept, layout.reduced};
  take_last_off(task, layout.reduced);
  const int64_t depth = std::max<int64_t>(task.width * task.outer.count(), 1);
  const int64_t grain = std::max<int64_t>(kRows, kGrain / depth / kRows * kRows);
  args.pool.parallel_for(layout.kept.count(), grain,
                         [&](int64_t begin, int64_t end) { piece(task, begin, end); });
}

// The last axis is kept: a block of results side by side.
constexpr int64_t kBlock = 256;

template <class R, class T>
void columns_piece(const Task& task, int64_t begin, int64_t end) {
  using A = Accumulator<R, T>;
  const T* x = static_cast<const T*>(task.x);
  T* out = static_cast<T*>(task.out);
  const int64_t width = task.width;
  const int64_t blocks = (width + kBlock - 1) / kBlock;
  const int64_t depth = task.reduced.count();
  A sums[kBlock];
  for (int64_t piece = begin; piece < end; ++piece) {
    const int64_t o = piece / blocks;
    const int64_t first = piece % blocks * kBlock;
    const int64_t columns = std::min(kBlock, width - first);
    std::fill(sums, sums + columns, R::template identity<A>());
    const T* base = x + task.outer.offset(o) + first;
    for (int64_t k = 0; k < depth; ++k) {
      const T* line = base + task.reduced.offset(k);
      for (int64_t c = 0; c < columns; ++c)
        sums[c] = R::of(sums[c], static_cast<A>(load_element(line[c])));
    }
    for (int64_t c = 0; c < columns; ++c) out[o * width + first + c] = finish<T>(sums[c]);
  }
}

void reduce_columns(const KernelArgs& args, const Layout& layout, Piece piece) {
  Task task{args.inputs[0], args.outputs[0], layout.kept, layout.reduced};
  take_last_off(task, layout.kept);
  const int64_t blocks = (task.width + kBlock - 1) / kBlock;
  const int64_t depth = layout.reduced.count();
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(1, depth * std::min(task.width, kBlock)));
  args.pool.parallel_for(task.outer.count() * blocks, grain,
                         [&](int64_t begin, int64_t end) { piece(task, begin, end); });
}

template <class F>
void visit_kind(const std::string& kind, F&& f) {
  if (kind == "sum")
    f(Sum{});
  else if (kind == "prod")
    f(Prod{});
  else if (kind == "max")
    f(Max{});
  else
    f(Min{});
}

// A tensor seen as [..., n, inner], lines along the middle.
struct LineTask {
  const void* x;
  void* out;
  int64_t n;
  int64_t inner;
  bool reverse;
};

template <class R, class T>
void cumulative_piece(const LineTask& task, int64_t begin, int64_t end) {
  using A = Accumulator<R, T>;
  const T* x = static_cast<const T*>(task.x);
  T* out = static_cast<T*>(task.out);
  const int64_t n = task.n;
  A sums[kLinesBeside];
  for_lines_beside(begin, end, task.inner, [&](int64_t line, auto count) {
    const int64_t base = line / task.inner * task.inner * n + line % task.inner;
    for (int64_t i = 0; i < count; ++i) sums[i] = R::template identity<A>();
    for (int64_t k = 0; k < n; ++k) {
      const int64_t at = base + (task.reverse ? n - 1 - k : k) * task.inner;
      for (int64_t i = 0; i < count; ++i) {
        sums[i] = R::of(sums[i], static_cast<A>(load_element(x[at + i])));
        out[at + i] = finish<T>(sums[i]);
      }
    }
  });
}

}  // namespace

void reduce(const KernelArgs& args) {
  if (args.node.output().shape.elements() == 0) return;
  if (args.node.attrs().ints(Attr::axes).empty()) {  // a copy: 0 + -0 would be +0
    std::memcpy(args.outputs[0], args.inputs[0], args.node.output().bytes());
    return;
  }
  const Layout layout(args.node.input(0).shape(), args.node.attrs().ints(Attr::axes));
  Piece piece = nullptr;
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_kind(args.node.attrs().text(Attr::kind), [&](auto kind) {
      using R = decltype(kind);
      if constexpr (reduces<R, T>())
        piece = layout.last_is_reduced ? rows_piece<R, T> : columns_piece<R, T>;
    });
  });
  (layout.last_is_reduced ? reduce_rows : reduce_columns)(args, layout, piece);
}

void cumulative(const KernelArgs& args) {
  const Shape& shape = args.node.output().shape;
  const int axis = static_cast<int>(args.node.attrs().integer(Attr::axis));
  LineTask task{args.inputs[0], args.outputs[0], shape[axis], 1,
                args.node.attrs().flag(Attr::reverse)};
  for (int i = axis + 1; i < shape.rank(); ++i) task.inner *= shape[i];
  if (task.n == 0) return;
  void (*piece)(const LineTask&, int64_t, int64_t) = nullptr;
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_kind(args.node.attrs().text(Attr::kind), [&](auto kind) {
      if constexpr (reduces<decltype(kind), T>()) piece = cumulative_piece<decltype(kind), T>;
    });
  });
  args.pool.parallel_for(shape.elements() / task.n, line_grain(task.n, task.inner),
                         [&](int64_t begin, int64_t end) { piece(task, begin, end); });
}

}  // namespace cairn::ref
