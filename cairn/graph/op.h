// Op: which primitive a node is, and the table of what is known about each (from ops.def).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace cairn {

enum class Op : uint8_t {
#define CAIRN_OP(name, ...) name,
#include "cairn/graph/ops.def"
#undef CAIRN_OP
};

inline constexpr int kOpCount = 0
#define CAIRN_OP(name, ...) +1
#include "cairn/graph/ops.def"
#undef CAIRN_OP
    ;

enum class Attr : uint8_t {
#define CAIRN_ATTR(name, type) name,
#include "cairn/graph/attributes.def"
#undef CAIRN_ATTR
};

inline constexpr int kAttrCount = 0
#define CAIRN_ATTR(name, type) +1
#include "cairn/graph/attributes.def"
#undef CAIRN_ATTR
    ;

enum class AttrType : uint8_t {
  integer,
  flag,
  number,
  text,
  dtype,
  ints,
  literal,
  graph,
  definition,
  placement
};

std::string_view name(Attr attr);
AttrType type_of(Attr attr);
std::optional<Attr> parse_attr(std::string_view text);

enum class Trait : uint8_t { elementwise, linear, custom, constant };
// Which element types an operation takes; `own` has a rule of its own in infer.cpp.
enum class TypeClass : uint8_t { any, number, floating, integer, own };

struct AttrUse {
  Attr attr;
  bool required;
};

struct OpInfo {
  std::string_view name;
  int operands;  // -1: the node decides
  int results;   // -1: the node decides
  Trait trait;
  TypeClass types;
  std::span<const AttrUse> attributes;
  std::string_view summary;
};

const OpInfo& info(Op op);
inline std::string_view name(Op op) { return info(op).name; }
std::optional<Op> parse_op(std::string_view text);

// Elementwise functions that a backend computes by approximations of its own, so that two backends
// may differ in the last bits of a result: exp, log, tanh, power... Of f64 all are
// cairn/base/math.h.
bool is_transcendental(Op op);

// Operations that exchange messages, so that all ranks of their mesh axis must reach them.
bool is_collective(Op op);

}  // namespace cairn
