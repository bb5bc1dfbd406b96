// The table of operation cases, and what runs over it: values, element types, derivatives, vmap,
// eager against compiled, threads. One row is one call on given operands.
//
// Rows come from three places: the golden cases of PyTorch and JAX, the primitives (each with a
// naive reference), and public functions that the goldens do not have (each with a reference, or
// with the formula that defines it).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/graph/graph.h"
#include "tests/ops/golden_functions.h"

namespace cairn::test {

// Numbers in row-major order, whatever their type is.
struct Array {
  Shape shape;
  std::vector<double> v;

  Array() = default;
  explicit Array(Shape s) : shape(s), v(static_cast<size_t>(s.elements())) {}
  Array(Shape s, std::vector<double> values) : shape(s), v(std::move(values)) {}
  // Throws std::out_of_range beyond the elements: a reference made for one shape says so for
  // others.
  double& operator[](int64_t i) { return v.at(static_cast<size_t>(i)); }
  double operator[](int64_t i) const { return v.at(static_cast<size_t>(i)); }
  int64_t size() const { return static_cast<int64_t>(v.size()); }
  // Offset of an index tuple.
  int64_t at(const Ints& index) const;
};

// Calls f for every index tuple of a shape, in row-major order.
void for_each_index(const Shape& shape, const std::function<void(const Ints&)>& f);

HostArray typed(const Array& array, DType dtype);
Array untyped(const HostArray& array);

struct CaseInput {
  Array array;
  // Its type; empty: the type that the case is run in.
  std::optional<DType> fixed = std::nullopt;
};

using Arrays = std::vector<Array>;
using Reference = std::function<Arrays(const Arrays& in)>;

struct Case {
  std::string name;
  std::string function;  // the public function, or the primitive, that it is a case of
  std::optional<Op> primitive = std::nullopt;
  std::vector<CaseInput> inputs;
  TensorFunction call;
  Bound bound = {};
  // The results in exact arithmetic, for inputs of any type; integers wrap.
  Reference reference = nullptr;
  // Types that it runs in.
  std::vector<DType> dtypes = {DType::f64, DType::f32, DType::f16, DType::bf16};
  // Roundings to a narrow type on the way; composites compute in f32 and round once.
  int roundings = 1;
  int narrow_roundings = 0;  // more of them where the type is narrower than that of computation
  int orders = 2;            // how many times it may be differentiated at these operands
  bool maps = true;          // whether it can be mapped over a batch of all operands

  std::vector<Tensor> leaves(DType dtype) const;
};

std::vector<Case> golden_cases();                    // op_cases.cpp
std::vector<Case> elementwise_cases();               // primitive_elementwise.cpp
std::vector<Case> reduction_cases();                 // primitive_reductions.cpp
std::vector<Case> movement_cases();                  // primitive_movement.cpp
std::vector<Case> control_cases();                   // primitive_control.cpp
std::vector<Case> public_cases();                    // public_cases.cpp
void add_attention_cases(std::vector<Case>& cases);  // attention_cases.cpp
const std::vector<Case>& all_cases();

inline const std::vector<DType> kFloats = {DType::f64, DType::f32, DType::f16, DType::bf16};
inline const std::vector<DType> kFloats8 = {DType::f8e4m3, DType::f8e5m2};
inline const std::vector<DType> kIntegers = {DType::i64, DType::i32, DType::i16,
                                             DType::i8,  DType::u8,  DType::u32};
std::vector<DType> joined(std::initializer_list<std::vector<DType>> lists);

// Adds a case of a primitive.
Case& add_case(std::vector<Case>& cases, Op op, const std::string& label,
               std::vector<CaseInput> inputs, Attrs attrs, Reference reference);

// Values in (low, high), repeatable; distinct ones, shuffled; whole ones in [low, high).
Array reals(Shape shape, double low = -2, double high = 2, uint32_t seed = 1);
Array distinct(Shape shape, double step = 0.37, uint32_t seed = 1);
Array wholes(Shape shape, int low, int high, uint32_t seed = 1);

// |got - want| against a case's bound in the type it ran in; `want` is exact.
void expect_within(const Case& c, DType dtype, const Array& got, const Array& want,
                   const std::string& what);

}  // namespace cairn::test
