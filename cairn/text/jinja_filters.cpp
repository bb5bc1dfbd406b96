// Filters of texts, numbers and single values.
#include "cairn/text/jinja_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cairn/text/jinja_arguments.h"
#include "cairn/text/jinja_format.h"
#include "cairn/text/jinja_text.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

// Jinja's filters of texts take anything and work on its text.
template <std::string (*map)(std::string_view)>
Value mapped(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("this filter", arguments, {});
  const std::string text = run.text(input);
  run.budget().bytes(3 * text.size());
  return map(text);
}

// Words begin behind white space and brackets.
std::string title(std::string_view text) {
  constexpr std::string_view kBefore = "-({[<";
  std::string out;
  bool begins = true;
  for (; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
    const Utf8Character character = decode_utf8(text);
    const char32_t c = character.code_point;
    if (begins) {
      out += to_upper(text.substr(0, character.size));
    } else {
      append_utf8(out, lower_character(c));
    }
    begins = is_python_space(c) || (c < 0x80 && kBefore.find(static_cast<char>(c)) != kBefore.npos);
  }
  return out;
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string percent_encoded(std::string_view text, std::string_view also_plain) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("_.-~").find(c) != std::string::npos ||
                       also_plain.find(c) != std::string::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<uint8_t>(c));
  }
  return out;
}

// A dict becomes the query of an address: "a=1&b=x+y".
Value urlencode(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("urlencode", arguments, {});
  if (!input.dict()) {
    const std::string text = run.text(input);
    run.budget().bytes(3 * text.size());
    return percent_encoded(text, "/");
  }
  const auto part = [&](const Value& value) {
    std::string text = run.text(value);
    run.budget().bytes(3 * text.size());
    text = percent_encoded(text, " ");
    std::ranges::replace(text, ' ', '+');
    return text;
  };
  std::string query;
  for (const auto& [key, value] : input.dict()->entries)
    query += (query.empty() ? "" : "&") + part(key) + "=" + part(value);
  return query;
}

Value trim(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("trim", arguments, {"chars"});
  const std::string text = run.text(input);
  return given.is_none(0) ? strip(text) : strip(text, Side::both, given.text(0));
}

Value string(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("string", arguments, {});
  return input.text() ? input : Value(run.text(input));
}

Value same(Run&, const Value& input, Arguments& arguments) {
  Parameters given("safe", arguments, {});
  return input;
}

Value replace_filter(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("replace", arguments, {"old", "new", "count"});
  const std::string text = run.text(input), from = run.text(given.required(0)),
                    to = run.text(given.required(1));
  run.budget().bytes(text.size() +
                     (text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size());
  return replace(text, from, to, given.is_none(2) ? -1 : given.integer(2));
}

Value indent(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("indent", arguments, {"width", "first", "blank"});
  std::string by = given.has(0) && given.required(0).text() ? given.text(0) : "";
  if (by.empty()) {
    const auto width = static_cast<uint64_t>(std::max<int64_t>(given.integer(0, 4), 0));
    run.budget().bytes(width);
    by.assign(width, ' ');
  }
  const bool first = given.boolean(1, false), blank = given.boolean(2, false);
  const std::string text = run.text(input) + "\n";
  std::string out;
  const auto lines = split_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool indented = i == 0 ? first : blank || !lines[i].empty();
    run.budget().bytes(by.size() + lines[i].size() + 1);
    if (i > 0) out += '\n';
    if (indented) out += by;
    out += lines[i];
  }
  return out;
}

Value truncate(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::string text = run.text(input), end = given.text(2, "...");
  const int64_t length = given.integer(0, 255), leeway = given.integer(3, 5);
  const auto end_size = static_cast<int64_t>(characters(end));
  if (length < end_size) throw_error("truncate: the length is less than that of 'end'");
  if (leeway < 0) throw_error("truncate: 'leeway' is at least 0");
  const auto size = static_cast<int64_t>(characters(text));
  if (size <= length || size - length <= leeway) return text;
  std::string cut = text.substr(0, prefix(text, static_cast<size_t>(length - end_size)));
  if (!given.boolean(1, false)) {
    const size_t space = cut.rfind(' ');
    if (space != cut.npos) cut.resize(space);
  }
  return cut + end;
}

Value center_filter(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("center", arguments, {"width"});
  const std::string text = run.text(input);
  const int64_t width = given.integer(0, 80);
  run.budget().bytes(text.size() + static_cast<uint64_t>(std::max<int64_t>(width, 0)));
  return center(text, width);
}

Value wordcount(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("wordcount", arguments, {});
  const std::string whole = run.text(input);
  int64_t count = 0;
  bool inside = false;
  for (std::string_view text = whole; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
    const char32_t c = decode_utf8(text).code_point;
    const bool word = is_alphanumeric(c) || c == '_';
    if (word && !inside) ++count;
    inside = word;
  }
  return count;
}

Value format_filter(Run& run, const Value& input, Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty())
    throw_error("format takes values by position or by name, not both");
  const std::string text = run.text(input);
  if (arguments.named.empty())
    return printf_format(run, text, run.tuple(std::move(arguments.positional)));
  std::vector<std::pair<Value, Value>> entries(arguments.named.begin(), arguments.named.end());
  return printf_format(run, text, make_dict(std::move(entries), run.budget()));
}

Value default_filter(Run&, const Value& input, Arguments& arguments) {
  Parameters given("default", arguments, {"default_value", "boolean"});
  const bool absent = input.is_undefined() || (given.boolean(1, false) && !is_true(input));
  return absent ? given.value(0, "") : input;
}

