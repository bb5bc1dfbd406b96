// What each elementwise primitive does to one number: the table that the reference backend,
// constant folding and the tile interpreter share.
//
// A row is `Scalar<op>::of(x...)` on the type of computation: double, float, an integer or bool.
// f16 and bf16 compute in float and round when stored. Transcendentals are computed in double and
// rounded once, with the same bits on any x86-64 (base/math.h). Edge cases are those of
// docs/edge-semantics.md; integers wrap.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "cairn/base/math.h"
#include "cairn/core/dispatch.h"
#include "cairn/graph/op.h"

namespace cairn {

// The type in which elements of T are computed.
template <class T>
using ComputeType = std::conditional_t<std::is_arithmetic_v<T>, T, float>;

template <class T>
ComputeType<T> load_element(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return value;
  } else {
    return static_cast<float>(value);
  }
}
template <class T>
T store_element(ComputeType<T> value) {
  return static_cast<T>(value);
}

namespace detail {

// Arithmetic on integers without undefined behaviour: as unsigned, then back.
template <class T, class F>
T wrap(T x, T y, F f) {
  if constexpr (std::is_floating_point_v<T>) {
    return f(x, y);
  } else {
    using U = std::make_unsigned_t<T>;
    using Wide = std::common_type_t<U, unsigned>;
    return static_cast<T>(
        f(static_cast<Wide>(static_cast<U>(x)), static_cast<Wide>(static_cast<U>(y))));
  }
}
template <class T, class F>
T real(T x, F f) {
  return static_cast<T>(f(static_cast<double>(x)));
}
template <class T>
constexpr int kBits = static_cast<int>(sizeof(T) * 8);

// x as a double; of an integer beyond 2^53 the bits that do not fit set the last one that does.
template <class T>
double to_double_odd(T x) {
  if constexpr (std::is_same_v<T, int64_t>) {
    constexpr int64_t kLost = (int64_t{1} << 11) - 1;
    if (x >> 53 != 0 && x >> 53 != -1) x = (x & ~kLost) | ((x & kLost) != 0 ? kLost + 1 : 0);
  }
  return static_cast<double>(x);
}

}  // namespace detail

// Conversion of one element: float to integer truncates and saturates, NaN gives 0; anything to
// bool is "not zero" (NaN is true); narrowing integers wrap.
template <class To, class From>
To cast_element(From value) {
  const auto x = load_element(value);
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<decltype(x)>) {
    if (x != x) return 0;
    // 2^(bits-1) or 2^bits is exact in float and double; the largest integer may not be.
    constexpr double kLow = static_cast<double>(std::numeric_limits<To>::min());
    constexpr double kPast =
        2.0 * static_cast<double>(uint64_t{1} << (std::numeric_limits<To>::digits - 1));
    const double d = static_cast<double>(x);
    if (d <= kLow) return std::numeric_limits<To>::min();
    if (d >= kPast) return std::numeric_limits<To>::max();
    return static_cast<To>(d);
  } else if constexpr (std::is_arithmetic_v<To>) {
    return static_cast<To>(x);
  } else {
    // A 16- or 8-bit float from a wider type: from f64 and 64-bit integers by way of f64 and f32
    // rounded to odd, so that the last rounding is the only one.
    if constexpr (sizeof(x) == 8 || (std::is_integral_v<decltype(x)> && sizeof(x) == 4)) {
      const double d = detail::to_double_odd(x);
      float f = static_cast<float>(d);
      if (static_cast<double>(f) != d && d == d && !std::isinf(f)) {
        if (std::fabs(static_cast<double>(f)) > std::fabs(d)) f = std::nextafterf(f, 0.0f);
        f = std::bit_cast<float>(std::bit_cast<uint32_t>(f) | 1u);
      }
      return static_cast<To>(f);
    } else {
      return static_cast<To>(static_cast<float>(x));
    }
  }
}

template <Op kOp>
struct Scalar;

// --- one operand ---------------------------------------------------------------------------------
#define CAIRN_SCALAR1(op, expression)    \
  template <>                            \
  struct Scalar<Op::op> {                \
    template <class T>                   \
    static T of(T x) {                   \
      return static_cast<T>(expression); \
    }                                    \
  };

CAIRN_SCALAR1(negate, detail::wrap(T(0), x, [](auto, auto b) { return -b; }))
CAIRN_SCALAR1(abs, x < T(0) || (std::is_floating_point_v<T> && x == T(0))
                       ? Scalar<Op::negate>::of(x < T(0) ? x : T(-0.0))
                       : x)
