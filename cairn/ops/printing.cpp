#include "cairn/ops/printing.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <ostream>
#include <vector>

#include "cairn/graph/scalar.h"

namespace cairn {
namespace {

constexpr int64_t kThreshold = 1000;  // more elements are summarised
constexpr int64_t kEdge = 3;          // elements that stay at each end of an axis
constexpr int kPrecision = 8;         // digits after the point
constexpr int kWidth = 75;            // of a line

// A finite number in scientific form: sign and first digit, the other digits, the exponent.
struct Digits {
  std::string first, rest;
  int exponent;
};

Digits split(std::string_view text) {
  const size_t e = text.find('e');
  const size_t point = text.find('.');
  Digits d;
  d.first = text.substr(0, std::min(point, e));
  if (point < e) d.rest = text.substr(point + 1, e - point - 1);
  while (!d.rest.empty() && d.rest.back() == '0') d.rest.pop_back();
  // from_chars takes no '+'.
  const char* begin = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(begin, text.data() + text.size(), d.exponent);
  return d;
}

// The fewest digits that T reads back as the same number.
template <class T>
Digits shortest(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    char buffer[64];
    const auto end =
        std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
    return split({buffer, static_cast<size_t>(end - buffer)});
  } else {
    const float wide = static_cast<float>(value);
    std::string text;
    for (int digits = 0; digits < 9; ++digits) {
      text = fmt::format("{:.{}e}", wide, digits);
      double back = 0;
      std::from_chars(text.data(), text.data() + text.size(), back);
      if (static_cast<float>(cast_element<T>(back)) == wide) break;
    }
    return split(text);
  }
}

// What stands before and after the decimal point; `after` without trailing zeros.
struct Positional {
  std::string before, after;
};

Positional positional(const Digits& d, double value, int precision) {
  const int places = static_cast<int>(d.rest.size()) - d.exponent;  // after the point
  Positional p;
  if (places > precision) {
    const std::string text = fmt::format("{:.{}f}", value, precision);
    const size_t point = text.find('.');
    p = {text.substr(0, point), text.substr(point + 1)};
    while (!p.after.empty() && p.after.back() == '0') p.after.pop_back();
    return p;
  }
  const bool negative = d.first[0] == '-';
  std::string digits = d.first.substr(negative ? 1 : 0) + d.rest;
  if (d.exponent < 0) digits.insert(0, static_cast<size_t>(-d.exponent), '0');
  const auto whole = static_cast<size_t>(std::max(0, d.exponent) + 1);
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  p.before = (negative ? "-" : "") + digits.substr(0, whole);
  p.after = digits.substr(whole);
  while (!p.after.empty() && p.after.back() == '0') p.after.pop_back();
  return p;
}

std::string not_finite(double value) {
  return std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
}

std::string exponent_text(int exponent, int digits) {
  return fmt::format("e{}{:0{}}", exponent < 0 ? '-' : '+', std::abs(exponent), digits);
}

using Formatter = std::function<std::string(int64_t element)>;

// Decimal digits that T always holds; bf16 and the 8-bit floats are printed as f16.
template <class T>
constexpr int kExactDigits = std::is_same_v<T, double>  ? 15
                             : std::is_same_v<T, float> ? 6
                                                        : 3;

// NumPy's FloatingFormat over the elements that are shown.
template <class T>
Formatter float_formatter(const T* values, const std::vector<int64_t>& shown) {
  const auto number = [values](int64_t i) { return static_cast<double>(load_element(values[i])); };
  double smallest = INFINITY, largest = 0;
  for (int64_t i : shown) {
    const double v = std::fabs(number(i));
    if (!std::isfinite(v) || v == 0) continue;
    smallest = std::min(smallest, v);
    largest = std::max(largest, v);
  }
  // NumPy compares in the array's type; bf16 and the 8-bit floats are ours.
  const auto rounded = [](double v) {
    constexpr bool kOurs = !std::is_floating_point_v<T> && !std::is_same_v<T, Float16>;
    return kOurs ? v : static_cast<double>(load_element(cast_element<T>(v)));
  };
  const bool scientific =
      largest > 0 && (largest >= std::pow(10.0, std::min(8, kExactDigits<T>)) ||
                      smallest < rounded(0.0001) || rounded(largest / smallest) > 1000);

  size_t before = 0, after = 0, exponent_digits = 0;
  bool all_finite = true, has_negative_infinity = false, any_finite = false;
  const auto scientific_digits = [number, values](int64_t i) {
    const Digits d = shortest(values[i]);
    return d.rest.size() > kPrecision ? split(fmt::format("{:.{}e}", number(i), kPrecision)) : d;
  };
  const auto positional_digits = [number, values](int64_t i) {
    return positional(shortest(values[i]), number(i), kPrecision);
  };
  for (int64_t i : shown) {
    const double v = number(i);
    if (!std::isfinite(v)) {
      all_finite = false;
      has_negative_infinity |= v == -INFINITY;
      continue;
    }
    any_finite = true;
    if (scientific) {
      const Digits d = scientific_digits(i);
      before = std::max(before, d.first.size());
      after = std::max(after, d.rest.size());
      exponent_digits = std::max(exponent_digits, exponent_text(d.exponent, 2).size() - 2);
    } else {
      const Positional p = positional_digits(i);
      before = std::max(before, p.before.size());
      after = std::max(after, p.after.size());
    }
  }
  // Everything that stands after the point of a finite number.
  const size_t tail = scientific && any_finite ? after + exponent_digits + 2 : after;
  if (!all_finite) {
    const size_t longest = has_negative_infinity ? 4 : 3;
    if (before + tail + 1 < longest) before = longest - tail - 1;
  }
  const size_t width = before + tail + 1;
  return [=](int64_t i) {
    const double v = number(i);
    if (!std::isfinite(v)) return fmt::format("{:>{}}", not_finite(v), width);
    if (scientific) {
      Digits d = scientific_digits(i);
      // What fills the column up are further digits of the number, not zeros.
      if (d.rest.size() < after) {
        d = split(fmt::format("{:.{}e}", v, after));
      }
      return fmt::format("{:>{}}.{:0<{}}{}", d.first, before, d.rest, after,
                         exponent_text(d.exponent, static_cast<int>(exponent_digits)));
    }
    const Positional p = positional_digits(i);
    return fmt::format("{:>{}}.{:<{}}", p.before, before, p.after, after);
  };
}

template <class T>
Formatter formatter(const T* values, const std::vector<int64_t>& shown) {
  if constexpr (std::is_same_v<T, bool>) {
    return [values](int64_t i) { return std::string(values[i] ? " True" : "False"); };
  } else if constexpr (std::is_integral_v<T>) {
    size_t width = 0;
    for (int64_t i : shown) width = std::max(width, fmt::format("{}", +values[i]).size());
    return [values, width](int64_t i) { return fmt::format("{:>{}}", +values[i], width); };
  } else {
    return float_formatter(values, shown);
  }
}

template <class T>
std::string scalar_text(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "True" : "False";
  } else if constexpr (std::is_integral_v<T>) {
    return fmt::format("{}", +value);
  } else {
    const double v = load_element(value);
    if (!std::isfinite(v)) return not_finite(v);
    const Digits d = shortest(value);
    const double too_large = std::is_same_v<T, double> ? 1e16 : std::pow(10.0, kExactDigits<T>);
    if (v == 0 || (std::fabs(v) < too_large && std::fabs(v) >= 1e-4)) {
      const Positional p = positional(d, v, 1000);
      return p.before + "." + (p.after.empty() ? "0" : p.after);
    }
    return d.first + (d.rest.empty() ? "" : "." + d.rest) + exponent_text(d.exponent, 2);
  }
}