Value tojson(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = given.boolean(0, false);
  if (!given.is_none(1)) {
    style.indent =
        given.required(1).text()
            ? given.text(1)
            : std::string(static_cast<size_t>(std::clamp<int64_t>(given.integer(1), 0, 1000)), ' ');
    style.item_separator = ",";
  }
  if (!given.is_none(2)) {
    const std::vector<Value> separators = run.elements(given.required(2));
    if (separators.size() != 2 || !separators[0].text() || !separators[1].text())
      throw_error("tojson: 'separators' are two texts, between items and behind keys");
    style.item_separator = *separators[0].text();
    style.key_separator = *separators[1].text();
  }
  style.sorted = given.boolean(3, false);
  return to_json(input, style, run.budget());
}

// Not among Hugging Face's, but published templates ask for it.
Value from_json(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("from_json", arguments, {});
  if (!input.text()) throw_error(fmt::format("from_json reads a text, not {}", type_name(input)));
  run.budget().bytes(8 * input.text()->size());
  return value_of_json(*input.text()).value();
}

// ---- Numbers

const Value& number(const Value& input, std::string_view filter) {
  if (input.is_undefined()) throw_error(input.missing());
  if (!input.is_number())
    throw_error(fmt::format("{} needs a number, not {}", filter, type_name(input)));
  return input;
}

// Python's int() of a text: white space around, a sign, "_" between digits.
std::optional<int64_t> parse_integer(std::string_view text, int base) {
  text = strip(text);
  bool negative = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.size() > 2 && text[0] == '0') {
    const char kind = static_cast<char>(text[1] | 0x20);
    const int named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && named == base) text.remove_prefix(2);
  }
  std::string digits(1, negative ? '-' : '0');
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') digits += text[i];
    if (text[i] == '_' && (i == 0 || i + 1 == text.size() || text[i - 1] == '_')) return {};
  }
  int64_t value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (text.empty() || end.ec != std::errc() || end.ptr != digits.data() + digits.size()) return {};
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  text = strip(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end.ec != std::errc() || end.ptr != text.data() + text.size()) return {};
  return value;
}

Value of_real(double real, const Value& fallback) {
  if (!(std::fabs(real) < 9.2e18)) return fallback;
  return static_cast<int64_t>(std::trunc(real));
}

Value int_filter(Run&, const Value& input, Arguments& arguments) {
  Parameters given("int", arguments, {"default", "base"});
  const int64_t base = given.integer(1, 10);
  if (base < 2 || base > 36) throw_error("int: 'base' is from 2 to 36");
  const Value fallback = given.value(0, 0);
  if (input.is_undefined()) throw_error(input.missing());
  if (const auto integer = input.integer()) return *integer;
  if (input.is_real()) return of_real(*input.real(), fallback);
  if (!input.text()) return fallback;
  if (const auto integer = parse_integer(*input.text(), static_cast<int>(base))) return *integer;
  const auto real = parse_real(*input.text());
  return real ? of_real(*real, fallback) : fallback;
}

Value float_filter(Run&, const Value& input, Arguments& arguments) {
  Parameters given("float", arguments, {"default"});
  if (input.is_undefined()) throw_error(input.missing());
  if (input.is_number()) return *input.real();
  const auto real = input.text() ? parse_real(*input.text()) : std::nullopt;
  return real ? Value(*real) : given.value(0, 0.0);
}

Value abs_filter(Run&, const Value& input, Arguments& arguments) {
  Parameters given("abs", arguments, {});
  if (number(input, "abs").is_real()) return std::fabs(*input.real());
  return *input.integer() < 0 ? negate(input) : Value(*input.integer());
}

Value round_filter(Run&, const Value& input, Arguments& arguments) {
  Parameters given("round", arguments, {"precision", "method"});
  const double value = *number(input, "round").real();
  const int64_t precision = std::clamp<int64_t>(given.integer(0, 0), -300, 300);
  const std::string method = given.text(1, "common");
  if (method == "common") {
    if ((input.integer() && precision >= 0) || !std::isfinite(value)) return input;
    // Correctly rounded in decimal, halves to even, as Python's round().
    if (precision >= 0) {
      double rounded = 0;
      const std::string text = fmt::format("{:.{}f}", value, precision);
      std::from_chars(text.data(), text.data() + text.size(), rounded);
      return rounded;
    }
    const double unit = std::pow(10, static_cast<double>(-precision));
    const double rounded = std::nearbyint(value / unit) * unit;
    return input.integer() ? Value(static_cast<int64_t>(rounded)) : Value(rounded);
  }
  if (method != "ceil" && method != "floor")
    throw_error("round: 'method' is common, ceil or floor");
  const double scale = std::pow(10, static_cast<double>(precision));
  return (method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale)) / scale;
}

constexpr FilterEntry kFilters[] = {
    {"abs", abs_filter},
    {"capitalize", mapped<capitalize>},
    {"center", center_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"e", mapped<escape>},
    {"escape", mapped<escape>},
    {"forceescape", mapped<escape>},
    {"float", float_filter},
    {"format", format_filter},
    {"from_json", from_json},
    {"indent", indent},
    {"int", int_filter},
    {"lower", mapped<to_lower>},
    {"replace", replace_filter},
    {"round", round_filter},
    {"safe", same},
    {"string", string},
    {"title", mapped<title>},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", mapped<to_upper>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

Filter find_filter(std::string_view name) {
  for (const auto table : {std::span<const FilterEntry>(kFilters), list_filters()}) {
    for (const auto& [known, filter] : table) {
      if (known == name) return filter;
    }
  }
  return nullptr;
}

}  // namespace cairn::text::jinja
