// The values of chat templates: Python's, as far as templates see them.
//
// A Value is small and cheap to copy: strings, lists, dicts and objects are shared. Templates
// cannot make a cycle of lists and dicts (a list takes no container once it exists), and how deep
// they nest is bounded, so printing, comparing and destroying them is plain recursion.
//
// A Budget bounds what one rendering may cost. It counts work, not seconds, so that a template
// renders everywhere or nowhere: a step for each node evaluated or element looked at, and all bytes
// ever made, which also bounds what is alive.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::text::jinja {

struct Limits {
  // 20 million steps are about 2 seconds; the longest of the published templates takes 30,000 for a
  // conversation of a dozen messages with tools.
  uint64_t steps = 20'000'000;
  uint64_t bytes = uint64_t{512} << 20;  // of all strings and lists made
  int depth = 1000;  // of nested evaluation: about 60 macros that call each other
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  // Throw Error when that is too much.
  void steps(uint64_t count = 1);
  void bytes(uint64_t count);  // to be made; costs steps, too

 private:
  Limits limits_;
  uint64_t steps_ = 0, bytes_ = 0;
};

class Object;
class Value;
struct List;
struct Dict;

struct None {
  bool operator==(const None&) const = default;
};

// What a missing name or attribute gives: empty when printed, false, without elements; all else
// that is done with it is an error, for which it remembers what is missing.
struct Undefined {
  std::shared_ptr<const std::string> what;
};

class Value {
 public:
  Value() = default;  // undefined
  Value(None none) : data_(none) {}
  Value(bool boolean) : data_(boolean) {}
  Value(int64_t integer) : data_(integer) {}
  Value(int integer) : data_(int64_t{integer}) {}
  Value(size_t integer) : data_(static_cast<int64_t>(integer)) {}
  Value(double real) : data_(real) {}
  Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<List> list) : data_(std::move(list)) {}
  Value(std::shared_ptr<Dict> dict) : data_(std::move(dict)) {}
  Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
  static Value undefined(std::string what);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_boolean() const { return std::holds_alternative<bool>(data_); }
  bool is_real() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return integer() || is_real(); }

  // Null or nothing when it is of another kind.
  const std::string* text() const {
    const auto* text = std::get_if<std::shared_ptr<const std::string>>(&data_);
    return text ? text->get() : nullptr;
  }
  List* list() const { return shared<List>(); }
  Dict* dict() const { return shared<Dict>(); }
  Object* object() const { return shared<Object>(); }
  std::optional<int64_t> integer() const;  // of a boolean, too, as in Python
  std::optional<double> real() const;      // of integers, too
  // "'x' is undefined"
  const std::string& missing() const;

 private:
  template <class T>
  T* shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer ? pointer->get() : nullptr;
  }
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<List>, std::shared_ptr<Dict>, std::shared_ptr<Object>>
      data_;
};

struct List {
  std::vector<Value> items;
  bool tuple = false;
  bool frozen = false;  // may not be appended to: it was handed in, or is a tuple
  int depth = 1;        // of containers, this one counted
  std::span<const std::string_view> names = {};  // of the items, as attributes
};

// In the order of insertion; looked up by going through it, as those of templates are small.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;

  const Value* find(std::string_view key) const;
};

// What is called: values by position, then by name.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Run;

// What is no data: macros, methods, functions, namespaces, `loop`.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  // Nothing when it has none of this name.
  virtual std::optional<Value> attribute(std::string_view name) const;
  virtual bool callable() const { return false; }
  virtual Value call(Run& run, Arguments arguments);
  // What printing it shows.
  virtual std::string describe() const = 0;
};

// Containers. They throw Error when they would nest too deeply.
Value make_list(std::vector<Value> items, Budget& budget, bool tuple = false);
Value make_dict(std::vector<std::pair<Value, Value>> entries, Budget& budget);
// Puts or replaces; the key must be hashable.
void insert(Dict& dict, Value key, Value value, Budget& budget);
const Value* find(const Dict& dict, const Value& key, Budget& budget);

// Python's names of types: "str", "int", "list"; for errors.
std::string_view type_name(const Value& value);

bool is_true(const Value& value);
bool equal(const Value& a, const Value& b, Budget& budget);
// Less than 0, 0 or more than 0; throws Error for types that have no order.
int compare(const Value& a, const Value& b, Budget& budget);
// Python's str() and repr().
std::string to_text(const Value& value, Budget& budget);
std::string to_repr(const Value& value, Budget& budget);
std::string real_text(double value);

// The elements that a loop sees: of a list, the keys of a dict, the characters of a text.
std::vector<Value> elements(const Value& value, Budget& budget);
// As Python's len(), in characters for a text.
int64_t length(const Value& value, Budget& budget);

// JSON as Python's json.dumps writes it.
struct JsonStyle {
  std::optional<std::string> indent;  // of a level; everything on one line without
  std::string item_separator = ", ", key_separator = ": ";
  bool ascii = false;  // other characters as \u escapes
  bool sorted = false;
};
std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);
// The value of a JSON text, with its lists frozen. Nesting is bounded.
Result<Value> value_of_json(std::string_view json);

}  // namespace cairn::text::jinja
