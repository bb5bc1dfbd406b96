#include "cairn/graph/literals.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

namespace cairn::detail {
namespace {

template <class T>
auto bits_of(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<uint64_t>(value);
  } else if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<uint32_t>(value);
  } else {
    return value.bits;
  }
}
template <class T, class Bits>
T from_bits(Bits bits) {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    return std::bit_cast<T>(bits);
  } else {
    T value;
    value.bits = bits;
    return value;
  }
}
// The type in which decimals of T are written and read: exact for every T.
template <class T>
using Decimal = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
constexpr auto sign_bit() {
  using Bits = decltype(bits_of(T{}));
  return static_cast<Bits>(Bits{1} << (8 * sizeof(T) - 1));
}
template <class T>
auto quiet_nan_bits() {
  return bits_of(static_cast<T>(std::numeric_limits<Decimal<T>>::quiet_NaN()));
}

template <class T>
std::string print_float(T value) {
  const auto decimal = static_cast<Decimal<T>>(value);
  if (std::isnan(decimal)) {
    const auto bits = bits_of(value);
    if (bits == quiet_nan_bits<T>()) return "nan";
    if (bits == (quiet_nan_bits<T>() | sign_bit<T>())) return "-nan";
    return fmt::format("nan(0x{:0{}x})", bits, 2 * sizeof(T));
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, decimal).ptr;
  return {buffer, end};
}

// The bits in "nan(0x...)".
std::optional<uint64_t> nan_payload(std::string_view text) {
  if (!text.starts_with("nan(0x") || !text.ends_with(")")) return std::nullopt;
  const char* begin = text.data() + 6;
  const char* end = text.data() + text.size() - 1;
  uint64_t bits = 0;
  const auto [rest, error] = std::from_chars(begin, end, bits, 16);
  if (error != std::errc() || rest != end) return std::nullopt;
  return bits;
}

template <class T>
std::optional<T> parse_float(std::string_view text) {
  using Bits = decltype(bits_of(T{}));
  if (text == "nan") return from_bits<T>(quiet_nan_bits<T>());
  if (text == "-nan") return from_bits<T>(static_cast<Bits>(quiet_nan_bits<T>() | sign_bit<T>()));
  if (const auto bits = nan_payload(text)) {
    const T value = from_bits<T>(static_cast<Bits>(*bits));
    if (bits_of(value) != *bits || !std::isnan(static_cast<Decimal<T>>(value))) return std::nullopt;
    return value;
  }
  if (text == "inf" || text == "-inf") {
    const auto infinity = std::numeric_limits<Decimal<T>>::infinity();
    const T value = static_cast<T>(text == "inf" ? infinity : -infinity);
    if (!std::isinf(static_cast<Decimal<T>>(value))) return std::nullopt;  // f8e4m3 has none
    return value;
  }
  Decimal<T> decimal{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), decimal);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  const T value = static_cast<T>(decimal);
  if (!std::isfinite(decimal) || !std::isfinite(static_cast<Decimal<T>>(value)))
    return std::nullopt;
  return value;
}

template <class T>
std::optional<T> parse_int(std::string_view text) {
  T value{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class T>
std::optional<T> parse_as(std::string_view text) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
    return std::nullopt;
  } else if constexpr (kIsFloatType<T>) {
    return parse_float<T>(text);
  } else {
    return parse_int<T>(text);
  }
}

}  // namespace

std::string print_number(const Number& number) {
  if (number.is_integer()) return std::to_string(number.as_integer());
  std::string text = print_float(number.as_double());
  if (text.find_first_of(".ein") == std::string::npos) text += ".0";
  return text;
}

std::optional<Number> parse_number(std::string_view text) {
  if (text.find_first_of(".ein") == std::string_view::npos) {
    const auto integer = parse_integer(text);
    return integer ? std::optional<Number>(Number(*integer)) : std::nullopt;
  }
  const auto real = parse_float<double>(text);
  return real ? std::optional<Number>(Number(*real)) : std::nullopt;
}

std::optional<int64_t> parse_integer(std::string_view text) { return parse_int<int64_t>(text); }

std::string print_element(const HostArray& array, int64_t i) {
  return visit_dtype(array.dtype(), [&](auto tag) -> std::string {
    using T = typename decltype(tag)::type;
    const T value = array.span<T>()[static_cast<size_t>(i)];
    if constexpr (std::is_same_v<T, bool>) {
      return value ? "true" : "false";
    } else if constexpr (kIsFloatType<T>) {
      return print_float(value);
    } else {
      return std::to_string(value);
    }
  });
}

bool parse_element(std::string_view text, HostArray& array, int64_t i) {
  return visit_dtype(array.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::optional<T> value = parse_as<T>(text);
    if (value) array.mutable_span<T>()[static_cast<size_t>(i)] = *value;
    return value.has_value();
  });
}

std::string print_literal(const HostArray& array) {
  std::string text = fmt::format("dense<{}{}>(", name(array.dtype()),
                                 to_string(static_cast<const Ints&>(array.shape())));
  for (int64_t i = 0; i < array.elements(); ++i) {
    if (i) text += ", ";
    text += print_element(array, i);
  }
  return text + ")";
}

}  // namespace cairn::detail
