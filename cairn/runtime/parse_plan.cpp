#include "cairn/runtime/parse_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "cairn/graph/literals.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/parse.h"
#include "cairn/graph/text_reader.h"
#include "cairn/runtime/verify_plan.h"

namespace cairn {
namespace {

using detail::TextReader;
using detail::Token;
using detail::TokenKind;
using Kind = PlanBuffer::Kind;

// As for graphs: of each byte of text not more than some hundred of memory.
constexpr size_t kMaxTextBytes = size_t{32} << 20;

struct Place {
  PlanBuffer buffer;  // bytes are known of the arena's only
  size_t offset;      // in the text
  bool is_at(const PlanBuffer& other) const {
    return buffer.kind == other.kind && buffer.index == other.index &&
           (buffer.kind != Kind::arena || buffer.bytes == other.bytes);
  }
};

// "peak=192 arguments=64 results=64 arena=64".
struct Sizes {
  size_t peak, arguments, results, arena;
  size_t offset;
};

Sizes read_sizes(TextReader& reader) {
  const auto size = [&](std::string_view what) {
    reader.expect_word(what);
    reader.expect("=");
    const Token digits = reader.expect_kind(TokenKind::number, "a number of bytes");
    const auto value = detail::parse_integer(digits.text);
    if (!value || *value < 0) reader.fail(digits.offset, "this is no number of bytes");
    return static_cast<size_t>(*value);
  };
  Sizes sizes{};
  sizes.offset = reader.token().offset;
  sizes.peak = size("peak");
  sizes.arguments = size("arguments");
  sizes.results = size("results");
  sizes.arena = size("arena");
  return sizes;
}

std::shared_ptr<const Plan> read_region(TextReader& reader, const Backend& backend,
                                        const Graph& graph);

std::string shown(const PlanBuffer& buffer) {
  switch (buffer.kind) {
    case Kind::argument: return fmt::format("argument{}", buffer.index);
    case Kind::result: return fmt::format("result{}", buffer.index);
    case Kind::arena: break;
  }
  return fmt::format("arena[{}:{}]", buffer.index,
                     static_cast<uint64_t>(buffer.index) + buffer.bytes);
}

// The launches of one plan: a whole one, or that of a region.
class BodyParser {
 public:
  BodyParser(TextReader& reader, const Backend& backend, Graph graph, bool region)
      : reader_(reader),
        backend_(backend),
        region_(region),
        plan_(std::make_shared<Plan>()),
        operations_(number_nodes(graph).operations) {
    plan_->graph = std::move(graph);
    plan_->donor.resize(plan_->graph.outputs.size(), -1);
    for (size_t i = 0; i < plan_->graph.inputs.size(); ++i) {
      const Tensor& input = plan_->graph.inputs[i];
      buffer_of_[input] = static_cast<int>(i);
      plan_->arguments.push_back(static_cast<int>(i));
      plan_->buffers.push_back({Kind::argument, static_cast<int64_t>(i), input.type().bytes()});
      plan_->argument_bytes += round_up_to_alignment(input.type().bytes());
    }
  }

  // From after "{" to after "}".
  std::shared_ptr<const Plan> parse(const Sizes& sizes) {
    plan_->arena_bytes = sizes.arena;
    while (!reader_.at_word("return")) launch();
    const size_t return_offset = reader_.take().offset;
    results();
    reader_.expect("}");
    for (const auto& [what, given, found] :
         {std::tuple("arena", sizes.arena, arena_end_),
          std::tuple("arguments", sizes.arguments, plan_->argument_bytes),
          std::tuple("results", sizes.results, plan_->result_bytes),
          std::tuple("peak", sizes.peak, plan_->peak_bytes())})
      if (given != found)
        reader_.fail(sizes.offset,
                     fmt::format("{}={} is announced, the plan has {}", what, given, found));
    sort_buffers();
    if (const auto fault = find_fault(*plan_, backend_, region_))
      reader_.fail(fault->launch < 0 ? return_offset : offsets_[static_cast<size_t>(fault->launch)],
                   fault->what);
    return plan_;
  }

 private:
  int64_t number(std::string_view digits, size_t offset) const {
    const auto value = detail::parse_integer(digits);
    if (!value || *value < 0)
      reader_.fail(offset, fmt::format("'{}' is no number of 63 bits", digits.substr(0, 40)));
    return *value;
  }

