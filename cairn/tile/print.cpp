#include "cairn/tile/print.h"

#include <fmt/format.h>

#include <array>

#include "cairn/graph/lexer.h"
#include "cairn/graph/literals.h"

namespace cairn::tile {
namespace {

using cairn::detail::quote;
using cairn::detail::spell_name;

constexpr size_t kLineLength = 100;
constexpr std::string_view kUnknown = "%?";

std::string dtype_text(DType dtype) {
  return static_cast<int>(dtype) < kDTypeCount ? std::string(cairn::name(dtype)) : "?";
}

// "" where the text says nothing of it.
std::string attribute_text(const Instruction& in, const KeyUse& use) {
  switch (use.key) {
    case Key::axes: return cairn::to_string(in.axes);
    case Key::axis: return std::to_string(in.axis);
    case Key::kind:
      return static_cast<int>(in.kind) < kCombineCount ? std::string(name(in.kind)) : "?";
    case Key::reverse: return in.reverse ? "true" : "";
    case Key::stages: return in.stages == Instruction{}.stages ? "" : std::to_string(in.stages);
    case Key::text: return in.text.empty() ? "" : quote(in.text);
    case Key::value: return cairn::detail::print_number(in.value);
  }
  return "";
}

std::string attributes_text(const Instruction& in) {
  std::string text;
  for (const KeyUse& use : keys_of(in.op))
    if (const std::string value = attribute_text(in, use); !value.empty())
      text += fmt::format("{}{}={}", text.empty() ? " {" : ", ", name(use.key), value);
  return text.empty() ? text : text + "}";
}

// Names the values of a block in the order of the text: an instruction's results stand before its
// region.
class Numbering {
 public:
  explicit Numbering(std::vector<std::string>& names) : names_(names) {}
  void block(const Block& block, int depth) {
    if (depth > kMaxLoopDepth) return;
    for (const ValueId v : block.arguments) define(v);
    for (const Instruction& in : block.code) {
      for (const ValueId v : in.results) define(v);
      for (const Block& region : in.regions) this->block(region, depth + 1);
    }
  }

 private:
  void define(ValueId v) {
    if (v < 0 || static_cast<size_t>(v) >= names_.size()) return;
    std::string& name = names_[static_cast<size_t>(v)];
    if (name == kUnknown) name = fmt::format("%{}", next_++);
  }
  std::vector<std::string>& names_;
  int next_ = 0;
};

class Printer {
 public:
  Printer(const Kernel& kernel, const Comment& comment)
      : kernel_(kernel), comment_(comment), names_(value_names(kernel)) {}
  std::string print();

 private:
  std::string_view value(ValueId v) const {
    const auto i = static_cast<size_t>(v);
    return v >= 0 && i < names_.size() ? std::string_view(names_[i]) : kUnknown;
  }
  std::string values(std::span<const ValueId> ids) const;
  std::string type(ValueId v) const;
  std::string parameter(const Parameter& p) const;
  std::string operands(const Instruction& in) const;
  std::string comment(const Instruction& in) const;
  void block(const Block& block, int depth, bool yields);
  void instruction(const Instruction& in, int depth);