CAIRN_SCALAR1(sign, x > T(0) ? T(1) : x < T(0) ? T(-1) : x)
CAIRN_SCALAR1(floor, std::floor(x))
CAIRN_SCALAR1(ceil, std::ceil(x))
CAIRN_SCALAR1(round, std::nearbyint(x))
CAIRN_SCALAR1(exp, detail::real(x, math::exp))
CAIRN_SCALAR1(expm1, detail::real(x, math::expm1))
CAIRN_SCALAR1(log, detail::real(x, math::log))
CAIRN_SCALAR1(log1p, detail::real(x, math::log1p))
CAIRN_SCALAR1(sin, detail::real(x, math::sin))
CAIRN_SCALAR1(cos, detail::real(x, math::cos))
CAIRN_SCALAR1(tanh, detail::real(x, math::tanh))
CAIRN_SCALAR1(logistic, detail::real(x, math::logistic))
CAIRN_SCALAR1(sqrt, std::sqrt(x))
CAIRN_SCALAR1(erf, detail::real(x, math::erf))
CAIRN_SCALAR1(erfc, detail::real(x, math::erfc))
CAIRN_SCALAR1(erf_inv, detail::real(x, math::erf_inv))
#undef CAIRN_SCALAR1

// --- two operands --------------------------------------------------------------------------------
#define CAIRN_SCALAR2(op, expression) \
  template <>                         \
  struct Scalar<Op::op> {             \
    template <class T>                \
    static auto of(T x, T y) {        \
      return expression;              \
    }                                 \
  };

namespace detail {

template <class T>
T divide(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return x / y;
  } else {
    if (y == 0) return static_cast<T>(-1);
    if constexpr (std::is_signed_v<T>)
      if (y == -1) return wrap(T(0), x, [](auto, auto b) { return -b; });
    return static_cast<T>(x / y);
  }
}
template <class T>
T remainder(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(math::fmod(x, y));
  } else {
    if (y == 0) return x;
    if constexpr (std::is_signed_v<T>)
      if (y == -1) return 0;
    return static_cast<T>(x % y);
  }
}
template <class T>
T power(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(math::pow(static_cast<double>(x), static_cast<double>(y)));
  } else {
    if (y < 0)  // the quotient 1 / x^|y|
      return x == 1 || (x == static_cast<T>(-1) && y % 2 == 0) ? T(1)
             : x == 0 || x == static_cast<T>(-1)               ? static_cast<T>(-1)
                                                               : T(0);
    T result = 1;
    const auto times = [](auto a, auto b) { return a * b; };
    for (; y != 0; y = static_cast<T>(y / 2), x = wrap(x, x, times))
      if (y % 2 != 0) result = wrap(result, x, times);
    return result;
  }
}
template <class T>
T shift_left(T x, T y) {
  if (y < 0 || y >= T(kBits<T>)) return 0;
  return wrap(x, y, [](auto a, auto b) { return a << b; });
}
template <class T>
T shift_right(T x, T y) {
  const bool past = y < 0 || y >= T(kBits<T>);
  if (past) return x < 0 ? static_cast<T>(-1) : T(0);
  return static_cast<T>(x >> y);
}
// The first operand that is NaN, else the larger; +0 is larger than -0.
template <class T>
T maximum(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (x == y) return std::signbit(x) ? y : x;
    return x > y || x != x ? x : y;
  } else {
    return x > y ? x : y;
  }
}
template <class T>
T minimum(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (x == y) return std::signbit(x) ? x : y;
    return x < y || x != x ? x : y;
  } else {
    return x < y ? x : y;
  }
}

}  // namespace detail

CAIRN_SCALAR2(add, detail::wrap(x, y, [](auto a, auto b) { return a + b; }))
CAIRN_SCALAR2(subtract, detail::wrap(x, y, [](auto a, auto b) { return a - b; }))
CAIRN_SCALAR2(multiply, detail::wrap(x, y, [](auto a, auto b) { return a * b; }))
CAIRN_SCALAR2(divide, detail::divide(x, y))
CAIRN_SCALAR2(remainder, detail::remainder(x, y))
CAIRN_SCALAR2(power, detail::power(x, y))
CAIRN_SCALAR2(atan2, static_cast<T>(math::atan2(static_cast<double>(x), static_cast<double>(y))))
CAIRN_SCALAR2(maximum, detail::maximum(x, y))
CAIRN_SCALAR2(minimum, detail::minimum(x, y))
CAIRN_SCALAR2(bitwise_and, static_cast<T>(x& y))
CAIRN_SCALAR2(bitwise_or, static_cast<T>(x | y))
CAIRN_SCALAR2(bitwise_xor, static_cast<T>(x ^ y))
CAIRN_SCALAR2(shift_left, detail::shift_left(x, y))
CAIRN_SCALAR2(shift_right, detail::shift_right(x, y))
CAIRN_SCALAR2(equal, x == y)
CAIRN_SCALAR2(less, x < y)
CAIRN_SCALAR2(less_equal, x <= y)
#undef CAIRN_SCALAR2

