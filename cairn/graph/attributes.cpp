#include "cairn/graph/attributes.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn {
namespace {

// The alternative of AttrValue that a key's type stands for.
size_t alternative(AttrType type) {
  switch (type) {
    case AttrType::integer: return 0;
    case AttrType::flag: return 1;
    case AttrType::number: return 2;
    case AttrType::text: return 3;
    case AttrType::dtype: return 4;
    case AttrType::ints: return 5;
    case AttrType::literal: return 6;
    case AttrType::graph: return 7;
    case AttrType::definition: return 8;
    case AttrType::placement: return 9;
  }
  return 0;
}

}  // namespace

void Attrs::set(Attr key, AttrValue value) {
  CAIRN_ASSERT(value.index() == alternative(type_of(key)));
  auto at = std::lower_bound(entries_.begin(), entries_.end(), key,
                             [](const Entry& e, Attr k) { return e.first < k; });
  if (at != entries_.end() && at->first == key) {
    at->second = std::move(value);
  } else {
    entries_.insert(at, {key, std::move(value)});
  }
}

const AttrValue* Attrs::find(Attr key) const {
  for (const Entry& e : entries_)
    if (e.first == key) return &e.second;
  return nullptr;
}

void Attrs::missing(Attr key) {
  throw InternalError(fmt::format("attribute '{}' is missing", cairn::name(key)));
}

}  // namespace cairn
