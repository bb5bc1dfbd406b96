#include "cairn/runtime/recipe.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>
#include <unordered_map>

#include "cairn/graph/compare.h"
#include "cairn/graph/hash.h"
#include "cairn/runtime/planning.h"
#include "cairn/transforms/simplify.h"

namespace cairn {

namespace {

// A region may hang in several places, and there again: more nodes than this are not followed.
constexpr size_t kMaxNodes = 1'000'000;

// Attributes that are regions, in the order in which a launch has their plans.
std::vector<Attr> region_keys(const Node& node) {
  std::vector<Attr> keys;
  if (!owns_regions(node.op())) return keys;
  for (const AttrUse& use : node.info().attributes)
    if (type_of(use.attr) == AttrType::graph && node.attrs().has(use.attr))
      keys.push_back(use.attr);
  return keys;
}

// The numberings of a graph and of all its regions, by scope.
class Live {
 public:
  explicit Live(const Numbering& numbering) { scopes_.push_back(&numbering); }
  void add(const Graph& region) {
    const auto [at, is_new] = known_.try_emplace(&region, nullptr);
    if (is_new) at->second = &owned_.emplace_back(number_nodes(region));
    scopes_.push_back(at->second);
  }
  template <class Source>
  const Node& node(Source source) const {
    const Numbering& scope = *scopes_[source.scope];
    return source.number < scope.leaves.size()
               ? *scope.leaves[source.number]
               : *scope.operations[source.number - scope.leaves.size()];
  }

 private:
  std::vector<const Numbering*> scopes_;
  std::deque<Numbering> owned_;
  std::unordered_map<const Graph*, const Numbering*> known_;
};

}  // namespace

// --- making a recipe ----------------------------------------------------------------------------

// To find out where the operations of a simplified graph come from, each operation gets a scope
// path of its own before: transforms hand the path of what they replace on to what they build.
class Recipe::Maker {
 public:
  // `simplifies`: the graph is simplified before it is planned.
  Maker(Recipe& recipe, const Numbering& numbering, bool simplifies, const Recipe* previous)
      : recipe_(recipe), live_(numbering), simplifies_(simplifies), previous_(previous) {}

  void make(std::span<const Tensor> outputs, const Numbering& numbering) {
    recipe_.scopes_.push_back({});
    Graph tagged = tag({"", {}, {outputs.begin(), outputs.end()}, {}}, numbering, 0);
    PlanOptions options;
    options.donated = recipe_.donated_;
    options.eager = recipe_.eager_;
    SimplifyReport report;
    const Graph simple = simplifies_ ? simplify(tagged, {}, &report) : tagged;
    const auto plan = make_plan(simple, recipe_.backend_, options);
    std::sort(recipe_.constants_.begin(), recipe_.constants_.end(),
              [](const Constant& a, const Constant& b) { return a.source < b.source; });
    recipe_.donations_ = detail::pair_donations(plan->graph, recipe_.donated_);
    if (std::any_of(report.passes.begin(), report.passes.end(),
                    [](const auto& pass) { return pass.rewrites > 0; }))
      add_guards(tagged);
    make_template(recipe_.template_, plan);
  }

 private:
  const Node& live(Source source) const { return live_.node(source); }

  // A copy of the graph whose operations can be told apart by their scope paths.
  Graph tag(const Graph& graph, const Numbering& numbering, uint32_t scope) {
    Graph result{graph.name, {}, {}, graph.output_names};
    NodeMap<Node*> copies;
    std::vector<Tensor> alive;
    const auto now = [&](const Tensor& t) {
      return Tensor(*copies.find(t.node_pointer()), t.output());
    };
    uint32_t number = 0;
    // A region may read no leaf but its inputs.
    recipe_.is_complete_ &= scope == 0 || numbering.leaves.size() == graph.inputs.size();
    for (const Node* leaf : numbering.leaves) {
      result.inputs.push_back(Tensor::input(leaf->output(), leaf->name()));
      *copies.insert(leaf).first = result.inputs.back().node_pointer();
      *inputs_.insert(result.inputs.back().node_pointer()).first = {scope, number++};
    }
    nodes_ += numbering.operations.size();
    for (const Node* node : numbering.operations) {
      const Source source{scope, number++};
      Attrs attrs = node->attrs();
      for (const Attr key : region_keys(*node)) attrs.set(key, tag_region(*node, source, key));
      auto path = std::make_shared<const std::string>(node->scope() ? *node->scope() : "");
      tags_.emplace(path.get(), source);
      const Origin origin(path, node->location());
      paths_.push_back(std::move(path));
      std::vector<Tensor> operands;
      for (const Tensor& t : node->inputs()) operands.push_back(now(t));
      if (node->op() == Op::full && simplifies_) {
        alive.push_back(constant(*node, source));
      } else {
        alive.push_back(make_many(node->op(), std::move(operands), std::move(attrs))[0]);
      }
      *copies.insert(node).first = alive.back().node_pointer();
    }
    for (const Tensor& t : graph.outputs) result.outputs.push_back(now(t));
    return result;
  }

