// A look at the values of a JSON text, with errors that name what is not as it must be: what the
// readers of tokenizer.json share. (The JSON library stays out of headers.)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::text {

// A value of a JsonText, which outlives it. Everything throws Error on a value of another kind.
class JsonView {
 public:
  JsonView() = default;  // null
  explicit JsonView(const void* value) : value_(value) {}

  bool is_null() const;
  bool is_string() const;
  bool is_array() const;
  bool is_object() const;
  size_t size() const;  // of an array or object; 0 for null

  // Null when it is not there.
  JsonView member(const char* key) const;
  // The value as what it must be; `what` names it.
  const std::string& text(std::string_view what) const;
  int64_t integer(std::string_view what) const;
  double real(std::string_view what) const;
  // Items of an array.
  std::vector<JsonView> items(std::string_view what) const;
  // Calls `use` with each member of an object.
  void each_member(std::string_view what,
                   const std::function<void(const std::string& key, JsonView value)>& use) const;

  // Members that may be missing or null: then the fallback.
  bool flag(const char* key, bool fallback) const;
  // Members that must be there.
  std::vector<JsonView> list(const char* key) const { return member(key).items(key); }
  const std::string& text_at(const char* key) const { return member(key).text(key); }

  std::string dump() const;  // as text, without spaces

 private:
  const void* value_ = nullptr;
};

class JsonText {
 public:
  // Throws Error when it is not valid JSON.
  explicit JsonText(std::string_view text);
  ~JsonText();
  JsonText(const JsonText&) = delete;
  JsonText& operator=(const JsonText&) = delete;
  JsonView root() const { return root_; }

 private:
  std::shared_ptr<const void> owner_;
  JsonView root_;
};

// The member "type" of a component of this role.
const std::string& type_of(JsonView component, std::string_view role);

// The components of the root's member `role`, of Sequences the `members`, in order; none for null.
std::vector<JsonView> flattened(JsonView root, const char* role, const char* members);

[[noreturn]] void unsupported(std::string_view role, std::string_view type,
                              std::string_view supported);

}  // namespace cairn::text
