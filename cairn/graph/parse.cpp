#include "cairn/graph/parse.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>

#include "cairn/graph/print.h"
#include "cairn/graph/text_reader.h"

namespace cairn {
namespace {

using detail::is_automatic_name;
using detail::TextReader;
using detail::Token;
using detail::TokenKind;

constexpr size_t kMaxTextBytes = size_t{32} << 20;
constexpr int kMaxDepth = 64;
// Nodes take about 500 bytes each, and a text can ask for one with 12.
constexpr int kMaxNodes = 1'000'000;
// An error about an operation lists its operands.
constexpr size_t kMaxOperands = 65'536;

// The values that can be named at one place: those of a graph or region, then those around it.
struct Values {
  Values* outer = nullptr;
  std::unordered_map<std::string, Tensor> named;
  // What a region reads from around it, and the inputs that stand for it inside.
  std::vector<Tensor> captured;
  std::vector<Tensor> placeholders;
};

struct Region {
  Graph graph;
  std::vector<Tensor>
      captured;  // operands beyond those that were given; inputs follow in this order
};

class Parser {
 public:
  explicit Parser(std::string_view text) : reader_(text) {}
  Graph parse();

 private:
  Token value_token() { return reader_.expect_kind(TokenKind::value, "a value, like %x"); }
  Tensor find(Values& values, const Token& name);
  Tensor use(Values& values) {
    const Token name = value_token();
    return find(values, name);
  }
  void define(Values& values, const Token& name, Tensor value);
  Tensor add_input(TensorType type, const Token& name);
  void count_nodes(size_t offset, size_t count = 1);

  void body(Values& values);
  void operation(Values& values);
  std::vector<Tensor> operand_list(Values& values, std::vector<size_t>& sections);
  void add_regions(Values& values, Op op, const Token& word, std::vector<Tensor>& operands,
                   const std::vector<size_t>& sections, Attrs& attrs);
  Region region(Values& outer, std::span<const TensorType> parameters, std::string_view roles);
  std::vector<TensorType> loop_parameters(const Token& word, std::span<const Tensor> operands,
                                          size_t carried, size_t scanned);
  void add_branches(Values& values, std::vector<Tensor>& operands, Attrs& attrs);
  void check_types(Op op, std::span<const Tensor> results);

