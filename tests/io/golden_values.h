// The arrays of tests/golden/files: element k is (7k mod 23) - 11, without the -11 where the type
// is unsigned, and k mod 3 == 0 where it is bool (tools/goldens/make_files.py).
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "cairn/core/host_array.h"
#include "tests/support/test_data.h"

namespace cairn::io {

inline double golden_value(DType dtype, int64_t k) {
  if (dtype == DType::b8) return k % 3 == 0;
  return static_cast<double>(k * 7 % 23) - (is_unsigned(dtype) ? 0 : 11);
}

inline HostArray golden_array(DType dtype, const Shape& shape) {
  HostArray array(dtype, shape);
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t k = 0; k < array.elements(); ++k) {
      const double value = golden_value(dtype, k);
      if constexpr (std::is_arithmetic_v<T>) {
        array.mutable_span<T>()[k] = static_cast<T>(value);
      } else {
        array.mutable_span<T>()[k] = T(static_cast<float>(value));
      }
    }
  });
  return array;
}

// The same dtype, shape and values, bit for bit.
inline void expect_equal(const HostArray& actual, const HostArray& expected) {
  EXPECT_EQ(name(actual.dtype()), name(expected.dtype()));
  ASSERT_EQ(to_string(actual.shape()), to_string(expected.shape()));
  ASSERT_EQ(actual.bytes(), expected.bytes());
  const auto* a = static_cast<const unsigned char*>(actual.data());
  const auto* b = static_cast<const unsigned char*>(expected.data());
  for (size_t i = 0; i < actual.bytes(); ++i)
    ASSERT_EQ(a[i], b[i]) << "byte " << i << " of " << actual.bytes();
}

inline void expect_golden(const HostArray& actual, DType dtype, const Shape& shape) {
  expect_equal(actual, golden_array(dtype, shape));
}

inline std::string golden_file(const std::string& name) {
  return test::golden_path("files/" + name).string();
}

}  // namespace cairn::io
