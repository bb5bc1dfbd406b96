#include "cairn/text/jinja_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

constexpr int kDeepest = 100;           // containers in containers
constexpr uint64_t kBytesOfAStep = 64;  // copied in about the time of a step

int depth_of(const Value& value) {
  if (const List* list = value.list()) return list->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  return 0;
}

void grow_depth(int& depth, const Value& item) {
  depth = std::max(depth, depth_of(item) + 1);
  if (depth > kDeepest)
    throw_error(fmt::format("lists and dicts nest deeper than {} levels", kDeepest));
}

void check_hashable(const Value& key) {
  if (key.dict() || (key.list() && !key.list()->tuple))
    throw_error(fmt::format("a {} cannot be the key of a dict", type_name(key)));
}

}  // namespace

void Budget::steps(uint64_t count) {
  steps_ += count;
  if (steps_ > limits_.steps || count > limits_.steps) {
    throw_error(
        fmt::format("stopped after {} steps: the template does not seem to end", limits_.steps));
  }
}

void Budget::bytes(uint64_t count) {
  if (count > limits_.bytes || bytes_ + count > limits_.bytes) {
    throw_error(fmt::format("stopped: the template makes more than {} MiB of text and lists",
                            limits_.bytes >> 20));
  }
  bytes_ += count;
  steps(count / kBytesOfAStep);
}

Value Value::undefined(std::string what) {
  Value value;
  value.data_ = Undefined{std::make_shared<const std::string>(std::move(what))};
  return value;
}

std::optional<int64_t> Value::integer() const {
  if (const auto* integer = std::get_if<int64_t>(&data_)) return *integer;
  if (const auto* boolean = std::get_if<bool>(&data_)) return *boolean ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::real() const {
  if (const auto* real = std::get_if<double>(&data_)) return *real;
  if (const auto integer = this->integer()) return static_cast<double>(*integer);
  return std::nullopt;
}

const std::string& Value::missing() const {
  static const std::string kNothing = "the value is undefined";
  const auto* undefined = std::get_if<Undefined>(&data_);
  return undefined && undefined->what ? *undefined->what : kNothing;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.text() && *name.text() == key) return &value;
  }
  return nullptr;
}

std::optional<Value> Object::attribute(std::string_view) const { return std::nullopt; }

Value Object::call(Run&, Arguments) { throw_error(fmt::format("{} cannot be called", describe())); }

Value make_list(std::vector<Value> items, Budget& budget, bool tuple) {
  budget.bytes(items.size() * sizeof(Value));
  auto list = std::make_shared<List>();
  for (const Value& item : items) grow_depth(list->depth, item);
  list->items = std::move(items);
  list->tuple = list->frozen = tuple;
  return list;
}

Value make_dict(std::vector<std::pair<Value, Value>> entries, Budget& budget) {
  auto dict = std::make_shared<Dict>();
  for (auto& [key, value] : entries) insert(*dict, std::move(key), std::move(value), budget);
  return dict;
}

void insert(Dict& dict, Value key, Value value, Budget& budget) {
  check_hashable(key);
  budget.bytes(2 * sizeof(Value));
  grow_depth(dict.depth, value);
  grow_depth(dict.depth, key);
  for (auto& [name, old] : dict.entries) {
    if (!equal(name, key, budget)) continue;
    old = std::move(value);
    return;
  }
  dict.entries.emplace_back(std::move(key), std::move(value));
}

const Value* find(const Dict& dict, const Value& key, Budget& budget) {
  for (const auto& [name, value] : dict.entries) {
    if (equal(name, key, budget)) return &value;
  }
  return nullptr;
}

std::string_view type_name(const Value& value) {
  if (value.is_undefined()) return "undefined";
  if (value.is_none()) return "None";
  if (value.is_boolean()) return "bool";
  if (value.is_real()) return "float";
  if (value.integer()) return "int";
  if (value.text()) return "str";
  if (value.list()) return value.list()->tuple ? "tuple" : "list";
  return value.dict() ? "dict" : "object";
}

bool is_true(const Value& value) {
  if (const std::string* text = value.text()) return !text->empty();
  if (const List* list = value.list()) return !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  if (const auto number = value.real()) return *number != 0;
  return value.object() != nullptr;
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.steps();
  if (a.text() && b.text()) {
    if (a.text()->size() != b.text()->size()) return false;
    budget.steps(a.text()->size() / kBytesOfAStep);
    return *a.text() == *b.text();
  }
  if (a.integer() && b.integer()) return *a.integer() == *b.integer();
  if (a.is_number() && b.is_number()) return *a.real() == *b.real();
  if (const List *x = a.list(), *y = b.list(); x && y) {
    return x->tuple == y->tuple &&
           std::equal(x->items.begin(), x->items.end(), y->items.begin(), y->items.end(),
                      [&](const Value& i, const Value& j) { return equal(i, j, budget); });
  }
  if (const Dict *x = a.dict(), *y = b.dict(); x && y) {
    return x->entries.size() == y->entries.size() &&
           std::all_of(x->entries.begin(), x->entries.end(), [&](const auto& entry) {
             const Value* other = find(*y, entry.first, budget);
             return other && equal(entry.second, *other, budget);
           });
  }
  if (a.object() || b.object()) return a.object() == b.object();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

int compare(const Value& a, const Value& b, Budget& budget) {
  budget.steps();
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.text() && b.text()) {
    budget.steps(a.text()->size() / kBytesOfAStep);
    return order(*a.text(), *b.text());  // UTF-8 sorts like the code points
  }
  if (a.integer() && b.integer()) return order(*a.integer(), *b.integer());
  if (a.is_number() && b.is_number()) return order(*a.real(), *b.real());
  if (const List *x = a.list(), *y = b.list(); x && y && x->tuple == y->tuple) {
    for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
      if (!equal(x->items[i], y->items[i], budget))
        return compare(x->items[i], y->items[i], budget);
    }
    return order(x->items.size(), y->items.size());
  }
  for (const Value* value : {&a, &b}) {
    if (value->is_undefined()) throw_error(value->missing());
  }
  throw_error(fmt::format("{} and {} have no order", type_name(a), type_name(b)));
}

// Python's repr: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + e + 1 + (text[e + 1] == '+');
  std::from_chars(digits, end.ptr, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::vector<Value> elements(const Value& value, Budget& budget) {
  std::vector<Value> items;
  if (const List* list = value.list()) {
    budget.bytes(list->items.size() * sizeof(Value));
    items = list->items;
  } else if (const Dict* dict = value.dict()) {
    budget.bytes(dict->entries.size() * sizeof(Value));
    for (const auto& [key, item] : dict->entries) items.push_back(key);
  } else if (const std::string* text = value.text()) {
    // A string of one character takes about 64 bytes with what holds it.
    budget.bytes(text->size() * (sizeof(Value) + 64));
    for (size_t at = 0; at < text->size();) {
      const size_t size = decode_utf8(std::string_view(*text).substr(at)).size;
      items.emplace_back(text->substr(at, size));
      at += size;
    }
  } else if (!value.is_undefined()) {
    throw_error(fmt::format("{} has no elements to go through", type_name(value)));
  }
  return items;
}

int64_t length(const Value& value, Budget& budget) {
  if (const List* list = value.list()) return static_cast<int64_t>(list->items.size());
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries.size());
  if (value.is_undefined()) return 0;
  const std::string* text = value.text();
  if (!text) throw_error(fmt::format("{} has no length", type_name(value)));
  budget.steps(text->size() / kBytesOfAStep);
  return std::count_if(text->begin(), text->end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

}  // namespace cairn::text::jinja
