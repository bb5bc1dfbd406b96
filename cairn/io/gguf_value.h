// A value of GGUF's metadata: a number, a bool, text, or an array of one of these.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/file.h"

namespace cairn::io {

// As they are numbered in the file.
enum class GgufKind : uint32_t { u8, i8, u16, i16, u32, i32, f32, b8, text, array, u64, i64, f64 };
inline constexpr uint32_t kGgufKindCount = 13;

std::string_view name(GgufKind kind);
// Bytes of a number or bool; 0 for text and arrays.
size_t size_of(GgufKind kind);

// Elements are kept as version 3 has them in a little-endian file: numbers one after the other, a
// text of an array as its length (u64) and its bytes. A value that was read is a view of the file,
// so an array costs no memory, whatever it says of its length.
class GgufValue {
 public:
  // `bytes` holds `count` elements of that form; a text alone is its bytes without the length.
  // The reader has checked them.
  GgufValue(GgufKind kind, bool is_array, uint64_t count, SharedBytes bytes)
      : kind_(kind), is_array_(is_array), count_(count), bytes_(std::move(bytes)) {}

  static GgufValue from_text(std::string_view value);
  static GgufValue from_texts(std::span<const std::string> values);
  static GgufValue from_bool(bool value);
  // GgufValue::from_number(uint32_t{7})
  template <class T>
    requires std::integral<T> || std::floating_point<T>
  static GgufValue from_number(T value) {
    return {kind_of<T>(), false, 1, copy(std::as_bytes(std::span(&value, 1)))};
  }
  template <class T>
    requires std::integral<T> || std::floating_point<T>
  static GgufValue from_numbers(std::span<const T> values) {
    return {kind_of<T>(), true, values.size(), copy(std::as_bytes(values))};
  }

  // Of the value, or of an array's elements.
  GgufKind kind() const { return kind_; }
  bool is_array() const { return is_array_; }
  // 1 where it is no array.
  uint64_t count() const { return count_; }
  const SharedBytes& bytes() const { return bytes_; }

  // Empty where the value is of another kind; integer() takes any integer that fits in i64, and
  // number() any number.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
  std::optional<bool> boolean() const;
  std::optional<std::string_view> text() const;

  // Element i of numbers or bools, array or not; the caller has checked kind and i.
  double number_at(uint64_t i) const;
  // Empty for floats, and for a u64 beyond i64.
  std::optional<int64_t> integer_at(uint64_t i) const;
  // The first `limit` texts of an array of texts; otherwise empty.
  std::vector<std::string_view> texts(uint64_t limit = UINT64_MAX) const;

 private:
  template <class T>
  static constexpr GgufKind kind_of() {
    if constexpr (std::floating_point<T>) {
      static_assert(sizeof(T) == 4 || sizeof(T) == 8);
      return sizeof(T) == 4 ? GgufKind::f32 : GgufKind::f64;
    } else {
      static_assert(!std::same_as<T, bool>);
      constexpr GgufKind kSigned[] = {GgufKind::i8, GgufKind::i16, GgufKind::i32, GgufKind::i64};
      constexpr GgufKind kUnsigned[] = {GgufKind::u8, GgufKind::u16, GgufKind::u32, GgufKind::u64};
      constexpr size_t kPlace = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
      return std::signed_integral<T> ? kSigned[kPlace] : kUnsigned[kPlace];
    }
  }
  static SharedBytes copy(std::span<const std::byte> bytes);

  GgufKind kind_;
  bool is_array_;
  uint64_t count_;
  SharedBytes bytes_;
};

}  // namespace cairn::io