  // One that varies is hidden from simplification behind a barrier, which costs no launch, and has
  // a value that no other has until a plan is made.
  Tensor constant(const Node& node, Source source) {
    const Number& value = node.attrs().number(Attr::value);
    bool varies = false;
    if (const Constant* before = previous_ ? previous_->find_constant(source) : nullptr)
      varies = before->varies || !same_value(before->value, value);
    recipe_.constants_.push_back({source, value, varies});
    if (!varies) return cairn::make(Op::full, {}, node.attrs());
    Attrs attrs = node.attrs();
    attrs.set(Attr::value, Number(std::numeric_limits<int64_t>::min() +
                                  static_cast<int64_t>(recipe_.constants_.size())));
    return make_many(Op::barrier, {cairn::make(Op::full, {}, std::move(attrs))})[0];
  }

  GraphPtr tag_region(const Node& node, Source owner, Attr key) {
    const GraphPtr& region = node.attrs().graph(key);
    if (nodes_ > kMaxNodes) {
      recipe_.is_complete_ = false;
      return region;
    }
    const auto scope = static_cast<uint32_t>(recipe_.scopes_.size());
    recipe_.scopes_.push_back({owner, key});
    live_.add(*region);
    return std::make_shared<const Graph>(tag(*region, number_nodes(*region), scope));
  }

  const Source* source_of(const Node& node) const {
    if (node.op() == Op::input) return inputs_.find(&node);
    const auto found = tags_.find(node.scope().get());
    return found == tags_.end() ? nullptr : &found->second;
  }

  // Simplifies once more, with every value as an output: outputs that come out as one are one.
  void add_guards(const Graph& tagged) {
    struct Value {
      Source source;
      int output;
    };
    Graph all{"", tagged.inputs, {}, {}};
    std::vector<Value> values;
    const auto operations = number_nodes(tagged).operations;
    for (const Node* node : operations) {
      if (node->op() != Op::custom)
        for (const Graph* region : regions_of(*node)) add_guards(*region);
      for (int i = 0; i < node->output_count(); ++i) {
        all.outputs.emplace_back(const_cast<Node*>(node), i);
        values.push_back({*source_of(*node), i});
      }
    }
    const Graph simple = simplify(all);
    TensorMap<std::vector<Value>> same;  // of each kind of operation the first
    for (const Tensor& input : all.inputs) same[input] = {{*source_of(input.node()), 0}};
    for (size_t i = 0; i < values.size(); ++i) {
      std::vector<Value>& others = same[simple.outputs[i]];
      const Node& node = live(values[i].source);
      const auto alike = std::find_if(others.begin(), others.end(), [&](const Value& other) {
        const Node& first = live(other.source);
        return first.op() == node.op() && same_attributes(first.attrs(), node.attrs());
      });
      if (alike == others.end()) {
        if (!others.empty())
          recipe_.guards_.push_back(
              {others[0].source, values[i].source, others[0].output, values[i].output, false});
        others.push_back(values[i]);
      } else {
        recipe_.guards_.push_back(
            {alike->source, values[i].source, alike->output, values[i].output, true});
      }
    }
  }

