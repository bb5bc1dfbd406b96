// Run: the values of expressions.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/text/jinja_run.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

using Kind = Expression::Kind;

// Start, stop and step of a slice over `size` elements, as Python clips them.
struct Range {
  int64_t start, stop, step;
};

Range clip(const Value& start, const Value& stop, const Value& step, int64_t size) {
  const auto number = [](const Value& value, std::string_view what) -> std::optional<int64_t> {
    if (value.is_none()) return std::nullopt;
    if (!value.integer())
      throw_error(
          fmt::format("the {} of a slice is a whole number, not {}", what, type_name(value)));
    return value.integer();
  };
  Range range{};
  range.step = number(step, "step").value_or(1);
  if (range.step == 0) throw_error("the step of a slice cannot be 0");
  const bool back = range.step < 0;
  const int64_t low = back ? -1 : 0, high = back ? size - 1 : size;
  const auto place = [&](std::optional<int64_t> at, int64_t fallback) {
    if (!at) return fallback;
    if (*at < 0) return *at < -size ? low : std::max(low, *at + size);
    return std::min(*at, high);
  };
  range.start = place(number(start, "start"), back ? high : low);
  range.stop = place(number(stop, "stop"), back ? low : high);
  return range;
}

std::vector<int64_t> positions(Range range, Budget& budget) {
  std::vector<int64_t> all;
  // A step beyond the size takes one element; so nothing overflows.
  const int64_t step = std::clamp<int64_t>(range.step, INT32_MIN, INT32_MAX);
  for (int64_t i = range.start; step > 0 ? i < range.stop : i > range.stop; i += step) {
    budget.steps();
    all.push_back(i);
  }
  return all;
}

}  // namespace

Value Run::evaluate(const Expression& node, Scope& scope) {
  const bool leaf = node.parts.empty() && node.arguments.empty();
  budget_.steps();
  if (leaf && node.kind == Kind::constant) return node.value;
  if (leaf && node.kind == Kind::name) return name(node, scope);
  const Deeper deeper(*this);
  const auto part = [&](size_t i) {
    return node.parts[i] ? evaluate(*node.parts[i], scope) : Value(None());
  };
  switch (node.kind) {
    case Kind::constant: return node.value;
    case Kind::name: return name(node, scope);
    case Kind::list:
    case Kind::tuple:
    case Kind::dict: return evaluate_parts(node, scope);
    case Kind::attribute: {
      const Value object = part(0);
      at_ = node.at;
      return attribute(object, node.name);
    }
    case Kind::item: {
      const Value object = part(0), key = part(1);
      at_ = node.at;
      return item(object, key);
    }
    case Kind::slice: return slice(node, scope);
    case Kind::call: return call(node, scope);
    case Kind::filter: return filters(node, scope, nullptr);
    case Kind::test: {
      const Value value = part(0);
      Arguments values = arguments(node, scope);
      at_ = node.at;
      return test(node.name, value, std::move(values));
    }
    case Kind::negate:
    case Kind::plus: {
      const Value value = part(0);
      at_ = node.at;
      const Value negated = negate(value);
      return node.kind == Kind::negate ? negated : negate(negated);
    }
    case Kind::invert: return !is_true(part(0));
    case Kind::both: {
      Value left = part(0);
      return is_true(left) ? part(1) : left;
    }
    case Kind::either: {
      Value left = part(0);
      return is_true(left) ? left : part(1);
    }
    case Kind::arithmetic: {
      const Value left = part(0), right = part(1);
      at_ = node.at;
      return arithmetic(*this, node.operators[0], left, right);
    }
    case Kind::concatenate: return concatenate(node, scope);
    case Kind::compare: return compare(node, scope);
    case Kind::conditional:
      if (is_true(part(0))) return part(1);
      if (node.parts[2]) return part(2);
      return Value::undefined("the condition of an 'if' without 'else' is false");
  }
  return {};
}

Value Run::evaluate_parts(const Expression& node, Scope& scope) {
  std::vector<Value> values;
  for (const ExpressionPtr& part : node.parts) values.push_back(evaluate(*part, scope));
  at_ = node.at;
  if (node.kind != Kind::dict)
    return make_list(std::move(values), budget_, node.kind == Kind::tuple);
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < values.size(); i += 2)
    entries.emplace_back(std::move(values[i]), std::move(values[i + 1]));
  return make_dict(std::move(entries), budget_);
}

