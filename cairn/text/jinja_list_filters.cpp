// Filters of lists and dicts. Where Jinja gives a generator, this gives a list.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/text/jinja_arguments.h"
#include "cairn/text/jinja_filters.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

// "a.b.0": attributes and elements, one after the other.
Value follow(Run& run, Value value, const Value& path) {
  if (path.integer()) return run.item(value, path);
  if (!path.text())
    throw_error(fmt::format("'attribute' is a text or a number, not {}", type_name(path)));
  std::string_view rest = *path.text();
  while (true) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    const bool index =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    value = run.item(value, index ? Value(std::stoi(std::string(part))) : Value(part));
    if (part.size() == rest.size()) return value;
    rest.remove_prefix(part.size() + 1);
  }
}

// What an item is compared by: itself, or an attribute; texts without case unless asked.
class Key {
 public:
  Key(Run& run, std::optional<Value> attribute, bool case_sensitive)
      : run_(run), attribute_(std::move(attribute)), case_sensitive_(case_sensitive) {}

  Value operator()(const Value& item) const {
    if (!attribute_ || attribute_->is_none()) return plain(item);
    return plain(follow(run_, item, *attribute_));
  }

 private:
  Value plain(Value value) const {
    if (case_sensitive_ || !value.text()) return value;
    run_.budget().bytes(value.text()->size());
    return to_lower(*value.text());
  }
  Run& run_;
  std::optional<Value> attribute_;
  bool case_sensitive_;
};

std::optional<Value> given_or_none(const Parameters& given, size_t i) {
  return given.is_none(i) ? std::nullopt : std::optional(given.required(i));
}

// Sorts `items` by the lists of keys that `keys_of` gives.
template <class KeysOf>
std::vector<Value> sorted(Run& run, std::vector<Value> items, bool reverse, KeysOf keys_of) {
  std::vector<std::pair<std::vector<Value>, Value>> keyed;
  for (Value& item : items) {
    std::vector<Value> keys = keys_of(item);
    keyed.emplace_back(std::move(keys), std::move(item));
  }
  const auto before = [&](const auto& a, const auto& b) {
    for (size_t i = 0; i < a.first.size(); ++i) {
      const int order = compare(a.first[i], b.first[i], run.budget());
      if (order != 0) return reverse ? order > 0 : order < 0;
    }
    return false;
  };
  std::stable_sort(keyed.begin(), keyed.end(), before);
  items.clear();
  for (auto& [keys, item] : keyed) items.push_back(std::move(item));
  return items;
}

Value length_filter(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("length", arguments, {});
  return length(input, run.budget());
}

Value list_filter(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("list", arguments, {});
  return run.list(run.elements(input));
}

Value items_filter(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("items", arguments, {});
  return run.list(run.pairs(input));
}

template <bool last>
Value first_or_last(Run& run, const Value& input, Arguments& arguments) {
  Parameters given(last ? "last" : "first", arguments, {});
  const std::vector<Value> items = run.elements(input);
  if (items.empty()) return Value::undefined("there is no first or last element");
  return last ? items.back() : items.front();
}

Value join(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("join", arguments, {"d", "attribute"});
  const std::string separator = given.has(0) ? run.text(given.required(0)) : "";
  std::string out;
  bool first = true;
  for (const Value& item : run.elements(input)) {
    const std::string text =
        run.text(given.is_none(1) ? item : follow(run, item, given.required(1)));
    run.budget().bytes(text.size() + separator.size());
    if (!first) out += separator;
    first = false;
    out += text;
  }
  return out;
}

Value reverse(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("reverse", arguments, {});
  std::vector<Value> items = run.elements(input);
  std::reverse(items.begin(), items.end());
  if (!input.text()) return run.list(std::move(items));
  std::string out;
  for (const Value& item : items) out += *item.text();
  return out;
}

