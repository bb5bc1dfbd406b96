// Operand: what a public function of tensors takes. A tensor, or a C++ number that is weakly typed
// (it takes the other operand's type), together with the line of the program that passed it.
#pragma once

#include <concepts>
#include <source_location>
#include <type_traits>
#include <vector>

#include "cairn/graph/tensor.h"

namespace cairn {

class Operand {
 public:
  Operand(const Tensor& tensor, const std::source_location& where = std::source_location::current())
      : tensor_(tensor), where_(where) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Operand(T value, const std::source_location& where = std::source_location::current())
      : is_number_(true), where_(where) {
    if constexpr (std::is_floating_point_v<T>) {
      number_ = Number(static_cast<double>(value));
      weak_ = DType::f32;
    } else {
      number_ = Number(static_cast<int64_t>(value));
      weak_ = std::is_same_v<T, bool> ? DType::b8 : DType::i32;
    }
  }

  bool is_number() const { return is_number_; }
  const Number& number() const { return number_; }
  // The type that a lone number gets: f32, i32 or bool.
  DType weak_dtype() const { return weak_; }
  const Tensor& tensor() const { return tensor_; }
  const std::source_location& where() const { return where_; }
  // As a tensor; a number becomes a 0-d constant of `dtype`.
  Tensor as(DType dtype) const;
  // As a tensor; a number becomes a 0-d constant of its weak type.
  Tensor value() const { return is_number() ? as(weak_) : tensor_; }

 private:
  Tensor tensor_;
  bool is_number_ = false;  // an empty tensor is none: it keeps its own error
  Number number_;
  DType weak_ = DType::f32;
  std::source_location where_;
};

// The element type in which `op` on these operands is computed: JAX's lattice, numbers weak.
// Throws Error "[op] ..." where there is no such type.
DType result_dtype(std::string_view op, std::span<const Operand> operands);

// Operands brought to one element type and one shape (NumPy's broadcasting), and varying along the
// same mesh axes. `dtype`, when given, replaces promotion.
std::vector<Tensor> broadcast_together(std::string_view op, std::span<const Operand> operands,
                                       std::optional<DType> dtype = std::nullopt);
// Broadcast of x to `shape` by NumPy's rule (trailing axes align); x itself when it has it already.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
// The shape that NumPy's broadcasting gives; throws Error "[op] ...".
Shape broadcast_shapes(std::string_view op, std::span<const Shape> shapes);
// `vary` inserted so that all vary along the union of their mesh axes.
void vary_together(std::vector<Tensor>& tensors);

// Axis -1 is the last; throws Error "[op] ..." when out of range.
int normalize_axis(std::string_view op, int64_t axis, int rank);
// The same for a list; an empty list means every axis. Sorted, without repeats.
Ints normalize_axes(std::string_view op, const Ints& axes, int rank);

}  // namespace cairn