  TextReader reader_;
  int nodes_ = 0;
  int depth_ = 0;
};

std::string shown(const Token& name) {
  return "'%" + (is_automatic_name(name.text) ? name.text : detail::spell_name(name.text)) + "'";
}

Tensor Parser::find(Values& values, const Token& name) {
  const auto found = values.named.find(name.text);
  if (found != values.named.end()) return found->second;
  if (!values.outer) reader_.fail(name.offset, shown(name) + " is not defined");
  const Tensor outside = find(*values.outer, name);
  const Tensor inside = add_input(outside.type(), name);
  values.captured.push_back(outside);
  values.placeholders.push_back(inside);
  values.named.emplace(name.text, inside);
  return inside;
}

void Parser::define(Values& values, const Token& name, Tensor value) {
  for (const Values* scope = &values; scope; scope = scope->outer)
    if (scope->named.count(name.text))
      reader_.fail(name.offset, shown(name) + " is defined already");
  values.named.emplace(name.text, std::move(value));
}

void Parser::count_nodes(size_t offset, size_t count) {
  nodes_ += static_cast<int>(count);
  if (nodes_ > kMaxNodes)
    reader_.fail(offset, fmt::format("a text has at most {} values", kMaxNodes));
}

Tensor Parser::add_input(TensorType type, const Token& name) {
  count_nodes(name.offset);
  return Tensor::input(std::move(type), name.text);
}

// A value's name, when it gets one that a person gave.
std::string given_name(const std::vector<Token>& results) {
  std::string joined;
  bool any = false;
  for (size_t i = 0; i < results.size(); ++i) {
    if (i) joined += ',';
    if (is_automatic_name(results[i].text)) continue;
    joined += results[i].text;
    any = true;
  }
  return any ? joined : std::string();
}

Graph Parser::parse() {
  Graph graph;
  Values values;
  reader_.expect_word("graph");
  if (reader_.token().kind == TokenKind::symbol) graph.name = reader_.take().text;
  reader_.expect("(");
  while (!reader_.at(")")) {
    if (!graph.inputs.empty()) reader_.expect(",");
    const Token name = value_token();
    if (!reader_.accept(":")) reader_.fail_expected("':' and the type of the input " + shown(name));
    graph.inputs.push_back(add_input(reader_.type(), name));
    define(values, name, graph.inputs.back());
  }
  reader_.take();
  const size_t results_offset = reader_.token().offset;
  std::optional<std::vector<TensorType>> results;
  if (reader_.accept("->")) {
    results.emplace();
    reader_.expect("(");
    while (!reader_.at(")")) {
      if (!results->empty()) reader_.expect(",");
      results->push_back(reader_.type());
    }
    reader_.take();
  }
  body(values);
  reader_.expect_word("return");
  while (reader_.token().kind == TokenKind::value) {
    const Token name = reader_.take();
    graph.outputs.push_back(find(values, name));
    graph.output_names.push_back(name.text);
    if (reader_.accept_word("as")) {
      if (reader_.token().kind != TokenKind::word && reader_.token().kind != TokenKind::string)
        reader_.fail_expected("the name of an output");
      graph.output_names.back() = reader_.take().text;
    }
    if (!reader_.accept(",")) break;
    if (reader_.token().kind != TokenKind::value) reader_.fail_expected("a value, like %x");
  }
  reader_.expect("}");
  if (reader_.token().kind != TokenKind::end) reader_.fail_expected("the end of the text");
  if (!results) return graph;
  if (results->size() != graph.outputs.size())
    reader_.fail(results_offset, fmt::format("{} results are announced, {} are returned",
                                             results->size(), graph.outputs.size()));
  for (size_t i = 0; i < results->size(); ++i)
    if ((*results)[i] != graph.outputs[i].type())
      reader_.fail(results_offset,
                   fmt::format("result {} is announced as {}, the value is {}", i,
                               type_text((*results)[i]), type_text(graph.outputs[i].type())));
  return graph;
}

// "{", then operations up to the word that ends them.
void Parser::body(Values& values) {
  reader_.expect("{");
  while (reader_.token().kind == TokenKind::value) operation(values);
  const std::string_view last = values.outer ? "yield" : "return";
  if (!reader_.at_word(last)) reader_.fail_expected(fmt::format("an operation or '{}'", last));
}

std::vector<Tensor> Parser::operand_list(Values& values, std::vector<size_t>& sections) {
  std::vector<Tensor> operands;
  reader_.expect("(");
  bool separated = true;
  while (!reader_.at(")")) {
    if (reader_.at(";")) {
      reader_.take();
      sections.push_back(operands.size());
      separated = true;
      continue;
    }
    if (!separated) reader_.expect(",");
    if (operands.size() == kMaxOperands)
      reader_.fail(reader_.token().offset,
                   fmt::format("an operation has at most {} operands", kMaxOperands));
    operands.push_back(use(values));
    separated = false;
  }
  reader_.take();
  return operands;
}

void Parser::operation(Values& values) {
  std::vector<Token> names{value_token()};
  while (reader_.accept(",")) names.push_back(value_token());
  reader_.expect("=");
  const Token word = reader_.expect_kind(TokenKind::word, "an operation");
  const auto op = parse_op(word.text);
  if (!op) {
    std::vector<std::string_view> known;
    for (int i = 0; i < kOpCount; ++i) known.push_back(name(static_cast<Op>(i)));
    reader_.fail(word.offset, fmt::format("unknown operation '{}'; the nearest is '{}'", word.text,
                                          detail::nearest(word.text, known)));
  }
  if (*op == Op::input || *op == Op::leaf)
    reader_.fail(
        word.offset,
        fmt::format("'{}' has no text: give the value as an input of the graph", word.text));
  std::vector<Tensor> operands;
  Attrs attrs;
  if (*op == Op::dense) {
    attrs.set(Attr::literal, reader_.literal());
  } else {
    std::vector<size_t> sections;
    operands = operand_list(values, sections);
    if (!sections.empty() && *op != Op::loop)
      reader_.fail(word.offset,
                   fmt::format("';' separates the operands of a loop, '{}' has none", word.text));
    if (*op != Op::cond) attrs = reader_.attributes(*op);
    add_regions(values, *op, word, operands, sections, attrs);
  }
  count_nodes(word.offset);
  std::vector<Tensor> results;
  try {
    results = make_many(*op, std::move(operands), std::move(attrs));
  } catch (const Error& error) {
    reader_.fail(word.offset, error.what());
  }
  if (results.size() != names.size())
    reader_.fail(names[0].offset, fmt::format("'{}' gives {} results, {} are named", word.text,
                                              results.size(), names.size()));
  for (const Tensor& result : results)
    if (result.type().varying.size() > detail::kMaxMeshAxes)
      reader_.fail(word.offset, fmt::format("the result varies along more than {} mesh axes",
                                            detail::kMaxMeshAxes));
  if (reader_.accept(":")) check_types(*op, results);
  if (const std::string given = given_name(names); !given.empty())
    results = all_outputs(results[0].named(given));
  for (size_t i = 0; i < names.size(); ++i) define(values, names[i], results[i]);
}

void Parser::check_types(Op op, std::span<const Tensor> results) {
  for (size_t i = 0; i < results.size(); ++i) {
    if (i) reader_.expect(",");
    const size_t offset = reader_.token().offset;
    const TensorType given = reader_.type();
    if (given != results[i].type())
      reader_.fail(offset, fmt::format("result {} of '{}' is {}, not {}", i, name(op),
                                       type_text(results[i].type()), type_text(given)));
  }
}

void Parser::add_regions(Values& values, Op op, const Token& word, std::vector<Tensor>& operands,
                         const std::vector<size_t>& sections, Attrs& attrs) {
  if (op == Op::cond) {
    if (operands.empty()) reader_.fail(word.offset, "'cond' needs a condition");
    add_branches(values, operands, attrs);
  } else if (op == Op::loop) {
    if (operands.empty() || (!sections.empty() && sections[0] == 0))
      reader_.fail(word.offset, "'loop' needs a trip count");
    if (sections.size() > 2)
      reader_.fail(word.offset, "a loop's operands are trip count and carried; scanned; captured");
    const size_t carried = (sections.empty() ? operands.size() : sections[0]) - 1;
    const size_t scanned_end = sections.size() == 2 ? sections[1] : operands.size();
    const size_t scanned = scanned_end - 1 - carried;
    Region body = region(values, loop_parameters(word, operands, carried, scanned),
                         "the step, then carried, scanned and captured values");
    attrs.set(Attr::carried, static_cast<int64_t>(carried));
    attrs.set(Attr::scanned, static_cast<int64_t>(scanned));
    attrs.set(Attr::body, std::make_shared<const Graph>(std::move(body.graph)));
    operands.insert(operands.end(), body.captured.begin(), body.captured.end());
  } else if (op == Op::custom) {
    std::vector<TensorType> types;
    for (const Tensor& t : operands) types.push_back(t.type());
    Region body = region(values, types, "the operands");
    attrs.set(Attr::body, std::make_shared<const Graph>(std::move(body.graph)));
    operands.insert(operands.end(), body.captured.begin(), body.captured.end());
  }
}

// Types of what a loop's body is given: the step, carried values, rows of scanned ones, captured
// ones.
std::vector<TensorType> Parser::loop_parameters(const Token& word, std::span<const Tensor> operands,
                                                size_t carried, size_t scanned) {
  std::vector<TensorType> types{{DType::i32, {}}};
  for (size_t i = 1; i < operands.size(); ++i) {
    types.push_back(operands[i].type());
    if (i <= carried || i > carried + scanned) continue;
    if (types.back().shape.rank() == 0)
      reader_.fail(word.offset, fmt::format("scanned operand {} has no axis to go along", i));
    types.back().shape.erase(0);
  }
  return types;
}

Region Parser::region(Values& outer, std::span<const TensorType> parameters,
                      std::string_view roles) {
  if (++depth_ > kMaxDepth)
    reader_.fail(reader_.token().offset, fmt::format("regions nest at most {} deep", kMaxDepth));
  Region region;
  Values values;
  values.outer = &outer;
  std::vector<Tensor>& inputs = region.graph.inputs;
  const size_t offset = reader_.token().offset;
  if (reader_.accept("(")) {
    while (!reader_.at(")")) {
      if (!inputs.empty()) reader_.expect(",");
      const Token name = value_token();
      const bool follows = inputs.size() < parameters.size();
      TensorType type = follows ? parameters[inputs.size()] : TensorType{};
      if (reader_.accept(":")) {
        const size_t type_offset = reader_.token().offset;
        TensorType given = reader_.type();
        // A loop's step may vary, and placement is not part of the agreement (infer_control.cpp).
        if (follows && (given.dtype != type.dtype || given.shape != type.shape))
          reader_.fail(type_offset, fmt::format("{} is given {}, not {}", shown(name),
                                                type_text(type), type_text(given)));
        type = std::move(given);
      } else if (!follows) {
        reader_.fail_expected("':' and the type of " + shown(name));
      }
      inputs.push_back(add_input(std::move(type), name));
      define(values, name, inputs.back());
    }
    reader_.take();
  }
  if (inputs.size() != parameters.size())
    reader_.fail(offset, fmt::format("the region takes {} values ({}), {} are named",
                                     parameters.size(), roles, inputs.size()));
  body(values);
  reader_.expect_word("yield");
  while (reader_.token().kind == TokenKind::value) {
    region.graph.outputs.push_back(use(values));
    if (!reader_.accept(",")) break;
    if (reader_.token().kind != TokenKind::value) reader_.fail_expected("a value, like %x");
  }
  reader_.expect("}");
  inputs.insert(inputs.end(), values.placeholders.begin(), values.placeholders.end());
  region.captured = std::move(values.captured);
  --depth_;
  return region;
}

// Both branches take the operands that either reads: those of the first, then the others of the
// second.
void Parser::add_branches(Values& values, std::vector<Tensor>& operands, Attrs& attrs) {
  std::vector<TensorType> types;
  for (size_t i = 1; i < operands.size(); ++i) types.push_back(operands[i].type());
  constexpr std::string_view kRoles = "the operands after the condition";
  Region then = region(values, types, kRoles);
  reader_.expect_word("else");
  Region otherwise = region(values, types, kRoles);
  TensorMap<size_t> position;  // of a captured value among the inputs of both
  std::vector<Tensor> captured;
  for (const Region* branch : {&then, &otherwise})
    for (const Tensor& t : branch->captured)
      if (position.emplace(t, types.size() + captured.size()).second) captured.push_back(t);
  for (Region* branch : {&then, &otherwise}) {
    std::vector<Tensor>& inputs = branch->graph.inputs;
    std::vector<Tensor> all(inputs.begin(), inputs.end() - std::ssize(branch->captured));
    all.resize(types.size() + captured.size());
    for (size_t i = 0; i < branch->captured.size(); ++i)
      all[position.at(branch->captured[i])] = inputs[types.size() + i];
    count_nodes(reader_.token().offset, captured.size() - branch->captured.size());
    for (size_t i = types.size(); i < all.size(); ++i) {
      const Tensor& outside = captured[i - types.size()];
      if (!all[i].defined()) all[i] = Tensor::input(outside.type(), outside.name());
    }
    inputs = std::move(all);
  }
  attrs.set(Attr::then, std::make_shared<const Graph>(std::move(then.graph)));
  attrs.set(Attr::otherwise, std::make_shared<const Graph>(std::move(otherwise.graph)));
  operands.insert(operands.end(), captured.begin(), captured.end());
}

}  // namespace

Result<Graph> parse_graph(std::string_view text) {
  if (text.size() > kMaxTextBytes)
    return Error(fmt::format("a graph's text has at most {} bytes, this one has {}", kMaxTextBytes,
                             text.size()));
  try {
    return Parser(text).parse();
  } catch (const Error& error) {
    return Error(error.what());
  }
}

}  // namespace cairn