Value sort(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  // "a,b" sorts by several attributes.
  std::vector<Key> keys;
  if (!given.is_none(2) && given.required(2).text()) {
    std::string_view rest = given.text(2);
    for (;;) {
      const std::string_view part = rest.substr(0, rest.find(','));
      keys.emplace_back(run, Value(part), given.boolean(1, false));
      if (part.size() == rest.size()) break;
      rest.remove_prefix(part.size() + 1);
    }
  } else {
    keys.emplace_back(run, given_or_none(given, 2), given.boolean(1, false));
  }
  return run.list(sorted(run, run.elements(input), given.boolean(0, false), [&](const Value& item) {
    std::vector<Value> values;
    for (const Key& key : keys) values.push_back(key(item));
    return values;
  }));
}

Value dictsort(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = given.text(1, "key");
  if (by != "key" && by != "value") throw_error("dictsort: 'by' is key or value");
  if (!input.dict())
    throw_error(input.is_undefined()
                    ? input.missing()
                    : fmt::format("dictsort needs a dict, not {}", type_name(input)));
  const Key key(run, Value(by == "key" ? 0 : 1), given.boolean(0, false));
  return run.list(sorted(run, run.pairs(input), given.boolean(2, false),
                         [&](const Value& item) { return std::vector<Value>{key(item)}; }));
}

Value unique(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("unique", arguments, {"case_sensitive", "attribute"});
  const Key key(run, given_or_none(given, 1), given.boolean(0, false));
  std::vector<Value> seen, out;
  for (const Value& item : run.elements(input)) {
    Value value = key(item);
    const bool known = std::any_of(seen.begin(), seen.end(), [&](const Value& other) {
      return equal(other, value, run.budget());
    });
    if (known) continue;
    seen.push_back(std::move(value));
    out.push_back(item);
  }
  return run.list(std::move(out));
}

template <bool greatest>
Value extreme(Run& run, const Value& input, Arguments& arguments) {
  Parameters given(greatest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Key key(run, given_or_none(given, 1), given.boolean(0, false));
  const std::vector<Value> items = run.elements(input);
  if (items.empty()) return Value::undefined("there is no element to choose from");
  const Value* best = &items[0];
  for (const Value& item : items) {
    const int order = compare(key(item), key(*best), run.budget());
    if (greatest ? order > 0 : order < 0) best = &item;
  }
  return *best;
}

Value sum(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("sum", arguments, {"attribute", "start"});
  Value total = given.value(1, 0);
  for (const Value& item : run.elements(input)) {
    total = arithmetic(run, Operator::add, total,
                       given.is_none(0) ? item : follow(run, item, given.required(0)));
  }
  return total;
}

Value groupby(Run& run, const Value& input, Arguments& arguments) {
  static constexpr std::string_view kNames[] = {"grouper", "list"};
  Parameters given("groupby", arguments, {"attribute", "default", "case_sensitive"});
  const Value attribute = given.required(0);
  const Key key(run, Value(None()), given.boolean(2, false));
  const auto raw = [&](const Value& item) {
    Value value = follow(run, item, attribute);
    return value.is_undefined() && given.has(1) ? given.required(1) : value;
  };
  const std::vector<Value> items = sorted(run, run.elements(input), false, [&](const Value& item) {
    return std::vector<Value>{key(raw(item))};
  });
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    while (end < items.size() &&
           equal(key(raw(items[begin])), key(raw(items[end])), run.budget())) {
      ++end;
    }
    const auto at = [&](size_t i) { return items.begin() + static_cast<ptrdiff_t>(i); };
    Value group = run.tuple({raw(items[begin]), run.list({at(begin), at(end)})});
    group.list()->names = kNames;
    groups.push_back(std::move(group));
    begin = end;
  }
  return run.list(std::move(groups));
}

