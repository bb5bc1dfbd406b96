// Cases of the elementwise primitives: the C library's function in double is the reference.
#include <cmath>

#include "cairn/graph/scalar.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

using Unary = std::function<double(double)>;
using Binary = std::function<double(double, double)>;

constexpr Bound kTwo{Bound::relative, 2};  // ours is within 1 ulp, the C library's too

// The inverse of std::erf by bisection in 80 bits.
double erf_inverse(double x) {
  if (std::fabs(x) >= 1) return std::fabs(x) == 1 ? std::copysign(INFINITY, x) : NAN;
  long double low = -7, high = 7;
  for (int i = 0; i < 90; ++i) {
    const long double middle = (low + high) / 2;
    (std::erf(middle) < x ? low : high) = middle;
  }
  return static_cast<double>(low);
}

struct Builder {
  std::vector<Case> cases;
  void one(Op op, Bound bound, double low, double high, Unary f, const std::vector<DType>& dtypes,
           int orders = 2);
  void two(Op op, Bound bound, Array x, Array y, Binary f, const std::vector<DType>& dtypes,
           int orders = 2);
  void add_unary();
  void add_binary();
  void add_select_and_cast();
};

void Builder::one(Op op, Bound bound, double low, double high, Unary f,
                  const std::vector<DType>& dtypes, int orders) {
  for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{2, 0, 3}}) {
    Case c;
    c.name = std::string(name(op)) + to_string(shape);
    c.function = name(op);
    c.primitive = op;
    c.inputs = {{reals(shape, low, high)}};
    c.call = [op](Tensors in) { return std::vector<Tensor>{make(op, {in[0]})}; };
    c.bound = bound;
    c.reference = [f](const Arrays& in) {
      Array out(in[0].shape);
      for (int64_t i = 0; i < out.size(); ++i) out[i] = f(in[0][i]);
      return Arrays{out};
    };
    c.dtypes = dtypes;
    c.orders = orders;
    cases.push_back(std::move(c));
  }
}

void Builder::two(Op op, Bound bound, Array x, Array y, Binary f, const std::vector<DType>& dtypes,
                  int orders) {
  Case c;
  c.name = name(op);
  c.function = name(op);
  c.primitive = op;
  c.inputs = {{std::move(x)}, {std::move(y)}};
  c.call = [op](Tensors in) { return std::vector<Tensor>{make(op, {in[0], in[1]})}; };
  c.bound = bound;
  c.reference = [f](const Arrays& in) {
    Array out(in[0].shape);
    for (int64_t i = 0; i < out.size(); ++i) out[i] = f(in[0][i], in[1][i]);
    return Arrays{out};
  };
  c.dtypes = dtypes;
  c.orders = orders;
  cases.push_back(std::move(c));
}

void Builder::add_unary() {
  const auto numbers = joined({kFloats, kIntegers});
  one(Op::negate, {}, -9, 9, [](double x) { return -x; }, numbers);
  one(Op::abs, {}, -9, 9, [](double x) { return std::fabs(x); }, numbers);
  one(Op::sign, {}, -9, 9, [](double x) { return (x > 0) - (x < 0); }, numbers);
  one(Op::floor, {}, -3, 3, [](double x) { return std::floor(x); }, kFloats);
  one(Op::ceil, {}, -3, 3, [](double x) { return std::ceil(x); }, kFloats);
  one(Op::round, {}, -3, 3, [](double x) { return std::nearbyint(x); }, kFloats);
  one(Op::exp, kTwo, -5, 5, [](double x) { return std::exp(x); }, kFloats);
  one(Op::expm1, kTwo, -3, 2, [](double x) { return std::expm1(x); }, kFloats);
  one(Op::log, kTwo, 0.05, 9, [](double x) { return std::log(x); }, kFloats);
  one(Op::log1p, kTwo, -0.9, 3, [](double x) { return std::log1p(x); }, kFloats);
  one(Op::sin, kTwo, -9, 9, [](double x) { return std::sin(x); }, kFloats);
  one(Op::cos, kTwo, -9, 9, [](double x) { return std::cos(x); }, kFloats);
  one(Op::tanh, kTwo, -4, 4, [](double x) { return std::tanh(x); }, kFloats);
  one(
      Op::logistic, {Bound::relative, 3}, -9, 9, [](double x) { return 1 / (1 + std::exp(-x)); },
      kFloats);
  one(Op::sqrt, {}, 0.05, 9, [](double x) { return std::sqrt(x); }, kFloats);
  one(Op::erf, kTwo, -3, 3, [](double x) { return std::erf(x); }, kFloats);
  one(Op::erfc, kTwo, -3, 5, [](double x) { return std::erfc(x); }, kFloats);
  one(Op::erf_inv, kTwo, -0.95, 0.95, erf_inverse, kFloats);
  one(Op::stop_gradient, {}, -2, 2, [](double x) { return x; }, joined({numbers, {DType::b8}}), 0);
}

