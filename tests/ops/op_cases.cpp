#include "tests/ops/op_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cairn/base/philox.h"
#include "cairn/graph/scalar.h"

namespace cairn::test {

int64_t Array::at(const Ints& index) const {
  const Ints strides = shape.strides();
  int64_t offset = 0;
  for (int i = 0; i < shape.rank(); ++i) offset += index[i] * strides[i];
  return offset;
}

void for_each_index(const Shape& shape, const std::function<void(const Ints&)>& f) {
  Ints index(shape.rank(), 0);
  for (int64_t n = shape.elements(); n > 0; --n) {
    f(index);
    for (int axis = shape.rank() - 1; axis >= 0 && ++index[axis] == shape[axis]; --axis)
      index[axis] = 0;
  }
}

HostArray typed(const Array& array, DType dtype) {
  HostArray result(dtype, array.shape);
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto out = result.mutable_span<T>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = cast_element<T>(array.v[i]);
  });
  return result;
}

Array untyped(const HostArray& array) {
  Array result(array.shape());
  for (int64_t i = 0; i < array.elements(); ++i) result[i] = array.at(i);
  return result;
}

std::vector<Tensor> Case::leaves(DType dtype) const {
  std::vector<Tensor> result;
  for (const CaseInput& input : inputs)
    result.emplace_back(typed(input.array, input.fixed.value_or(dtype)));
  return result;
}

std::vector<DType> joined(std::initializer_list<std::vector<DType>> lists) {
  std::vector<DType> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

Case& add_case(std::vector<Case>& cases, Op op, const std::string& label,
               std::vector<CaseInput> inputs, Attrs attrs, Reference reference) {
  Case& c = cases.emplace_back();
  c.function = name(op);
  c.name = label.empty() ? c.function : c.function + " " + label;
  c.primitive = op;
  c.inputs = std::move(inputs);
  c.call = [op, attrs](Tensors in) { return make_many(op, {in.begin(), in.end()}, attrs); };
  c.reference = std::move(reference);
  return c;
}

Array reals(Shape shape, double low, double high, uint32_t seed) {
  Array a(shape);
  for (int64_t i = 0; i < a.size(); ++i)
    a[i] = low +
           (high - low) * (philox_bits({seed, 31}, static_cast<uint64_t>(i)) + 0.5) / 4294967296.0;
  return a;
}

Array distinct(Shape shape, double step, uint32_t seed) {
  Array a(shape);
  for (int64_t i = 0; i < a.size(); ++i)
    a[i] = (static_cast<double>(i) - 0.4 * static_cast<double>(a.size())) * step;
  for (size_t i = a.v.size(); i > 1; --i)
    std::swap(a.v[i - 1], a.v[philox_bits({seed, 37}, i) % i]);
  return a;
}

Array wholes(Shape shape, int low, int high, uint32_t seed) {
  Array a(shape);
  for (int64_t i = 0; i < a.size(); ++i)
    a[i] = low + static_cast<double>(philox_bits({seed, 41}, static_cast<uint64_t>(i)) %
                                     static_cast<uint32_t>(high - low));
  return a;
}

namespace {

double rounded(double value, DType dtype) {
  return visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>) {
      // An infinity is what a largest or smallest one of no elements is: the last of the type.
      using Limits = std::numeric_limits<T>;
      if (std::isinf(value)) return static_cast<double>(value > 0 ? Limits::max() : Limits::min());
      if (!std::is_same_v<T, bool>)  // integers wrap
        return static_cast<double>(cast_element<T>(static_cast<int64_t>(value)));
    }
    return static_cast<double>(load_element(cast_element<T>(value)));
  });
}

double smallest(DType dtype) {
  switch (dtype) {
    case DType::f64: return 0x1p-1074;
    case DType::f32: return 0x1p-149;
    case DType::f16: return 0x1p-24;
    case DType::bf16: return 0x1p-133;
    case DType::f8e4m3: return 0x1p-9;
    default: return 0x1p-16;
  }
}

