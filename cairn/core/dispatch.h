// The one place where a DType becomes a C++ type.
#pragma once

#include <type_traits>

#include "cairn/core/dtype.h"
#include "cairn/core/float_types.h"

namespace cairn {

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) with the storage type of `dtype`.
template <class F>
decltype(auto) visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64: return f(TypeTag<double>{});
    case DType::f32: return f(TypeTag<float>{});
    case DType::f16: return f(TypeTag<Float16>{});
    case DType::bf16: return f(TypeTag<BFloat16>{});
    case DType::f8e4m3: return f(TypeTag<Float8E4M3>{});
    case DType::f8e5m2: return f(TypeTag<Float8E5M2>{});
    case DType::i64: return f(TypeTag<int64_t>{});
    case DType::i32: return f(TypeTag<int32_t>{});
    case DType::i16: return f(TypeTag<int16_t>{});
    case DType::i8: return f(TypeTag<int8_t>{});
    case DType::u8: return f(TypeTag<uint8_t>{});
    case DType::u32: return f(TypeTag<uint32_t>{});
    case DType::b8: break;
  }
  return f(TypeTag<bool>{});
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, Float16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, Float8E4M3>)
    return DType::f8e4m3;
  else if constexpr (std::is_same_v<T, Float8E5M2>)
    return DType::f8e5m2;
  else if constexpr (std::is_same_v<T, int64_t>)
    return DType::i64;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::i32;
  else if constexpr (std::is_same_v<T, int16_t>)
    return DType::i16;
  else if constexpr (std::is_same_v<T, int8_t>)
    return DType::i8;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::u8;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return DType::u32;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::b8;
  else
    static_assert(!sizeof(T), "not an element type of cairn");
}

template <class T>
inline constexpr bool kIsFloatType =
    std::is_floating_point_v<T> || std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16> ||
    std::is_same_v<T, Float8E4M3> || std::is_same_v<T, Float8E5M2>;

}  // namespace cairn
