// Members of JSON objects that tokenizer.json has, with errors that name them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::text {

// Null when it is not there. Throws Error when `object` is none.
const nlohmann::json& member(const nlohmann::json& object, const char* key);

// The value as what it must be; `what` names it in the Error.
const std::string& text_of(const nlohmann::json& value, std::string_view what);
int64_t integer_of(const nlohmann::json& value, std::string_view what);
double real_of(const nlohmann::json& value, std::string_view what);

// A member that may be missing or null: then the fallback.
bool flag(const nlohmann::json& object, const char* key, bool fallback);
// A member that must be there.
const nlohmann::json& list(const nlohmann::json& object, const char* key);
const std::string& text_at(const nlohmann::json& object, const char* key);

// The member "type" of a component of this role.
const std::string& type_of(const nlohmann::json& component, std::string_view role);

// The components of the root's member `role`, of Sequences the `members`, in order; none for null.
std::vector<const nlohmann::json*> flattened(const nlohmann::json& root, const char* role,
                                             const char* members);

[[noreturn]] void unsupported(std::string_view role, std::string_view type,
                              std::string_view supported);

}  // namespace cairn::text
