// Cases of the primitives that reduce, order and multiply, each with a naive reference.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

const std::vector<DType> kNumbers = joined({kFloats, kIntegers});

struct Builder {
  std::vector<Case> cases;
  void add_reductions();
  void add_ordering();
  void add_products();
};

double identity_of(const std::string& kind) {
  return kind == "sum" ? 0 : kind == "prod" ? 1 : kind == "max" ? -INFINITY : INFINITY;
}
double combine(const std::string& kind, double a, double b) {
  return kind == "sum" || kind == "add" ? a + b
         : kind == "prod"               ? a * b
         : kind == "max"                ? std::max(a, b)
                                        : std::min(a, b);
}
Bound bound_of(const std::string& kind) {
  if (kind == "sum") return {Bound::terms, 1, 1};
  if (kind == "prod") return {Bound::relative, 24};
  return {};
}

void Builder::add_reductions() {
  const Array x = distinct({2, 3, 4}, 0.21);
  for (const char* kind : {"sum", "prod", "max", "min"}) {
    for (const Ints& axes : {Ints{0}, Ints{1}, Ints{2}, Ints{0, 2}, Ints{0, 1, 2}, Ints{}}) {
      Case& c = add_case(cases, Op::reduce, std::string(kind) + to_string(axes), {{x}},
                         {{Attr::kind, std::string(kind)}, {Attr::axes, axes}},
                         [kind, axes](const Arrays& in) {
                           Shape kept;
                           for (int i = 0; i < in[0].shape.rank(); ++i)
                             if (!axes.contains(i)) kept.push_back(in[0].shape[i]);
                           Array out(kept);
                           std::fill(out.v.begin(), out.v.end(), identity_of(kind));
                           for_each_index(in[0].shape, [&](const Ints& index) {
                             Ints to;
                             for (int i = 0; i < index.size(); ++i)
                               if (!axes.contains(i)) to.push_back(index[i]);
                             double& sum = out[out.at(to)];
                             sum = combine(kind, sum, in[0][in[0].at(index)]);
                           });
                           return Arrays{out};
                         });
      c.bound = bound_of(kind);
      c.dtypes = kNumbers;
      if (c.bound.kind == Bound::exact) c.dtypes.push_back(DType::b8);
    }
    for (const int64_t axis : {0, 1, 2}) {
      for (const bool reverse : {false, true}) {
        Attrs attrs{{Attr::kind, std::string(kind)}, {Attr::axis, axis}};
        if (reverse) attrs.set(Attr::reverse, true);
        Case& c = add_case(cases, Op::cumulative,
                           std::string(kind) + std::to_string(axis) + (reverse ? " reverse" : ""),
                           {{x}}, attrs, [kind, axis, reverse](const Arrays& in) {
                             Array out(in[0].shape);
                             for_each_index(in[0].shape, [&](const Ints& index) {
                               double sum = identity_of(kind);
                               Ints at = index;
                               const int64_t n = in[0].shape[static_cast<int>(axis)];
                               for (int64_t k = 0; k < n; ++k) {
                                 at[static_cast<int>(axis)] = k;
                                 const bool counts = reverse ? k >= index[static_cast<int>(axis)]
                                                             : k <= index[static_cast<int>(axis)];
                                 if (counts) sum = combine(kind, sum, in[0][in[0].at(at)]);
                               }
                               out[out.at(index)] = sum;
                             });
                             return Arrays{out};
                           });
        c.bound = bound_of(kind);
        c.dtypes = kNumbers;
      }
    }
  }
}

// Positions along an axis in sorted order; equal ones by position.
std::vector<int64_t> order_of(const Array& x, Ints index, int axis, bool descending) {
  std::vector<int64_t> order(static_cast<size_t>(x.shape[axis]));
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](int64_t k) {
    index[axis] = k;
    return x[x.at(index)];
  };
  // An insertion sort, for its stability in plain sight.
  for (size_t i = 1; i < order.size(); ++i)
    for (size_t j = i; j > 0; --j) {
      const double a = value(order[j - 1]), b = value(order[j]);
      if (descending ? a >= b : a <= b) break;
      std::swap(order[j - 1], order[j]);
    }
  return order;
}

