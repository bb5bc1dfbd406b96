#include "cairn/text/jinja_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cairn/text/jinja_run.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

constexpr int kWidest = 1 << 16;  // of a field; wider is a mistake or an attack

// [[fill]align][sign][#][0][width][,][.precision][type]
struct Spec {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  bool alternate = false, grouped = false;
  int width = 0, precision = -1;
  char type = 0;
};

int take_number(std::string_view& text, int fallback) {
  int value = fallback;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec == std::errc::result_out_of_range || value > kWidest)
    throw_error(fmt::format("a width or precision in a format is at most {}", kWidest));
  text.remove_prefix(static_cast<size_t>(end.ptr - text.data()));
  return value;
}

Spec parse_spec(std::string_view text) {
  const std::string_view whole = text;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const auto take = [&](char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  };
  Spec spec;
  if (text.empty()) return spec;
  const size_t first = decode_utf8(text).size;
  if (first < text.size() && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    text.remove_prefix(first + 1);
  } else if (is_align(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  if (text.starts_with('+') || text.starts_with('-') || text.starts_with(' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.alternate = take('#');
  if (take('0') && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = take_number(text, 0);
  spec.grouped = take(',');
  if (take('.')) spec.precision = take_number(text, -1);
  if (text.size() > 1) throw_error(fmt::format("the format '{}' is not understood", whole));
  if (!text.empty()) spec.type = text[0];
  return spec;
}

std::string group_digits(std::string digits) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t at = end; at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

// Pads to the width; `sign_size` characters stay in front of zeros.
std::string pad(const Spec& spec, std::string text, size_t sign_size, char natural) {
  const auto size = std::count_if(text.begin(), text.end(),
                                  [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
  const auto missing = spec.width - static_cast<int>(std::min<int64_t>(size, kWidest));
  if (missing <= 0) return text;
  const char align = spec.align ? spec.align : natural;
  const int before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string left, right;
  for (int i = 0; i < before; ++i) left += spec.fill;
  for (int i = before; i < missing; ++i) right += spec.fill;
  if (align == '=') return text.substr(0, sign_size) + left + text.substr(sign_size);
  return left + text + right;
}

std::string in_base(uint64_t value, int base, bool capitals) {
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, base);
  std::string out(buffer, end.ptr);
  if (capitals)
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c; });
  return out;
}

std::string sign_text(bool negative, char sign) {
  return negative ? "-" : sign == '-' ? "" : std::string(1, sign);
}

std::string format_integer(const Spec& spec, int64_t value) {
  const uint64_t magnitude =
      value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string sign = sign_text(value < 0, spec.sign), digits;
  switch (spec.type) {
    case 'x':
    case 'X':
    case 'o':
    case 'b': {
      const char low = static_cast<char>(spec.type | 0x20);
      digits = in_base(magnitude, low == 'x' ? 16 : low == 'o' ? 8 : 2, spec.type == 'X');
      if (spec.alternate) sign += std::string("0") + spec.type;
      break;
    }
    default: digits = std::to_string(magnitude);
  }
  if (spec.grouped) digits = group_digits(std::move(digits));
  return pad(spec, sign + digits, sign.size(), '>');
}

std::string format_real(const Spec& spec, double value) {
  const std::string sign = sign_text(std::signbit(value) && !std::isnan(value), spec.sign);
  const double magnitude = std::fabs(value) * (spec.type == '%' ? 100 : 1);
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  std::string digits;
  switch (spec.type) {
    case 'f':
    case 'F':
    case '%': digits = fmt::format("{:.{}f}", magnitude, precision); break;
    case 'e': digits = fmt::format("{:.{}e}", magnitude, precision); break;
    case 'E': digits = fmt::format("{:.{}E}", magnitude, precision); break;
    case 'g': digits = fmt::format("{:.{}g}", magnitude, precision); break;
    case 'G': digits = fmt::format("{:.{}G}", magnitude, precision); break;
    default:
      digits =
          spec.precision < 0 ? real_text(magnitude) : fmt::format("{:.{}g}", magnitude, precision);
  }
  if (spec.type == '%') digits += '%';
  if (spec.grouped) digits = group_digits(std::move(digits));
  return pad(spec, sign + digits, sign.size(), '>');
}

std::string format_text(const Spec& spec, std::string_view text) {
  size_t end = text.size();
  if (spec.precision >= 0) {
    end = 0;
    for (int i = 0; i < spec.precision && end < text.size(); ++i)
      end += decode_utf8(text.substr(end)).size;
  }
  return pad(spec, std::string(text.substr(0, end)), 0, '<');
}

bool is_real_type(char type) { return std::string_view("fFeEgG%").find(type) != std::string::npos; }

std::string format_value(Run& run, std::string_view text, const Value& value) {
  const Spec spec = parse_spec(text);
  if (text.empty()) return run.text(value);
  if (value.is_number() && spec.type != 's' && !(value.is_boolean() && !spec.type)) {
    if (value.is_real() || is_real_type(spec.type)) return format_real(spec, *value.real());
    if (spec.type && std::string_view("dxXobn").find(spec.type) == std::string::npos)
      throw_error(fmt::format("the format '{}' does not fit a whole number", text));
    return format_integer(spec, *value.integer());
  }
  if (spec.type && spec.type != 's')
    throw_error(fmt::format("the format '{}' does not fit a {}", text, type_name(value)));
  return format_text(spec, run.text(value));
}

// ---- "%s"

class Printf {
 public:
  Printf(Run& run, std::string_view pattern, const Value& values)
      : run_(run), rest_(pattern), values_(values) {}

  std::string run() {
    std::string out;
    while (!rest_.empty()) {
      const size_t percent = std::min(rest_.find('%'), rest_.size());
      out += rest_.substr(0, percent);
      rest_.remove_prefix(percent);
      if (rest_.empty()) break;
      rest_.remove_prefix(1);
      const std::string piece = conversion();
      run_.budget().bytes(piece.size());
      out += piece;
    }
    if (values_.list() && values_.list()->tuple && used_ < values_.list()->items.size())
      throw_error("more values than the format has places for");
    if ((values_.text() || values_.is_number()) && used_ == 0)
      throw_error("the format has no place for a value");
    return out;
  }

 private:
  Value next_value() {
    if (const List* list = values_.list(); list && list->tuple) {
      if (used_ >= list->items.size()) throw_error("fewer values than the format has places for");
      return list->items[used_++];
    }
    if (used_++ > 0) throw_error("fewer values than the format has places for");
    return values_;
  }

  std::string conversion() {
    std::optional<Value> named;
    if (rest_.starts_with('(')) {
      const size_t end = rest_.find(')');
      if (end == rest_.npos || !values_.dict())
        throw_error("a '%(name)' needs its ')' and a dict of values");
      const std::string name(rest_.substr(1, end - 1));
      const Value* found = values_.dict()->find(name);
      if (!found) throw_error(fmt::format("the values have no '{}'", name));
      named = *found;
      rest_.remove_prefix(end + 1);
    }
    Spec spec;
    for (; !rest_.empty() && std::string_view("-+ #0").find(rest_[0]) != std::string::npos;
         rest_.remove_prefix(1)) {
      if (rest_[0] == '-') spec.align = '<';
      if (rest_[0] == '+' || (rest_[0] == ' ' && spec.sign == '-')) spec.sign = rest_[0];
      if (rest_[0] == '#') spec.alternate = true;
      if (rest_[0] == '0' && spec.align == 0) {
        spec.align = '=';
        spec.fill = "0";
      }
    }
    if (spec.align == '<') spec.fill = " ";
    spec.width = take_number(rest_, 0);
    if (rest_.starts_with('.')) {
      rest_.remove_prefix(1);
      spec.precision = take_number(rest_, 0);
    }
    if (rest_.empty()) throw_error("the format ends within a '%'");
    const char type = rest_[0];
    rest_.remove_prefix(1);
    if (type == '%') return "%";
    const Value value = named ? *named : next_value();
    if (type == 's' || type == 'r') {
      if (spec.fill == "0") spec.fill = " ", spec.align = '>';
      if (spec.align == 0) spec.align = '>';
      return format_text(spec, type == 's' ? run_.text(value) : to_repr(value, run_.budget()));
    }
    if (!value.is_number())
      throw_error(fmt::format("'%{}' needs a number, not {}", type, type_name(value)));
    if (std::string_view("fFeEgG").find(type) != std::string::npos) {
      spec.type = type;
      return format_real(spec, *value.real());
    }
    if (std::string_view("diuxXo").find(type) == std::string::npos)
      throw_error(fmt::format("'%{}' is no format", type));
    spec.type = type == 'i' || type == 'u' ? 'd' : type;
    if (value.is_real() && !(std::fabs(*value.real()) < 9e18))
      throw_error(fmt::format("'%{}' needs a number of 64 bits", type));
    return format_integer(spec,
                          value.integer().value_or(static_cast<int64_t>(value.real().value_or(0))));
  }

  Run& run_;
  std::string_view rest_;
  const Value& values_;
  size_t used_ = 0;
};

// ---- "{}"

class Braces {
 public:
  Braces(Run& run, const Arguments& arguments) : run_(run), arguments_(arguments) {}

  std::string run(std::string_view text, int depth = 0) {
    if (depth > 1) throw_error("fields of a format nest too deeply");
    std::string out;
    while (!text.empty()) {
      const char c = text[0];
      if (c != '{' && c != '}') {
        const size_t end = std::min(text.find_first_of("{}"), text.size());
        out += text.substr(0, end);
        text.remove_prefix(end);
        continue;
      }
      if (text.size() > 1 && text[1] == c) {
        out += c;
        text.remove_prefix(2);
        continue;
      }
      if (c == '}') throw_error("a single '}' in a format; '}}' stands for it");
      const size_t end = end_of_field(text);
      const std::string piece = field(text.substr(1, end - 1), depth);
      run_.budget().bytes(piece.size());
      out += piece;
      text.remove_prefix(end + 1);
    }
    return out;
  }

 private:
  static size_t end_of_field(std::string_view text) {
    int open = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '{') ++open;
      if (text[i] == '}' && --open == 0) return i;
    }
    throw_error("a '{' in a format has no '}'; '{{' stands for it");
  }

  // name.attribute[key]!r:spec
  std::string field(std::string_view field, int depth) {
    const size_t colon = field.find(':');
    std::string_view name = field.substr(0, colon);
    char conversion = 0;
    if (const size_t mark = name.find('!'); mark != name.npos) {
      if (mark + 2 != name.size()) throw_error("'!' in a format needs one letter: r or s");
      conversion = name[mark + 1];
      name = name.substr(0, mark);
    }
    Value value =
        lookup(name);  // before the fields inside of its spec: numbers go from left to right
    const std::string spec = colon == field.npos ? "" : run(field.substr(colon + 1), depth + 1);
    if (conversion == 'r') {
      value = to_repr(value, run_.budget());
    } else if (conversion == 's') {
      value = run_.text(value);
    } else if (conversion) {
      throw_error(fmt::format("'!{}' in a format is not r or s", conversion));
    }
    return format_value(run_, spec, value);
  }

  Value lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    const std::string_view first = path.substr(0, end);
    path.remove_prefix(end);
    Value value = argument(first);
    while (!path.empty()) {
      const bool attribute = path[0] == '.';
      const size_t stop =
          attribute ? std::min(path.find_first_of(".[", 1), path.size()) : path.find(']');
      if (stop == path.npos) throw_error("a '[' in a format has no ']'");
      const std::string_view key = path.substr(1, stop - 1);
      int64_t number = 0;
      const auto parsed = std::from_chars(key.data(), key.data() + key.size(), number);
      const bool index = !attribute && parsed.ec == std::errc() &&
                         parsed.ptr == key.data() + key.size() && !key.empty();
      value = attribute ? run_.attribute(value, key)
                        : run_.item(value, index ? Value(number) : Value(key));
      path.remove_prefix(attribute ? stop : stop + 1);
    }
    return value;
  }

  Value argument(std::string_view name) {
    size_t index = next_;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool number =
        !name.empty() && parsed.ec == std::errc() && parsed.ptr == name.data() + name.size();
    if (name.empty() || number) {
      if (name.empty()) ++next_;
      if (index >= arguments_.positional.size())
        throw_error(fmt::format("the format asks for value {}, of {}", index,
                                arguments_.positional.size()));
      return arguments_.positional[index];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known == name) return value;
    }
    throw_error(fmt::format("the format asks for '{}', which is not given", name));
  }

  Run& run_;
  const Arguments& arguments_;
  size_t next_ = 0;
};

}  // namespace

std::string printf_format(Run& run, std::string_view pattern, const Value& values) {
  return Printf(run, pattern, values).run();
}

std::string brace_format(Run& run, std::string_view pattern, const Arguments& arguments) {
  return Braces(run, arguments).run(pattern);
}

}  // namespace cairn::text::jinja
