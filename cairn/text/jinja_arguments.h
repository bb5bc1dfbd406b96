// The arguments of a function, filter, test or method by the names of its parameters.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/text/jinja_value.h"

namespace cairn::text::jinja {

class Parameters {
 public:
  // Throws Error for arguments that are too many, unknown or given twice.
  Parameters(std::string_view function, Arguments& arguments,
             std::initializer_list<std::string_view> names);

  bool has(size_t i) const { return values_[i].has_value(); }
  const Value& required(size_t i) const;
  Value value(size_t i, Value fallback) const { return values_[i].value_or(std::move(fallback)); }
  // Throw Error when the value is of another type.
  int64_t integer(size_t i) const;
  int64_t integer(size_t i, int64_t fallback) const { return has(i) ? integer(i) : fallback; }
  bool boolean(size_t i, bool fallback) const { return has(i) ? is_true(*values_[i]) : fallback; }
  const std::string& text(size_t i) const;
  std::string text(size_t i, std::string fallback) const {
    return has(i) ? text(i) : std::move(fallback);
  }
  bool is_none(size_t i) const { return !has(i) || values_[i]->is_none(); }

 private:
  [[noreturn]] void wrong_type(size_t i, std::string_view expected) const;
  std::string function_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace cairn::text::jinja