  void make_template(Template& made, std::shared_ptr<const Plan> plan) {
    const Numbering numbering = number_nodes(plan->graph);
    for (const Tensor& input : plan->graph.inputs) {
      const Source* source = source_of(input.node());
      recipe_.is_complete_ &= source != nullptr;
      made.inputs.push_back(source ? *source : Source{});
    }
    const auto reference = [&](const Tensor& t) {
      return std::pair(numbering.of(t.node_pointer()), t.output());
    };
    std::unordered_map<const Node*, const Launch*> launches;
    for (const Launch& launch : plan->launches)
      if (!launch.regions.empty()) launches.emplace(launch.node(), &launch);
    for (const Node* node : numbering.operations) {
      NodeRule rule;
      rule.node = node;
      const Source* source = source_of(*node);
      if (!source) {
        recipe_.is_complete_ = false;
        return;
      }
      rule.source = *source;
      add_attributes(*node, rule);
      rule.operands = static_cast<uint32_t>(made.operands.size());
      for (const Tensor& t : node->inputs()) made.operands.push_back(reference(t));
      if (launches.contains(node)) {
        rule.region = static_cast<int>(made.regions.size());
        for (const auto& region : launches.at(node)->regions)
          make_template(made.regions.emplace_back(), region);
      }
      made.nodes.push_back(std::move(rule));
    }
    for (const Tensor& t : plan->graph.outputs) made.outputs.push_back(reference(t));
    for (const Launch& launch : plan->launches) {
      LaunchRule& rule = made.launches.emplace_back();
      for (const Node* node : launch.group.nodes) rule.nodes.push_back(numbering.of(node));
      for (const Tensor& t : launch.group.outputs) rule.outputs.push_back(reference(t));
    }
    made.plan = std::move(plan);
  }

  void add_attributes(const Node& node, NodeRule& rule) {
    const Node& source = live(rule.source);
    // A barrier may have lost operands, and with them results, that nobody reads. A custom
    // operation that is computed by its kernel keeps its body only as its definition.
    const bool is_custom = node.op() == Op::custom;
    rule.copies = (is_custom || !owns_regions(node.op())) && node.op() == source.op() &&
                  (is_custom || same_attributes(node.attrs(), source.attrs())) &&
                  std::ranges::equal(node.outputs(), source.outputs());
    const Constant* constant = recipe_.find_constant(rule.source);
    if (constant && constant->varies && node.op() == Op::full) rule.copies = true;
    if (rule.copies) return;
    for (const auto& [key, value] : node.attrs()) {
      // Where a value was computed, it is the same again, because all that went in is.
      if (!is_size(key) || key == Attr::value) continue;
      const AttrValue* given = source.attrs().find(key);
      if (given && same_value(*given, value)) {
        rule.attributes.push_back({key, false});
      } else if (key == Attr::shape && std::ranges::equal(node.outputs(), source.outputs()) &&
                 std::get<Ints>(value) == node.output().shape) {
        rule.attributes.push_back({key, true});
      } else {
        recipe_.is_complete_ = false;
      }
    }
  }

  Recipe& recipe_;
  Live live_;
  bool simplifies_;
  const Recipe* previous_;
  size_t nodes_ = 0;
  NodeMap<Source> inputs_;  // of tagged graphs
  std::unordered_map<const std::string*, Source> tags_;
  std::vector<ScopePath> paths_;  // keep the tags' addresses their own
};

Recipe::Recipe(std::span<const Tensor> outputs, const Numbering& numbering,
               const std::vector<bool>& donated, bool eager, const Backend& backend,
               const Recipe* previous)
    : backend_(backend), donated_(donated), eager_(eager) {
  Maker(*this, numbering, !eager, previous).make(outputs, numbering);
  if (is_complete_) return;
  const Graph graph = rewritten(outputs, numbering);
  const Numbering numbers = number_nodes(graph);
  structure_ = encode_graph(graph.outputs, numbers).structure;
  of_rewritten_.reset(new Recipe(OfRewritten(), graph.outputs, numbers, donated, eager, backend));
}

Recipe::Recipe(OfRewritten, std::span<const Tensor> outputs, const Numbering& numbering,
               const std::vector<bool>& donated, bool eager, const Backend& backend)
    : backend_(backend), donated_(donated), eager_(eager) {
  Maker(*this, numbering, false, nullptr).make(outputs, numbering);
}

Graph Recipe::rewritten(std::span<const Tensor> outputs, const Numbering& numbering) const {
  const Graph graph = detail::close(outputs, numbering);
  return detail::prepared(eager_ ? graph : simplify(graph), backend_);
}

const Recipe::Constant* Recipe::find_constant(Source source) const {
  const auto found = std::lower_bound(
      constants_.begin(), constants_.end(), source,
      [](const Constant& constant, Source wanted) { return constant.source < wanted; });
  return found != constants_.end() && found->source == source ? &*found : nullptr;
}

// --- following it -------------------------------------------------------------------------------

class Recipe::Builder {
 public:
  Builder(const Recipe& recipe, const Live& live) : recipe_(recipe), live_(live) {}

