// docs/edge-semantics.md by value, on the reference backend, line by line. NaN stands for any NaN;
// zeros are compared with their signs.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "tests/ops/op_cases.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/message_of.h"

namespace cairn::test {
namespace {

constexpr double kInf = INFINITY;
constexpr double kNan = NAN;

Runtime& runtime() {
  static Runtime instance(test::checked({"", 1}));
  return instance;
}

Array vector_of(std::vector<double> values) {
  const auto n = static_cast<int64_t>(values.size());
  return Array({n}, std::move(values));
}

void expect_same(const HostArray& got, const std::vector<double>& want, const std::string& what) {
  ASSERT_EQ(got.elements(), static_cast<int64_t>(want.size())) << what;
  for (int64_t i = 0; i < got.elements(); ++i) {
    const double a = got.at(i), b = want[static_cast<size_t>(i)];
    if (std::isnan(b)) {
      EXPECT_TRUE(std::isnan(a)) << what << " element " << i << " is " << a;
    } else {
      EXPECT_EQ(a, b) << what << " element " << i;
      EXPECT_EQ(std::signbit(a), std::signbit(b)) << what << " element " << i;
    }
  }
}

// One row of operands and results per element, in every float type.
void expect_floats(Op op, const std::vector<std::vector<double>>& rows) {
  for (const DType dtype : kFloats) {
    std::vector<Array> columns(rows[0].size() - 1, Array(Shape{static_cast<int64_t>(rows.size())}));
    std::vector<double> want;
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t k = 0; k < columns.size(); ++k) columns[k].v[i] = rows[i][k];
      want.push_back(untyped(typed(vector_of({rows[i].back()}), dtype))[0]);
    }
    std::vector<Tensor> operands;
    for (const Array& column : columns) operands.emplace_back(typed(column, dtype));
    const HostArray got = eval(runtime(), make(op, operands)).host();
    expect_same(got, want, std::string(name(op)) + " of " + std::string(name(dtype)));
  }
}

// The same for exact integers of one type.
template <class T>
void expect_integers(Op op, const std::vector<std::vector<T>>& rows) {
  std::vector<std::vector<T>> columns(rows[0].size() - 1);
  for (const auto& row : rows)
    for (size_t k = 0; k < columns.size(); ++k) columns[k].push_back(row[k]);
  std::vector<Tensor> operands;
  const Shape shape{static_cast<int64_t>(rows.size())};
  for (const auto& column : columns) operands.push_back(Tensor::from<T>(std::span(column), shape));
  const auto got = eval(runtime(), make(op, operands)).to_vector<T>();
  for (size_t i = 0; i < rows.size(); ++i)
    EXPECT_EQ(+got[i], +rows[i].back())
        << name(op) << " of " << name(dtype_of<T>()) << " row " << i;
}

