// Promotion against JAX's lattice with 64-bit types on, and the names and sizes of element types.
#include "cairn/core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "cairn/core/dispatch.h"

namespace cairn {
namespace {

// From "Type promotion semantics" of JAX's documentation, jax_enable_x64 on, without the types that
// cairn lacks and without Python's weak numbers. The first row names the second operand.
constexpr const char* kLattice = R"(
      bool u8   u32  i8   i16  i32  i64  f16  bf16 f32  f64
bool  bool u8   u32  i8   i16  i32  i64  f16  bf16 f32  f64
u8    u8   u8   u32  i16  i16  i32  i64  f16  bf16 f32  f64
u32   u32  u32  u32  i64  i64  i64  i64  f16  bf16 f32  f64
i8    i8   i16  i64  i8   i16  i32  i64  f16  bf16 f32  f64
i16   i16  i16  i64  i16  i16  i32  i64  f16  bf16 f32  f64
i32   i32  i32  i64  i32  i32  i32  i64  f16  bf16 f32  f64
i64   i64  i64  i64  i64  i64  i64  i64  f16  bf16 f32  f64
f16   f16  f16  f16  f16  f16  f16  f16  f16  f32  f32  f64
bf16  bf16 bf16 bf16 bf16 bf16 bf16 bf16 f32  bf16 f32  f64
f32   f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f64
f64   f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
)";

TEST(DType, PromotesAsJaxDoes) {
  std::istringstream table(kLattice);
  std::string line;
  std::getline(table, line);
  std::getline(table, line);
  std::vector<DType> columns;
  std::istringstream header(line);
  for (std::string word; header >> word;) columns.push_back(parse_dtype(word).value());
  ASSERT_EQ(columns.size(), static_cast<size_t>(kDTypeCount) - 2);  // all but the 8-bit floats
  size_t rows = 0;
  while (std::getline(table, line)) {
    std::istringstream row(line);
    std::string word;
    row >> word;
    const DType a = parse_dtype(word).value();
    for (const DType b : columns) {
      row >> word;
      EXPECT_EQ(promote(a, b), parse_dtype(word)) << name(a) << " and " << name(b);
    }
    ++rows;
  }
  EXPECT_EQ(rows, columns.size());
}

TEST(DType, EightBitFloatsPromoteWithThemselvesOnly) {
  for (const DType a : {DType::f8e4m3, DType::f8e5m2})
    for (int i = 0; i < kDTypeCount; ++i) {
      const DType b = static_cast<DType>(i);
      EXPECT_EQ(promote(a, b), a == b ? std::optional(a) : std::nullopt);
      EXPECT_EQ(promote(b, a), promote(a, b));
    }
}

TEST(DType, NamesSizesAndKinds) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = static_cast<DType>(i);
    EXPECT_EQ(parse_dtype(name(dtype)), dtype);
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      EXPECT_EQ(dtype_of<T>(), dtype);
      EXPECT_EQ(size_of(dtype), sizeof(T));
      EXPECT_EQ(is_float(dtype), kIsFloatType<T>);
      EXPECT_EQ(is_integer(dtype), std::is_integral_v<T> && !(std::is_same_v<T, bool>));
      EXPECT_EQ(is_unsigned(dtype), is_integer(dtype) && std::is_unsigned_v<T>);
      if constexpr (kIsFloatType<T> && sizeof(T) <= 4) {
        // The distance from 1 to the next number: the first step that does not round back to 1.
        const auto next = static_cast<float>(T(1.0f + static_cast<float>(epsilon(dtype))));
        const auto less = static_cast<float>(T(1.0f + static_cast<float>(epsilon(dtype)) * 0.49f));
        EXPECT_EQ(next - 1.0f, epsilon(dtype));
        EXPECT_EQ(less, 1.0f);
      }
    });
  }
  EXPECT_EQ(epsilon(DType::f64), std::nextafter(1.0, 2.0) - 1.0);
  EXPECT_FALSE(parse_dtype("f31"));
  EXPECT_FALSE(parse_dtype(""));
}

}  // namespace
}  // namespace cairn