Value Run::name(const Expression& node, Scope& scope) {
  if (const Value* value = scope.find(node.name)) return *value;
  if (const Value* value = globals_.find(node.name)) return *value;
  if (const auto function = find_function(node.name)) return *function;
  at_ = node.at;
  return Value::undefined(fmt::format("'{}' is undefined", node.name));
}

Value Run::concatenate(const Expression& node, Scope& scope) {
  std::string joined;
  for (const ExpressionPtr& part : node.parts) joined += text(evaluate(*part, scope));
  budget_.bytes(joined.size());
  return joined;
}

bool Run::compare(const Expression& node, Scope& scope) {
  Value left = evaluate(*node.parts[0], scope);
  for (size_t i = 0; i < node.operators.size(); ++i) {
    Value right = evaluate(*node.parts[i + 1], scope);
    at_ = node.at;
    const auto holds = [&] {
      switch (node.operators[i]) {
        case Operator::equal: return equal(left, right, budget_);
        case Operator::not_equal: return !equal(left, right, budget_);
        case Operator::in: return contains(*this, right, left);
        case Operator::not_in: return !contains(*this, right, left);
        case Operator::less: return jinja::compare(left, right, budget_) < 0;
        case Operator::less_equal: return jinja::compare(left, right, budget_) <= 0;
        case Operator::greater: return jinja::compare(left, right, budget_) > 0;
        default: return jinja::compare(left, right, budget_) >= 0;
      }
    };
    if (!holds()) return false;
    left = std::move(right);
  }
  return true;
}

Arguments Run::arguments(const Expression& node, Scope& scope) {
  Arguments out;
  const auto add_named = [&](std::string name, Value value) {
    for (const auto& [known, old] : out.named) {
      if (known == name) throw_error(fmt::format("the argument '{}' is given twice", name));
    }
    out.named.emplace_back(std::move(name), std::move(value));
  };
  for (const Argument& argument : node.arguments) {
    Value value = evaluate(*argument.value, scope);
    switch (argument.kind) {
      case Argument::Kind::positional: out.positional.push_back(std::move(value)); break;
      case Argument::Kind::named: add_named(argument.name, std::move(value)); break;
      case Argument::Kind::spread:
        for (Value& item : elements(value)) out.positional.push_back(std::move(item));
        break;
      case Argument::Kind::spread_named:
        if (!value.dict()) throw_error(fmt::format("'**' needs a dict, not {}", type_name(value)));
        for (const auto& [key, item] : value.dict()->entries) add_named(text(key), item);
        break;
    }
  }
  return out;
}

Value Run::call(const Expression& node, Scope& scope) {
  const Value callee = evaluate(*node.parts[0], scope);
  Arguments values = arguments(node, scope);
  at_ = node.at;
  if (callee.is_undefined()) throw_error(callee.missing());
  if (!callee.object() || !callee.object()->callable()) {
    const Expression& called = *node.parts[0];
    throw_error(fmt::format("{}a {} cannot be called",
                            called.name.empty() ? "" : fmt::format("'{}': ", called.name),
                            type_name(callee)));
  }
  return call(callee, std::move(values));
}

Value Run::call(const Value& callee, Arguments arguments) {
  const Deeper deeper(*this);
  if (callee.is_undefined()) throw_error(callee.missing());
  if (!callee.object()) throw_error(fmt::format("a {} cannot be called", type_name(callee)));
  return callee.object()->call(*this, std::move(arguments));
}

Value Run::filters(const Expression& node, Scope& scope, const Value* block) {
  Value input;
  if (!node.parts[0]) {
    input = *block;
  } else if (block && node.parts[0]->kind == Kind::filter) {
    input = filters(*node.parts[0], scope, block);
  } else {
    input = evaluate(*node.parts[0], scope);
  }
  Arguments values = arguments(node, scope);
  at_ = node.at;
  return filter(node.name, std::move(input), std::move(values));
}

Value Run::filter(std::string_view name, Value input, Arguments arguments) {
  const Filter filter = find_filter(name);
  if (!filter) throw_error(fmt::format("there is no filter '{}'", name));
  return filter(*this, input, arguments);
}

bool Run::test(std::string_view name, const Value& value, Arguments arguments) {
  const Test test = find_test(name);
  if (!test) throw_error(fmt::format("there is no test '{}'", name));
  return test(*this, value, arguments);
}