void Builder::add_ordering() {
  // Whole numbers among few, so that there are ties in every type; of axis 1 with more lines side
  // by side than are walked together.
  const Array few = wholes({3, 7, 2}, 0, 5), many = wholes({2, 5, 70}, 0, 5);
  const auto all = joined({kNumbers, {DType::b8}});
  for (const int64_t axis : {0, 1, 2}) {
    const Array& ties = axis == 1 ? many : few;
    for (const char* kind : {"max", "min"}) {
      Case& c = add_case(
          cases, Op::arg_reduce, std::string(kind) + std::to_string(axis), {{ties}},
          {{Attr::kind, std::string(kind)}, {Attr::axis, axis}}, [kind, axis](const Arrays& in) {
            const int at = static_cast<int>(axis);
            Shape shape = in[0].shape;
            shape.erase(at);
            Array out(shape);
            for_each_index(shape, [&](const Ints& index) {
              Ints from = index;
              from.insert(at, 0);
              out[out.at(index)] =
                  static_cast<double>(order_of(in[0], from, at, kind == std::string("max"))[0]);
            });
            return Arrays{out};
          });
      c.dtypes = all;
    }
    for (const bool descending : {false, true}) {
      Attrs attrs{{Attr::axis, axis}};
      if (descending) attrs.set(Attr::descending, true);
      const auto reference = [axis, descending](const Arrays& in) {
        const int at = static_cast<int>(axis);
        Array values(in[0].shape), indices(in[0].shape);
        for_each_index(in[0].shape, [&](const Ints& index) {
          Ints from = index;
          from[at] = order_of(in[0], index, at, descending)[static_cast<size_t>(index[at])];
          values[values.at(index)] = in[0][in[0].at(from)];
          indices[indices.at(index)] = static_cast<double>(from[at]);
        });
        return Arrays{values, indices};
      };
      const std::string label = std::to_string(axis) + (descending ? " descending" : "");
      Case& c = add_case(cases, Op::sort, "ties " + label, {{ties}}, attrs, reference);
      c.dtypes = all;
      c.orders = 0;
      add_case(cases, Op::sort, label, {{distinct({3, 7, 2})}}, attrs, reference);
    }
  }
  const auto top = [](const Arrays& in) {
    Shape shape = in[0].shape;
    shape.back() = 3;
    Array values(shape), indices(shape);
    for_each_index(shape, [&](const Ints& index) {
      Ints from = index;
      const int last = shape.rank() - 1;
      from[last] = order_of(in[0], index, last, true)[static_cast<size_t>(index[last])];
      values[values.at(index)] = in[0][in[0].at(from)];
      indices[indices.at(index)] = static_cast<double>(from[last]);
    });
    return Arrays{values, indices};
  };
  for (const int64_t of : {9, 40}) {
    Case& c = add_case(cases, Op::top_k, "ties of " + std::to_string(of), {{wholes({4, of}, 0, 5)}},
                       {{Attr::k, int64_t{3}}}, top);
    c.dtypes = all;
    c.orders = 0;
  }
  add_case(cases, Op::top_k, "distinct", {{distinct({4, 9})}}, {{Attr::k, int64_t{3}}}, top);
}

Arrays naive_matmul(const Arrays& in) {
  const int r = in[0].shape.rank();
  Shape shape = in[0].shape;
  shape.back() = in[1].shape.back();
  Array out(shape);
  for_each_index(shape, [&](const Ints& index) {
    Ints a = index, b = index;
    double sum = 0;
    for (int64_t k = 0; k < in[0].shape.back(); ++k) {
      a[r - 1] = b[r - 2] = k;
      sum += in[0][in[0].at(a)] * in[1][in[1].at(b)];
    }
    out[out.at(index)] = sum;
  });
  return {out};
}

// XLA's conv_general_dilated, by its definition.
Reference naive_convolution(Ints strides, Ints low, Ints high, Ints lhs, Ints rhs, int64_t groups) {
  return [=](const Arrays& in) {
    const Array &x = in[0], &w = in[1];
    // A size dilated by d.
    const auto spread = [](int64_t size, int64_t d) { return size ? (size - 1) * d + 1 : 0; };
    Shape shape{x.shape[0], w.shape[0]};
    for (int i = 0; i < strides.size(); ++i) {
      const int64_t room =
          low[i] + spread(x.shape[i + 2], lhs[i]) + high[i] - spread(w.shape[i + 2], rhs[i]);
      shape.push_back(room < 0 ? 0 : room / strides[i] + 1);
    }
    Array out(shape);
    for_each_index(shape, [&](const Ints& at) {
      double sum = 0;
      for_each_index(w.shape, [&](const Ints& weight) {
        if (weight[0] != at[1]) return;
        Ints from{at[0], at[1] / (w.shape[0] / groups) * w.shape[1] + weight[1]};
        for (int i = 0; i < strides.size(); ++i) {
          const int64_t place = at[i + 2] * strides[i] - low[i] + weight[i + 2] * rhs[i];
          if (place < 0 || place % lhs[i] || place / lhs[i] >= x.shape[i + 2]) return;
          from.push_back(place / lhs[i]);
        }
        sum += x[x.at(from)] * w[w.at(weight)];
      });
      out[out.at(at)] = sum;
    });
    return Arrays{out};
  };
}

