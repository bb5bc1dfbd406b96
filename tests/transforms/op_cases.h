// One table of primitives with operands on which they are differentiable: what the tests of vjp,
// jvp, vmap and second derivatives run over.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "cairn/base/philox.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/vjp.h"

namespace cairn::test {

// Values of one operand; another seed gives other values of the same type.
using Operands = std::function<Tensor(uint32_t seed)>;

struct OpCase {
  std::string name;
  Op op;
  std::vector<Operands> operands;
  TensorFunction fn;
  // How many times the function is differentiable at these operands, up to 2.
  int orders = 2;
};

// What a failing test prints.
// GoogleTest's name.
// NOLINTNEXTLINE(readability-identifier-naming)
inline void PrintTo(const OpCase& c, std::ostream* out) { *out << c.name; }

// f64 in (low, high), repeatable.
inline Operands reals(Shape shape, double low = -1.5, double high = 1.5) {
  return [=](uint32_t seed) {
    HostArray values(DType::f64, shape);
    auto out = values.mutable_span<double>();
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = low + (high - low) * (philox_bits({seed, 17}, i) + 0.5) / 4294967296.0;
    return Tensor(values);
  };
}

// Distinct f64, far apart: what sorting and maxima need. A shuffle of 0, 1, 2, ... times `step`.
inline Operands distinct(Shape shape, double step = 0.37) {
  return [=](uint32_t seed) {
    HostArray values(DType::f64, shape);
    auto out = values.mutable_span<double>();
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = (static_cast<double>(i) - 0.4 * static_cast<double>(out.size())) * step;
    for (size_t i = out.size(); i > 1; --i)
      std::swap(out[i - 1], out[philox_bits({seed, 23}, i) % i]);
    return Tensor(values);
  };
}

// i32 in [low, high).
inline Operands integers(Shape shape, int low, int high) {
  return [=](uint32_t seed) {
    HostArray values(DType::i32, shape);
    auto out = values.mutable_span<int32_t>();
    for (size_t i = 0; i < out.size(); ++i)
      out[i] =
          low + static_cast<int>(philox_bits({seed, 29}, i) % static_cast<uint32_t>(high - low));
    return Tensor(values);
  };
}

inline Operands given(const Tensor& value) {
  return [=](uint32_t) { return value; };
}

inline TensorFunction primitive(Op op, Attrs attrs = {}) {
  return [=](std::span<const Tensor> x) { return make_many(op, {x.begin(), x.end()}, attrs); };
}

inline Attrs kind(const char* name) { return {{Attr::kind, std::string(name)}}; }
inline Attrs with(Attrs attrs, Attr key, AttrValue value) {
  attrs.set(key, std::move(value));
  return attrs;
}

inline Attrs convolution_attrs(Ints strides, Ints low, Ints high, Ints lhs, Ints rhs,
                               int64_t groups) {
  return {{Attr::strides, strides},  {Attr::low, low},          {Attr::high, high},
          {Attr::lhs_dilation, lhs}, {Attr::rhs_dilation, rhs}, {Attr::groups, groups}};
}

inline Attrs gather_attrs(int64_t axis, int64_t batch_dims) {
  return {{Attr::axis, axis}, {Attr::batch_dims, batch_dims}};
}

// A loop with every kind of operand: x is carried, the rows of w are scanned, c is captured, and
// the new x of every step is stacked.
inline std::vector<Tensor> sample_loop(const Tensor& n, const Tensor& x, const Tensor& w,
                                       const Tensor& c, bool reverse) {
  TensorType row = w.type();
  row.shape.erase(0);
  const TensorType types[] = {{DType::i32, {}}, x.type(), row, c.type()};
  const Graph body = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        const Tensor next = sin(in[1] * in[2]) + in[3] * cast(in[0] + 1, DType::f64) * in[1];
        return {next, next * in[2] + in[3]};
      },
      types);
  Attrs attrs{{Attr::body, std::make_shared<const Graph>(body)},
              {Attr::max, w.shape()[0]},
              {Attr::carried, int64_t{1}},
              {Attr::scanned, int64_t{1}}};
  if (reverse) attrs.set(Attr::reverse, true);
  return make_many(Op::loop, {n, x, w, c}, attrs);
}

