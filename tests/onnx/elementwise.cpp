// Operators that work on each element by itself.
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

using Unary = Tensor (*)(Operand);
using Binary = Tensor (*)(Operand, Operand);

void add_unary(OnnxTable& table) {
  const std::map<std::string, Unary> functions = {
      {"Abs", abs},     {"Acos", acos},       {"Acosh", acosh},
      {"Asin", asin},   {"Asinh", asinh},     {"Atan", atan},
      {"Atanh", atanh}, {"Ceil", ceil},       {"Cos", cos},
      {"Cosh", cosh},   {"Erf", erf},         {"Exp", exp},
      {"Floor", floor}, {"Log", log},         {"Neg", negate},
      {"Round", round}, {"Sigmoid", sigmoid}, {"Sign", sign},
      {"Sin", sin},     {"Sinh", sinh},       {"Sqrt", sqrt},
      {"Tan", tan},     {"Tanh", tanh},       {"Reciprocal", reciprocal},
      {"IsNaN", isnan}, {"Not", logical_not}, {"BitwiseNot", bitwise_not}};
  for (const auto& [name, f] : functions)
    table[name] = one([f = f](const OnnxCall& c) { return f(c[0]); });
}

void add_binary(OnnxTable& table) {
  const std::map<std::string, Binary> functions = {{"Add", add},
                                                   {"Sub", subtract},
                                                   {"Mul", multiply},
                                                   {"And", logical_and},
                                                   {"Or", logical_or},
                                                   {"Xor", logical_xor},
                                                   {"BitwiseAnd", bitwise_and},
                                                   {"BitwiseOr", bitwise_or},
                                                   {"BitwiseXor", bitwise_xor},
                                                   {"Equal", equal},
                                                   {"Less", less},
                                                   {"LessOrEqual", less_equal},
                                                   {"Greater", greater},
                                                   {"GreaterOrEqual", greater_equal}};
  for (const auto& [name, f] : functions)
    table[name] = one([f = f](const OnnxCall& c) { return f(c[0], c[1]); });
  // Of any number of operands.
  const std::map<std::string, Binary> folds = {{"Max", maximum}, {"Min", minimum}, {"Sum", add}};
  for (const auto& [name, f] : folds)
    table[name] = one([f = f](const OnnxCall& c) {
      Tensor result = c[0];
      for (int i = 1; i < c.count(); ++i) result = f(result, c[i]);
      return result;
    });
  table["Mean"] = one([](const OnnxCall& c) {
    Tensor total = c[0];
    for (int i = 1; i < c.count(); ++i) total = total + c[i];
    return total / c.count();
  });
}

Tensor clip(const OnnxCall& c) {
  if (c.has(1) && c.has(2)) return clamp(c[0], c[1], c[2]);
  if (c.has(1)) return maximum(c[0], c[1]);
  return c.has(2) ? minimum(c[0], c[2]) : c[0];
}

Tensor is_inf_of_signs(const OnnxCall& c) {
  Tensor result = isinf(c[0]);
  if (!c.integer("detect_negative", 1)) result = logical_and(result, c[0] > 0);
  if (!c.integer("detect_positive", 1)) result = logical_and(result, c[0] < 0);
  return result;
}

}  // namespace

Tensor onnx_cast(const Tensor& x, DType dtype, bool saturate) {
  if (!is_float8(dtype) || !saturate) return cast(x, dtype);
  const double largest = dtype == DType::f8e4m3 ? 448 : 57344;
  return cast(clamp(x, -largest, largest), dtype);
}

void add_elementwise(OnnxTable& table) {
  add_unary(table);
  add_binary(table);
  table["Identity"] = one([](const OnnxCall& c) { return c[0]; });
  table["Div"] = one([](const OnnxCall& c) {
    return is_float(c[0].dtype()) ? divide(c[0], c[1]) : truncate_divide(c[0], c[1]);
  });
  table["Mod"] = one([](const OnnxCall& c) {
    return c.integer("fmod", 0) ? fmod(c[0], c[1]) : remainder(c[0], c[1]);
  });
  table["Pow"] = one([](const OnnxCall& c) { return cast(power(c[0], c[1]), c[0].dtype()); });
  table["BitShift"] = one([](const OnnxCall& c) {
    return c.text("direction", "") == "LEFT" ? shift_left(c[0], c[1]) : shift_right(c[0], c[1]);
  });
  table["Where"] = one([](const OnnxCall& c) { return where(c[0], c[1], c[2]); });
  table["Clip"] = one(clip);
  table["IsInf"] = one(is_inf_of_signs);
  table["Cast"] = one([](const OnnxCall& c) {
    return onnx_cast(c[0], dtype_of_onnx(c.integer("to", 0)), c.integer("saturate", 1));
  });
  table["CastLike"] = one(
      [](const OnnxCall& c) { return onnx_cast(c[0], c[1].dtype(), c.integer("saturate", 1)); });
}

}  // namespace cairn::test
