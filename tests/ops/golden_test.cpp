// Every public function against PyTorch and JAX: values in f64 and f32 (the f64 inputs are numbers
// that f32 holds), integers and bool exactly, gradients of sum(output * cotangent).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "cairn/graph/scalar.h"
#include "cairn/ops/elementwise.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/vjp.h"
#include "tests/ops/golden_functions.h"
#include "tests/support/checked_runtime.h"

namespace cairn::test {
namespace {

constexpr const char* kFiles[] = {"unary",      "binary",   "casts",        "integers",
                                  "reductions", "products", "convolutions", "pooling",
                                  "movement",   "nn",       "losses"};

Runtime& runtime() {
  static Runtime instance(test::checked({"", 1}));
  return instance;
}

Tensor in_type(const HostArray& array, DType wide) {
  return array.dtype() == DType::f64 && wide != DType::f64
             ? eval(runtime(), cast(Tensor(array), wide))
             : Tensor(array);
}

double largest(const HostArray& array) {
  double top = 0;
  for (int64_t i = 0; i < array.elements(); ++i)
    if (std::isfinite(array.at(i))) top = std::max(top, std::fabs(array.at(i)));
  return top;
}

// n and s of Bound::terms.
struct Size {
  double terms = 4;
  double scale = 1;
  explicit Size(const GoldenCase& c) {
    const auto add = [&](const HostArray& array) {
      if (!is_float(array.dtype())) return;
      scale = std::max(scale, largest(array));
    };
    int64_t most = 0;
    for (const HostArray& a : c.inputs) {
      most = std::max(most, a.elements());
      add(a);
    }
    terms += static_cast<double>(most);
    for (const HostArray& a : c.outputs) add(a);
  }
};

double rounded(double value, DType dtype) {
  return visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return static_cast<double>(load_element(cast_element<T>(value)));
  });
}

// `golden` is f64 for floats.
void expect_close(const HostArray& got, const HostArray& golden, const Bound& bound,
                  const Size& size, const std::string& what) {
  ASSERT_EQ(to_string(got.shape()), to_string(golden.shape())) << what;
  ASSERT_EQ(is_float(got.dtype()), is_float(golden.dtype())) << what;
  if (!is_float(got.dtype())) {
    ASSERT_EQ(name(got.dtype()), name(golden.dtype())) << what;
    EXPECT_EQ(std::memcmp(got.data(), golden.data(), got.bytes()), 0) << what;
    return;
  }
  const double eps = epsilon(got.dtype());
  for (int64_t i = 0; i < got.elements(); ++i) {
    const double a = got.at(i);
    const double b = rounded(golden.at(i), got.dtype());
    const std::string where = what + " element " + std::to_string(i);
    if (std::isnan(b)) {
      EXPECT_TRUE(std::isnan(a)) << where << " is " << a;
      continue;
    }
    if (std::isinf(b) || bound.kind == Bound::exact || b == 0) {
      // Sums may give a zero of either sign.
      if (bound.kind == Bound::terms && !std::isinf(b)) {
        EXPECT_NEAR(a, b, bound.k * size.terms * eps * std::pow(size.scale, bound.degree)) << where;
      } else {
        EXPECT_EQ(a, b) << where;
        EXPECT_EQ(std::signbit(a), std::signbit(b)) << where;
      }
      continue;
    }
    const double allowed = bound.kind == Bound::relative
                               ? bound.k * eps * std::fabs(b)
                               : bound.k * size.terms * eps * std::pow(size.scale, bound.degree);
    EXPECT_NEAR(a, b, allowed) << where;
  }
}

void check_values(const GoldenCase& c, const GoldenFunction& f, DType dtype) {
  std::vector<Tensor> inputs;
  for (const HostArray& a : c.inputs) inputs.push_back(in_type(a, dtype));
  std::vector<Tensor> outputs = f.call(inputs, c);
  ASSERT_GE(outputs.size(), c.outputs.size()) << c.name;
  outputs = eval(runtime(), outputs);
  // Further outputs are the first one computed another way.
  for (size_t i = 0; i < outputs.size(); ++i) {
    const HostArray& golden = c.outputs[i < c.outputs.size() ? i : 0];
    expect_close(outputs[i].host(), golden, f.bound, Size(c),
                 c.name + " (" + std::string(name(dtype)) + ") output " + std::to_string(i));
  }
}