  std::shared_ptr<Plan> build(const Template& from) {
    auto plan = std::make_shared<Plan>();
    std::vector<Tensor> values;  // result 0 of each input and node
    values.reserve(from.inputs.size() + from.nodes.size());
    for (const Source& source : from.inputs) {
      const Node& node = live_.node(source);
      values.push_back(Tensor::input(node.output(), node.name()));
    }
    plan->graph.inputs = values;
    const auto value = [&](const std::pair<uint32_t, int>& at) {
      return Tensor(values[at.first].node_pointer(), at.second);
    };
    std::vector<std::shared_ptr<const Plan>> regions;
    regions.reserve(from.regions.size());
    // Neighbours mostly come from one line of the program.
    std::optional<Origin> origin;
    const Node* before = nullptr;
    for (const NodeRule& rule : from.nodes) {
      const Node& source = live_.node(rule.source);
      if (!before || before->scope() != source.scope() ||
          before->location().line() != source.location().line() ||
          before->location().file_name() != source.location().file_name()) {
        origin.reset();  // Origins end in the reverse order of their beginnings
        origin.emplace(source.scope(), source.location());
        before = &source;
      }
      const size_t operands = rule.node->inputs().size();
      std::vector<Tensor> inputs;
      inputs.reserve(operands);
      for (size_t i = 0; i < operands; ++i)
        inputs.push_back(value(from.operands[rule.operands + i]));
      if (rule.copies) {
        // The same operation on operands of the same types, which has results of the same types.
        values.emplace_back(new_node(source.op(), std::move(inputs), source.attrs(),
                                     {source.outputs().begin(), source.outputs().end()}),
                            0);
        continue;
      }
      std::optional<Attrs> attrs = attributes(from, rule, source, regions);
      if (!attrs) return nullptr;
      values.push_back(make_many(rule.node->op(), std::move(inputs), std::move(*attrs))[0]);
    }
    for (const auto& output : from.outputs) plan->graph.outputs.push_back(value(output));
    return fill(*plan, from, values, regions) ? plan : nullptr;
  }

 private:
  // None when a region's plan does not fit.
  std::optional<Attrs> attributes(const Template& from, const NodeRule& rule, const Node& source,
                                  std::vector<std::shared_ptr<const Plan>>& regions) {
    Attrs attrs = rule.node->attrs();
    for (const AttrRule& a : rule.attributes)
      attrs.set(a.key, a.is_result_shape ? AttrValue(Ints(source.output().shape))
                                         : *source.attrs().find(a.key));
    if (rule.region < 0) return attrs;
    int next = rule.region;
    for (const Attr key : region_keys(*rule.node)) {
      regions.push_back(build(from.regions[static_cast<size_t>(next++)]));
      if (!regions.back()) return std::nullopt;
      attrs.set(key, std::make_shared<const Graph>(regions.back()->graph));
    }
    return attrs;
  }

