// A parsed template: expressions and statements, with their places in the source.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/text/jinja_value.h"

namespace cairn::text::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
  enum class Kind { positional, named, spread, spread_named };  // f(a, b=c, *d, **e)
  Kind kind = Kind::positional;
  std::string name;
  ExpressionPtr value;
};

enum class Operator {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
};

struct Expression {
  enum class Kind {
    constant,     // value
    name,         // name
    list,         // parts
    tuple,        // parts
    dict,         // parts: key, value, key, value, ...
    attribute,    // parts[0].name
    item,         // parts[0][parts[1]]
    slice,        // parts[0][parts[1]:parts[2]:parts[3]], null where left out
    call,         // parts[0](arguments)
    filter,       // parts[0] | name(arguments); parts[0] is null at the start of a filter block
    test,         // parts[0] is name(arguments)
    negate,       // -parts[0]
    plus,         // +parts[0]
    invert,       // not parts[0]
    both,         // parts[0] and parts[1]
    either,       // parts[0] or parts[1]
    arithmetic,   // parts[0] operators[0] parts[1]
    concatenate,  // parts[0] ~ parts[1] ~ ...
    compare,      // parts[0] operators[0] parts[1] operators[1] ...
    conditional,  // parts[1] if parts[0] else parts[2], which may be null
  };
  Kind kind = Kind::constant;
  size_t at = 0;
  int depth = 1;  // of the tree below
  std::string name = {};
  Value value = {};
  std::vector<Operator> operators = {};
  std::vector<ExpressionPtr> parts = {};
  std::vector<Argument> arguments = {};
};

struct Statement;
using Statements = std::vector<Statement>;

// A name, or several that a tuple is unpacked into; `object.name` of a namespace.
struct Target {
  size_t at = 0;
  std::string name = {};
  std::string attribute = {};
  std::vector<Target> parts = {};
};

struct Parameter {
  std::string name;
  ExpressionPtr fallback;  // may be null
};

struct Statement {
  enum class Kind {
    text,          // text
    print,         // value
    branches,      // if, elif: conditions and bodies; else: the last body
    loop,          // for target in value if filter: bodies[0]; else: bodies[1]
    set,           // targets[0] = value
    set_block,     // targets[0] = bodies[0], through the filters `value`, which may be null
    macro,         // text(parameters): bodies[0]
    call_block,    // value with bodies[0] as caller(parameters)
    filter_block,  // bodies[0] through the filters `value`
    with,          // targets = conditions, for bodies[0]
    scope,         // bodies[0] with names of its own: {% generation %}
    break_loop,
    continue_loop,
  };
  Kind kind = Kind::text;
  size_t at = 0;
  std::string text = {};
  ExpressionPtr value = {};
  ExpressionPtr filter = {};
  bool recursive = false;
  bool more_positional = false;  // a macro that takes any arguments: its body names `varargs`
  bool more_named = false;       // and `kwargs`
  std::vector<Target> targets = {};
  std::vector<ExpressionPtr> conditions = {};
  std::vector<Parameter> parameters = {};
  std::vector<Statements> bodies = {};
};

// Throws Error with line and column. `normalized` is what normalize_source gives.
Statements parse(std::string_view normalized);

}  // namespace cairn::text::jinja