  Place place() {
    const Token word = reader_.expect_kind(TokenKind::word, "a place, like arena[0:64]");
    for (const auto& [prefix, kind] :
         {std::pair<std::string_view, Kind>{"argument", Kind::argument}, {"result", Kind::result}})
      if (word.text.starts_with(prefix) && word.text.size() > prefix.size())
        return {{kind, number(std::string_view(word.text).substr(prefix.size()), word.offset), 0},
                word.offset};
    if (word.text != "arena")
      reader_.fail(word.offset, fmt::format("'{}' is no place; one is argument0, result0 or "
                                            "arena[0:64]",
                                            word.text.substr(0, 40)));
    reader_.expect("[");
    const Token begin = reader_.expect_kind(TokenKind::number, "where the place begins");
    reader_.expect(":");
    const Token end = reader_.expect_kind(TokenKind::number, "where the place ends");
    reader_.expect("]");
    const int64_t from = number(begin.text, begin.offset);
    const int64_t to = number(end.text, end.offset);
    if (to < from) reader_.fail(end.offset, "the place ends before it begins");
    return {{Kind::arena, from, static_cast<size_t>(to - from)}, word.offset};
  }

  std::vector<Place> places(std::string_view closing) {
    std::vector<Place> list;
    while (!reader_.at(closing)) {
      if (!list.empty()) reader_.expect(",");
      list.push_back(place());
    }
    reader_.take();
    return list;
  }

  const Node* operation(const Token& word) const {
    const size_t point = word.text.rfind('.');
    const std::string_view text = word.text;
    const auto index =
        point == std::string::npos ? std::nullopt : detail::parse_integer(text.substr(point + 1));
    if (!index || *index < 0 || *index >= std::ssize(operations_))
      reader_.fail(word.offset,
                   fmt::format("expected an operation and its number below {}, like add.0, or "
                               "'copy', found '{}'",
                               operations_.size(), text.substr(0, 40)));
    const Node* node = operations_[static_cast<size_t>(*index)];
    if (name(node->op()) != text.substr(0, point))
      reader_.fail(word.offset, fmt::format("operation {} is '{}', not '{}'", *index,
                                            name(node->op()), text.substr(0, point)));
    if (is_alias(*node))
      reader_.fail(word.offset, fmt::format("'{}' needs no launch", name(node->op())));
    return node;
  }

  int add(const PlanBuffer& buffer) {
    plan_->buffers.push_back(buffer);
    return static_cast<int>(plan_->buffers.size()) - 1;
  }
  // The buffer that the launch writes at `place`.
  int written(const Place& place, std::optional<size_t> bytes) {
    PlanBuffer buffer = place.buffer;
    if (buffer.kind == Kind::argument)
      reader_.fail(place.offset, "an argument is not written; a result may lie 'over' it");
    if (buffer.kind == Kind::result) {
      if (buffer.index >= std::ssize(plan_->graph.outputs))
        reader_.fail(place.offset,
                     fmt::format("the graph has {} results", plan_->graph.outputs.size()));
      buffer.bytes = bytes.value_or(0);
    } else {
      if (bytes && buffer.bytes != *bytes)
        reader_.fail(place.offset,
                     fmt::format("the place has {} bytes, the value has {}", buffer.bytes, *bytes));
      if (buffer.index % static_cast<int64_t>(kBufferAlignment))
        reader_.fail(place.offset,
                     fmt::format("a place begins at a multiple of {}", kBufferAlignment));
      const auto end = static_cast<size_t>(buffer.index) + buffer.bytes;
      if (end > plan_->arena_bytes)
        reader_.fail(place.offset, fmt::format("the place ends outside the arena of {} bytes",
                                               plan_->arena_bytes));
      if (buffer.bytes) arena_end_ = std::max(arena_end_, round_up_to_alignment(end));
    }
    return add(buffer);
  }
  // The buffer of a value that `place` must be.
  int read(const Place& place, const Tensor& value) const {
    const auto found = buffer_of_.find(root_of(value));
    if (found == buffer_of_.end()) reader_.fail(place.offset, "the value is not computed yet");
    const PlanBuffer& buffer = plan_->buffers[static_cast<size_t>(found->second)];
    if (!place.is_at(buffer))
      reader_.fail(place.offset, fmt::format("the value lies in {}", shown(buffer)));
    return found->second;
  }