TEST(EdgeSemantics, UnaryFloats) {
  expect_floats(Op::negate, {{0, -0.0}, {-0.0, 0}, {kInf, -kInf}, {kNan, kNan}});
  expect_floats(Op::abs, {{-0.0, 0}, {-kInf, kInf}, {kNan, kNan}});
  expect_floats(Op::sign, {{0, 0}, {-0.0, -0.0}, {-kInf, -1}, {5, 1}, {kNan, kNan}});
  expect_floats(Op::floor, {{-0.5, -1}, {-0.0, -0.0}, {0.5, 0}, {kInf, kInf}, {kNan, kNan}});
  expect_floats(Op::ceil, {{-0.5, -0.0}, {-0.0, -0.0}, {0.5, 1}, {-kInf, -kInf}});
  expect_floats(
      Op::round,
      {{2.5, 2}, {3.5, 4}, {0.5, 0}, {-0.5, -0.0}, {-0.25, -0.0}, {-kInf, -kInf}, {kNan, kNan}});
  expect_floats(Op::exp,
                {{-kInf, 0}, {kInf, kInf}, {0, 1}, {1000, kInf}, {-1000, 0}, {kNan, kNan}});
  expect_floats(Op::expm1, {{0, 0}, {-0.0, -0.0}, {-kInf, -1}, {kInf, kInf}, {kNan, kNan}});
  expect_floats(Op::log,
                {{0, -kInf}, {-0.0, -kInf}, {-1, kNan}, {kInf, kInf}, {1, 0}, {-kInf, kNan}});
  expect_floats(Op::log1p, {{0, 0}, {-0.0, -0.0}, {-1, -kInf}, {-2, kNan}, {kInf, kInf}});
  expect_floats(Op::sin, {{0, 0}, {-0.0, -0.0}, {kInf, kNan}, {-kInf, kNan}});
  expect_floats(Op::cos, {{0, 1}, {kInf, kNan}, {kNan, kNan}});
  expect_floats(Op::tanh, {{0, 0}, {-0.0, -0.0}, {kInf, 1}, {-kInf, -1}, {kNan, kNan}});
  expect_floats(Op::logistic, {{-kInf, 0}, {kInf, 1}, {0, 0.5}, {-0.0, 0.5}, {-1000, 0}});
  expect_floats(Op::sqrt, {{-0.0, -0.0}, {0, 0}, {-1, kNan}, {kInf, kInf}, {4, 2}});
  expect_floats(Op::erf, {{kInf, 1}, {-kInf, -1}, {0, 0}, {-0.0, -0.0}, {kNan, kNan}});
  expect_floats(Op::erfc, {{kInf, 0}, {-kInf, 2}, {0, 1}, {kNan, kNan}});
  expect_floats(Op::erf_inv,
                {{1, kInf}, {-1, -kInf}, {2, kNan}, {-1.5, kNan}, {0, 0}, {-0.0, -0.0}});
}

// The functions are right to the last bits at the far ends of f64.
TEST(EdgeSemantics, TailsKeepTheirAccuracy) {
  const Tensor x = Tensor::from<double>({-745, -709, -100}, {3});
  const auto e = eval(runtime(), exp(x)).to_vector<double>();
  const auto s = eval(runtime(), sigmoid(x)).to_vector<double>();
  for (size_t i = 0; i < 3; ++i) {
    const double exact = std::exp(std::vector<double>{-745, -709, -100}[i]);
    EXPECT_NEAR(e[i], exact, 2 * 0x1p-52 * exact + 0x1p-1074);
    EXPECT_NEAR(s[i], exact, 2 * 0x1p-52 * exact + 0x1p-1074);
  }
  EXPECT_NEAR(eval(runtime(), erfc(9.0)).item<double>() / std::erfc(9.0), 1, 0x1p-23);  // in f32
  const Tensor far = Tensor::scalar(26.0, DType::f64);
  EXPECT_NEAR(eval(runtime(), erfc(far)).item<double>() / std::erfc(26.0), 1, 4 * 0x1p-52);
}