Value batch(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("batch", arguments, {"linecount", "fill_with"});
  const int64_t size = given.integer(0);
  if (size < 1) throw_error("batch: 'linecount' is at least 1");
  std::vector<Value> rows, row;
  for (const Value& item : run.elements(input)) {
    if (static_cast<int64_t>(row.size()) == size) rows.push_back(run.list(std::exchange(row, {})));
    row.push_back(item);
  }
  if (row.empty()) return run.list(std::move(rows));
  while (!given.is_none(1) && static_cast<int64_t>(row.size()) < size) {
    run.budget().bytes(sizeof(Value));
    row.push_back(given.required(1));
  }
  rows.push_back(run.list(std::move(row)));
  return run.list(std::move(rows));
}

Value slice(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("slice", arguments, {"slices", "fill_with"});
  const std::vector<Value> items = run.elements(input);
  const int64_t slices = given.integer(0);
  if (slices < 1 || slices > 100'000) throw_error("slice: 'slices' is from 1 to 100000");
  const auto count = static_cast<int64_t>(items.size());
  std::vector<Value> columns;
  int64_t at = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t end = at + count / slices + (i < count % slices ? 1 : 0);
    std::vector<Value> column(items.begin() + at, items.begin() + end);
    if (!given.is_none(1) && i >= count % slices && count % slices != 0)
      column.push_back(given.required(1));
    columns.push_back(run.list(std::move(column)));
    at = end;
  }
  return run.list(std::move(columns));
}

Value attr(Run& run, const Value& input, Arguments& arguments) {
  Parameters given("attr", arguments, {"name"});
  // Attributes only, never entries: so a dict has its methods.
  if (input.dict() && !find_method(input, given.text(0)))
    return Value::undefined(fmt::format("a dict has no attribute '{}'", given.text(0)));
  return run.attribute(input, given.text(0));
}

Value map(Run& run, const Value& input, Arguments& arguments) {
  std::vector<Value> out;
  std::vector<Value> items = run.elements(input);
  if (arguments.positional.empty()) {
    Parameters given("map", arguments, {"attribute", "default"});
    for (const Value& item : items) {
      Value value = follow(run, item, given.required(0));
      out.push_back(value.is_undefined() && given.has(1) ? given.required(1) : std::move(value));
    }
    return run.list(std::move(out));
  }
  if (!arguments.positional[0].text()) throw_error("map needs the name of a filter");
  const std::string name = *arguments.positional[0].text();
  arguments.positional.erase(arguments.positional.begin());
  for (Value& item : items) out.push_back(run.filter(name, std::move(item), arguments));
  return run.list(std::move(out));
}

// select, reject, selectattr, rejectattr: by a test, or by being true.
template <bool by_attribute, bool wanted>
Value choose(Run& run, const Value& input, Arguments& arguments) {
  auto& positional = arguments.positional;
  std::optional<Value> attribute;
  if (by_attribute) {
    if (positional.empty()) throw_error("selectattr and rejectattr need the name of an attribute");
    attribute = positional.front();
    positional.erase(positional.begin());
  }
  std::optional<std::string> test;
  if (!positional.empty()) {
    if (!positional[0].text()) throw_error("select and reject need the name of a test");
    test = *positional[0].text();
    positional.erase(positional.begin());
  }
  std::vector<Value> out;
  for (const Value& item : run.elements(input)) {
    const Value value = attribute ? follow(run, item, *attribute) : item;
    const bool holds = test ? run.test(*test, value, arguments) : is_true(value);
    if (holds == wanted) out.push_back(item);
  }
  return run.list(std::move(out));
}

constexpr FilterEntry kFilters[] = {
    {"attr", attr},
    {"batch", batch},
    {"count", length_filter},
    {"dictsort", dictsort},
    {"first", first_or_last<false>},
    {"groupby", groupby},
    {"items", items_filter},
    {"join", join},
    {"last", first_or_last<true>},
    {"length", length_filter},
    {"list", list_filter},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", choose<false, false>},
    {"rejectattr", choose<true, false>},
    {"reverse", reverse},
    {"select", choose<false, true>},
    {"selectattr", choose<true, true>},
    {"slice", slice},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const FilterEntry> list_filters() { return kFilters; }

}  // namespace cairn::text::jinja
