// Tests: what stands behind `is`.
#include <fmt/format.h>

#include "cairn/text/jinja_arguments.h"
#include "cairn/text/jinja_run.h"
#include "cairn/text/unicode.h"

namespace cairn::text::jinja {
namespace {

bool is_defined(Run&, const Value& value, Arguments&) { return !value.is_undefined(); }
bool is_undefined(Run&, const Value& value, Arguments&) { return value.is_undefined(); }
bool is_none(Run&, const Value& value, Arguments&) { return value.is_none(); }
bool is_boolean(Run&, const Value& value, Arguments&) { return value.is_boolean(); }
bool is_true_value(Run&, const Value& value, Arguments&) {
  return value.is_boolean() && is_true(value);
}
bool is_false_value(Run&, const Value& value, Arguments&) {
  return value.is_boolean() && !is_true(value);
}
bool is_number(Run&, const Value& value, Arguments&) { return value.is_number(); }
bool is_integer(Run&, const Value& value, Arguments&) {
  return value.integer() && !value.is_boolean();
}
bool is_float(Run&, const Value& value, Arguments&) { return value.is_real(); }
bool is_string(Run&, const Value& value, Arguments&) { return value.text() != nullptr; }
bool is_mapping(Run&, const Value& value, Arguments&) { return value.dict() != nullptr; }
bool is_sequence(Run&, const Value& value, Arguments&) {
  return value.text() || value.list() || value.dict();
}
bool is_iterable(Run&, const Value& value, Arguments&) {
  return value.text() || value.list() || value.dict() || value.is_undefined();
}
bool is_callable(Run&, const Value& value, Arguments&) {
  return value.object() && value.object()->callable();
}
bool is_never(Run&, const Value&, Arguments&) { return false; }
bool is_filter(Run&, const Value& value, Arguments&) {
  return value.text() && find_filter(*value.text());
}
bool is_test(Run&, const Value& value, Arguments&) {
  return value.text() && find_test(*value.text());
}

int64_t whole(const Value& value, std::string_view test) {
  if (value.is_undefined()) throw_error(value.missing());
  if (!value.integer())
    throw_error(fmt::format("'{}' needs a whole number, not {}", test, type_name(value)));
  return *value.integer();
}
bool is_odd(Run&, const Value& value, Arguments&) { return whole(value, "odd") % 2 != 0; }
bool is_even(Run&, const Value& value, Arguments&) { return whole(value, "even") % 2 == 0; }
bool is_divisible(Run&, const Value& value, Arguments& arguments) {
  Parameters given("divisibleby", arguments, {"num"});
  const int64_t by = given.integer(0);
  if (by == 0) throw_error("divisibleby: division by zero");
  return by == -1 || whole(value, "divisibleby") % by == 0;
}

// Some letter has this case, and none the other.
template <bool upper>
bool has_case(Run& run, const Value& value, Arguments&) {
  const std::string text = run.text(value);
  return (upper ? to_upper(text) : to_lower(text)) == text && to_upper(text) != to_lower(text);
}

const Value& other(Parameters& given) { return given.required(0); }

bool is_equal(Run& run, const Value& value, Arguments& arguments) {
  Parameters given("eq", arguments, {"other"});
  return equal(value, other(given), run.budget());
}
bool is_not_equal(Run& run, const Value& value, Arguments& arguments) {
  return !is_equal(run, value, arguments);
}
template <bool (*holds)(int)>
bool ordered(Run& run, const Value& value, Arguments& arguments) {
  Parameters given("a comparison", arguments, {"other"});
  return holds(compare(value, other(given), run.budget()));
}
bool less(int order) { return order < 0; }
bool less_equal(int order) { return order <= 0; }
bool greater(int order) { return order > 0; }
bool greater_equal(int order) { return order >= 0; }

bool is_in(Run& run, const Value& value, Arguments& arguments) {
  Parameters given("in", arguments, {"seq"});
  return contains(run, given.required(0), value);
}

// The same object; of what is no container, the same value of the same type.
bool is_same(Run& run, const Value& value, Arguments& arguments) {
  Parameters given("sameas", arguments, {"other"});
  const Value& with = other(given);
  if (value.list() || with.list()) return value.list() == with.list();
  if (value.dict() || with.dict()) return value.dict() == with.dict();
  return type_name(value) == type_name(with) && equal(value, with, run.budget());
}

constexpr std::pair<std::string_view, Test> kTests[] = {
    {"defined", is_defined},
    {"undefined", is_undefined},
    {"none", is_none},
    {"boolean", is_boolean},
    {"true", is_true_value},
    {"false", is_false_value},
    {"number", is_number},
    {"integer", is_integer},
    {"float", is_float},
    {"string", is_string},
    {"mapping", is_mapping},
    {"sequence", is_sequence},
    {"iterable", is_iterable},
    {"callable", is_callable},
    {"escaped", is_never},
    {"filter", is_filter},
    {"test", is_test},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisible},
    {"upper", has_case<true>},
    {"lower", has_case<false>},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"==", is_equal},
    {"ne", is_not_equal},
    {"!=", is_not_equal},
    {"lt", ordered<less>},
    {"lessthan", ordered<less>},
    {"<", ordered<less>},
    {"le", ordered<less_equal>},
    {"<=", ordered<less_equal>},
    {"gt", ordered<greater>},
    {"greaterthan", ordered<greater>},
    {">", ordered<greater>},
    {"ge", ordered<greater_equal>},
    {">=", ordered<greater_equal>},
    {"in", is_in},
    {"sameas", is_same},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const auto& [known, test] : kTests) {
    if (known == name) return test;
  }
  return nullptr;
}

}  // namespace cairn::text::jinja