TEST(EdgeSemantics, BinaryFloats) {
  expect_floats(Op::add, {{kInf, -kInf, kNan}, {-0.0, -0.0, -0.0}, {-0.0, 0, 0}, {kNan, 1, kNan}});
  expect_floats(Op::subtract, {{kInf, kInf, kNan}, {0, 0, 0}, {-0.0, 0, -0.0}});
  expect_floats(Op::multiply, {{0, kInf, kNan}, {-1, 0, -0.0}, {kInf, -2, -kInf}});
  expect_floats(Op::divide, {{1, 0, kInf},
                             {-1, 0, -kInf},
                             {1, -0.0, -kInf},
                             {0, 0, kNan},
                             {kInf, kInf, kNan},
                             {1, kInf, 0}});
  expect_floats(Op::remainder, {{5.5, 2, 1.5},
                                {-5.5, 2, -1.5},
                                {5.5, -2, 1.5},
                                {1, 0, kNan},
                                {kInf, 1, kNan},
                                {5, kInf, 5},
                                {-5, kInf, -5},
                                {-0.0, 1, -0.0},
                                {-4, 2, -0.0}});
  expect_floats(
      Op::power,
      {{kNan, 0, 1},       {kNan, -0.0, 1}, {1, kNan, 1},      {-1, kInf, 1},    {-1, -kInf, 1},
       {-8, 0.5, kNan},    {0, -1, kInf},   {-0.0, -1, -kInf}, {-0.0, -2, kInf}, {-0.0, 3, -0.0},
       {-kInf, -1, -0.0},  {-kInf, -2, 0},  {-kInf, 3, -kInf}, {-kInf, 2, kInf}, {0.5, kInf, 0},
       {0.5, -kInf, kInf}, {2, kInf, kInf}, {kInf, -1, 0},     {-2, 3, -8},      {kNan, 1, kNan},
       {2, kNan, kNan}});
  const double pi = M_PI;
  // Only the zeros are exact in every type; the angles are checked to half a unit in the last
  // place.
  for (const DType dtype : kFloats) {
    const std::vector<std::vector<double>> rows = {{0, 0, 0},
                                                   {-0.0, 0, -0.0},
                                                   {0, -0.0, pi},
                                                   {-0.0, -0.0, -pi},
                                                   {0, 1, 0},
                                                   {-0.0, 1, -0.0},
                                                   {0, -1, pi},
                                                   {-0.0, -1, -pi},
                                                   {1, 0, pi / 2},
                                                   {-1, 0, -pi / 2},
                                                   {1, kInf, 0},
                                                   {-1, kInf, -0.0},
                                                   {1, -kInf, pi},
                                                   {-1, -kInf, -pi},
                                                   {kInf, 1, pi / 2},
                                                   {-kInf, 1, -pi / 2},
                                                   {kInf, kInf, pi / 4},
                                                   {-kInf, kInf, -pi / 4},
                                                   {kInf, -kInf, 3 * pi / 4},
                                                   {-kInf, -kInf, -3 * pi / 4},
                                                   {kNan, 1, kNan},
                                                   {1, kNan, kNan}};
    for (const auto& row : rows) {
      const double got =
          eval(runtime(), make(Op::atan2, {Tensor(typed(vector_of({row[0]}), dtype)),
                                           Tensor(typed(vector_of({row[1]}), dtype))}))
              .item<double>();
      if (std::isnan(row[2])) {
        EXPECT_TRUE(std::isnan(got));
      } else {
        EXPECT_NEAR(got, row[2],
                    0.5 * epsilon(dtype) * std::fabs(row[2]) + (dtype == DType::f64 ? 1e-15 : 0))
            << row[0] << " " << row[1];
        EXPECT_EQ(std::signbit(got), std::signbit(row[2])) << row[0] << " " << row[1];
      }
    }
  }
  expect_floats(Op::maximum,
                {{kNan, 1, kNan}, {1, kNan, kNan}, {-0.0, 0, 0}, {0, -0.0, 0}, {-kInf, 3, 3}});
  expect_floats(Op::minimum,
                {{kNan, 1, kNan}, {1, kNan, kNan}, {-0.0, 0, -0.0}, {0, -0.0, -0.0}, {kInf, 3, 3}});
}

TEST(EdgeSemantics, Comparisons) {
  const Tensor a = Tensor::from<float>({NAN, 1, NAN, -0.0f, 1}, {5});
  const Tensor b = Tensor::from<float>({1, NAN, NAN, 0.0f, 1}, {5});
  const auto values = [](const Tensor& t) { return untyped(eval(runtime(), t).host()).v; };
  EXPECT_EQ(values(equal(a, b)), (std::vector<double>{0, 0, 0, 1, 1}));
  EXPECT_EQ(values(not_equal(a, b)), (std::vector<double>{1, 1, 1, 0, 0}));
  EXPECT_EQ(values(less(a, b)), (std::vector<double>{0, 0, 0, 0, 0}));
  EXPECT_EQ(values(less_equal(a, b)), (std::vector<double>{0, 0, 0, 1, 1}));
  EXPECT_EQ(values(less(Tensor::from<bool>({false, true}, {2}), true)),
            (std::vector<double>{1, 0}));
  const Tensor yes_no = Tensor::from<bool>({true, false}, {2});
  EXPECT_EQ(values(maximum(yes_no, false)), (std::vector<double>{1, 0}));
  EXPECT_EQ(values(minimum(yes_no, false)), (std::vector<double>{0, 0}));
  // What is not chosen has no effect.
  EXPECT_EQ(values(where(Tensor::from<bool>({true, false}, {2}), Tensor::from<float>({1, NAN}, {2}),
                         2.0)),
            (std::vector<double>{1, 2}));
}