// Calls f(std::integral_constant<Op, op>{}) for an operation of one operand that has a row; returns
// false for any other.
template <class F>
bool visit_unary(Op op, F&& f) {
  switch (op) {
    case Op::negate: f(std::integral_constant<Op, Op::negate>{}); return true;
    case Op::abs: f(std::integral_constant<Op, Op::abs>{}); return true;
    case Op::sign: f(std::integral_constant<Op, Op::sign>{}); return true;
    case Op::floor: f(std::integral_constant<Op, Op::floor>{}); return true;
    case Op::ceil: f(std::integral_constant<Op, Op::ceil>{}); return true;
    case Op::round: f(std::integral_constant<Op, Op::round>{}); return true;
    case Op::exp: f(std::integral_constant<Op, Op::exp>{}); return true;
    case Op::expm1: f(std::integral_constant<Op, Op::expm1>{}); return true;
    case Op::log: f(std::integral_constant<Op, Op::log>{}); return true;
    case Op::log1p: f(std::integral_constant<Op, Op::log1p>{}); return true;
    case Op::sin: f(std::integral_constant<Op, Op::sin>{}); return true;
    case Op::cos: f(std::integral_constant<Op, Op::cos>{}); return true;
    case Op::tanh: f(std::integral_constant<Op, Op::tanh>{}); return true;
    case Op::logistic: f(std::integral_constant<Op, Op::logistic>{}); return true;
    case Op::sqrt: f(std::integral_constant<Op, Op::sqrt>{}); return true;
    case Op::erf: f(std::integral_constant<Op, Op::erf>{}); return true;
    case Op::erfc: f(std::integral_constant<Op, Op::erfc>{}); return true;
    case Op::erf_inv: f(std::integral_constant<Op, Op::erf_inv>{}); return true;
    default: return false;
  }
}

template <class F>
bool visit_binary(Op op, F&& f) {
  switch (op) {
    case Op::add: f(std::integral_constant<Op, Op::add>{}); return true;
    case Op::subtract: f(std::integral_constant<Op, Op::subtract>{}); return true;
    case Op::multiply: f(std::integral_constant<Op, Op::multiply>{}); return true;
    case Op::divide: f(std::integral_constant<Op, Op::divide>{}); return true;
    case Op::remainder: f(std::integral_constant<Op, Op::remainder>{}); return true;
    case Op::power: f(std::integral_constant<Op, Op::power>{}); return true;
    case Op::atan2: f(std::integral_constant<Op, Op::atan2>{}); return true;
    case Op::maximum: f(std::integral_constant<Op, Op::maximum>{}); return true;
    case Op::minimum: f(std::integral_constant<Op, Op::minimum>{}); return true;
    case Op::bitwise_and: f(std::integral_constant<Op, Op::bitwise_and>{}); return true;
    case Op::bitwise_or: f(std::integral_constant<Op, Op::bitwise_or>{}); return true;
    case Op::bitwise_xor: f(std::integral_constant<Op, Op::bitwise_xor>{}); return true;
    case Op::shift_left: f(std::integral_constant<Op, Op::shift_left>{}); return true;
    case Op::shift_right: f(std::integral_constant<Op, Op::shift_right>{}); return true;
    case Op::equal: f(std::integral_constant<Op, Op::equal>{}); return true;
    case Op::less: f(std::integral_constant<Op, Op::less>{}); return true;
    case Op::less_equal: f(std::integral_constant<Op, Op::less_equal>{}); return true;
    default: return false;
  }
}

// Whether the row of `op` exists for elements of T (what infer.cpp allows).
template <Op kOp, class T>
constexpr bool applies() {
  constexpr bool kFloat = kIsFloatType<T>;
  constexpr bool kFloat8 = std::is_same_v<T, Float8E4M3> || std::is_same_v<T, Float8E5M2>;
  if constexpr (kFloat8)
    return false;
  else if constexpr (kOp == Op::equal || kOp == Op::less || kOp == Op::less_equal)
    return true;
  else if constexpr (kOp == Op::bitwise_and || kOp == Op::bitwise_or || kOp == Op::bitwise_xor)
    return !kFloat;
  else if constexpr (kOp == Op::shift_left || kOp == Op::shift_right)
    return !kFloat && !std::is_same_v<T, bool>;
  else if constexpr (kOp == Op::negate || kOp == Op::abs || kOp == Op::sign || kOp == Op::add ||
                     kOp == Op::subtract || kOp == Op::multiply || kOp == Op::divide ||
                     kOp == Op::remainder || kOp == Op::power || kOp == Op::maximum ||
                     kOp == Op::minimum)
    return !std::is_same_v<T, bool>;
  else
    return kFloat;
}

}  // namespace cairn