inline std::vector<Tensor> sample_cond(const Tensor& condition, const Tensor& x, const Tensor& y) {
  const TensorType types[] = {x.type(), y.type()};
  const auto branch = [&](const TensorFunction& fn) {
    return std::make_shared<const Graph>(trace(fn, types));
  };
  return make_many(Op::cond, {condition, x, y},
                   {{Attr::then, branch([](std::span<const Tensor> in) -> std::vector<Tensor> {
                       return {in[0] * in[1] * in[1], sin(in[0])};
                     })},
                    {Attr::otherwise, branch([](std::span<const Tensor> in) -> std::vector<Tensor> {
                       return {exp(in[0]), in[1] + 0.0};
                     })}});
}

inline std::vector<OpCase> elementwise_cases() {
  const Shape s{2, 3};
  const auto one = [&](Op op, double low = -1.5, double high = 1.5) {
    return OpCase{std::string(name(op)), op, {reals(s, low, high)}, primitive(op)};
  };
  const auto two = [&](Op op, Operands x, Operands y) {
    return OpCase{std::string(name(op)), op, {std::move(x), std::move(y)}, primitive(op)};
  };
  const Operands any = reals(s);
  const Operands positive = reals(s, 0.3, 2.5);
  return {
      one(Op::negate),
      one(Op::abs, 0.1, 2),
      one(Op::sign, 0.1, 2),
      one(Op::floor, 0.1, 0.9),
      one(Op::ceil, 0.1, 0.9),
      one(Op::round, 0.6, 1.4),
      one(Op::exp),
      one(Op::expm1),
      one(Op::log, 0.3, 3),
      one(Op::log1p, -0.6, 2),
      one(Op::sin),
      one(Op::cos),
      one(Op::tanh),
      one(Op::logistic),
      one(Op::sqrt, 0.3, 3),
      one(Op::erf),
      one(Op::erfc),
      one(Op::erf_inv, -0.8, 0.8),
      {"cast",
       Op::cast,
       {any},
       [](std::span<const Tensor> x) -> std::vector<Tensor> {
         return {sin(make(Op::cast, {x[0]}, {{Attr::dtype, DType::f64}}))};
       }},
      {"stop_gradient",
       Op::stop_gradient,
       {any, any},
       [](std::span<const Tensor> x) -> std::vector<Tensor> {
         // A constant for derivatives, so only its other factor may vary in finite differences.
         return {stop_gradient(full({2, 3}, 3.0, DType::f64)) * x[0] * x[1]};
       }},
      two(Op::add, any, any),
      two(Op::subtract, any, any),
      two(Op::multiply, any, any),
      two(Op::divide, any, positive),
      two(Op::remainder, reals(s, 5.1, 5.9), reals(s, 1.9, 2.1)),
      two(Op::power, positive, any),
      two(Op::atan2, positive, any),
      two(Op::maximum, reals(s, -2, -0.1), reals(s, 0.1, 2)),
      two(Op::minimum, reals(s, -2, -0.1), reals(s, 0.1, 2)),
      {"select",
       Op::select,
       {any, any},
       [](std::span<const Tensor> x) -> std::vector<Tensor> {
         return {where(Tensor::from<bool>({true, false, true}, {3}), x[0] * x[1], x[1])};
       }},
  };
}