double largest_of(const Array& array) {
  double top = 1;
  for (double x : array.v)
    if (std::isfinite(x)) top = std::max(top, std::fabs(x));
  return top;
}

}  // namespace

// Two parts: half an epsilon of the type for each rounding to it, and the case's own bound in the
// type of computation, which is f32 for narrower floats.
void expect_within(const Case& c, DType dtype, const Array& got, const Array& want,
                   const std::string& what) {
  ASSERT_EQ(to_string(got.shape), to_string(want.shape)) << what;
  double terms = 4, scale = largest_of(want);
  for (const CaseInput& input : c.inputs) {
    terms = std::max(terms, 4.0 + static_cast<double>(input.array.size()));
    scale = std::max(scale, largest_of(input.array));
  }
  const double sized = terms * std::pow(scale, c.bound.degree);
  const double wide = epsilon(dtype == DType::f64 ? DType::f64 : DType::f32);
  const double narrow = 0.5 * epsilon(dtype);
  for (int64_t i = 0; i < got.size(); ++i) {
    const std::string where = what + " element " + std::to_string(i);
    const double b = rounded(want[i], dtype);
    if (std::isnan(b)) {
      EXPECT_TRUE(std::isnan(got[i])) << where << " is " << got[i];
      continue;
    }
    if (!is_float(dtype) || std::isinf(b) || (c.bound.kind == Bound::exact && c.roundings == 1)) {
      EXPECT_EQ(got[i], b) << where;
      continue;
    }
    double allowed = narrow * std::fabs(want[i]) + smallest(dtype);
    if (c.bound.kind == Bound::relative) allowed += c.bound.k * wide * std::fabs(want[i]);
    if (c.bound.kind == Bound::terms) allowed += c.bound.k * wide * sized;
    const bool is_narrow = dtype == DType::f16 || dtype == DType::bf16;
    allowed += (c.roundings - 1 + (is_narrow ? c.narrow_roundings : 0)) * narrow * sized;
    EXPECT_NEAR(got[i], want[i], allowed) << where;
  }
}

std::vector<Case> golden_cases() {
  std::vector<Case> cases;
  for (const char* file : {"unary", "binary", "reductions", "products", "convolutions", "pooling",
                           "movement", "nn", "losses"}) {
    for (const GoldenCase& golden : read_golden_cases(file)) {
      Case c;
      c.name = golden.name;
      c.function = golden.function;
      for (const HostArray& input : golden.inputs)
        c.inputs.push_back({untyped(input), input.dtype() == DType::f64
                                                ? std::nullopt
                                                : std::optional(input.dtype())});
      const GoldenFunction& function = golden_functions().at(golden.function);
      c.bound = function.bound;
      c.call = [call = function.call, golden](Tensors in) { return call(in, golden); };
      // Ties, kinks and special values come without gradients.
      c.orders = golden.gradients.empty() ? 0 : 2;
      // Its running means are constants for derivatives; public_cases.cpp has one without.
      if (c.function == "batch_norm") c.orders = 0;
      if (c.name == "bce_with_logits/large") c.orders = 1;  // at 0, where max(x, 0) has its kink
      if (c.function == "index_update" && golden.attributes["mode"] == "prod") c.orders = 0;
      // The bias of a convolution, pairs of an einsum, additions of a scatter: rounded one by one.
      if (c.function.starts_with("conv") && golden.inputs.size() == 3) c.roundings = 2;
      if (c.function == "attention") c.narrow_roundings = 1;  // the weights
      if (c.function == "einsum") c.roundings = 1 + static_cast<int>(golden.inputs.size());
      if (c.function == "index_update" || c.function == "scatter_along_axis") c.roundings = 5;
      if (c.function == "batch_norm")
        c.roundings = 4;  // the running means that the call blends itself
      cases.push_back(std::move(c));
    }
  }
  return cases;
}

const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all = golden_cases();
    for (auto* part :
         {elementwise_cases, reduction_cases, movement_cases, control_cases, public_cases}) {
      std::vector<Case> more = part();
      all.insert(all.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
    }
    return all;
  }();
  return cases;
}

}  // namespace cairn::test
