// Element types, their names and their promotion.
//
// Promotion is JAX's lattice with 64-bit types on (docs.jax.dev, "Type promotion semantics");
// 8-bit floats take part in cast, quantize and matmul only, so they promote with nothing but
// themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cairn {

enum class DType : uint8_t { f64, f32, f16, bf16, f8e4m3, f8e5m2, i64, i32, i16, i8, u8, u32, b8 };
inline constexpr int kDTypeCount = 13;

// "f32", "bool", ... as in the text form of a graph.
std::string_view name(DType dtype);
std::optional<DType> parse_dtype(std::string_view text);

// Bytes of one element.
constexpr size_t size_of(DType dtype) {
  constexpr uint8_t kSizes[kDTypeCount] = {8, 4, 2, 2, 1, 1, 8, 4, 2, 1, 1, 4, 1};
  return kSizes[static_cast<int>(dtype)];
}
constexpr bool is_float(DType dtype) { return dtype <= DType::f8e5m2; }
constexpr bool is_float8(DType dtype) { return dtype == DType::f8e4m3 || dtype == DType::f8e5m2; }
constexpr bool is_integer(DType dtype) { return dtype >= DType::i64 && dtype <= DType::u32; }
constexpr bool is_unsigned(DType dtype) { return dtype == DType::u8 || dtype == DType::u32; }
constexpr bool is_signed(DType dtype) { return is_integer(dtype) && !is_unsigned(dtype); }

// Machine epsilon of a float type (distance from 1 to the next number).
double epsilon(DType dtype);

// The type in which `a op b` is computed and returned; empty where the lattice has no such join
// (an 8-bit float with anything else).
std::optional<DType> promote(DType a, DType b);

}  // namespace cairn
