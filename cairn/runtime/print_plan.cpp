// The text form of plans, written; parse_plan.h has the grammar.
#include <fmt/format.h>

#include "cairn/graph/infer.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/print.h"
#include "cairn/runtime/plan.h"

namespace cairn {
namespace {

class PlanPrinter {
 public:
  std::string print(const Plan& plan) {
    number_operations(plan.graph);
    out_ = fmt::format("plan {} {{\n", sizes_text(plan));
    PrintOptions options;
    options.comment = [&](const Node& node) { return std::to_string(*numbers_.find(&node)); };
    const std::string graph = to_text(plan.graph, options);
    for (size_t at = 0; at < graph.size();) {
      const size_t end = graph.find('\n', at) + 1;
      out_ += "  " + graph.substr(at, end - at);
      at = end;
    }
    body(plan, 2);
    out_ += "}\n";
    return std::move(out_);
  }

 private:
  static std::string sizes_text(const Plan& plan) {
    return fmt::format("peak={} arguments={} results={} arena={}", plan.peak_bytes(),
                       plan.argument_bytes, plan.result_bytes, plan.arena_bytes);
  }

  // Of each graph by itself, as the parser counts them.
  void number_operations(const Graph& graph) {
    int number = 0;
    for (const Node* node : number_nodes(graph).operations) {
      *numbers_.insert(node).first = number++;
      for (const Graph* region : regions_of(*node)) number_operations(*region);
    }
  }

  static std::string place(const PlanBuffer& buffer) {
    switch (buffer.kind) {
      case PlanBuffer::Kind::argument: return fmt::format("argument{}", buffer.index);
      case PlanBuffer::Kind::result: return fmt::format("result{}", buffer.index);
      case PlanBuffer::Kind::arena: break;
    }
    return fmt::format("arena[{}:{}]", buffer.index,
                       static_cast<size_t>(buffer.index) + buffer.bytes);
  }
  static std::string places(const Plan& plan, const std::vector<int>& buffers) {
    std::string text;
    for (int b : buffers)
      text += (text.empty() ? "" : ", ") + place(plan.buffers[static_cast<size_t>(b)]);
    return text;
  }

  std::string numbered(const Node& node) const {
    return fmt::format("{}.{}", name(node.op()), *numbers_.find(&node));
  }
  // "copy"; "add.3"; "fused(broadcast.2, add.3, multiply.4 -> add.3, multiply.4)".
  std::string what(const LaunchGroup& group) const {
    if (group.nodes.empty()) return "copy";
    if (!group.is_fused()) return numbered(group.node());
    std::string text = "fused(";
    for (const Node* node : group.nodes)
      text += (node == group.nodes[0] ? "" : ", ") + numbered(*node);
    for (size_t i = 0; i < group.outputs.size(); ++i)
      text += (i ? ", " : " -> ") + numbered(group.outputs[i].node());
    return text + ")";
  }

  void body(const Plan& plan, int indent) {
    for (const Launch& launch : plan.launches) {
      out_ += fmt::format("{:{}}{} = ", "", indent, places(plan, launch.outputs));
      out_ += what(launch.group);
      out_ += fmt::format("({})", places(plan, launch.inputs));
      if (launch.workspace >= 0)
        out_ += " workspace " + place(plan.buffers[static_cast<size_t>(launch.workspace)]);
      bool first = true;
      for (const auto& region : launch.regions) {
        out_ += fmt::format("{} plan {} {{\n", first ? "" : " else", sizes_text(*region));
        body(*region, indent + 2);
        out_ += fmt::format("{:{}}}}", "", indent);
        first = false;
      }
      if (launch.node() && launch.node()->location().line())
        out_ += "  // " + locate(launch.node()->location());
      out_ += "\n";
    }
    out_ += fmt::format("{:{}}return", "", indent);
    for (size_t j = 0; j < plan.results.size(); ++j) {
      out_ += (j ? ", " : " ") + place(plan.buffers[static_cast<size_t>(plan.results[j])]);
      if (plan.donor[j] >= 0) out_ += fmt::format(" over argument{}", plan.donor[j]);
    }
    out_ += "\n";
  }

  std::string out_;
  NodeMap<int> numbers_;
};

}  // namespace

std::string to_text(const Plan& plan) { return PlanPrinter().print(plan); }

}  // namespace cairn
