// Methods of strings, lists and dicts, as Python has them.
//
// Templates may not change values, as in Jinja's immutable sandbox; but a list that the template
// made takes numbers and strings by append() and gives them up by pop(), because published
// templates need a queue. Lists cannot be put into lists that way, so no cycle arises.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/text/jinja_arguments.h"
#include "cairn/text/jinja_format.h"
#include "cairn/text/jinja_run.h"
#include "cairn/text/jinja_text.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

const std::string& self_text(Run& run, const Value& self) {
  run.budget().steps(self.text()->size() / 16);
  return *self.text();
}

// ---- Strings: parts

template <Side side>
Value strip_method(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("strip", arguments, {"chars"});
  const std::string& text = self_text(run, self);
  const auto stripped = given.is_none(0) ? strip(text, side) : strip(text, side, given.text(0));
  run.budget().bytes(stripped.size());
  return stripped;
}

Value list_of(Run& run, const std::vector<std::string_view>& parts) {
  uint64_t bytes = 0;
  for (const std::string_view part : parts) bytes += part.size();
  run.budget().bytes(bytes);
  std::vector<Value> values(parts.begin(), parts.end());
  return run.list(std::move(values));
}

// Words between white space; what is left after `most` cuts is one more.
std::vector<std::string_view> split_words(std::string_view text, int64_t most, bool from_right) {
  std::vector<std::string_view> parts;
  const auto is_space = [&](size_t at) {
    return is_python_space(decode_utf8(text.substr(at)).code_point);
  };
  const Side outer = from_right ? Side::right : Side::left;
  for (text = strip(text, outer); !text.empty(); text = strip(text, outer)) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(text);  // with its white space at the far end, as in Python
      break;
    }
    size_t begin = 0, end = text.size();
    if (from_right) {
      for (size_t at = 0; at < text.size(); at += decode_utf8(text.substr(at)).size) {
        if (is_space(at)) begin = at + decode_utf8(text.substr(at)).size;
      }
    } else {
      for (end = 0; end < text.size() && !is_space(end);) end += decode_utf8(text.substr(end)).size;
    }
    parts.push_back(text.substr(begin, end - begin));
    text = from_right ? text.substr(0, begin) : text.substr(end);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t most, bool from_right) {
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const size_t found = from_right ? text.rfind(separator) : text.find(separator);
    if (found == text.npos) break;
    parts.push_back(from_right ? text.substr(found + separator.size()) : text.substr(0, found));
    text = from_right ? text.substr(0, found) : text.substr(found + separator.size());
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

template <bool from_right>
Value split(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("split", arguments, {"sep", "maxsplit"});
  const std::string& text = self_text(run, self);
  const int64_t most = given.integer(1, -1);
  if (given.is_none(0)) {
    // From the right, each word looks through what is left of it.
    if (from_right) run.budget().steps(text.size() / 16 * std::min(text.size(), size_t{1000}));
    return list_of(run, split_words(text, most, from_right));
  }
  if (given.text(0).empty()) throw_error("split: an empty separator");
  return list_of(run, split_at(text, given.text(0), most, from_right));
}

Value splitlines(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("splitlines", arguments, {"keepends"});
  return list_of(run, split_lines(self_text(run, self), given.boolean(0, false)));
}

template <bool from_right>
Value partition(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("partition", arguments, {"sep"});
  const std::string_view text = self_text(run, self), separator = given.text(0);
  if (separator.empty()) throw_error("partition: an empty separator");
  const size_t found = from_right ? text.rfind(separator) : text.find(separator);
  run.budget().bytes(text.size());
  if (found == text.npos) {
    if (from_right) return run.tuple({"", "", text});
    return run.tuple({text, "", ""});
  }
  return run.tuple({text.substr(0, found), separator, text.substr(found + separator.size())});
}

// ---- Strings: questions

template <bool at_end>
Value starts_or_ends(Run& run, const Value& self, Arguments& arguments) {
  Parameters given(at_end ? "endswith" : "startswith", arguments, {"text", "start", "end"});
  std::string_view text = self_text(run, self);
  const auto size = static_cast<int64_t>(characters(text));
  const auto place = [&](size_t i, int64_t fallback) {
    const int64_t at = given.is_none(i) ? fallback : given.integer(i);
    return static_cast<size_t>(std::clamp<int64_t>(at < 0 ? at + size : at, 0, size));
  };
  const size_t start = place(1, 0), end = place(2, size);
  if (start > end || (!given.is_none(1) && given.integer(1) > size)) return false;
  const size_t begin = prefix(text, start);
  text = text.substr(begin, prefix(text, end) - begin);
  const auto matches = [&](const Value& part) {
    if (!part.text())
      throw_error(fmt::format("startswith and endswith need texts, not {}", type_name(part)));
    return at_end ? text.ends_with(*part.text()) : text.starts_with(*part.text());
  };
  const Value& wanted = given.required(0);
  if (const List* list = wanted.list(); list && list->tuple)
    return std::any_of(list->items.begin(), list->items.end(), matches);
  if (wanted.is_undefined()) throw_error(wanted.missing());
  return matches(wanted);
}

template <bool from_right, bool throws>
Value find_text(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("find", arguments, {"text", "start", "end"});
  const std::string_view text = self_text(run, self);
  const auto size = static_cast<int64_t>(characters(text));
  const auto place = [&](size_t i, int64_t fallback) {
    const int64_t at = given.is_none(i) ? fallback : given.integer(i);
    return static_cast<size_t>(std::clamp<int64_t>(at < 0 ? at + size : at, 0, size));
  };
  const size_t begin = prefix(text, place(1, 0));
  const size_t end = std::max(begin, prefix(text, place(2, size)));
  const std::string_view part = text.substr(begin, end - begin);
  const size_t found = from_right ? part.rfind(given.text(0)) : part.find(given.text(0));
  if (found != part.npos) return characters(text.substr(0, begin + found));
  if (throws) throw_error(fmt::format("'{}' is not in the text", given.text(0)));
  return -1;
}

Value count_text(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("count", arguments, {"text"});
  const std::string_view text = self_text(run, self), part = given.text(0);
  if (part.empty()) return characters(text) + 1;
  int64_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

template <class Predicate>
bool every_character(std::string_view text, Predicate holds) {
  if (text.empty()) return false;
  for (; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
    if (!holds(decode_utf8(text).code_point)) return false;
  }
  return true;
}

template <bool (*holds)(char32_t)>
Value all_are(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("this method", arguments, {});
  return every_character(self_text(run, self), holds);
}

Value isascii(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("isascii", arguments, {});
  const std::string& text = self_text(run, self);
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

// Some letter has the case, and none has the other.
template <bool upper>
Value has_case(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("this method", arguments, {});
  bool some = false;
  std::string_view text = self_text(run, self);
  for (; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
    const char32_t c = decode_utf8(text).code_point;
    if (upper ? is_lower(c) : is_upper(c)) return false;
    some = some || (upper ? is_upper(c) : is_lower(c));
  }
  return some;
}

// ---- Strings: made anew

template <std::string (*map)(std::string_view)>
Value mapped(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("this method", arguments, {});
  run.budget().bytes(3 * self.text()->size());
  return map(*self.text());
}

std::string title(std::string_view text) {
  std::string out;
  bool inside = false;
  for (; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
    const Utf8Character character = decode_utf8(text);
    if (inside) {
      append_utf8(out, lower_character(character.code_point));
    } else {
      out += to_title(character.code_point);
    }
    inside = is_alphabetic(character.code_point);
  }
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  for (; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
    const std::string_view character = text.substr(0, decode_utf8(text).size);
    out += is_upper(decode_utf8(text).code_point) ? to_lower(character) : to_upper(character);
  }
  return out;
}

Value replace_method(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("replace", arguments, {"old", "new", "count"});
  const std::string &text = self_text(run, self), &from = given.text(0), &to = given.text(1);
  run.budget().bytes(text.size() +
                     (text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size());
  return replace(text, from, to, given.integer(2, -1));
}

template <bool at_end>
Value remove_end(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("removeprefix", arguments, {"text"});
  std::string_view text = self_text(run, self);
  const std::string& part = given.text(0);
  if (at_end ? text.ends_with(part) : text.starts_with(part))
    text = at_end ? text.substr(0, text.size() - part.size()) : text.substr(part.size());
  run.budget().bytes(text.size());
  return text;
}

Value join(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("join", arguments, {"items"});
  std::string out;
  bool first = true;
  for (const Value& item : run.elements(given.required(0))) {
    if (!item.text()) throw_error(fmt::format("join needs texts, not {}", type_name(item)));
    const std::string_view separator = first ? std::string_view() : *self.text();
    run.budget().bytes(separator.size() + item.text()->size());
    out.append(separator).append(*item.text());
    first = false;
  }
  return out;
}

Value format(Run& run, const Value& self, Arguments& arguments) {
  return brace_format(run, self_text(run, self), arguments);
}

enum class Align { left, right, center };

template <Align align>
Value justify(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("justify", arguments, {"width", "fillchar"});
  const std::string& text = self_text(run, self);
  const std::string fill = given.text(1, " ");
  if (characters(fill) != 1) throw_error("the text to fill with is one character");
  const auto missing = given.integer(0) - static_cast<int64_t>(characters(text));
  if (missing <= 0) return self;
  run.budget().bytes(text.size() + static_cast<uint64_t>(missing) * fill.size());
  if (align == Align::center) return center(text, given.integer(0), fill);
  std::string padding;
  for (int64_t i = 0; i < missing; ++i) padding += fill;
  return align == Align::left ? text + padding : padding + text;
}

Value zfill(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("zfill", arguments, {"width"});
  const std::string& text = self_text(run, self);
  const auto missing = given.integer(0) - static_cast<int64_t>(characters(text));
  if (missing <= 0) return self;
  run.budget().bytes(text.size() + static_cast<uint64_t>(missing));
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + text.substr(sign);
}

Value expandtabs(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("expandtabs", arguments, {"tabsize"});
  const int64_t size = std::clamp<int64_t>(given.integer(0, 8), 0, 1000);
  std::string out;
  int64_t column = 0;
  for (const char c : self_text(run, self)) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      run.budget().bytes(static_cast<uint64_t>(spaces));
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      continue;
    }
    out += c;
    if ((static_cast<uint8_t>(c) & 0xC0) != 0x80) ++column;
    if (c == '\n' || c == '\r') column = 0;
  }
  return out;
}

// ---- Lists and dicts

List& changeable(const Value& self, std::string_view method) {
  List& list = *self.list();
  if (list.frozen) {
    throw_error(
        fmt::format("{} would change a list that was handed to the template; make a new "
                    "list with '+'",
                    method));
  }
  return list;
}

Value append(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("append", arguments, {"item"});
  const Value& item = given.required(0);
  List& list = changeable(self, "append");
  if (item.list() || item.dict() || item.object())
    throw_error("append takes numbers and texts only; make a new list with '+'");
  run.budget().bytes(sizeof(Value));
  list.items.push_back(item);
  return None();
}

Value pop(Run&, const Value& self, Arguments& arguments) {
  Parameters given("pop", arguments, {"index"});
  List& list = changeable(self, "pop");
  const auto size = static_cast<int64_t>(list.items.size());
  int64_t at = given.integer(0, -1);
  if (at < 0) at += size;
  if (at < 0 || at >= size) throw_error("pop: the list has no such element");
  Value item = std::move(list.items[static_cast<size_t>(at)]);
  list.items.erase(list.items.begin() + at);
  return item;
}

Value list_index(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("index", arguments, {"item"});
  const auto& items = self.list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], given.required(0), run.budget())) return i;
  }
  throw_error("index: the list has no such element");
}

