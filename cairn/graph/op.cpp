#include "cairn/graph/op.h"

#include <array>
#include <vector>

#include "cairn/base/error.h"

namespace cairn {
namespace {

constexpr std::array<std::string_view, kAttrCount> kAttrNames = {
#define CAIRN_ATTR(name, type) #name,
#include "cairn/graph/attributes.def"
#undef CAIRN_ATTR
};

constexpr std::array<AttrType, kAttrCount> kAttrTypes = {
#define CAIRN_ATTR(name, type) AttrType::type,
#include "cairn/graph/attributes.def"
#undef CAIRN_ATTR
};

TypeClass parse_class(std::string_view text) {
  if (text == "any") return TypeClass::any;
  if (text == "number") return TypeClass::number;
  if (text == "float") return TypeClass::floating;
  if (text == "integer") return TypeClass::integer;
  CAIRN_ASSERT(text == "own");
  return TypeClass::own;
}

std::vector<AttrUse> parse_uses(std::string_view text) {
  std::vector<AttrUse> uses;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    const bool optional = word.back() == '?';
    if (optional) word.remove_suffix(1);
    const auto attr = parse_attr(word);
    CAIRN_ASSERT(attr);
    uses.push_back({*attr, !optional});
  }
  return uses;
}

struct Table {
  std::array<OpInfo, kOpCount> rows;
  std::array<std::vector<AttrUse>, kOpCount> uses;

  Table() {
    int i = 0;
#define CAIRN_OP(name, operands, results, trait, types, attributes, summary) \
  add(i++, #name, operands, results, Trait::trait, #types, attributes, summary);
#include "cairn/graph/ops.def"
#undef CAIRN_OP
  }
  void add(int i, std::string_view name, int operands, int results, Trait trait,
           std::string_view types, std::string_view attributes, std::string_view summary) {
    uses[i] = parse_uses(attributes);
    rows[i] = {name, operands, results, trait, parse_class(types), uses[i], summary};
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

}  // namespace

std::string_view name(Attr attr) { return kAttrNames[static_cast<int>(attr)]; }
AttrType type_of(Attr attr) { return kAttrTypes[static_cast<int>(attr)]; }

std::optional<Attr> parse_attr(std::string_view text) {
  for (int i = 0; i < kAttrCount; ++i)
    if (kAttrNames[i] == text) return static_cast<Attr>(i);
  return std::nullopt;
}

const OpInfo& info(Op op) { return table().rows[static_cast<int>(op)]; }

std::optional<Op> parse_op(std::string_view text) {
  for (int i = 0; i < kOpCount; ++i)
    if (table().rows[i].name == text) return static_cast<Op>(i);
  return std::nullopt;
}

bool is_transcendental(Op op) {
  switch (op) {
    case Op::exp:
    case Op::expm1:
    case Op::log:
    case Op::log1p:
    case Op::sin:
    case Op::cos:
    case Op::tanh:
    case Op::logistic:
    case Op::erf:
    case Op::erfc:
    case Op::erf_inv:
    case Op::power:
    case Op::atan2: return true;
    default: return false;
  }
}

bool is_collective(Op op) {
  switch (op) {
    case Op::all_reduce:
    case Op::all_gather:
    case Op::all_gather_invariant:
    case Op::reduce_scatter:
    case Op::all_to_all:
    case Op::permute: return true;
    default: return false;
  }
}

}  // namespace cairn