void Builder::add_binary() {
  const auto numbers = joined({kFloats, kIntegers});
  const auto bits = joined({kIntegers, {DType::b8}});
  const Shape s{3, 5};
  const Array x = reals(s, -9, 9), y = reals(s, -9, 9, 2), away = reals(s, 1.1, 6, 3),
              positive = reals(s, 0.2, 4, 4);
  two(Op::add, {}, x, y, [](double a, double b) { return a + b; }, numbers);
  two(Op::subtract, {}, x, y, [](double a, double b) { return a - b; }, numbers);
  two(Op::multiply, {}, x, y, [](double a, double b) { return a * b; }, numbers);
  two(Op::divide, {}, x, away, [](double a, double b) { return a / b; }, kFloats);
  two(Op::divide, {}, x, away, [](double a, double b) { return std::trunc(a / b); }, kIntegers, 0);
  two(Op::remainder, {}, x, away, [](double a, double b) { return std::fmod(a, b); }, numbers, 1);
  two(
      Op::power, kTwo, positive, reals(s, -2, 2), [](double a, double b) { return std::pow(a, b); },
      kFloats);
  two(
      Op::power, {}, wholes(s, -3, 3), wholes(s, 0, 4),
      [](double a, double b) { return std::pow(a, b); }, kIntegers, 0);
  two(Op::atan2, kTwo, x, y, [](double a, double b) { return std::atan2(a, b); }, kFloats);
  two(Op::maximum, {}, x, y, [](double a, double b) { return std::max(a, b); }, numbers);
  two(Op::minimum, {}, x, y, [](double a, double b) { return std::min(a, b); }, numbers);
  const auto whole = [](auto f) {
    return [f](double a, double b) {
      return static_cast<double>(f(static_cast<int64_t>(a), static_cast<int64_t>(b)));
    };
  };
  const Array small = reals(s, 0, 7, 5);
  two(Op::bitwise_and, {}, x, y, whole([](int64_t a, int64_t b) { return a & b; }), bits, 0);
  two(Op::bitwise_or, {}, x, y, whole([](int64_t a, int64_t b) { return a | b; }), bits, 0);
  two(Op::bitwise_xor, {}, x, y, whole([](int64_t a, int64_t b) { return a ^ b; }), bits, 0);
  two(Op::shift_left, {}, x, small, whole([](int64_t a, int64_t b) { return a << b; }), kIntegers,
      0);
  two(Op::shift_right, {}, x, small, whole([](int64_t a, int64_t b) { return a >> b; }), kIntegers,
      0);
  // Whole numbers, so that some are equal.
  const Array a = wholes(s, 0, 4, 6), b = wholes(s, 0, 4, 7);
  const auto all = joined({numbers, {DType::b8}});
  two(Op::equal, {}, a, b, [](double p, double q) { return p == q; }, all, 0);
  two(Op::less, {}, a, b, [](double p, double q) { return p < q; }, all, 0);
  two(Op::less_equal, {}, a, b, [](double p, double q) { return p <= q; }, all, 0);
}

void Builder::add_select_and_cast() {
  Case select;
  select.name = select.function = "select";
  select.primitive = Op::select;
  select.inputs = {{wholes({3, 5}, 0, 2), DType::b8}, {reals({3, 5})}, {reals({3, 5}, -2, 2, 2)}};
  select.call = [](Tensors in) {
    return std::vector<Tensor>{make(Op::select, {in[0], in[1], in[2]})};
  };
  select.reference = [](const Arrays& in) {
    Array out(in[1].shape);
    for (int64_t i = 0; i < out.size(); ++i) out[i] = in[0][i] != 0 ? in[1][i] : in[2][i];
    return Arrays{out};
  };
  select.dtypes = joined({kFloats, kIntegers, {DType::b8, DType::f8e4m3, DType::f8e5m2}});
  cases.push_back(select);

  // Whole numbers that every type holds: what rounds, wraps and saturates is in
  // edge_semantics_test.cpp.
  for (int to = 0; to < kDTypeCount; ++to) {
    const DType target = static_cast<DType>(to);
    Case c;
    c.function = "cast";
    c.name = "cast to " + std::string(name(target));
    c.primitive = Op::cast;
    c.inputs = {{wholes({4, 3}, 0, 9)}};
    c.call = [target](Tensors in) {
      return std::vector<Tensor>{make(Op::cast, {in[0]}, {{Attr::dtype, target}})};
    };
    c.reference = [target](const Arrays& in) {
      Array out = in[0];
      if (target == DType::b8)
        for (double& x : out.v) x = x != 0;
      return Arrays{out};
    };
    c.dtypes = joined({kFloats, kIntegers, {DType::b8, DType::f8e4m3, DType::f8e5m2}});
    c.orders = target == DType::f64 ? 2 : 0;
    cases.push_back(std::move(c));
  }
}

}  // namespace

std::vector<Case> elementwise_cases() {
  Builder builder;
  builder.add_unary();
  builder.add_binary();
  builder.add_select_and_cast();
  return std::move(builder.cases);
}

}  // namespace cairn::test