  void check_count(size_t offset, size_t given, size_t wanted, std::string_view what) const {
    if (given != wanted)
      reader_.fail(offset, fmt::format("expected {} {}, found {}", wanted, what, given));
  }

  // What follows the word "fused".
  LaunchGroup fused(const Token& word) {
    std::vector<const Node*> nodes;
    std::vector<Tensor> values;
    const auto list = [&](std::string_view end, auto&& add) {
      do add(*operation(reader_.expect_kind(TokenKind::word, "an operation, like add.0")));
      while (reader_.accept(","));
      reader_.expect(end);
    };
    reader_.expect("(");
    list("->", [&](const Node& node) { nodes.push_back(&node); });
    list(")", [&](const Node& node) {
      if (std::find(nodes.begin(), nodes.end(), &node) == nodes.end())
        reader_.fail(word.offset, "a result of the launch is not one of its operations");
      values.emplace_back(const_cast<Node*>(&node), 0);
    });
    return fused_group(std::move(nodes), std::move(values));
  }

  void launch() {
    offsets_.push_back(reader_.token().offset);
    const std::vector<Place> outputs = places("=");
    const Token word = reader_.expect_kind(TokenKind::word, "an operation, like add.0, or 'copy'");
    LaunchGroup group;
    if (word.text == "fused")
      group = fused(word);
    else if (word.text != "copy")
      group = group_of(*operation(word));
    reader_.expect("(");
    const std::vector<Place> inputs = places(")");
    Launch launch;
    if (word.text == "copy") {
      launch.kind = Launch::Kind::copy;
      check_count(offsets_.back(), outputs.size(), 1, "places");
      check_count(word.offset, inputs.size(), 1, "operands");
      if (outputs[0].buffer.kind != Kind::result ||
          outputs[0].buffer.index >= std::ssize(plan_->graph.outputs))
        reader_.fail(outputs[0].offset, "expected a result of the region");
      const Tensor& value = plan_->graph.outputs[static_cast<size_t>(outputs[0].buffer.index)];
      launch.inputs.push_back(read(inputs[0], value));
      launch.outputs.push_back(written(outputs[0], value.type().bytes()));
      copies_[outputs[0].buffer.index] = launch.outputs[0];
      plan_->launches.push_back(std::move(launch));
      return;
    }
    check_count(word.offset, inputs.size(), group.inputs.size(), "operands");
    check_count(offsets_.back(), outputs.size(), group.outputs.size(), "places");
    for (size_t i = 0; i < inputs.size(); ++i)
      launch.inputs.push_back(read(inputs[i], group.inputs[i]));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& value = group.outputs[i];
      launch.outputs.push_back(written(outputs[i], value.type().bytes()));
      if (!buffer_of_.emplace(value, launch.outputs.back()).second)
        reader_.fail(word.offset, "the operation is launched twice");
    }
    if (reader_.accept_word("workspace")) {
      const Place at = place();
      launch.workspace = written(at, std::nullopt);
    }
    launch.group = std::move(group);
    regions(launch, word);
    plan_->launches.push_back(std::move(launch));
  }

  void regions(Launch& launch, const Token& word) {
    const Op op = launch.node()->op();
    if (op == Op::loop || op == Op::cond) {
      launch.kind = op == Op::loop ? Launch::Kind::loop : Launch::Kind::cond;
      for (const Graph* graph : regions_of(*launch.node())) {
        if (!launch.regions.empty()) reader_.expect_word("else");
        launch.regions.push_back(read_region(reader_, backend_, *graph));
      }
      return;
    }
    try {
      launch.code = backend_.code(launch.group);
    } catch (const Error& error) {
      reader_.fail(word.offset, error.what());
    }
  }

  void results() {
    const std::vector<Tensor>& outputs = plan_->graph.outputs;
    for (size_t j = 0; j < outputs.size(); ++j) {
      if (j) reader_.expect(",");
      const Place at = place();
      const auto copied = copies_.find(static_cast<int64_t>(j));
      if (copied == copies_.end()) {
        plan_->results.push_back(read(at, outputs[j]));
      } else {
        if (!at.is_at(plan_->buffers[static_cast<size_t>(copied->second)]))
          reader_.fail(at.offset, fmt::format("the value was copied to result{}", j));
        plan_->results.push_back(copied->second);
      }
      if (!reader_.accept_word("over")) continue;
      const Place donor = place();
      if (donor.buffer.kind != Kind::argument || donor.buffer.index >= std::ssize(plan_->arguments))
        reader_.fail(donor.offset, "expected an argument");
      plan_->donor[j] = static_cast<int>(donor.buffer.index);
    }
    for (const PlanBuffer& b : plan_->buffers)
      if (b.kind == Kind::result && plan_->donor[static_cast<size_t>(b.index)] < 0)
        plan_->result_bytes += round_up_to_alignment(b.bytes);
  }