void Builder::add_products() {
  const Bound pair{Bound::terms, 1, 2};
  const auto products = joined({kNumbers, {DType::f8e4m3, DType::f8e5m2}});
  const auto matmul = [&](const std::string& label, Shape a, Shape b, Attrs attrs = {},
                          std::vector<DType> dtypes = {}) {
    Case& c = add_case(cases, Op::matmul, label, {{reals(a)}, {reals(b, -2, 2, 2)}},
                       std::move(attrs), naive_matmul);
    c.bound = pair;
    c.dtypes = dtypes.empty() ? products : dtypes;
  };
  matmul("odd", {3, 5}, {5, 7});
  matmul("one", {1, 1}, {1, 1});
  matmul("batched", {2, 3, 5}, {2, 5, 1});
  matmul("empty", {2, 0}, {0, 3});
  matmul("no rows", {0, 2}, {2, 3});
  matmul("wide result", {3, 4}, {4, 2}, {{Attr::dtype, DType::f32}},
         {DType::f16, DType::bf16, DType::f32});
  matmul("f64 sums", {3, 4}, {4, 2}, {{Attr::accumulate, DType::f64}},
         {DType::f16, DType::bf16, DType::f32});

  Case& grouped = add_case(
      cases, Op::grouped_matmul, "rows past the sum are 0",
      {{reals({7, 3})}, {reals({3, 3, 2}, -2, 2, 2)}, {Array({3}, {2, 0, 3}), DType::i32}}, {},
      [](const Arrays& in) {
        Array out({in[0].shape[0], in[1].shape[2]});
        int64_t row = 0;
        for (int64_t g = 0; g < in[2].size(); ++g)
          for (int64_t end = row + static_cast<int64_t>(in[2][g]);
               row < std::min(end, out.shape[0]); ++row)
            for (int64_t n = 0; n < out.shape[1]; ++n)
              for (int64_t k = 0; k < in[0].shape[1]; ++k)
                out[out.at({row, n})] += in[0][in[0].at({row, k})] * in[1][in[1].at({g, k, n})];
        return Arrays{out};
      });
  grouped.bound = pair;
  grouped.dtypes = products;

  const auto convolve = [&](const std::string& label, Shape x, Shape w, Ints strides, Ints low,
                            Ints high, Ints lhs, Ints rhs, int64_t groups) {
    Case& c = add_case(cases, Op::convolution, label, {{reals(x)}, {reals(w, -2, 2, 2)}},
                       {{Attr::strides, strides},
                        {Attr::low, low},
                        {Attr::high, high},
                        {Attr::lhs_dilation, lhs},
                        {Attr::rhs_dilation, rhs},
                        {Attr::groups, groups}},
                       naive_convolution(strides, low, high, lhs, rhs, groups));
    c.bound = pair;
    c.dtypes = products;
  };
  convolve("1d", {2, 3, 8}, {4, 3, 3}, {1}, {0}, {0}, {1}, {1}, 1);
  convolve("strides and padding", {1, 2, 7, 6}, {3, 2, 3, 2}, {2, 1}, {1, 0}, {2, 3}, {1, 1},
           {1, 1}, 1);
  convolve("groups", {2, 4, 5}, {6, 2, 2}, {1}, {1}, {1}, {1}, {1}, 2);
  convolve("dilations", {1, 2, 5}, {2, 2, 3}, {2}, {3}, {1}, {3}, {2}, 1);
  convolve("cropped", {1, 1, 9}, {1, 1, 2}, {1}, {-2}, {-1}, {1}, {1}, 1);
  convolve("3d", {1, 2, 3, 2, 4}, {2, 2, 2, 1, 3}, {1, 1, 1}, {0, 0, 1}, {0, 0, 0}, {1, 1, 1},
           {1, 1, 1}, 1);
  convolve("window larger than x", {1, 1, 2}, {1, 1, 4}, {1}, {0}, {0}, {1}, {1}, 1);
}

}  // namespace

std::vector<Case> reduction_cases() {
  Builder builder;
  builder.add_reductions();
  builder.add_ordering();
  builder.add_products();
  return std::move(builder.cases);
}

}  // namespace cairn::test
