#include "cairn/text/json_view.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/base/error.h"

namespace cairn::text {
namespace {

using Json = nlohmann::json;

const Json& get(const void* value) {
  static const Json kNull;
  return value ? *static_cast<const Json*>(value) : kNull;
}

void flatten(JsonView component, std::string_view role, const char* members,
             std::vector<JsonView>& out, int depth = 0) {
  constexpr int kDeepest = 8;  // published files nest once
  if (component.is_null()) return;
  if (type_of(component, role) != "Sequence") {
    out.push_back(component);
    return;
  }
  if (depth == kDeepest) throw_error(fmt::format("{} nests too deeply", role));
  for (const JsonView part : component.list(members)) flatten(part, role, members, out, depth + 1);
}

}  // namespace

bool JsonView::is_null() const { return get(value_).is_null(); }
bool JsonView::is_string() const { return get(value_).is_string(); }
bool JsonView::is_array() const { return get(value_).is_array(); }
bool JsonView::is_object() const { return get(value_).is_object(); }
size_t JsonView::size() const { return get(value_).size(); }
std::string JsonView::dump() const { return get(value_).dump(); }

JsonView JsonView::member(const char* key) const {
  const Json& object = get(value_);
  if (!object.is_object()) {
    throw_error(fmt::format("expected an object with '{}', found {}", key, object.type_name()));
  }
  const auto found = object.find(key);
  return found == object.end() ? JsonView() : JsonView(&*found);
}

const std::string& JsonView::text(std::string_view what) const {
  const Json& value = get(value_);
  if (!value.is_string()) {
    throw_error(fmt::format("'{}' must be a string, not {}", what, value.type_name()));
  }
  return value.get_ref<const std::string&>();
}

int64_t JsonView::integer(std::string_view what) const {
  const Json& value = get(value_);
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)) {
    throw_error(fmt::format("'{}' must be an integer, not {}", what, value.dump().substr(0, 40)));
  }
  return value.get<int64_t>();
}

double JsonView::real(std::string_view what) const {
  const Json& value = get(value_);
  if (!value.is_number()) {
    throw_error(fmt::format("'{}' must be a number, not {}", what, value.type_name()));
  }
  return value.get<double>();
}

std::vector<JsonView> JsonView::items(std::string_view what) const {
  const Json& value = get(value_);
  if (!value.is_array()) {
    throw_error(fmt::format("'{}' must be a list, not {}", what, value.type_name()));
  }
  std::vector<JsonView> items;
  items.reserve(value.size());
  for (const Json& item : value) items.emplace_back(&item);
  return items;
}

void JsonView::each_member(
    std::string_view what,
    const std::function<void(const std::string& key, JsonView value)>& use) const {
  const Json& object = get(value_);
  if (!object.is_object()) {
    throw_error(fmt::format("'{}' must be an object, not {}", what, object.type_name()));
  }
  for (const auto& [key, value] : object.items()) use(key, JsonView(&value));
}

bool JsonView::flag(const char* key, bool fallback) const {
  const JsonView view = member(key);
  if (view.is_null()) return fallback;
  const Json& value = get(view.value_);
  if (!value.is_boolean()) {
    throw_error(fmt::format("'{}' must be true or false, not {}", key, value.type_name()));
  }
  return value.get<bool>();
}

JsonText::JsonText(std::string_view text) {
  try {
    const auto json = std::make_shared<const Json>(Json::parse(text));
    root_ = JsonView(json.get());
    owner_ = json;
  } catch (const Json::exception& error) {
    throw_error(fmt::format("not valid JSON: {}", error.what()));
  }
}

JsonText::~JsonText() = default;

const std::string& type_of(JsonView component, std::string_view role) {
  return component.member("type").text(fmt::format("{}.type", role));
}

std::vector<JsonView> flattened(JsonView root, const char* role, const char* members) {
  std::vector<JsonView> parts;
  flatten(root.member(role), role, members, parts);
  return parts;
}

void unsupported(std::string_view role, std::string_view type, std::string_view supported) {
  throw_error(fmt::format("{} '{}' is not supported; cairn reads {}", role, type, supported));
}

}  // namespace cairn::text
