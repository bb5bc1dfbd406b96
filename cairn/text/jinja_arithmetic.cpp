// Python's operators. Whole numbers have 64 bits; a result beyond them is an error.
#include <fmt/format.h>

#include <cmath>

#include "cairn/text/jinja_format.h"
#include "cairn/text/jinja_run.h"

namespace cairn::text::jinja {
namespace {

[[noreturn]] void overflow() { throw_error("the result is beyond 64-bit numbers"); }
[[noreturn]] void division_by_zero() { throw_error("division by zero"); }

std::string_view sign_of(Operator operation) {
  switch (operation) {
    case Operator::add: return "+";
    case Operator::subtract: return "-";
    case Operator::multiply: return "*";
    case Operator::divide: return "/";
    case Operator::floor_divide: return "//";
    case Operator::modulo: return "%";
    default: return "**";
  }
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) division_by_zero();
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return result;
}

Value of_integers(Operator operation, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (operation) {
    case Operator::add:
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return result;
    case Operator::subtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return result;
    case Operator::multiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return result;
    case Operator::divide:
      if (b == 0) division_by_zero();
      return static_cast<double>(a) / static_cast<double>(b);
    case Operator::floor_divide:
      if (b == 0) division_by_zero();
      if (b == -1) return of_integers(Operator::subtract, 0, a);
      return a / b - (a % b != 0 && (a < 0) != (b < 0));
    case Operator::modulo:
      if (b == 0) division_by_zero();
      if (b == -1) return 0;
      result = a % b;
      return result != 0 && (result < 0) != (b < 0) ? result + b : result;
    default: return power(a, b);
  }
}

Value of_reals(Operator operation, double a, double b) {
  switch (operation) {
    case Operator::add: return a + b;
    case Operator::subtract: return a - b;
    case Operator::multiply: return a * b;
    case Operator::divide:
      if (b == 0) division_by_zero();
      return a / b;
    case Operator::floor_divide:
    case Operator::modulo: {
      if (b == 0) division_by_zero();
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      if (operation == Operator::modulo) return rest == 0 ? std::copysign(0.0, b) : rest;
      return std::round((a - rest) / b);
    }
    default:
      if (a == 0 && b < 0) division_by_zero();
      if (a < 0 && b != std::floor(b)) throw_error("a fractional power of a negative number");
      return std::pow(a, b);
  }
}

Value repeated(Run& run, const Value& value, int64_t times) {
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  const uint64_t size =
      value.text() ? value.text()->size() : value.list()->items.size() * sizeof(Value);
  uint64_t bytes = 0;
  run.budget().bytes(__builtin_mul_overflow(size, count, &bytes) ? UINT64_MAX : bytes);
  if (value.text()) {
    std::string out;
    if (size == 0) return out;
    out.reserve(bytes);
    for (uint64_t i = 0; i < count; ++i) out += *value.text();
    return out;
  }
  std::vector<Value> items;
  if (size > 0) {
    for (uint64_t i = 0; i < count; ++i)
      items.insert(items.end(), value.list()->items.begin(), value.list()->items.end());
  }
  return make_list(std::move(items), run.budget(), value.list()->tuple);
}

}  // namespace

Value arithmetic(Run& run, Operator operation, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (value->is_undefined()) throw_error(value->missing());
  }
  if (a.integer() && b.integer()) return of_integers(operation, *a.integer(), *b.integer());
  if (a.is_number() && b.is_number()) return of_reals(operation, *a.real(), *b.real());
  if (operation == Operator::add && a.text() && b.text()) {
    run.budget().bytes(a.text()->size() + b.text()->size());
    return *a.text() + *b.text();
  }
  const List *x = a.list(), *y = b.list();
  if (operation == Operator::add && x && y && x->tuple == y->tuple) {
    std::vector<Value> items = x->items;
    items.insert(items.end(), y->items.begin(), y->items.end());
    return make_list(std::move(items), run.budget(), x->tuple);
  }
  if (operation == Operator::multiply) {
    if ((a.text() || x) && b.integer()) return repeated(run, a, *b.integer());
    if ((b.text() || y) && a.integer()) return repeated(run, b, *a.integer());
  }
  if (operation == Operator::modulo && a.text()) return printf_format(run, *a.text(), b);
  throw_error(fmt::format("'{}' does not work for {} and {}", sign_of(operation), type_name(a),
                          type_name(b)));
}

Value negate(const Value& value) {
  if (value.is_undefined()) throw_error(value.missing());
  if (const auto integer = value.integer()) return of_integers(Operator::subtract, 0, *integer);
  if (value.is_real()) return -*value.real();
  throw_error(fmt::format("a sign does not work for {}", type_name(value)));
}

bool contains(Run& run, const Value& container, const Value& value) {
  if (const std::string* text = container.text()) {
    if (!value.text()) {
      throw_error(value.is_undefined()
                      ? value.missing()
                      : fmt::format("'in' of a text needs a text, not {}", type_name(value)));
    }
    run.budget().steps(text->size() / 16);
    return text->find(*value.text()) != text->npos;
  }
  if (const Dict* dict = container.dict()) return find(*dict, value, run.budget()) != nullptr;
  if (const List* list = container.list()) {
    for (const Value& item : list->items) {
      if (equal(item, value, run.budget())) return true;
    }
    return false;
  }
  if (container.is_undefined()) return false;
  throw_error(fmt::format("'in' does not work for {}", type_name(container)));
}

}  // namespace cairn::text::jinja