template <class T>
void check_integers() {
  constexpr T kMin = std::numeric_limits<T>::min(), kMax = std::numeric_limits<T>::max();
  constexpr T kAllBits = static_cast<T>(-1);
  constexpr T kWidth = sizeof(T) * 8;
  expect_integers<T>(
      Op::add,
      {{kMax, 1, kMin}, {kMin, kAllBits, static_cast<T>(std::is_signed_v<T> ? kMax : kAllBits)}});
  expect_integers<T>(Op::subtract, {{kMin, 1, kMax}, {3, 5, static_cast<T>(-2)}});
  expect_integers<T>(Op::multiply, {{kMax, 2, static_cast<T>(-2)}, {kMin, kAllBits, kMin}});
  expect_integers<T>(Op::divide,
                     {{7, 0, kAllBits}, {0, 0, kAllBits}, {kMax, 2, static_cast<T>(kMax / 2)}});
  expect_integers<T>(Op::remainder, {{7, 0, 7}, {kMax, 2, 1}, {0, 5, 0}});
  expect_integers<T>(Op::power, {{3, 4, 81}, {0, 0, 1}, {2, kWidth, 0}, {kMax, 1, kMax}});
  expect_integers<T>(Op::shift_left,
                     {{1, static_cast<T>(kWidth - 1), static_cast<T>(uint64_t{1} << (kWidth - 1))},
                      {1, kWidth, 0},
                      {3, 100, 0}});
  expect_integers<T>(Op::shift_right, {{kMax, static_cast<T>(kWidth - 2),
                                        static_cast<T>(std::is_signed_v<T> ? 1 : 3)},
                                       {kMax, kWidth, 0},
                                       {5, 100, 0}});
  expect_integers<T>(Op::bitwise_xor, {{kMin, kMax, kAllBits}, {5, 5, 0}});
  expect_integers<T>(Op::negate, {{0, 0}, {1, kAllBits}});
  if constexpr (std::is_signed_v<T>) {
    expect_integers<T>(Op::negate, {{kMin, kMin}});
    expect_integers<T>(Op::abs, {{kMin, kMin}, {-5, 5}});
    expect_integers<T>(Op::divide, {{kMin, -1, kMin}, {-7, 2, -3}, {7, -2, -3}, {-7, 0, -1}});
    expect_integers<T>(Op::remainder, {{kMin, -1, 0}, {-7, 2, -1}, {7, -2, 1}, {-7, 0, -7}});
    expect_integers<T>(Op::power, {{-2, 3, -8},
                                   {2, -1, 0},
                                   {1, -5, 1},
                                   {-1, -5, -1},
                                   {-1, -4, 1},
                                   {0, -1, -1},
                                   {kMin, kMin, 0}});
    expect_integers<T>(Op::shift_left, {{5, -1, 0}});
    expect_integers<T>(Op::shift_right,
                       {{-8, 1, -4}, {-8, kWidth, -1}, {-8, -1, -1}, {8, -1, 0}, {-1, 100, -1}});
  }
}

TEST(EdgeSemantics, Integers) {
  check_integers<int8_t>();
  check_integers<int16_t>();
  check_integers<int32_t>();
  check_integers<int64_t>();
  check_integers<uint8_t>();
  check_integers<uint32_t>();
  const auto floor_divided =
      eval(runtime(), floor_divide(Tensor::from<int32_t>({-7, 7, -7, INT32_MIN, 6}, {5}),
                                   Tensor::from<int32_t>({2, -2, 0, -1, 3}, {5})));
  EXPECT_EQ(floor_divided.to_vector<int32_t>(), (std::vector<int32_t>{-4, -4, -1, INT32_MIN, 2}));
  const auto remainders = eval(runtime(), remainder(Tensor::from<int32_t>({-7, 7, -7, 6}, {4}),
                                                    Tensor::from<int32_t>({2, -2, 0, 3}, {4})));
  EXPECT_EQ(remainders.to_vector<int32_t>(), (std::vector<int32_t>{1, -1, -7, 0}));
}

// `in` are numbers that `from` holds.
void expect_cast(DType from, DType to, std::vector<double> in, std::vector<double> want) {
  expect_same(eval(runtime(), cast(Tensor(typed(vector_of(std::move(in)), from)), to)).host(), want,
              std::string(name(from)) + " to " + std::string(name(to)));
}

