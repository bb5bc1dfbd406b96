#include "cairn/graph/print.h"

#include <fmt/format.h>

#include <unordered_set>

#include "cairn/graph/infer.h"
#include "cairn/graph/lexer.h"
#include "cairn/graph/literals.h"
#include "cairn/graph/numbering.h"

namespace cairn {
namespace {

using detail::is_automatic_name;
using detail::quote;
using detail::spell_name;
using detail::spell_word;

constexpr size_t kLineLength = 100;

// Attributes that the text says in another way: regions, and how many operands are what.
bool is_written(Attr key) {
  const AttrType type = type_of(key);
  return type != AttrType::graph && type != AttrType::definition && key != Attr::carried &&
         key != Attr::scanned;
}

std::string value_text(Attr key, const AttrValue& value) {
  switch (type_of(key)) {
    case AttrType::integer: return std::to_string(std::get<int64_t>(value));
    case AttrType::flag: return std::get<bool>(value) ? "true" : "false";
    case AttrType::number: return detail::print_number(std::get<Number>(value));
    case AttrType::text:
      // Words of a fixed vocabulary stand bare; names that users choose stand in quotes.
      return key == Attr::kind || key == Attr::format ? spell_word(std::get<std::string>(value))
                                                      : quote(std::get<std::string>(value));
    case AttrType::dtype: return std::string(name(std::get<DType>(value)));
    case AttrType::ints: return to_string(std::get<Ints>(value));
    case AttrType::literal: return detail::print_literal(std::get<HostArray>(value));
    case AttrType::placement: return to_string(std::get<Placement>(value));
    case AttrType::graph:
    case AttrType::definition: break;
  }
  return "";
}

// " {k=3, axis=1}" in the order of ops.def; a false flag is the same as none. `dense` has its
// literal in front of everything.
std::string attributes_text(const Node& node) {
  std::string text;
  for (const AttrUse& use : node.info().attributes) {
    const AttrValue* value = node.attrs().find(use.attr);
    if (!value || !is_written(use.attr) || node.op() == Op::dense) continue;
    if (type_of(use.attr) == AttrType::flag && !std::get<bool>(*value)) continue;
    text += fmt::format("{}{}={}", text.empty() ? " {" : ", ", name(use.attr),
                        value_text(use.attr, *value));
  }
  return text.empty() ? text : text + "}";
}

std::string types_text(std::span<const TensorType> types) {
  std::string text;
  for (const TensorType& type : types) text += (text.empty() ? "" : ", ") + type_text(type);
  return text;
}

std::string join(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ", "));
}

// The names that the results of a node ask for; "" asks for a number. Several results share the
// node's one name, joined by commas.
std::vector<std::string> given_names(const Node& node) {
  std::vector<std::string> names(static_cast<size_t>(node.output_count()));
  if (names.empty()) return names;
  std::vector<std::string> parts{""};
  for (const char c : node.name()) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (parts.size() == names.size()) return parts;
  names[0] = node.name();
  return names;
}

// In names that were claimed, a number is one that the printer gave.
std::string value_name(const std::string& claimed) {
  return "%" + (is_automatic_name(claimed) ? claimed : spell_name(claimed));
}

// A loop's counts of operands; 0 in a node that lacks the attribute.
size_t count_of(const Node& node, Attr key) {
  return node.attrs().has(key) ? static_cast<size_t>(node.attrs().integer(key)) : 0;
}

// False for an empty handle, and for a result that its operation does not have.
bool has_value(const Tensor& t) {
  return t.defined() && t.output() >= 0 && t.output() < t.node().output_count();
}

class Printer {
 public:
  explicit Printer(const PrintOptions& options) : options_(options) {}
  std::string print(const Graph& graph);

 private:
  // The names of the values of one graph or region.
  struct Names {
    NodeMap<std::vector<std::string>> of;
    const Names* outer = nullptr;
  };

