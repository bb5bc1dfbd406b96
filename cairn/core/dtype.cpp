#include "cairn/core/dtype.h"

#include <array>

namespace cairn {
namespace {

constexpr std::array<std::string_view, kDTypeCount> kNames = {
    "f64", "f32", "f16", "bf16", "f8e4m3", "f8e5m2", "i64",
    "i32", "i16", "i8",  "u8",   "u32",    "bool"};

// Rank of a type among its own kind, for the three chains of the lattice.
int width_rank(DType t) {
  switch (t) {
    case DType::i8: return 1;
    case DType::i16: return 2;
    case DType::i32: return 3;
    case DType::i64: return 4;
    case DType::u8: return 1;
    case DType::u32: return 3;
    default: return 0;
  }
}

}  // namespace

std::string_view name(DType dtype) { return kNames[static_cast<int>(dtype)]; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kNames[i] == text) return static_cast<DType>(i);
  return std::nullopt;
}

double epsilon(DType dtype) {
  switch (dtype) {
    case DType::f64: return 0x1p-52;
    case DType::f32: return 0x1p-23;
    case DType::f16: return 0x1p-10;
    case DType::bf16: return 0x1p-7;
    case DType::f8e4m3: return 0x1p-3;
    case DType::f8e5m2: return 0x1p-2;
    default: return 0;
  }
}

std::optional<DType> promote(DType a, DType b) {
  if (a == b) return a;
  if (is_float8(a) || is_float8(b)) return std::nullopt;
  if (a == DType::b8) return b;
  if (b == DType::b8) return a;
  if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
  if (is_float(a)) {
    // f16 and bf16 have no common half: their join is f32.
    if (size_of(a) == 2 && size_of(b) == 2) return DType::f32;
    return size_of(a) > size_of(b) ? a : b;
  }
  if (is_unsigned(a) == is_unsigned(b)) return width_rank(a) > width_rank(b) ? a : b;
  // A signed type holds an unsigned one only if it is wider.
  const DType s = is_unsigned(a) ? b : a;
  const DType u = is_unsigned(a) ? a : b;
  if (width_rank(s) > width_rank(u)) return s;
  return u == DType::u8 ? DType::i16 : DType::i64;
}

}  // namespace cairn