// Gradients are sums over cotangents of products of derivatives: 4 roundings for each of at most n
// terms of three factors.
void check_gradients(const GoldenCase& c, const GoldenFunction& f) {
  std::vector<Tensor> inputs;
  for (const HostArray& a : c.inputs) inputs.emplace_back(a);
  const Vjp pulled = vjp([&](Tensors x) { return f.call(x, c); }, inputs);
  std::vector<Tensor> cotangents(pulled.outputs.size());
  Size size(c);
  for (size_t i = 0; i < c.cotangents.size(); ++i) {
    if (!c.cotangents[i]) continue;
    cotangents[i] = Tensor(*c.cotangents[i]);
    size.scale = std::max(size.scale, largest(*c.cotangents[i]));
    size.terms += static_cast<double>(c.cotangents[i]->elements());
  }
  const std::vector<Tensor> gradients = pulled.pullback(cotangents);
  for (const auto& [position, golden] : c.gradients) {
    size.scale = std::max(size.scale, largest(golden));
    ASSERT_TRUE(gradients[static_cast<size_t>(position)].defined()) << c.name;
    const HostArray got = eval(runtime(), gradients[static_cast<size_t>(position)]).host();
    expect_close(got, golden, {Bound::terms, 4, 3}, size,
                 c.name + " gradient of input " + std::to_string(position));
  }
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, Values) {
  for (const GoldenCase& c : read_golden_cases(GetParam())) {
    const auto found = golden_functions().find(c.function);
    ASSERT_NE(found, golden_functions().end()) << "no call for the function " << c.function;
    check_values(c, found->second, DType::f64);
    bool has_f64 = false;
    for (const HostArray& a : c.inputs) has_f64 |= a.dtype() == DType::f64;
    if (has_f64 && c.function != "cast") check_values(c, found->second, DType::f32);
  }
}

TEST_P(Golden, Gradients) {
  int count = 0;
  for (const GoldenCase& c : read_golden_cases(GetParam())) {
    if (c.gradients.empty()) continue;
    // Products of scattered updates are declared to have no derivative.
    if (c.function == "index_update" && c.attributes["mode"] == "prod") continue;
    check_gradients(c, golden_functions().at(c.function));
    ++count;
  }
  const std::string file = GetParam();
  EXPECT_GE(count, file == "casts" || file == "integers" ? 0 : 6);
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, ::testing::ValuesIn(kFiles),
                         [](const auto& info) { return std::string(info.param); });

TEST(GoldenTable, HasNoFunctionWithoutCases) {
  std::set<std::string> used;
  for (const char* file : kFiles)
    for (const GoldenCase& c : read_golden_cases(file)) used.insert(c.function);
  EXPECT_EQ(used.size(), 144u);
  for (const auto& [name, function] : golden_functions()) EXPECT_TRUE(used.count(name)) << name;
}

// JAX's promotion with 64-bit types on, of tensors and of weakly typed numbers.
TEST(Promotion, EqualsJax) {
  std::ifstream text(golden_path("ops/promotion.json"));
  const nlohmann::json table = nlohmann::json::parse(text);
  const auto tensor = [](const std::string& dtype) { return zeros({}, *parse_dtype(dtype)); };
  const auto result = [](const Operand& a, const Operand& b) {
    const Operand both[] = {a, b};
    return std::string(name(result_dtype("test", both)));
  };
  int count = 0;
  for (const auto& [a, row] : table["binary"].items())
    for (const auto& [b, expected] : row.items()) {
      EXPECT_EQ(result(tensor(a), tensor(b)), expected.get<std::string>()) << a << " and " << b;
      ++count;
    }
  EXPECT_EQ(count, 121);
  for (const auto& [a, expected] : table["weak_int"].items())
    EXPECT_EQ(result(tensor(a), 2), expected.get<std::string>()) << a;
  for (const auto& [a, expected] : table["weak_float"].items())
    EXPECT_EQ(result(2.5, tensor(a)), expected.get<std::string>()) << a;
}

}  // namespace
}  // namespace cairn::test