// Saturation and wrapping between standard types are in the golden casts.
TEST(EdgeSemantics, Casts) {
  // Rounded once: 1 + 2^-11 + 2^-40 is above the middle of two f16, and by way of f32 would be on
  // it.
  expect_cast(DType::f64, DType::f16,
              {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11, 65520, -1e300, 0x1p-25, 0x1.8p-25, kNan},
              {1 + 0x1p-10, 1, kInf, -kInf, 0, 0x1p-24, kNan});
  expect_cast(DType::f64, DType::bf16, {1 + 0x1p-8 + 0x1p-50, 1 + 0x1p-8, 1e300},
              {1 + 0x1p-7, 1, kInf});
  expect_cast(DType::i32, DType::f16, {70000, -70000, 2049, 2051}, {kInf, -kInf, 2048, 2052});
  const auto odd = Tensor::from<int64_t>({(int64_t{1} << 53) + 1, 16777217}, {2});
  expect_same(eval(runtime(), cast(odd, DType::f64)).host(), {9007199254740992.0, 16777217},
              "i64 to f64");
  expect_same(eval(runtime(), cast(odd, DType::f32)).host(), {9007199254740992.0, 16777216},
              "i64 to f32");
  // One more than the middle of two bf16: neither f64 nor f32 has room for the one.
  constexpr int64_t kMiddle = (int64_t{1} << 60) + (int64_t{1} << 52);
  const auto large = Tensor::from<int64_t>({kMiddle, kMiddle + 1, -kMiddle, -kMiddle - 1}, {4});
  expect_same(eval(runtime(), cast(large, DType::bf16)).host(),
              {0x1p60, 0x1.02p60, -0x1p60, -0x1.02p60}, "i64 to bf16");
  expect_cast(DType::f32, DType::f8e4m3,
              {448, 464, 465, kInf, -kInf, kNan, 0x1p-10, 0x1.8p-10, -0.0f},
              {448, 448, kNan, kNan, kNan, kNan, 0, 0x1p-9, -0.0});
  expect_cast(DType::f32, DType::f8e5m2, {57344, 61440, 61439, kInf, kNan},
              {57344, kInf, 57344, kInf, kNan});
  expect_cast(DType::i32, DType::f8e4m3, {500, 17, 19}, {kNan, 16, 20});
  expect_cast(DType::f32, DType::i8, {kNan, kInf, -kInf, 200, -200, 1.9, -1.9},
              {0, 127, -128, 127, -128, 1, -1});
  expect_cast(DType::f64, DType::u32, {-1, 4294967296.0, 4294967295.5, kNan},
              {0, 4294967295.0, 4294967295.0, 0});
  expect_cast(DType::i32, DType::i8, {300, -129, 128}, {44, 127, -128});
  expect_cast(DType::f32, DType::b8, {kNan, -0.0, 0.25, kInf}, {1, 0, 1, 1});
  expect_cast(DType::i32, DType::b8, {0, 256, -1}, {0, 1, 1});
  expect_cast(DType::b8, DType::f32, {1, 0}, {1, 0});
}

TEST(EdgeSemantics, ReductionsOfNothing) {
  for (const DType dtype : joined({kFloats, kIntegers, {DType::b8}})) {
    const Tensor none = zeros({0, 2}, dtype);
    const auto reduced = [&](const char* kind) {
      return untyped(eval(runtime(), make(Op::reduce, {none},
                                          {{Attr::kind, std::string(kind)}, {Attr::axes, Ints{0}}}))
                         .host())
          .v;
    };
    const auto both = [](double v) { return std::vector<double>{v, v}; };
    const bool is_real = is_float(dtype);
    double lowest = 0, highest = 1;
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_integral_v<T>) {
        lowest = static_cast<double>(std::numeric_limits<T>::lowest());
        highest = static_cast<double>(std::numeric_limits<T>::max());
      }
    });
    EXPECT_EQ(reduced("max"), both(is_real ? -kInf : lowest)) << name(dtype);
    EXPECT_EQ(reduced("min"), both(is_real ? kInf : highest)) << name(dtype);
    if (dtype == DType::b8) continue;
    EXPECT_EQ(reduced("sum"), both(0)) << name(dtype);
    EXPECT_EQ(reduced("prod"), both(1)) << name(dtype);
  }
  EXPECT_THROW(argmax(zeros({2, 0}), 1), Error);
  EXPECT_THROW(max(zeros({2, 0}), {1}), Error);
  EXPECT_EQ(eval(runtime(), logsumexp(zeros({0}))).item<double>(), -kInf);
  EXPECT_TRUE(std::isnan(eval(runtime(), mean(zeros({0}))).item<double>()));
}