  const Kernel& kernel_;
  const Comment& comment_;
  std::vector<std::string> names_;
  std::string out_;
};

std::string Printer::values(std::span<const ValueId> ids) const {
  std::string text;
  for (const ValueId v : ids) text.append(text.empty() ? "" : ", ").append(value(v));
  return text;
}

std::string Printer::type(ValueId v) const {
  if (v < 0 || static_cast<size_t>(v) >= kernel_.types.size()) return "?";
  const TileType& type = kernel_.type(v);
  return dtype_text(type.dtype) + cairn::to_string(type.shape);
}

std::string Printer::parameter(const Parameter& p) const {
  std::string text = fmt::format("%{}: ", spell_name(p.name));
  if (p.is_buffer()) text.append(name(p.kind)).append(" ");
  text += dtype_text(p.dtype);
  if (p.divisor != default_divisor(p.kind))
    text += fmt::format(" {} {}", p.is_buffer() ? "align" : "divisor", p.divisor);
  return text;
}

std::string Printer::operands(const Instruction& in) const {
  std::string text;
  if (names_buffer(in.op)) {
    const auto p = static_cast<size_t>(in.parameter);
    text = in.parameter >= 0 && p < kernel_.parameters.size()
               ? "%" + spell_name(kernel_.parameters[p].name)
               : kUnknown;
    if (!in.operands.empty()) text += ", ";
  }
  return text + values(in.operands);
}

std::string Printer::comment(const Instruction& in) const {
  std::string text = comment_ ? comment_(in) : "";
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text.empty() ? text : "  // " + text;
}

std::string Printer::print() {
  std::vector<std::string> parameters;
  for (const Parameter& p : kernel_.parameters) parameters.push_back(parameter(p));
  const std::string start =
      kernel_.name.empty() ? "kernel (" : fmt::format("kernel @{}(", spell_name(kernel_.name));
  out_ = fmt::format("{}{}) {{\n", start, fmt::join(parameters, ", "));
  if (out_.size() > kLineLength + 1 && !parameters.empty())
    out_ = fmt::format("{}\n    {}) {{\n", start, fmt::join(parameters, ",\n    "));
  if (!kernel_.grid.code.empty() || !kernel_.grid.yields.empty()) {
    out_ += "  grid {\n";
    block(kernel_.grid, 1, true);
    out_ += "  }\n";
  }
  block(kernel_.body, 0, !kernel_.body.yields.empty());
  return std::move(out_) + "}\n";
}

// What stands between the braces, for a block that is `depth` deep itself.
void Printer::block(const Block& block, int depth, bool yields) {
  const int indent = 2 * depth + 2;
  if (depth > kMaxLoopDepth + 1) {
    out_ += fmt::format("{:{}}// deeper than a kernel may be\n", "", indent);
    return;
  }
  for (const Instruction& in : block.code) instruction(in, depth);
  if (yields)
    out_ += fmt::format("{:{}}yield{}{}\n", "", indent, block.yields.empty() ? "" : " ",
                        values(block.yields));
}

void Printer::instruction(const Instruction& in, int depth) {
  const int indent = 2 * depth + 2;
  out_ +=
      fmt::format("{:{}}{}{}{}({}){}", "", indent, values(in.results),
                  in.results.empty() ? "" : " = ", word_of(in), operands(in), attributes_text(in));
  for (const Block& region : in.regions) {
    std::string arguments;
    for (const ValueId v : region.arguments)
      arguments += fmt::format("{}{}: {}", arguments.empty() ? "" : ", ", value(v), type(v));
    out_ += fmt::format(" ({}) {{\n", arguments);
    block(region, depth + 1, true);
    out_ += fmt::format("{:{}}}}", "", indent);
  }
  for (size_t i = 0; i < in.results.size(); ++i)
    out_.append(i ? ", " : " : ").append(type(in.results[i]));
  out_ += comment(in) + "\n";
}

}  // namespace

std::string to_text(const Kernel& kernel, const Comment& comment) {
  return Printer(kernel, comment).print();
}

std::vector<std::string> value_names(const Kernel& kernel) {
  std::vector<std::string> names(kernel.types.size(), std::string(kUnknown));
  for (const Parameter& p : kernel.parameters)
    if (!p.is_buffer() && p.value >= 0 && static_cast<size_t>(p.value) < names.size())
      names[static_cast<size_t>(p.value)] = "%" + spell_name(p.name);
  Numbering numbering(names);
  numbering.block(kernel.grid, 0);
  numbering.block(kernel.body, 0);
  return names;
}

std::string_view word_of(const Instruction& in) {
  if (static_cast<int>(in.op) >= kTileOpCount) return "?";
  if (in.op != TileOp::apply) return name(in.op);
  return static_cast<int>(in.scalar) < kOpCount ? cairn::name(in.scalar) : "?";
}

std::string_view name(Key key) {
  static constexpr std::array<std::string_view, 7> kNames = {"axes",   "axis", "kind", "reverse",
                                                             "stages", "text", "value"};
  return kNames[static_cast<size_t>(key)];
}

std::span<const KeyUse> keys_of(TileOp op) {
  static constexpr std::array<KeyUse, 1> kAxes = {{{Key::axes, true}}};
  static constexpr std::array<KeyUse, 1> kAxis = {{{Key::axis, true}}};
  static constexpr std::array<KeyUse, 1> kKind = {{{Key::kind, true}}};
  static constexpr std::array<KeyUse, 2> kReduce = {{{Key::kind, true}, {Key::axis, true}}};
  static constexpr std::array<KeyUse, 3> kScan = {
      {{Key::kind, true}, {Key::axis, true}, {Key::reverse, false}}};
  static constexpr std::array<KeyUse, 1> kStages = {{{Key::stages, false}}};
  static constexpr std::array<KeyUse, 1> kText = {{{Key::text, false}}};
  static constexpr std::array<KeyUse, 1> kValue = {{{Key::value, true}}};
  switch (op) {
    case TileOp::program_id: return kAxis;
    case TileOp::constant: return kValue;
    case TileOp::transpose: return kAxes;
    case TileOp::atomic: return kKind;
    case TileOp::reduce:
    case TileOp::arg_reduce: return kReduce;
    case TileOp::scan: return kScan;
    case TileOp::loop: return kStages;
    case TileOp::assume:
    case TileOp::print: return kText;
    case TileOp::arange:
    case TileOp::apply:
    case TileOp::fma:
    case TileOp::multiply_high:
    case TileOp::lookup:
    case TileOp::bitcast:
    case TileOp::broadcast:
    case TileOp::reshape:
    case TileOp::load:
    case TileOp::fetch:
    case TileOp::store:
    case TileOp::dot: break;
  }
  return {};
}

std::string_view name(Parameter::Kind kind) {
  switch (kind) {
    case Parameter::Kind::input: return "input";
    case Parameter::Kind::output: return "output";
    case Parameter::Kind::inout: return "inout";
    case Parameter::Kind::scalar: break;
  }
  return "";
}

}  // namespace cairn::tile
