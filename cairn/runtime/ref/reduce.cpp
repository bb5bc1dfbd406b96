// Reductions and running sums: every result is taken over its elements in increasing index.
//
// Sums and products of f32 and smaller are kept in f64 and rounded once; f64 and integers in their
// own type. A full sum is one chain of additions: slow, and the same bits with any number of
// threads.
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"

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

// Rows that lie contiguous: several at a time, so that their chains of additions overlap.
template <class R, class T>
void reduce_rows(const KernelArgs& args, const Layout& layout, const T* x, T* out) {
  using A = Accumulator<R, T>;
  constexpr int64_t kRows = 8;
  const int64_t kept = layout.kept.count();
  Axes outer = layout.reduced;
  int64_t run = 1;
  if (!outer.sizes.empty()) {
    run = outer.sizes.back();
    outer.sizes.pop_back();
    outer.strides.pop_back();
  }
  const int64_t runs = outer.count();
  const int64_t grain =
      std::max<int64_t>(kRows, kGrain / std::max<int64_t>(run * runs, 1) / kRows * kRows);
  args.pool.parallel_for(kept, grain, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o += kRows) {
      const int64_t rows = std::min(kRows, end - o);
      int64_t base[kRows];
      A sums[kRows];
      for (int64_t r = 0; r < kRows; ++r) {
        base[r] = layout.kept.offset(o + std::min(r, rows - 1));
        sums[r] = R::template identity<A>();
      }
      for (int64_t outer_index = 0; outer_index < runs; ++outer_index) {
        const T* line = x + outer.offset(outer_index);
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
  });
}

// The last axis is kept: a block of results side by side.
template <class R, class T>
void reduce_columns(const KernelArgs& args, const Layout& layout, const T* x, T* out) {
  using A = Accumulator<R, T>;
  constexpr int64_t kBlock = 256;
  const int64_t width = layout.kept.sizes.back();
  Axes outer = layout.kept;
  outer.sizes.pop_back();
  outer.strides.pop_back();
  const int64_t blocks = (width + kBlock - 1) / kBlock;
  const int64_t depth = layout.reduced.count();
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(1, depth * std::min(width, kBlock)));
  args.pool.parallel_for(outer.count() * blocks, grain, [&](int64_t begin, int64_t end) {
    A sums[kBlock];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / blocks;
      const int64_t first = task % blocks * kBlock;
      const int64_t columns = std::min(kBlock, width - first);
      std::fill(sums, sums + columns, R::template identity<A>());
      const T* base = x + outer.offset(o) + first;
      for (int64_t k = 0; k < depth; ++k) {
        const T* line = base + layout.reduced.offset(k);
        for (int64_t c = 0; c < columns; ++c)
          sums[c] = R::of(sums[c], static_cast<A>(load_element(line[c])));
      }
      for (int64_t c = 0; c < columns; ++c) out[o * width + first + c] = finish<T>(sums[c]);
    }
  });
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

template <class R, class T>
void run_cumulative(const KernelArgs& args) {
  using A = Accumulator<R, T>;
  const Shape& shape = args.node.output().shape;
  const int axis = static_cast<int>(args.node.attrs().integer(Attr::axis));
  const bool reverse = args.node.attrs().flag(Attr::reverse);
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const int64_t n = shape[axis];
  if (n == 0) return;
  const int64_t lines = shape.elements() / n;
  const T* x = static_cast<const T*>(args.inputs[0]);
  T* out = static_cast<T*>(args.outputs[0]);
  args.pool.parallel_for(lines, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t base = line / inner * inner * n + line % inner;
      A sum = R::template identity<A>();
      for (int64_t k = 0; k < n; ++k) {
        const int64_t at = base + (reverse ? n - 1 - k : k) * inner;
        sum = R::of(sum, static_cast<A>(load_element(x[at])));
        out[at] = finish<T>(sum);
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
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_kind(args.node.attrs().text(Attr::kind), [&](auto kind) {
      using R = decltype(kind);
      if constexpr (reduces<R, T>()) {
        const Layout layout(args.node.input(0).shape(), args.node.attrs().ints(Attr::axes));
        const T* x = static_cast<const T*>(args.inputs[0]);
        T* out = static_cast<T*>(args.outputs[0]);
        if (layout.last_is_reduced) {
          reduce_rows<R>(args, layout, x, out);
        } else {
          reduce_columns<R>(args, layout, x, out);
        }
      }
    });
  });
}

void cumulative(const KernelArgs& args) {
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_kind(args.node.attrs().text(Attr::kind), [&](auto kind) {
      if constexpr (reduces<decltype(kind), T>()) run_cumulative<decltype(kind), T>(args);
    });
  });
}

}  // namespace cairn::ref
