// Attributes of a node: a short sorted list of (key, value). Each key has one type everywhere
// (attributes.def), so printing, parsing, hashing and comparing are one loop each.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cairn/core/host_array.h"
#include "cairn/core/placement.h"
#include "cairn/graph/op.h"

namespace cairn {

struct Graph;
struct CustomDefinition;

// A literal number; integers keep all 64 bits.
struct Number {
  Number() = default;
  Number(double v) : data(v) {}
  Number(int64_t v) : data(v) {}
  Number(int v) : data(int64_t{v}) {}
  Number(bool v) : data(int64_t{v}) {}
  bool is_integer() const { return std::holds_alternative<int64_t>(data); }
  double as_double() const {
    return is_integer() ? static_cast<double>(std::get<int64_t>(data)) : std::get<double>(data);
  }
  int64_t as_integer() const {
    return is_integer() ? std::get<int64_t>(data) : static_cast<int64_t>(std::get<double>(data));
  }
  std::variant<int64_t, double> data;
};

using GraphPtr = std::shared_ptr<const Graph>;
using DefinitionPtr = std::shared_ptr<const CustomDefinition>;
using AttrValue = std::variant<int64_t, bool, Number, std::string, DType, Ints, HostArray, GraphPtr,
                               DefinitionPtr, Placement>;

class Attrs {
 public:
  using Entry = std::pair<Attr, AttrValue>;
  Attrs() = default;
  Attrs(std::initializer_list<Entry> entries) {
    for (const Entry& e : entries) set(e.first, e.second);
  }

  // Replaces or adds. Trips an assertion when the value is not of the key's type.
  void set(Attr key, AttrValue value);
  bool has(Attr key) const { return find(key) != nullptr; }
  const AttrValue* find(Attr key) const;

  // The value of a key that is there; an optional one has a default.
  int64_t integer(Attr key) const { return get<int64_t>(key); }
  bool flag(Attr key) const { return has(key) && get<bool>(key); }
  const Number& number(Attr key) const { return get<Number>(key); }
  const std::string& text(Attr key) const { return get<std::string>(key); }
  DType dtype(Attr key) const { return get<DType>(key); }
  const Ints& ints(Attr key) const { return get<Ints>(key); }
  const HostArray& literal(Attr key) const { return get<HostArray>(key); }
  const GraphPtr& graph(Attr key) const { return get<GraphPtr>(key); }
  Placement placement(Attr key) const { return get<Placement>(key); }

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  bool empty() const { return entries_.empty(); }

 private:
  template <class T>
  const T& get(Attr key) const {
    const AttrValue* value = find(key);
    if (!value) missing(key);
    return std::get<T>(*value);
  }
  [[noreturn]] static void missing(Attr key);
  std::vector<Entry> entries_;
};

}  // namespace cairn
