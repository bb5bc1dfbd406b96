#include "cairn/text/json_members.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/base/error.h"

namespace cairn::text {
namespace {

using Json = nlohmann::json;

void flatten(const Json& component, std::string_view role, const char* members,
             std::vector<const Json*>& out, int depth = 0) {
  constexpr int kDeepest = 8;  // published files nest once
  if (component.is_null()) return;
  if (type_of(component, role) != "Sequence") {
    out.push_back(&component);
    return;
  }
  if (depth == kDeepest) throw_error(fmt::format("{} nests too deeply", role));
  for (const Json& part : list(component, members)) flatten(part, role, members, out, depth + 1);
}

}  // namespace

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) {
    throw_error(fmt::format("expected an object with '{}', found {}", key, object.type_name()));
  }
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

const std::string& text_of(const Json& value, std::string_view what) {
  if (!value.is_string()) {
    throw_error(fmt::format("'{}' must be a string, not {}", what, value.type_name()));
  }
  return value.get_ref<const std::string&>();
}

int64_t integer_of(const Json& value, std::string_view what) {
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)) {
    throw_error(fmt::format("'{}' must be an integer, not {}", what, value.dump().substr(0, 40)));
  }
  return value.get<int64_t>();
}

double real_of(const Json& value, std::string_view what) {
  if (!value.is_number()) {
    throw_error(fmt::format("'{}' must be a number, not {}", what, value.type_name()));
  }
  return value.get<double>();
}

bool flag(const Json& object, const char* key, bool fallback) {
  const Json& value = member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) {
    throw_error(fmt::format("'{}' must be true or false, not {}", key, value.type_name()));
  }
  return value.get<bool>();
}

const Json& list(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_array()) {
    throw_error(fmt::format("'{}' must be a list, not {}", key, value.type_name()));
  }
  return value;
}

const std::string& text_at(const Json& object, const char* key) {
  return text_of(member(object, key), key);
}

const std::string& type_of(const Json& component, std::string_view role) {
  return text_of(member(component, "type"), fmt::format("{}.type", role));
}

std::vector<const Json*> flattened(const Json& root, const char* role, const char* members) {
  std::vector<const Json*> parts;
  flatten(member(root, role), role, members, parts);
  return parts;
}

void unsupported(std::string_view role, std::string_view type, std::string_view supported) {
  throw_error(fmt::format("{} '{}' is not supported; cairn reads {}", role, type, supported));
}

}  // namespace cairn::text
