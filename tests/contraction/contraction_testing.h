// What the tests of matmul and convolution share: arrays of any type, and the rules of a sum,
// written plainly a second time.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cairn/base/cpu_features.h"
#include "cairn/base/philox.h"
#include "cairn/core/dispatch.h"

namespace cairn::contraction_testing {

// A random source.
class Random {
 public:
  explicit Random(uint32_t seed) : key_{seed, 7} {}
  uint32_t bits() { return philox_bits(key_, next_++); }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint32_t>(n)); }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[below(static_cast<int64_t>(values.size()))];
  }

 private:
  PhiloxKey key_;
  uint64_t next_ = 0;
};

// Elements of one type.
struct Array {
  DType dtype = DType::f32;
  std::vector<unsigned char> bytes;

  Array(DType type, int64_t count)
      : dtype(type), bytes(static_cast<size_t>(count) * size_of(type), 0xab) {}
  const void* data() const { return bytes.data(); }
  void* data() { return bytes.data(); }
  int64_t count() const { return static_cast<int64_t>(bytes.size() / size_of(dtype)); }

  template <class T>
  T get(int64_t i) const {
    T value;
    std::memcpy(&value, bytes.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    return value;
  }
  template <class T>
  void set(int64_t i, T value) {
    std::memcpy(bytes.data() + static_cast<size_t>(i) * sizeof(T), &value, sizeof(T));
  }

  // All elements as double, or as integers modulo 2^64 (empty for the other kind).
  std::vector<double> floats() const {
    std::vector<double> values;
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < count(); ++i) {
        if constexpr (std::is_floating_point_v<T>)
          values.push_back(get<T>(i));
        else if constexpr (kIsFloatType<T>)
          values.push_back(static_cast<float>(get<T>(i)));
      }
    });
    return values;
  }
  std::vector<uint64_t> integers() const {
    std::vector<uint64_t> values;
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (!kIsFloatType<T>)
        for (int64_t i = 0; i < count(); ++i)
          values.push_back(static_cast<uint64_t>(static_cast<int64_t>(get<T>(i))));
    });
    return values;
  }
};

// Random values: floats of widely differing size, so that another order of summation gives other
// bits; integers over their whole range. `special` puts in infinities, NaNs, zeros of both signs
// and subnormals.
inline Array random_array(DType dtype, int64_t count, Random& random, bool special = false) {
  Array array(dtype, count);
  for (int64_t i = 0; i < count; ++i)
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (kIsFloatType<T>) {
        const int spread = size_of(dtype) == 1 ? 4 : 12;
        double value = std::ldexp(static_cast<double>(random.bits()) * 0x1p-31 - 1,
                                  static_cast<int>(random.between(-spread, spread)));
        if (special && random.below(12) == 0)
          value = random.pick({std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::quiet_NaN(), 0.0, -0.0, 0x1p-1070,
                               0x1p-140, 0x1p-20, -3.4e38});
        if constexpr (std::is_floating_point_v<T>)
          array.set(i, static_cast<T>(value));
        else
          array.set(i, T(static_cast<float>(value)));
      } else if constexpr (!std::is_same_v<T, bool>) {
        array.set(i, static_cast<T>(uint64_t{random.bits()} << 32 | random.bits()));
      }
    });
  return array;
}

// Sums of products of two arrays' elements, one output element at a time, by the rules of
// contraction.h.
class Sums {
 public:
  Sums(const Array& a, const Array& b, DType accumulate)
      : accumulate_(accumulate),
        a_(a.floats()),
        b_(b.floats()),
        a_integers_(a.integers()),
        b_integers_(b.integers()) {}
  void start() {
    sum_ = 0;
    integer_ = 0;
  }
  void add(int64_t i, int64_t j) {
    if (a_integers_.empty()) {
      // -ffp-contract=off keeps this product rounded (it is exact but for f64).
      sum_ += a_[static_cast<size_t>(i)] * b_[static_cast<size_t>(j)];
    } else {
      integer_ += a_integers_[static_cast<size_t>(i)] * b_integers_[static_cast<size_t>(j)];
    }
  }
  void write(Array& to, int64_t i) const {
    visit_dtype(to.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (kIsFloatType<T>) {
        double value = accumulate_ == DType::f32 ? static_cast<float>(sum_) : sum_;
        if (value != value) value = std::numeric_limits<double>::quiet_NaN();
        if constexpr (std::is_floating_point_v<T>)
          to.set(i, static_cast<T>(value));
        else
          to.set(i, T(static_cast<float>(value)));
      } else {
        switch (accumulate_) {
          case DType::i64: return to.set(i, static_cast<T>(integer_));
          case DType::u32: return to.set(i, static_cast<T>(static_cast<uint32_t>(integer_)));
          default: return to.set(i, static_cast<T>(static_cast<int32_t>(integer_)));
        }
      }
    });
  }

 private:
  DType accumulate_;
  std::vector<double> a_, b_;
  std::vector<uint64_t> a_integers_, b_integers_;
  double sum_ = 0;
  uint64_t integer_ = 0;
};

struct TypeCase {
  DType a, b, accumulate, out;
};

inline const TypeCase kTypeCases[] = {
    {DType::f32, DType::f32, DType::f32, DType::f32},
    {DType::f64, DType::f64, DType::f64, DType::f64},
    {DType::f16, DType::f16, DType::f32, DType::f16},
    {DType::bf16, DType::bf16, DType::f32, DType::bf16},
    {DType::f8e4m3, DType::f8e4m3, DType::f32, DType::f32},
    {DType::f8e5m2, DType::f8e5m2, DType::f32, DType::f16},
    {DType::i8, DType::i8, DType::i32, DType::i32},
    {DType::u8, DType::u8, DType::i32, DType::i32},
    {DType::i32, DType::i32, DType::i32, DType::i32},
    {DType::i64, DType::i64, DType::i64, DType::i64},
    // What the graph allows beside those.
    {DType::f32, DType::f32, DType::f64, DType::f64},
    {DType::f32, DType::f32, DType::f64, DType::f32},
    {DType::f16, DType::f16, DType::f32, DType::f32},
    {DType::bf16, DType::bf16, DType::f64, DType::f64},
    {DType::f8e4m3, DType::f8e5m2, DType::f32, DType::f8e4m3},
    {DType::f64, DType::f32, DType::f64, DType::f64},
    {DType::u8, DType::i8, DType::i32, DType::i8},
    {DType::i16, DType::i16, DType::i32, DType::i16},
    {DType::i32, DType::i32, DType::i64, DType::i64},
    {DType::u32, DType::u32, DType::u32, DType::i64},
    {DType::u32, DType::u32, DType::i64, DType::u32},
};

inline std::string describe(const TypeCase& t) {
  std::string text;
  for (DType d : {t.a, t.b, t.accumulate, t.out}) text += std::string(name(d)) + " ";
  return text;
}

// The targets that this processor can run.
inline std::vector<CpuTarget> available_targets() {
  std::vector<CpuTarget> targets;
  for (CpuTarget target : kCpuTargets)
    if (target <= detect_cpu_target()) targets.push_back(target);
  return targets;
}

}  // namespace cairn::contraction_testing