TEST(EdgeSemantics, ReductionsOfNan) {
  const Tensor x = Tensor::from<float>({1, NAN, 3, 2}, {4});
  for (const Tensor& t : {sum(x), prod(x), max(x), min(x)})
    EXPECT_TRUE(std::isnan(eval(runtime(), t).item<float>()));
  for (const Tensor& t : {cumsum(x), cumprod(x), cummax(x), cummin(x)})
    expect_same(eval(runtime(), t).host(), {1, kNan, kNan, kNan}, "cumulative");
  EXPECT_EQ(eval(runtime(), argmax(x)).item<int>(), 1);
  EXPECT_EQ(eval(runtime(), argmin(x)).item<int>(), 1);
  EXPECT_EQ(eval(runtime(), argmax(Tensor::from<float>({-0.0f, 0.0f}, {2}))).item<int>(), 0);
  EXPECT_EQ(eval(runtime(), argmin(Tensor::from<float>({0.0f, -0.0f}, {2}))).item<int>(), 0);
  // Sums that pass the largest number on the way come back, because they are kept in f64.
  EXPECT_EQ(eval(runtime(), sum(Tensor::from<float>({3e38f, 3e38f, -3e38f}, {3}))).item<float>(),
            3e38f);
}

TEST(EdgeSemantics, SumsOfSmallIntegersAreWide) {
  const Tensor bytes = Tensor::from<int8_t>({100, 100}, {2});
  EXPECT_EQ(eval(runtime(), sum(bytes)).item<int>(), 200);
  EXPECT_EQ(eval(runtime(), prod(bytes)).item<int>(), 10000);
  EXPECT_EQ(eval(runtime(), cumsum(bytes)).to_vector<int32_t>(), (std::vector<int32_t>{100, 200}));
  EXPECT_EQ(eval(runtime(), cumsum(bytes > 0)).to_vector<int32_t>(), (std::vector<int32_t>{1, 2}));
  // The primitive itself wraps.
  const Attrs whole{{Attr::kind, std::string("sum")}, {Attr::axes, Ints{0}}};
  EXPECT_EQ(eval(runtime(), make(Op::reduce, {bytes}, whole)).item<int>(), -56);
  // f32 has no room for the difference of these.
  const Tensor large = Tensor::from<int32_t>({16777217, 16777219}, {2});
  EXPECT_EQ(eval(runtime(), variance(large)).item<float>(), 1);
  EXPECT_EQ(eval(runtime(), mean(large)).item<float>(), 16777218);
}

TEST(EdgeSemantics, LogarithmsOfPowersAreWhole) {
  for (int k = -20; k <= 60; ++k) {
    const Tensor two = Tensor::scalar(std::ldexp(1.0, k), DType::f64);
    EXPECT_EQ(eval(runtime(), log2(two)).item<double>(), k);
    EXPECT_EQ(eval(runtime(), log2(cast(two, DType::f32))).item<double>(), k);
  }
  double ten = 1;
  for (int k = 0; k <= 22; ++k, ten *= 10)
    EXPECT_EQ(eval(runtime(), log10(Tensor::scalar(ten, DType::f64))).item<double>(), k);
  expect_same(eval(runtime(), log2(Tensor::from<float>({0, INFINITY, -1, NAN}, {4}))).host(),
              {-kInf, kInf, kNan, kNan}, "log2");
}