inline std::vector<OpCase> other_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](std::string name, Op op, std::vector<Operands> operands, TensorFunction fn,
                       int orders = 2) {
    cases.push_back({std::move(name), op, std::move(operands), std::move(fn), orders});
  };
  // Results that a linear operation gives are squared, so that second derivatives are not all zero.
  const auto squared = [](TensorFunction fn) -> TensorFunction {
    return [fn](std::span<const Tensor> x) {
      std::vector<Tensor> out = fn(x);
      for (Tensor& t : out)
        if (is_float(t.dtype())) t = t * t;
      return out;
    };
  };
  const auto linear = [&](std::string name, Op op, std::vector<Operands> operands,
                          Attrs attrs = {}) {
    add(std::move(name), op, std::move(operands), squared(primitive(op, std::move(attrs))));
  };

  // Reductions and ordering.
  for (const char* k : {"sum", "prod"})
    add(std::string("reduce_") + k, Op::reduce, {reals({2, 3, 2})},
        primitive(Op::reduce, with(kind(k), Attr::axes, Ints{0, 2})));
  for (const char* k : {"max", "min"})
    add(std::string("reduce_") + k, Op::reduce, {distinct({2, 3, 2})},
        primitive(Op::reduce, with(kind(k), Attr::axes, Ints{2, 0})));
  add("reduce_none", Op::reduce, {reals({2, 3})},
      primitive(Op::reduce, with(kind("prod"), Attr::axes, Ints{})));
  add("reduce_all", Op::reduce, {reals({5})},
      primitive(Op::reduce, with(kind("prod"), Attr::axes, Ints{0})));
  for (const bool reverse : {false, true}) {
    const std::string suffix = reverse ? "_reverse" : "";
    const auto attrs = [&](const char* k, int64_t axis) {
      Attrs a = with(kind(k), Attr::axis, axis);
      if (reverse) a.set(Attr::reverse, true);
      return a;
    };
    linear("cumulative_sum" + suffix, Op::cumulative, {reals({2, 5})}, attrs("sum", 1));
    add("cumulative_prod" + suffix, Op::cumulative, {reals({5, 2})},
        primitive(Op::cumulative, attrs("prod", 0)));
    linear("cumulative_max" + suffix, Op::cumulative, {distinct({2, 5})}, attrs("max", 1));
    linear("cumulative_min" + suffix, Op::cumulative, {distinct({2, 5, 2})}, attrs("min", 1));
  }
  add("arg_reduce", Op::arg_reduce, {distinct({2, 4})},
      [](std::span<const Tensor> x) -> std::vector<Tensor> {
        return {x[0] * cast(expand_dims(argmax(x[0], 1), 1), DType::f64)};
      });
  linear("sort", Op::sort, {distinct({2, 4})}, {{Attr::axis, int64_t{0}}});
  linear("sort_descending", Op::sort, {distinct({2, 4, 2})},
         {{Attr::axis, int64_t{1}}, {Attr::descending, true}});
  linear("top_k", Op::top_k, {distinct({2, 5})}, {{Attr::k, int64_t{3}}});

  // Products.
  linear("matmul", Op::matmul, {reals({3, 4}), reals({4, 2})});
  linear("matmul_batched", Op::matmul, {reals({2, 3, 4}), reals({2, 4, 2})});
  add("grouped_matmul", Op::grouped_matmul,
      {reals({6, 2}), reals({3, 2, 4}), given(Tensor::from<int32_t>({2, 0, 3}, {3}))},
      squared(primitive(Op::grouped_matmul)));
  linear("convolution_1d", Op::convolution, {reals({2, 3, 7}), reals({4, 3, 3})},
         convolution_attrs({1}, {1}, {1}, {1}, {1}, 1));
  linear("convolution_2d", Op::convolution, {reals({2, 2, 5, 6}), reals({3, 2, 3, 2})},
         convolution_attrs({2, 1}, {1, 0}, {1, 2}, {1, 1}, {1, 2}, 1));
  linear("convolution_groups", Op::convolution, {reals({2, 4, 6}), reals({6, 2, 3})},
         convolution_attrs({2}, {2}, {0}, {1}, {1}, 2));
  linear("convolution_depthwise", Op::convolution, {reals({1, 3, 5}), reals({6, 1, 2})},
         convolution_attrs({1}, {0}, {1}, {1}, {2}, 3));
  linear("convolution_dilated", Op::convolution, {reals({2, 2, 4}), reals({2, 2, 3})},
         convolution_attrs({3}, {2}, {1}, {2}, {2}, 1));
  linear("convolution_cropped", Op::convolution, {reals({1, 2, 8}), reals({2, 2, 2})},
         convolution_attrs({1}, {-2}, {-1}, {1}, {1}, 1));
  linear("convolution_unused", Op::convolution, {reals({1, 1, 8}), reals({1, 1, 2})},
         convolution_attrs({4}, {0}, {0}, {1}, {1}, 1));

  // Movement.
  linear("reshape", Op::reshape, {reals({2, 3})}, {{Attr::shape, Ints{3, 2}}});
  linear("broadcast", Op::broadcast, {reals({2, 1})},
         {{Attr::shape, Ints{3, 2, 4}}, {Attr::axes, Ints{1, 2}}});
  linear("broadcast_ones", Op::broadcast, {reals({1, 3})},
         {{Attr::shape, Ints{1, 2, 3}}, {Attr::axes, Ints{0, 2}}});
  linear("transpose", Op::transpose, {reals({2, 3, 4})}, {{Attr::axes, Ints{2, 0, 1}}});
  linear("slice", Op::slice, {reals({5, 7})},
         {{Attr::start, Ints{1, 2}}, {Attr::stop, Ints{4, 7}}, {Attr::step, Ints{1, 2}}});
  linear("slice_empty", Op::slice, {reals({5, 7})},
         {{Attr::start, Ints{5, 2}}, {Attr::stop, Ints{5, 7}}, {Attr::step, Ints{1, 3}}});
  linear("reverse", Op::reverse, {reals({2, 3})}, {{Attr::axes, Ints{1}}});
  linear("pad", Op::pad, {reals({2, 3}), reals({})},
         {{Attr::low, Ints{1, 0}}, {Attr::high, Ints{0, 2}}, {Attr::interior, Ints{0, 1}}});
  linear("pad_negative", Op::pad, {reals({4, 5}), reals({})},
         {{Attr::low, Ints{-1, 2}}, {Attr::high, Ints{1, -3}}, {Attr::interior, Ints{1, 2}}});
  linear("concatenate", Op::concatenate, {reals({2, 1}), reals({2, 3}), reals({2, 2})},
         {{Attr::axis, int64_t{1}}});
  linear("barrier", Op::barrier, {reals({2}), reals({3})});
  add("dynamic_slice", Op::dynamic_slice, {reals({4, 5}), integers({}, -1, 4), integers({}, 0, 5)},
      squared(primitive(Op::dynamic_slice, {{Attr::shape, Ints{2, 3}}})));
  add("dynamic_update_slice", Op::dynamic_update_slice,
      {reals({4, 5}), reals({2, 3}), integers({}, -1, 4), integers({}, 0, 5)},
      squared(primitive(Op::dynamic_update_slice)));

  // Gather and scatter, with repeated indices.
  add("gather", Op::gather, {reals({3, 4, 2}), integers({5}, 0, 4)},
      squared(primitive(Op::gather, gather_attrs(1, 0))));
  add("gather_batched", Op::gather, {reals({3, 4, 2}), integers({3, 2, 2}, 0, 4)},
      squared(primitive(Op::gather, gather_attrs(1, 1))));
  for (const char* k : {"set", "add"}) {
    const std::string base = std::string("scatter_") + k;
    const auto attrs = [&](int64_t axis, int64_t dims) {
      return with(gather_attrs(axis, dims), Attr::kind, std::string(k));
    };
    add(base, Op::scatter, {reals({3, 4}), integers({5}, 0, 4), reals({3, 5})},
        squared(primitive(Op::scatter, attrs(1, 0))));
    add(base + "_batched", Op::scatter, {reals({3, 4}), integers({3, 5}, 0, 4), reals({3, 5})},
        squared(primitive(Op::scatter, attrs(1, 1))));
  }
  for (const char* k : {"max", "min"})
    add(std::string("scatter_") + k, Op::scatter,
        {distinct({6}, 0.37), integers({7}, 0, 6), distinct({7}, 0.41)},
        squared(primitive(Op::scatter, with(gather_attrs(0, 0), Attr::kind, std::string(k)))));

  // Sizes of zero.
  const Operands no_rows = reals({0, 3});
  add("empty_sin", Op::sin, {no_rows}, primitive(Op::sin));
  for (const char* k : {"sum", "prod"})
    add(std::string("empty_reduce_") + k, Op::reduce, {no_rows},
        primitive(Op::reduce, with(kind(k), Attr::axes, Ints{0})));
  for (const char* k : {"sum", "prod", "max"})
    add(std::string("empty_cumulative_") + k, Op::cumulative, {no_rows},
        primitive(Op::cumulative, with(kind(k), Attr::axis, int64_t{0})));
  add("empty_sort", Op::sort, {no_rows}, primitive(Op::sort, {{Attr::axis, int64_t{0}}}));
  add("empty_top_k", Op::top_k, {distinct({2, 3})}, primitive(Op::top_k, {{Attr::k, int64_t{0}}}));
  linear("empty_matmul_inner", Op::matmul, {reals({2, 0}), reals({0, 3})});
  linear("empty_matmul_outer", Op::matmul, {reals({0, 2}), reals({2, 3})});
  linear("empty_convolution", Op::convolution, {reals({0, 2, 5}), reals({3, 2, 2})},
         convolution_attrs({1}, {0}, {0}, {1}, {1}, 1));
  linear("empty_convolution_result", Op::convolution, {reals({2, 2, 1}), reals({3, 2, 2})},
         convolution_attrs({1}, {0}, {0}, {1}, {1}, 1));
  linear("empty_pad", Op::pad, {no_rows, reals({})},
         {{Attr::low, Ints{1, 0}}, {Attr::high, Ints{2, 0}}, {Attr::interior, Ints{1, 0}}});
  linear("empty_crop", Op::pad, {reals({2, 3}), reals({})},
         {{Attr::low, Ints{-3, 0}}, {Attr::high, Ints{0, 0}}, {Attr::interior, Ints{0, 0}}});
  linear("empty_concatenate", Op::concatenate, {no_rows, reals({2, 3})},
         {{Attr::axis, int64_t{0}}});
  add("empty_gather", Op::gather, {reals({3, 2}), given(Tensor::from<int32_t>({}, {0}))},
      squared(primitive(Op::gather, gather_attrs(0, 0))));
  add("empty_scatter", Op::scatter,
      {reals({3, 2}), given(Tensor::from<int32_t>({}, {0})), reals({0, 2})},
      squared(primitive(Op::scatter, with(gather_attrs(0, 0), Attr::kind, std::string("set")))));
  add("empty_dynamic_slice", Op::dynamic_slice, {reals({4}), integers({}, 0, 4)},
      squared(primitive(Op::dynamic_slice, {{Attr::shape, Ints{0}}})));

  // Control flow.
  for (const bool branch : {true, false})
    add(branch ? "cond_then" : "cond_otherwise", Op::cond, {reals({3}), reals({3})},
        [branch](std::span<const Tensor> x) {
          return sample_cond(full({}, branch, DType::b8), x[0], x[1]);
        });
  for (const bool reverse : {false, true})
    add(reverse ? "loop_reverse" : "loop", Op::loop,
        {integers({}, 2, 4), reals({2}), reals({4, 2}), reals({2})},
        [reverse](std::span<const Tensor> x) {
          return sample_loop(x[0], x[1], x[2], x[3], reverse);
        });
  return cases;
}

}  // namespace cairn::test
