// cairn graph ops: every primitive, from the table that defines them.
#include <fmt/format.h>

#include <optional>
#include <sstream>

#include "apps/cairn/graph_commands.h"
#include "apps/cairn/json.h"
#include "cairn/core/dispatch.h"
#include "cairn/graph/graph.h"
#include "cairn/graph/infer.h"

namespace cairn::app {
namespace {

constexpr DType kAll[] = {DType::f64,    DType::f32, DType::f16, DType::bf16, DType::f8e4m3,
                          DType::f8e5m2, DType::i64, DType::i32, DType::i16,  DType::i8,
                          DType::u8,     DType::u32, DType::b8};
static_assert(std::size(kAll) == kDTypeCount);

std::string_view name(Trait trait) {
  constexpr std::string_view kNames[] = {"elementwise", "linear", "custom", "constant"};
  return kNames[static_cast<int>(trait)];
}

std::string_view name(AttrType type) {
  constexpr std::string_view kNames[] = {"integer", "flag",    "number", "text",       "dtype",
                                         "ints",    "literal", "graph",  "definition", "placement"};
  return kNames[static_cast<int>(type)];
}

// Some value that fits the attribute on operands of shape `shape`; none for those that a node needs
// to be built around (regions, literals).
std::optional<AttrValue> sample(Attr attr, DType dtype, const Shape& shape, bool scatter) {
  switch (attr) {
    case Attr::kind: return std::string(scatter ? "set" : "max");
    case Attr::format: return std::string("q8_0");
    case Attr::mesh_axis: return std::string("ranks");
    case Attr::shape: return Ints(shape);
    case Attr::start:
    case Attr::low:
    case Attr::high:
    case Attr::interior: return Ints(shape.rank(), 0);
    case Attr::stop:
    case Attr::step: return Ints(shape.rank(), 1);
    case Attr::axes: {
      Ints axes;
      for (int i = 0; i < shape.rank(); ++i) axes.push_back(i);
      return axes;
    }
    case Attr::strides:
    case Attr::lhs_dilation:
    case Attr::rhs_dilation: return Ints(std::max(shape.rank() - 2, 0), 1);
    default: break;
  }
  switch (type_of(attr)) {
    case AttrType::integer:
      return int64_t{attr == Attr::k || attr == Attr::groups || attr == Attr::size ? 1 : 0};
    case AttrType::dtype: return dtype;
    case AttrType::placement: return Placement{};
    default: return std::nullopt;
  }
}

// Whether inference takes the operation on operands of this type: some shapes, and index operands
// where they are. The table says "own" where a rule of code decides, so the rule is asked.
bool accepts(Op op, DType dtype) {
  const OpInfo& about = info(op);
  // The operand of a sum over ranks differs from rank to rank.
  const bool varies = op == Op::all_reduce || op == Op::reduce_scatter;
  const auto tensor = [varies](DType type, const Shape& shape) {
    TensorType full{type, shape};
    if (varies) full.varying = {"ranks"};
    return Tensor::input(full, "x");
  };
  const auto try_on = [&](std::vector<Tensor> operands, const Shape& shape) {
    Attrs attrs;
    for (const AttrUse& use : about.attributes) {
      if (!use.required) continue;
      auto value = sample(use.attr, dtype, shape, op == Op::scatter);
      if (!value) return false;
      if (use.attr == Attr::dtype && op == Op::dequantize) value = DType::f32;
      if (use.attr == Attr::high && op == Op::convolution) value = Ints(shape.rank() - 2, 0);
      if (use.attr == Attr::low && op == Op::convolution) value = Ints(shape.rank() - 2, 0);
      attrs.set(use.attr, std::move(*value));
    }
    try {
      infer(op, operands, attrs);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  const int count = about.operands < 0 ? 1 : about.operands;
  for (const Shape& shape : {Shape{2, 2}, Shape{1, 1, 1}, Shape{}, Shape{1, 32}, Shape{1, 34}}) {
    std::vector<Tensor> operands;
    for (int i = 0; i < count; ++i) operands.push_back(tensor(dtype, shape));
    if (try_on(operands, shape)) return true;
    if (count >= 2) {  // indices second, or rows of groups third
      auto indexed = operands;
      indexed[1] = tensor(DType::i32, shape.rank() ? Shape{2} : Shape{});
      if (count == 3) indexed[2] = tensor(dtype, shape);
      if (try_on(indexed, shape)) return true;
    }
    if (count == 3) {
      auto chosen = operands;
      chosen[0] = tensor(DType::b8, shape);
      if (try_on(chosen, shape)) return true;
      auto grouped = operands;
      grouped[1] = tensor(dtype, {1, 2, 2});
      grouped[2] = tensor(DType::i32, {1});
      if (shape.rank() == 2 && try_on(grouped, shape)) return true;
    }
    if (op == Op::pad && try_on({operands[0], tensor(dtype, {})}, shape)) return true;
    if (op == Op::random_bits && try_on({tensor(dtype, {2}), tensor(DType::i64, {})}, shape))
      return true;
  }
  return false;
}

// Element types of the first operand that is no condition; empty for constants and control flow,
// whose attributes or regions decide.
std::vector<std::string> dtypes_of(Op op) {
  const OpInfo& about = info(op);
  std::vector<std::string> names;
  if (about.operands == 0) return names;
  for (DType dtype : kAll) {
    bool yes = false;
    switch (about.types) {
      case TypeClass::any: yes = true; break;
      case TypeClass::number: yes = dtype != DType::b8 && !is_float8(dtype); break;
      case TypeClass::floating: yes = is_float(dtype) && !is_float8(dtype); break;
      case TypeClass::integer:
        // A shifted bool is refused by inference.
        yes = !is_float(dtype) &&
              (dtype != DType::b8 || (op != Op::shift_left && op != Op::shift_right));
        break;
      case TypeClass::own: yes = accepts(op, dtype); break;
    }
    if (yes) names.emplace_back(cairn::name(dtype));
  }
  return names;
}

// "any", "floats", ... for a list that has a short name.
std::string short_list(const std::vector<std::string>& names) {
  const auto is = [&](auto member) {
    std::vector<std::string> all;
    for (DType dtype : kAll)
      if (member(dtype)) all.emplace_back(cairn::name(dtype));
    return all == names;
  };
  if (names.empty()) return "-";
  if (is([](DType) { return true; })) return "any";
  if (is([](DType d) { return is_float(d); })) return "floats";
  if (is([](DType d) { return is_float(d) && !is_float8(d); })) return "floats but f8";
  if (is([](DType d) { return d != DType::b8; })) return "any but bool";
  if (is([](DType d) { return !is_float8(d); })) return "any but f8";
  if (is([](DType d) { return d != DType::b8 && !is_float8(d); })) return "numbers but f8";
  if (is([](DType d) { return !is_float(d); })) return "integers, bool";
  if (is([](DType d) { return is_integer(d); })) return "integers";
  return fmt::format("{}", fmt::join(names, ","));
}

std::string count_text(int count) { return count < 0 ? "n" : std::to_string(count); }

int run(Session& session) {
  if (session.common.json) {
    Json list = Json::array();
    for (int i = 0; i < kOpCount; ++i) {
      const Op op = static_cast<Op>(i);
      const OpInfo& about = info(op);
      Json attributes = Json::array();
      for (const AttrUse& use : about.attributes)
        attributes.push_back({{"name", cairn::name(use.attr)},
                              {"type", name(type_of(use.attr))},
                              {"required", use.required}});
      const auto count = [](int n) { return n < 0 ? Json(nullptr) : Json(n); };
      list.push_back({{"name", about.name},
                      {"operands", count(about.operands)},
                      {"results", count(about.results)},
                      {"trait", name(about.trait)},
                      {"dtypes", dtypes_of(op)},
                      {"attributes", attributes},
                      {"summary", about.summary}});
    }
    print_json(session.out, {{"operations", list}});
    return 0;
  }
  plot::Table table{"", {"operation", "in", "out", "trait", "types", "attributes"}, {}};
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const OpInfo& about = info(op);
    std::string attributes;
    for (const AttrUse& use : about.attributes)
      attributes += fmt::format("{}{}{}", attributes.empty() ? "" : " ", cairn::name(use.attr),
                                use.required ? "" : "?");
    table.rows.push_back({std::string(about.name), count_text(about.operands),
                          count_text(about.results), std::string(name(about.trait)),
                          short_list(dtypes_of(op)), attributes});
  }
  // What an operation computes is a sentence: on a terminal it has a line of its own.
  const Terminal& terminal = session.out_terminal;
  if (!terminal.is_terminal) {
    table.header.emplace_back("what it computes");
    for (int i = 0; i < kOpCount; ++i)
      table.rows[static_cast<size_t>(i)].emplace_back(info(static_cast<Op>(i)).summary);
  }
  std::istringstream lines(plot::to_text(table, terminal.table_style()));
  int number = -2;  // the first two lines are the header
  for (std::string line; std::getline(lines, line); ++number) {
    session.out.line(line);
    if (terminal.is_terminal && number >= 0)
      session.out.line(terminal.dim(fmt::format("    {}", info(static_cast<Op>(number)).summary)));
  }
  session.note(
      fmt::format("{} primitives; everything else is made of them. attribute? is optional; n: the "
                  "node decides.",
                  kOpCount));
  return 0;
}

}  // namespace

void add_graph_ops(const Command& group) {
  const Command command =
      group.command("ops", "List every primitive: operands, element types, attributes.");
  command.example("cairn graph ops");
  command.run(run);
}

}  // namespace cairn::app