  // As make_plan() counts them: arguments, results, the arena's in the order of launches.
  void sort_buffers() {
    std::vector<int> order;
    for (int b = 0; b < std::ssize(plan_->buffers); ++b) order.push_back(b);
    const auto& buffers = plan_->buffers;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      const PlanBuffer& x = buffers[static_cast<size_t>(a)];
      const PlanBuffer& y = buffers[static_cast<size_t>(b)];
      if (x.kind != y.kind) return x.kind < y.kind;
      return x.kind != Kind::arena && x.index < y.index;
    });
    std::vector<int> now(order.size());
    std::vector<PlanBuffer> sorted;
    for (int b : order) {
      now[static_cast<size_t>(b)] = static_cast<int>(sorted.size());
      sorted.push_back(buffers[static_cast<size_t>(b)]);
    }
    const auto renumber = [&](std::vector<int>& list) {
      for (int& b : list) b = now[static_cast<size_t>(b)];
    };
    plan_->buffers = std::move(sorted);
    for (Launch& launch : plan_->launches) {
      renumber(launch.inputs);
      renumber(launch.outputs);
      if (launch.workspace >= 0) launch.workspace = now[static_cast<size_t>(launch.workspace)];
    }
    renumber(plan_->results);
  }

  TextReader& reader_;
  const Backend& backend_;
  const bool region_;
  std::shared_ptr<Plan> plan_;
  std::vector<const Node*> operations_;
  TensorMap<int> buffer_of_;
  std::map<int64_t, int> copies_;  // result → buffer
  std::vector<size_t> offsets_;    // of the launches
  size_t arena_end_ = 0;
};

std::shared_ptr<const Plan> read_region(TextReader& reader, const Backend& backend,
                                        const Graph& graph) {
  reader.expect_word("plan");
  const Sizes sizes = read_sizes(reader);
  reader.expect("{");
  return BodyParser(reader, backend, graph, true).parse(sizes);
}

// The text of the graph that starts at the current token, which it is moved behind: blanks, then
// the graph, so that its errors have the right places.
std::string graph_text(TextReader& reader, std::string_view text) {
  const size_t begin = reader.token().offset;
  int braces = 0;
  int parentheses = 0;
  bool returned = false;
  size_t end = begin;
  do {
    if (reader.token().kind == TokenKind::end) reader.fail_expected("'}' after the graph");
    if (reader.at("{")) ++braces;
    if (reader.at("}")) --braces;
    if (reader.at("(")) ++parentheses;
    if (reader.at(")")) --parentheses;
    returned |= reader.at_word("return") && braces == 1 && parentheses == 0;
    end = reader.take().offset + 1;
  } while (!returned || braces > 0);
  std::string result;
  result.reserve(end);
  for (const char c : text.substr(0, begin)) result += c == '\n' ? '\n' : ' ';
  return result.append(text.substr(begin, end - begin));
}

std::shared_ptr<const Plan> read_plan(std::string_view text, const Backend& backend) {
  TextReader reader(text);
  reader.expect_word("plan");
  const Sizes sizes = read_sizes(reader);
  reader.expect("{");
  if (!reader.at_word("graph")) reader.fail_expected("'graph'");
  Result<Graph> graph = parse_graph(graph_text(reader, text));
  if (!graph) throw Error(graph.error().what());
  auto plan = BodyParser(reader, backend, std::move(graph).value(), false).parse(sizes);
  if (reader.token().kind != TokenKind::end) reader.fail_expected("the end of the text");
  return plan;
}

}  // namespace

Result<std::shared_ptr<const Plan>> parse_plan(std::string_view text, const Backend& backend) {
  if (text.size() > kMaxTextBytes)
    return Error(fmt::format("a plan's text has at most {} bytes, this one has {}", kMaxTextBytes,
                             text.size()));
  try {
    return read_plan(text, backend);
  } catch (const Error& error) {
    return Error(error.what());
  }
}

}  // namespace cairn
