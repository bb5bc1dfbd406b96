#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/nn.h"
#include "tests/ops/golden_functions.h"

namespace cairn::test {

void add_elementwise(GoldenFunctions& table) {
  const Bound exact;
  const auto relative = [](double k) { return Bound{Bound::relative, k}; };
  const auto one = [&table](const std::string& name, Bound bound, Tensor (*f)(Operand)) {
    table[name] = {bound,
                   [f](Tensors in, const GoldenCase&) { return std::vector<Tensor>{f(in[0])}; }};
  };
  const auto two = [&table](const std::string& name, Bound bound, Tensor (*f)(Operand, Operand)) {
    table[name] = {
        bound, [f](Tensors in, const GoldenCase&) { return std::vector<Tensor>{f(in[0], in[1])}; }};
  };
  const auto with = [&table](const std::string& name, Bound bound,
                             std::function<Tensor(const Tensor&, const nlohmann::json&)> f) {
    table[name] = {bound, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{f(in[0], c.attributes)};
                   }};
  };
  one("negate", exact, negate);
  one("abs", exact, abs);
  one("sign", exact, sign);
  one("floor", exact, floor);
  one("ceil", exact, ceil);
  one("round", exact, round);
  one("sqrt", exact, sqrt);
  one("square", exact, square);
  one("reciprocal", exact, reciprocal);
  one("relu", exact, relu);
  one("bitwise_not", exact, bitwise_not);
  one("logical_not", exact, logical_not);
  one("isnan", exact, isnan);
  one("isinf", exact, isinf);
  one("isfinite", exact, isfinite);
  // Ours are within 1 ulp, PyTorch's within 1 to 2.
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand)>>{{"exp", exp},
                                                                          {"expm1", expm1},
                                                                          {"log", log},
                                                                          {"log1p", log1p},
                                                                          {"sin", sin},
                                                                          {"cos", cos},
                                                                          {"tanh", tanh},
                                                                          {"erf", erf},
                                                                          {"erfc", erfc},
                                                                          {"sigmoid", sigmoid}})
    one(name, relative(4), f);
  one("rsqrt", relative(3), rsqrt);
  one("tan", relative(6), tan);
  one("asin", relative(6), asin);
  one("acos", relative(6), acos);
  one("atan", relative(4), atan);
  one("sinh", relative(8), sinh);
  one("cosh", relative(8), cosh);
  one("asinh", relative(10), asinh);
  one("acosh", relative(10), acosh);
  one("atanh", relative(6), atanh);
  one("ndtri", relative(16), ndtri);  // Cephes' own error is up to 9 eps
  one("silu", relative(5), silu);
  one("softplus", relative(6), softplus);
  one("log_sigmoid", relative(6), log_sigmoid);
  one("selu", relative(6), selu);
  one("hardswish", relative(5), hardswish);
  one("mish", relative(12), mish);
  // erfc at v / sqrt(2) has condition number v^2, which is 16 in the cases; 1 + tanh of the
  // approximate form cancels in PyTorch, so that only absolute errors are small.
  table["gelu"] = {Bound{Bound::terms, 1, 1}, [](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{gelu(in[0], c.attributes["approximate"])};
                   }};
  with("elu", relative(4),
       [](const Tensor& x, const nlohmann::json& a) { return elu(x, a["alpha"]); });
  with("leaky_relu", relative(1),
       [](const Tensor& x, const nlohmann::json& a) { return leaky_relu(x, a["slope"]); });
  with("clamp", exact, [](const Tensor& x, const nlohmann::json& a) {
    if (a["min"].is_null()) return minimum(x, a["max"].get<double>());
    if (a["max"].is_null()) return maximum(x, a["min"].get<double>());
    return clamp(x, a["min"].get<double>(), a["max"].get<double>());
  });

  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, Operand)>>{
           {"add", add},
           {"subtract", subtract},
           {"multiply", multiply},
           {"divide", divide},
           {"fmod", fmod},
           {"maximum", maximum},
           {"minimum", minimum},
           {"floor_divide", floor_divide},
           {"truncate_divide", truncate_divide},
           {"equal", equal},
           {"not_equal", not_equal},
           {"less", less},
           {"less_equal", less_equal},
           {"greater", greater},
           {"greater_equal", greater_equal},
           {"logical_and", logical_and},
           {"logical_or", logical_or},
           {"logical_xor", logical_xor},
           {"bitwise_and", bitwise_and},
           {"bitwise_or", bitwise_or},
           {"bitwise_xor", bitwise_xor},
           {"shift_left", shift_left},
           {"shift_right", shift_right}})
    two(name, exact, f);
  two("remainder", relative(1), remainder);
  two("power", relative(4), power);
  two("atan2", relative(4), atan2);
  two("hypot", relative(5), hypot);
  table["where"] = {exact, [](Tensors in, const GoldenCase&) {
                      return std::vector<Tensor>{where(in[0], in[1], in[2])};
                    }};
  table["cast"] = {
      exact, [](Tensors in, const GoldenCase& c) {
        const Tensor y = cast(in[0], *parse_dtype(c.attributes["to"].get<std::string>()));
        return std::vector<Tensor>{c.attributes.contains("stored") ? cast(y, DType::f32) : y};
      }};
}

const GoldenFunctions& golden_functions() {
  static const auto table = [] {
    GoldenFunctions functions;
    add_elementwise(functions);
    add_reductions(functions);
    add_movement(functions);
    add_products(functions);
    add_networks(functions);
    return functions;
  }();
  return table;
}

}  // namespace cairn::test