// A method comes before an entry of the same name: {"items": 1}.items is the method, as in Python.
Value Run::attribute(const Value& value, std::string_view name) {
  if (value.is_undefined()) throw_error(value.missing());
  if (const Object* object = value.object()) {
    if (auto found = object->attribute(name)) return *std::move(found);
  }
  if (const Method method = find_method(value, name)) {
    return std::shared_ptr<Object>(std::make_shared<Function>(
        fmt::format("{}.{}", type_name(value), name),
        [method, value](Run& run, Arguments arguments) { return method(run, value, arguments); }));
  }
  if (const List* list = value.list()) {
    for (size_t i = 0; i < list->names.size(); ++i) {
      if (list->names[i] == name) return list->items[i];
    }
  }
  if (const Dict* dict = value.dict()) {
    budget_.steps(dict->entries.size() / 8);
    if (const Value* found = dict->find(name)) return *found;
  }
  return Value::undefined(fmt::format("a {} has no attribute '{}'", type_name(value), name));
}

Value Run::item(const Value& value, const Value& key) {
  if (value.is_undefined()) throw_error(value.missing());
  if (const Dict* dict = value.dict()) {
    if (key.dict() || (key.list() && !key.list()->tuple))
      return Value::undefined(fmt::format("a dict has no key of type {}", type_name(key)));
    if (const Value* found = find(*dict, key, budget_)) return *found;
  } else if (key.integer() && (value.list() || value.text())) {
    const int64_t size = length(value, budget_);
    const int64_t at = *key.integer() < 0 ? *key.integer() + size : *key.integer();
    if (at < 0 || at >= size) {
      return Value::undefined(fmt::format("a {} of {} elements has no element {}", type_name(value),
                                          size, *key.integer()));
    }
    if (value.list()) return value.list()->items[static_cast<size_t>(at)];
    const std::string_view text = *value.text();
    size_t begin = 0;
    for (int64_t i = 0; i < at; ++i) begin += decode_utf8(text.substr(begin)).size;
    return text.substr(begin, decode_utf8(text.substr(begin)).size);
  }
  if (key.text()) {
    if (!value.dict()) return attribute(value, *key.text());
    if (find_method(value, *key.text())) return attribute(value, *key.text());
    return Value::undefined(fmt::format("a dict has no key '{}'", *key.text()));
  }
  return Value::undefined(
      fmt::format("a {} has no element '{}'", type_name(value), to_repr(key, budget_)));
}

Value Run::slice(const Expression& node, Scope& scope) {
  const auto bound = [&](size_t i) {
    return node.parts[i] ? evaluate(*node.parts[i], scope) : Value(None());
  };
  const Value value = evaluate(*node.parts[0], scope);
  const Value start = bound(1), stop = bound(2), step = bound(3);
  at_ = node.at;
  if (value.is_undefined()) throw_error(value.missing());
  if (!value.list() && !value.text())
    throw_error(fmt::format("a {} cannot be sliced", type_name(value)));
  const Range range = clip(start, stop, step, length(value, budget_));
  if (const List* list = value.list()) {
    std::vector<Value> chosen;
    for (const int64_t i : positions(range, budget_))
      chosen.push_back(list->items[static_cast<size_t>(i)]);
    return make_list(std::move(chosen), budget_, list->tuple);
  }
  const std::string_view text = *value.text();
  budget_.bytes(text.size());
  if (range.step == 1) {
    size_t begin = 0, end = 0;
    for (int64_t i = 0; i < range.stop && end < text.size(); ++i) {
      end += decode_utf8(text.substr(end)).size;
      if (i < range.start) begin = end;
    }
    return text.substr(begin, std::max(end, begin) - begin);
  }
  std::vector<std::string_view> characters;
  for (size_t at = 0; at < text.size();) {
    characters.push_back(text.substr(at, decode_utf8(text.substr(at)).size));
    at += characters.back().size();
  }
  std::string out;
  for (const int64_t i : positions(range, budget_)) out += characters[static_cast<size_t>(i)];
  return out;
}

std::vector<Value> Run::pairs(const Value& value) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (!value.dict())
    throw_error(fmt::format("a {} has no items; expected a dict", type_name(value)));
  for (const auto& [key, item] : value.dict()->entries) out.push_back(tuple({key, item}));
  return out;
}

}  // namespace cairn::text::jinja