  std::string claim(const std::string& wanted);
  void name_results(const Node& node, Names& names);
  static const std::string* find_name(const Tensor& t, const Names& names);
  static std::string reference(const Tensor& t, const Names& names);
  void collect_leaves(const Graph& graph, NodeMap<char>& known, std::vector<const Node*>& leaves);

  void body(const Graph& graph, Names& names, int indent);
  void operation(const Node& node, Names& names, int indent);
  void region(const Graph& graph, const Node& owner, size_t first_operand, size_t first_implied,
              const Names& outer, int indent);
  static std::string operands_text(const Node& node, size_t count, const Names& names);
  std::string comment_text(const Node& node) const;

  const PrintOptions& options_;
  std::string out_;
  // Names in use where we are, each with the next number to try when it is wanted again.
  std::unordered_map<std::string, int> taken_;
  std::vector<std::string> claimed_;  // in order, so that a region gives its names back
  int next_automatic_ = 0;
  TensorMap<std::string> output_names_;
  std::unordered_set<const Graph*> searched_;
};

std::string Printer::claim(const std::string& wanted) {
  if (wanted.empty() || is_automatic_name(wanted)) return std::to_string(next_automatic_++);
  std::string name = wanted;
  while (taken_.count(name)) name = fmt::format("{}_{}", wanted, ++taken_[wanted]);
  taken_[name] = 0;
  claimed_.push_back(name);
  return name;
}

void Printer::name_results(const Node& node, Names& names) {
  std::vector<std::string> results = given_names(node);
  const bool is_operation = node.op() != Op::input && node.op() != Op::leaf;
  for (int i = 0; i < node.output_count(); ++i) {
    std::string& name = results[static_cast<size_t>(i)];
    // What has no name is called as it is returned; an input is not, because callers use its name.
    if (is_operation && (name.empty() || is_automatic_name(name)) && !output_names_.empty()) {
      const auto found = output_names_.find(Tensor(const_cast<Node*>(&node), i));
      if (found != output_names_.end()) name = found->second;
    }
    name = claim(name);
  }
  *names.of.insert(&node).first = std::move(results);
}

// Null for what has no definition here.
const std::string* Printer::find_name(const Tensor& t, const Names& names) {
  if (!has_value(t)) return nullptr;
  for (const Names* scope = &names; scope; scope = scope->outer)
    if (const auto* found = scope->of.find(t.node_pointer()))
      return &(*found)[static_cast<size_t>(t.output())];
  return nullptr;
}

std::string Printer::reference(const Tensor& t, const Names& names) {
  const std::string* name = find_name(t, names);
  return name ? value_name(*name) : "%?";
}

void Printer::collect_leaves(const Graph& graph, NodeMap<char>& known,
                             std::vector<const Node*>& leaves) {
  if (!searched_.insert(&graph).second) return;
  for (const Tensor& input : graph.inputs)
    if (input.defined()) known.insert(input.node_pointer());
  const Numbering numbering = number_nodes(graph);
  for (const Node* leaf : numbering.leaves)
    if (known.insert(leaf).second) leaves.push_back(leaf);
  for (const Node* node : numbering.operations)
    for (const Graph* region : regions_of(*node)) collect_leaves(*region, known, leaves);
}