// Which indices of an axis are shown; -1 stands for the dots.
std::vector<int64_t> shown_indices(int64_t size, bool summarised) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < size; ++i) {
    if (summarised && size > 2 * kEdge && i == kEdge) {
      indices.push_back(-1);
      i = size - kEdge;
    }
    indices.push_back(i);
  }
  return indices;
}

struct Printer {
  const Shape& shape;
  const Ints strides;
  const bool summarised;
  Formatter format;

  void collect(int axis, int64_t offset, std::vector<int64_t>& shown) const {
    if (axis == shape.rank()) {
      shown.push_back(offset);
      return;
    }
    for (int64_t i : shown_indices(shape[axis], summarised))
      if (i >= 0) collect(axis + 1, offset + i * strides[axis], shown);
  }

  // The part of the tensor below `axis`, whose lines after the first begin with `indent`.
  std::string print(int axis, int64_t offset, const std::string& indent, int width) const {
    const int left = shape.rank() - axis;
    if (left == 0) return format(offset);
    std::string text;
    const auto indices = shown_indices(shape[axis], summarised);
    if (left > 1) {
      for (size_t k = 0; k < indices.size(); ++k) {
        text += k ? std::string(static_cast<size_t>(left - 1), '\n') + indent : "";
        text += indices[k] < 0
                    ? "..."
                    : print(axis + 1, offset + indices[k] * strides[axis], indent + " ", width - 1);
      }
      return "[" + text + "]";
    }
    std::string line = indent;
    for (size_t k = 0; k < indices.size(); ++k) {
      const std::string word = indices[k] < 0 ? "..." : format(offset + indices[k] * strides[axis]);
      if (line.size() + word.size() > static_cast<size_t>(std::max(0, width - 1)) &&
          line.size() > indent.size()) {
        while (line.back() == ' ') line.pop_back();
        text += line + "\n";
        line = indent;
      }
      line += word;
      if (k + 1 < indices.size()) line += ' ';
    }
    return "[" + (text + line).substr(indent.size()) + "]";
  }
};

}  // namespace

std::string to_string(const Tensor& x) {
  const HostArray array = x.host();
  const Shape& shape = array.shape();
  if (array.elements() == 0) return "[]";
  return visit_dtype(array.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* values = static_cast<const T*>(array.data());
    if (shape.rank() == 0) return scalar_text(values[0]);
    Printer printer{shape, shape.strides(), array.elements() > kThreshold, {}};
    std::vector<int64_t> shown;
    printer.collect(0, 0, shown);
    printer.format = formatter(values, shown);
    return printer.print(0, 0, " ", kWidth);
  });
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace cairn