  // The first plan's launches on these values, and memory for them. False when the code of a launch
  // does not fit.
  bool fill(Plan& plan, const Template& from, const std::vector<Tensor>& values,
            const std::vector<std::shared_ptr<const Plan>>& regions) {
    const Plan& first = *from.plan;
    plan.buffers = first.buffers;
    plan.launches.reserve(first.launches.size());
    plan.arguments = first.arguments;
    plan.results = first.results;
    plan.donor = first.donor;
    const auto bytes = [&](int b) -> size_t& { return plan.buffers[static_cast<size_t>(b)].bytes; };
    for (size_t i = 0; i < plan.arguments.size(); ++i) {
      bytes(plan.arguments[i]) = values[i].type().bytes();
      plan.argument_bytes += round_up_to_alignment(values[i].type().bytes());
    }
    for (size_t at = 0; at < first.launches.size(); ++at) {
      const Launch& known = first.launches[at];
      const LaunchRule& rule = from.launches[at];
      if (rule.nodes.empty()) {
        plan.launches.push_back(known);
        continue;
      }
      // All but the group, whose notes would be copied for nothing.
      Launch& launch = plan.launches.emplace_back();
      launch.kind = known.kind;
      launch.inputs = known.inputs;
      launch.outputs = known.outputs;
      launch.workspace = known.workspace;
      launch.regions = known.regions;
      launch.group = group(known.group.is_fused(), rule, values);
      for (size_t i = 0; i < launch.outputs.size(); ++i)
        bytes(launch.outputs[i]) = launch.group.outputs[i].type().bytes();
      const NodeRule& node = from.nodes[rule.nodes.back() - from.inputs.size()];
      for (size_t i = 0; i < launch.regions.size(); ++i)
        launch.regions[i] = regions[static_cast<size_t>(node.region) + i];
      if (launch.kind == Launch::Kind::kernel) {
        std::optional<LaunchCode> code = recipe_.backend_.rebind(known.code, launch.group);
        if (!code) return false;
        launch.code = std::move(*code);
      }
      const size_t workspace = workspace_bytes(launch, recipe_.backend_);
      CAIRN_ASSERT((launch.workspace >= 0) == (workspace > 0));
      if (launch.workspace >= 0) bytes(launch.workspace) = workspace;
      if (known.kind == Launch::Kind::loop && !known.group.notes.empty())
        detail::set_loop_code(launch, recipe_.backend_);
    }
    for (size_t j = 0; j < plan.results.size(); ++j) {
      PlanBuffer& buffer = plan.buffers[static_cast<size_t>(plan.results[j])];
      if (buffer.kind != PlanBuffer::Kind::result || buffer.index != static_cast<int64_t>(j))
        continue;
      buffer.bytes = plan.graph.outputs[j].type().bytes();
      if (plan.donor[j] < 0) plan.result_bytes += round_up_to_alignment(buffer.bytes);
    }
    detail::place_arena(plan);
    if (!recipe_.eager_) detail::find_together(plan);
    return true;
  }

  static LaunchGroup group(bool is_fused, const LaunchRule& rule,
                           const std::vector<Tensor>& values) {
    if (!is_fused) return group_of(values[rule.nodes[0]].node());
    std::vector<const Node*> nodes;
    nodes.reserve(rule.nodes.size());
    for (const uint32_t number : rule.nodes) nodes.push_back(values[number].node_pointer());
    std::vector<Tensor> outputs;
    outputs.reserve(rule.outputs.size());
    for (const auto& [number, output] : rule.outputs)
      outputs.emplace_back(values[number].node_pointer(), output);
    return fused_group(std::move(nodes), std::move(outputs));
  }

  const Recipe& recipe_;
  const Live& live_;
};

std::shared_ptr<Plan> Recipe::plan(std::span<const Tensor> outputs,
                                   const Numbering& numbering) const {
  if (of_rewritten_) {
    const Graph graph = rewritten(outputs, numbering);
    const Numbering numbers = number_nodes(graph);
    if (encode_graph(graph.outputs, numbers).structure != structure_) return nullptr;
    return of_rewritten_->plan(graph.outputs, numbers);
  }
  if (!is_complete_) return nullptr;
  Live live(numbering);
  for (size_t i = 1; i < scopes_.size(); ++i)
    live.add(*live.node(scopes_[i].owner).attrs().graph(scopes_[i].key));
  for (const Constant& constant : constants_)
    if (!constant.varies &&
        !same_value(live.node(constant.source).attrs().number(Attr::value), constant.value))
      return nullptr;
  for (const Guard& guard : guards_) {
    const Node& a = live.node(guard.a);
    const Node& b = live.node(guard.b);
    if (a.output(guard.output_a) != b.output(guard.output_b) ||
        (guard.attributes && !same_attributes(a.attrs(), b.attrs())))
      return nullptr;
  }
  std::shared_ptr<Plan> plan = Builder(*this, live).build(template_);
  if (!plan) return nullptr;
  for (size_t i = 0; i < outputs.size(); ++i)
    CAIRN_ASSERT(plan->graph.outputs[i].type() == outputs[i].type());
  if (detail::pair_donations(plan->graph, donated_) != donations_) return nullptr;
  return plan;
}

}  // namespace cairn