std::string Printer::print(const Graph& graph) {
  for (size_t i = 0; i < graph.outputs.size() && i < graph.output_names.size(); ++i)
    if (graph.outputs[i].defined()) output_names_.emplace(graph.outputs[i], graph.output_names[i]);

  Names names;
  std::vector<std::string> parameters;
  const auto add_parameter = [&](const Node& node) {
    if (names.of.contains(&node)) return;
    name_results(node, names);
    parameters.push_back(
        fmt::format("{}: {}", value_name((*names.of.find(&node))[0]), type_text(node.output())));
  };
  NodeMap<char> known;
  std::vector<const Node*> leaves;
  collect_leaves(graph, known, leaves);
  for (const Tensor& input : graph.inputs)
    if (input.defined()) add_parameter(input.node());
  std::vector<std::string> leaf_names;
  for (const Node* leaf : leaves) {
    add_parameter(*leaf);
    leaf_names.push_back(reference(Tensor(const_cast<Node*>(leaf), 0), names));
  }

  std::vector<std::string> results;
  for (const Tensor& t : graph.outputs) results.push_back(has_value(t) ? type_text(t.type()) : "?");
  const std::string start =
      graph.name.empty() ? "graph(" : fmt::format("graph @{}(", spell_name(graph.name));
  const std::string end = fmt::format(") -> ({}) {{\n", join(results));
  out_ = start + join(parameters) + end;
  if (out_.size() > kLineLength + 1 && !parameters.empty())
    out_ = fmt::format("{}\n    {}{}", start, fmt::join(parameters, ",\n    "), end);
  if (!leaf_names.empty())
    out_ += fmt::format("  // not among the inputs of the graph: {}\n", join(leaf_names));

  body(graph, names, 2);
  std::vector<std::string> returned;
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    std::string value = reference(graph.outputs[i], names);
    if (i < graph.output_names.size()) {
      const std::string& wanted = graph.output_names[i];
      const std::string* name = find_name(graph.outputs[i], names);
      if (!name || *name != wanted) value += " as " + spell_word(wanted);
    }
    returned.push_back(std::move(value));
  }
  out_ += fmt::format("  return{}{}\n}}\n", returned.empty() ? "" : " ", join(returned));
  return std::move(out_);
}

void Printer::body(const Graph& graph, Names& names, int indent) {
  for (const Node* node : number_nodes(graph).operations) operation(*node, names, indent);
}

// The first `count` operands; a loop's are (trip count, carried; scanned; captured).
std::string Printer::operands_text(const Node& node, size_t count, const Names& names) {
  const bool is_loop = node.op() == Op::loop;
  const size_t scanned_at = 1 + count_of(node, Attr::carried);
  const size_t captured_at = scanned_at + count_of(node, Attr::scanned);
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    std::string separator = i ? ", " : "";
    if (is_loop && i == scanned_at) separator = i == captured_at ? "; ; " : "; ";
    if (is_loop && i == captured_at && captured_at > scanned_at) separator = "; ";
    text += separator + reference(node.input(static_cast<int>(i)), names);
  }
  return text;
}

// Whether the parser finds the operands from `first` on by itself: each is read by a region, they
// stand in the order in which the regions' text first names them, and none stands there twice.
bool are_implied(const Node& node, size_t first, size_t first_operand) {
  const auto inputs = node.inputs();
  NodeMap<size_t> position;  // of a region's input among the operands
  TensorSet distinct;
  for (size_t i = first; i < inputs.size(); ++i)
    if (!has_value(inputs[i]) || !distinct.insert(inputs[i]).second) return false;
  size_t named = first;
  const auto read = [&](const Tensor& t) {
    const size_t* at = position.find(t.node_pointer());
    if (at && *at == named) ++named;
    return !at || *at < named;
  };
  for (const Graph* region : regions_of(node)) {
    if (region->inputs.size() + first_operand != inputs.size()) return false;
    for (size_t i = first; i < inputs.size(); ++i) {
      const Tensor& parameter = region->inputs[i - first_operand];
      if (!parameter.defined() || parameter.type() != inputs[i].type()) return false;
      const auto [at, is_new] = position.insert(parameter.node_pointer());
      if (!is_new) return false;
      *at = i;
    }
    for (const Node* inner : topological_order(region->outputs))
      for (const Tensor& t : inner->inputs())
        if (!read(t)) return false;
    for (const Tensor& t : region->outputs)
      if (!read(t)) return false;
  }
  return named == inputs.size();
}

