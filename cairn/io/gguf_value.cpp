#include "cairn/io/gguf_value.h"

#include <array>
#include <cstring>

namespace cairn::io {
namespace {

// Calls f(value) with element i as its C++ type.
template <class F>
auto visit_number(GgufKind kind, const std::byte* bytes, uint64_t i, F&& f) {
  const auto load = [&]<class T>(T value) {
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    return f(value);
  };
  switch (kind) {
    case GgufKind::i8: return load(int8_t{});
    case GgufKind::u16: return load(uint16_t{});
    case GgufKind::i16: return load(int16_t{});
    case GgufKind::u32: return load(uint32_t{});
    case GgufKind::i32: return load(int32_t{});
    case GgufKind::f32: return load(float{});
    case GgufKind::u64: return load(uint64_t{});
    case GgufKind::i64: return load(int64_t{});
    case GgufKind::f64: return load(double{});
    case GgufKind::u8:
    case GgufKind::b8:
    case GgufKind::text:
    case GgufKind::array: break;
  }
  return load(uint8_t{});
}

bool is_number(GgufKind kind) { return size_of(kind) > 0 && kind != GgufKind::b8; }

}  // namespace

std::string_view name(GgufKind kind) {
  constexpr std::array<std::string_view, kGgufKindCount> kNames = {
      "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "text", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(kind)];
}

size_t size_of(GgufKind kind) {
  constexpr std::array<uint8_t, kGgufKindCount> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<size_t>(kind)];
}

SharedBytes GgufValue::copy(std::span<const std::byte> bytes) {
  return SharedBytes(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

GgufValue GgufValue::from_text(std::string_view value) {
  return {GgufKind::text, false, 1, SharedBytes(std::string(value))};
}

GgufValue GgufValue::from_texts(std::span<const std::string> values) {
  std::string bytes;
  for (const std::string& value : values) {
    const uint64_t size = value.size();
    bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
    bytes += value;
  }
  return {GgufKind::text, true, values.size(), SharedBytes(std::move(bytes))};
}

GgufValue GgufValue::from_bool(bool value) {
  return {GgufKind::b8, false, 1, SharedBytes(std::string(1, value ? '\1' : '\0'))};
}

std::optional<int64_t> GgufValue::integer() const {
  if (is_array_ || !is_number(kind_)) return std::nullopt;
  return integer_at(0);
}

std::optional<double> GgufValue::number() const {
  if (is_array_ || !is_number(kind_)) return std::nullopt;
  return number_at(0);
}

std::optional<bool> GgufValue::boolean() const {
  if (is_array_ || kind_ != GgufKind::b8) return std::nullopt;
  return number_at(0) != 0;
}

std::optional<std::string_view> GgufValue::text() const {
  if (is_array_ || kind_ != GgufKind::text) return std::nullopt;
  return bytes_.text();
}

double GgufValue::number_at(uint64_t i) const {
  return visit_number(kind_, bytes_.data(), i,
                      [](auto value) { return static_cast<double>(value); });
}

std::optional<int64_t> GgufValue::integer_at(uint64_t i) const {
  return visit_number(kind_, bytes_.data(), i, [](auto value) -> std::optional<int64_t> {
    if constexpr (std::floating_point<decltype(value)>)
      return std::nullopt;
    else if (std::cmp_greater(value, INT64_MAX))
      return std::nullopt;
    else
      return static_cast<int64_t>(value);
  });
}

std::vector<std::string_view> GgufValue::texts(uint64_t limit) const {
  std::vector<std::string_view> result;
  if (!is_array_ || kind_ != GgufKind::text) return result;
  const std::string_view all = bytes_.text();
  size_t at = 0;
  for (uint64_t i = 0; i < count_ && i < limit; ++i) {
    uint64_t size;
    std::memcpy(&size, all.data() + at, sizeof(size));
    result.push_back(all.substr(at + sizeof(size), size));
    at += sizeof(size) + size;
  }
  return result;
}

}  // namespace cairn::io