// A C++ integer beside a tensor must be one of its type.
TEST(EdgeSemantics, NumbersMustFit) {
  const Tensor u8 = Tensor::from<uint8_t>({44, 200}, {2});
  for (const std::function<Tensor()>& wrong : std::initializer_list<std::function<Tensor()>>{
           [&] { return equal(u8, 300); }, [&] { return less(u8, -1); },
           [&] { return clamp(u8, 0, 300); }, [&] { return cast(u8, DType::i32) + 5'000'000'000; },
           [&] { return sum(5'000'000'000); }}) {
    try {
      wrong();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("does not fit"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("edge_semantics_test.cpp"), std::string::npos)
          << e.what();
    }
  }
  EXPECT_EQ(eval(runtime(), sum(clamp(u8, 0, 255))).item<int>(), 244);
}

TEST(EdgeSemantics, ItemsAreExactOrErrors) {
  constexpr int64_t kLarge = (int64_t{1} << 53) + 1;
  EXPECT_EQ(Tensor::from<int64_t>({kLarge}, {}).item<int64_t>(), kLarge);
  EXPECT_EQ(Tensor::from<int64_t>({INT64_MAX}, {}).item<int64_t>(), INT64_MAX);
  EXPECT_EQ(Tensor::from<float>({-2.75f}, {}).item<int>(), -2);
  EXPECT_TRUE(Tensor::from<float>({0.5f}, {}).item<bool>());
  EXPECT_THROW(Tensor::from<int64_t>({kLarge}, {}).item<int32_t>(), Error);
  EXPECT_THROW(Tensor::from<float>({NAN}, {}).item<int>(), Error);
  EXPECT_THROW(Tensor::from<float>({-1}, {}).item<uint32_t>(), Error);
}

// Compound assignments and the operators that NumPy has.
TEST(EdgeSemantics, OperatorsAreTheFunctionsOfTheirNames) {
  Tensor x = Tensor::from<int32_t>({7, -7}, {2});
  const Tensor y = Tensor::from<int32_t>({2, 3}, {2});
  const auto expect_equal = [](const Tensor& a, const Tensor& b) {
    EXPECT_EQ(eval(runtime(), cast(a, DType::i64)).to_vector<int64_t>(),
              eval(runtime(), cast(b, DType::i64)).to_vector<int64_t>());
  };
  expect_equal(x % y, remainder(x, y));
  expect_equal(x & y, bitwise_and(x, y));
  expect_equal(x | y, bitwise_or(x, y));
  expect_equal(x ^ y, bitwise_xor(x, y));
  expect_equal(~x, bitwise_not(x));
  expect_equal(!x, logical_not(x));
  expect_equal(x << y, shift_left(x, y));
  expect_equal(x >> y, shift_right(x, y));
  expect_equal(x == y + 5, equal(x, y + 5));
  expect_equal(x != 7, not_equal(x, 7));
  expect_equal(7 == x, Tensor::from<int32_t>({1, 0}, {2}));
  const Tensor before = x;
  x += y;
  x *= 3;
  x -= 1;
  expect_equal(x, (before + y) * 3 - 1);
}

TEST(EdgeSemantics, Order) {
  const Tensor x = Tensor::from<float>({2, NAN, -0.0f, 0.0f, 2, -1, NAN}, {7});
  const auto indices = [](const Tensor& t) { return eval(runtime(), t).to_vector<int32_t>(); };
  EXPECT_EQ(indices(argsort(x)), (std::vector<int32_t>{5, 2, 3, 0, 4, 1, 6}));
  EXPECT_EQ(indices(argsort(x, 0, true)), (std::vector<int32_t>{0, 4, 2, 3, 5, 1, 6}));
  expect_same(eval(runtime(), sort(x)).host(), {-1, -0.0, 0, 2, 2, kNan, kNan}, "sort");
  EXPECT_EQ(indices(top_k(x, 3).second), (std::vector<int32_t>{0, 4, 2}));
  EXPECT_EQ(indices(top_k(x, 6).second), (std::vector<int32_t>{0, 4, 2, 3, 5, 1}));
}

TEST(EdgeSemantics, Products) {
  const auto product = [](std::vector<float> a, std::vector<float> b) {
    const auto n = static_cast<int64_t>(a.size());
    return eval(runtime(),
                make(Op::matmul, {Tensor::from<float>(std::span<const float>(a), {1, n}),
                                  Tensor::from<float>(std::span<const float>(b), {n, 1})}))
        .item<double>();
  };
  EXPECT_EQ(product({}, {}), 0);
  EXPECT_FALSE(std::signbit(product({}, {})));
  EXPECT_TRUE(std::isnan(product({0, 1}, {INFINITY, 1})));
  EXPECT_TRUE(std::isnan(product({0, 1}, {NAN, 1})));
  const Tensor wrapped =
      make(Op::matmul, {full({1, 2}, 1 << 30, DType::i32), full({2, 1}, 2, DType::i32)});
  EXPECT_EQ(eval(runtime(), wrapped).item<int64_t>(), 0);
  // Padding next to an infinity is no product.
  const Attrs same{{Attr::strides, Ints{1}},      {Attr::low, Ints{1}},
                   {Attr::high, Ints{1}},         {Attr::lhs_dilation, Ints{1}},
                   {Attr::rhs_dilation, Ints{1}}, {Attr::groups, int64_t{1}}};
  const Tensor row = Tensor::from<float>({INFINITY, 1, 2}, {1, 1, 3});
  expect_same(eval(runtime(), make(Op::convolution, {row, full({1, 1, 3}, 1)}, same)).host(),
              {kInf, kInf, 3}, "convolution");
  // Sizes below 0 and past the last row.
  const Tensor grouped = make(Op::grouped_matmul, {Tensor::from<float>({1, 2, 3}, {3, 1}),
                                                   Tensor::from<float>({1, 10, 100}, {3, 1, 1}),
                                                   Tensor::from<int32_t>({1, -5, 9}, {3})});
  expect_same(eval(runtime(), grouped).host(), {1, 200, 300}, "grouped_matmul");
}

TEST(EdgeSemantics, CountsBelowZero) {
  const TensorType types[] = {{DType::i32, {}}, {DType::f32, {}}};
  const auto body = std::make_shared<const Graph>(
      trace([](Tensors in) { return std::vector<Tensor>{in[1] + 1.0, in[1]}; }, types));
  const auto out =
      make_many(Op::loop, {Tensor::from<int32_t>({-3}, {}), Tensor::from<float>({5}, {})},
                {{Attr::body, body},
                 {Attr::max, int64_t{2}},
                 {Attr::carried, int64_t{1}},
                 {Attr::scanned, int64_t{0}}});
  EXPECT_EQ(eval(runtime(), out[0]).item<float>(), 5);
  expect_same(eval(runtime(), out[1]).host(), {0, 0}, "stacked rows");
}

// The index as it was given, the tensor and the line of the program.
TEST(EdgeSemantics, IndicesOutOfRangeAreReported) {
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3}).named("weights");
  for (const int64_t index : {3, 7, -4, -100}) {
    const int line = __LINE__ + 1;
    const std::string text = message_of([&] { eval(runtime(), take(x, index)); });
    EXPECT_NE(text.find("[gather] index " + std::to_string(index) +
                        " is out of range for axis 0 of f32[3] 'weights'"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("edge_semantics_test.cpp:" + std::to_string(line)), std::string::npos)
        << text;
    const int next = __LINE__ + 1;
    const std::string scattered = message_of([&] { eval(runtime(), index_add(x, index, 1.0)); });
    EXPECT_NE(scattered.find("[scatter] index " + std::to_string(index)), std::string::npos)
        << scattered;
    EXPECT_NE(scattered.find("edge_semantics_test.cpp:" + std::to_string(next)), std::string::npos)
        << scattered;
  }
  // The smallest index of many, whatever the number of threads.
  std::vector<int32_t> many(100000, 1);
  many[99999] = 8;
  many[500] = 9;
  Runtime threads(test::checked({"", 4}));
  for (int i = 0; i < 5; ++i) {
    const std::string text = message_of([&] {
      eval(threads, take(x, Tensor::from<int32_t>(std::span<const int32_t>(many), {100000})));
    });
    EXPECT_NE(text.find("index 8 is out of range"), std::string::npos) << text;
  }
  // Rows that are in range are as usual; the next evaluation knows nothing of it.
  EXPECT_EQ(eval(runtime(), take(x, -1)).item<float>(), 3);
}

}  // namespace
}  // namespace cairn::test