void Printer::region(const Graph& graph, const Node& owner, size_t first_operand,
                     size_t first_implied, const Names& outer, int indent) {
  const size_t claimed = claimed_.size();
  Names names;
  names.outer = &outer;
  std::vector<std::string> parameters;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Tensor& input = graph.inputs[i];
    if (!input.defined() || names.of.contains(input.node_pointer())) continue;
    const size_t operand = i + first_operand;
    if (operand >= first_implied && operand < owner.inputs().size()) {
      const std::string* outside = find_name(owner.inputs()[operand], outer);
      *names.of.insert(input.node_pointer()).first = {outside ? *outside : "?"};
      continue;
    }
    name_results(input.node(), names);
    parameters.push_back(reference(input, names) + ": " + type_text(input.type()));
  }
  if (!parameters.empty()) out_ += fmt::format(" ({})", join(parameters));
  out_ += " {\n";
  body(graph, names, indent + 2);
  std::vector<std::string> results;
  for (const Tensor& t : graph.outputs) results.push_back(reference(t, names));
  out_ += fmt::format("{:{}}yield{}{}\n{:{}}}}", "", indent + 2, results.empty() ? "" : " ",
                      join(results), "", indent);
  for (; claimed_.size() > claimed; claimed_.pop_back()) taken_.erase(claimed_.back());
}

std::string Printer::comment_text(const Node& node) const {
  std::vector<std::string> parts;
  if (options_.locations && node.location().line()) parts.push_back(locate(node.location()));
  if (options_.locations && node.scope()) parts.push_back("in '" + *node.scope() + "'");
  std::string text = fmt::format("{}", fmt::join(parts, " "));
  if (const std::string more = options_.comment ? options_.comment(node) : ""; !more.empty())
    text += (text.empty() ? "" : "; ") + more;
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text.empty() ? text : "  // " + text;
}

void Printer::operation(const Node& node, Names& names, int indent) {
  const size_t operands = node.inputs().size();
  // Where operands start that regions see, and where those start that regions read by outer names.
  const size_t first_operand = node.op() == Op::cond ? 1 : 0;
  size_t first_implied = operands;
  if (node.op() == Op::cond) first_implied = 1;
  if (node.op() == Op::loop)
    first_implied = 1 + count_of(node, Attr::carried) + count_of(node, Attr::scanned);
  if (first_implied >= operands || !are_implied(node, first_implied, first_operand))
    first_implied = operands;

  std::string operation_text =
      node.op() == Op::dense
          ? detail::print_literal(node.attrs().literal(Attr::literal))
          : fmt::format("{}({}){}", name(node.op()), operands_text(node, first_implied, names),
                        attributes_text(node));
  // Results are named before the regions are printed, so that a region cannot use their names.
  name_results(node, names);
  std::vector<std::string> results;
  for (int i = 0; i < node.output_count(); ++i)
    results.push_back(reference(Tensor(const_cast<Node*>(&node), i), names));
  out_ += fmt::format("{:{}}{} = {}", "", indent, join(results), operation_text);
  bool first = true;
  for (const Graph* graph : regions_of(node)) {
    if (!first) out_ += " else";
    region(*graph, node, first_operand, first_implied, names, indent);
    first = false;
  }
  out_ += fmt::format(" : {}{}\n", types_text(node.outputs()), comment_text(node));
}

}  // namespace

std::string type_text(const TensorType& type) {
  std::string text =
      std::string(name(type.dtype)) + to_string(static_cast<const Ints&>(type.shape));
  if (type.placement != Placement{}) text += "@" + to_string(type.placement);
  std::vector<std::string> axes;
  for (const std::string& axis : type.varying) axes.push_back(spell_word(axis));
  if (!axes.empty()) text += fmt::format("{{{}}}", fmt::join(axes, ","));
  return text;
}

std::string to_text(const Graph& graph, const PrintOptions& options) {
  return Printer(options).print(graph);
}

}  // namespace cairn