Value list_count(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("count", arguments, {"item"});
  const auto& items = self.list()->items;
  return std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(item, given.required(0), run.budget());
  });
}

Value copy(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("copy", arguments, {});
  if (self.list()) return run.list(self.list()->items);
  return make_dict(self.dict()->entries, run.budget());
}

Value get(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("get", arguments, {"key", "default"});
  const Value* found = find(*self.dict(), given.required(0), run.budget());
  return found ? *found : given.value(1, None());
}

Value keys(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("keys", arguments, {});
  return run.list(run.elements(self));
}

Value values(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("values", arguments, {});
  std::vector<Value> all;
  for (const auto& [key, value] : self.dict()->entries) all.push_back(value);
  return run.list(std::move(all));
}

Value items(Run& run, const Value& self, Arguments& arguments) {
  Parameters given("items", arguments, {});
  return run.list(run.pairs(self));
}

Value immutable(Run&, const Value& self, Arguments&) {
  throw_error(fmt::format("a template may not change a {}; make a new one", type_name(self)));
}

using Entry = std::pair<std::string_view, Method>;

constexpr Entry kOfTexts[] = {
    {"strip", strip_method<Side::both>},
    {"lstrip", strip_method<Side::left>},
    {"rstrip", strip_method<Side::right>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"startswith", starts_or_ends<false>},
    {"endswith", starts_or_ends<true>},
    {"find", find_text<false, false>},
    {"rfind", find_text<true, false>},
    {"index", find_text<false, true>},
    {"rindex", find_text<true, true>},
    {"count", count_text},
    {"isalpha", all_are<is_alphabetic>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isdigit", all_are<is_decimal>},
    {"isdecimal", all_are<is_decimal>},
    {"isnumeric", all_are<is_number>},
    {"isspace", all_are<is_python_space>},
    {"isascii", isascii},
    {"isupper", has_case<true>},
    {"islower", has_case<false>},
    {"upper", mapped<to_upper>},
    {"lower", mapped<to_lower>},
    {"casefold", mapped<to_lower>},
    {"capitalize", mapped<capitalize>},
    {"title", mapped<title>},
    {"swapcase", mapped<swapcase>},
    {"replace", replace_method},
    {"removeprefix", remove_end<false>},
    {"removesuffix", remove_end<true>},
    {"join", join},
    {"format", format},
    {"ljust", justify<Align::left>},
    {"rjust", justify<Align::right>},
    {"center", justify<Align::center>},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
};

constexpr Entry kOfLists[] = {
    {"append", append},   {"pop", pop},          {"index", list_index},  {"count", list_count},
    {"copy", copy},       {"extend", immutable}, {"insert", immutable},  {"remove", immutable},
    {"clear", immutable}, {"sort", immutable},   {"reverse", immutable},
};

constexpr Entry kOfDicts[] = {
    {"get", get},           {"items", items},     {"keys", keys},
    {"values", values},     {"copy", copy},       {"update", immutable},
    {"pop", immutable},     {"clear", immutable}, {"setdefault", immutable},
    {"popitem", immutable},
};

Method find_in(std::span<const Entry> table, std::string_view name) {
  for (const Entry& entry : table) {
    if (entry.first == name) return entry.second;
  }
  return nullptr;
}

}  // namespace

Method find_method(const Value& self, std::string_view name) {
  if (self.text()) return find_in(kOfTexts, name);
  if (self.list()) return find_in(kOfLists, name);
  if (self.dict()) return find_in(kOfDicts, name);
  return nullptr;
}

}  // namespace cairn::text::jinja
