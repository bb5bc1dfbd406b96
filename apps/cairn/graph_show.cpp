// cairn graph show: a graph's text, what it costs, how it is scheduled, and its gradient.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "apps/cairn/graph_commands.h"
#include "apps/cairn/graph_file.h"
#include "apps/cairn/json.h"
#include "apps/cairn/model_files.h"
#include "cairn/compiler/hoist.h"
#include "cairn/compiler/panels.h"
#include "cairn/graph/cost.h"
#include "cairn/graph/print.h"
#include "cairn/runtime/plan.h"
#include "cairn/transforms/precision.h"
#include "cairn/transforms/simplify.h"

namespace cairn::app {
namespace {

struct Options {
  std::optional<std::string> file, model;
  int64_t tokens = 16;
  bool costs = false, schedule = false, grad = false;
};

double moved_bytes(const Cost& cost) { return cost.bytes_read + cost.bytes_written; }

std::string cost_text(const Cost& cost) {
  std::vector<std::string> parts;
  if (cost.flops > 0) parts.push_back(plot::human_count(cost.flops) + " FLOP");
  if (cost.transcendentals > 0)
    parts.push_back(plot::human_count(cost.transcendentals) + " transcendentals");
  if (moved_bytes(cost) > 0)
    parts.push_back(fmt::format("{} read, {} written",
                                plot::human_bytes(static_cast<uint64_t>(cost.bytes_read)),
                                plot::human_bytes(static_cast<uint64_t>(cost.bytes_written))));
  if (cost.message_bytes > 0)
    parts.push_back(plot::human_bytes(static_cast<uint64_t>(cost.message_bytes)) + " sent");
  return parts.empty() ? "free" : fmt::format("{}", fmt::join(parts, ", "));
}

Json to_json(const Cost& cost) {
  return {{"flops", cost.flops},
          {"transcendentals", cost.transcendentals},
          {"bytes_read", cost.bytes_read},
          {"bytes_written", cost.bytes_written},
          {"message_bytes", cost.message_bytes}};
}

std::vector<const Node*> operations(const Graph& graph) {
  std::vector<const Node*> nodes;
  for (const Node* node : topological_order(graph.outputs))
    if (node->op() != Op::input && node->op() != Op::leaf) nodes.push_back(node);
  return nodes;
}

// Kinds of operation by what they cost, the dearest first: where to look.
plot::Table cost_table(const Graph& graph) {
  struct Sum {
    int count = 0;
    Cost cost;
  };
  std::map<std::string_view, Sum> by_name;
  for (const Node* node : operations(graph)) {
    Sum& sum = by_name[node->info().name];
    ++sum.count;
    sum.cost += cost_of(*node);
  }
  std::vector<std::pair<std::string_view, Sum>> sorted(by_name.begin(), by_name.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.cost.flops + moved_bytes(a.second.cost) >
           b.second.cost.flops + moved_bytes(b.second.cost);
  });
  plot::Table table{
      "",
      {"operation", "count", "FLOP", "transcendentals", "read", "written", "FLOP per byte"},
      {}};
  const auto add = [&](const std::string& name, int count, const Cost& cost) {
    const double bytes = moved_bytes(cost);
    table.rows.push_back(
        {name, std::to_string(count), plot::human_count(cost.flops),
         plot::human_count(cost.transcendentals),
         plot::human_bytes(static_cast<uint64_t>(cost.bytes_read)),
         plot::human_bytes(static_cast<uint64_t>(cost.bytes_written)),
         bytes > 0 ? plot::short_number((cost.flops + cost.transcendentals) / bytes, 3) : "--"});
  };
  int count = 0;
  for (const auto& [name, sum] : sorted) {
    add(std::string(name), sum.count, sum.cost);
    count += sum.count;
  }
  add("total", count, cost_of(graph));
  return table;
}

std::string types_of(const Node& node) {
  std::vector<std::string> types;
  for (const TensorType& type : node.outputs()) types.push_back(to_string(type));
  return fmt::format("{}", fmt::join(types, ", "));
}

std::string place_text(const PlanBuffer& buffer) {
  switch (buffer.kind) {
    case PlanBuffer::Kind::argument: return fmt::format("argument {}", buffer.index);
    case PlanBuffer::Kind::result: return fmt::format("result {}", buffer.index);
    case PlanBuffer::Kind::arena: break;
  }
  return fmt::format("arena+{}", buffer.index);
}

std::string places_of(const Plan& plan, const std::vector<int>& buffers) {
  std::vector<std::string> places;
  for (int b : buffers) places.push_back(place_text(plan.buffers[static_cast<size_t>(b)]));
  return fmt::format("{}", fmt::join(places, ", "));
}

std::string_view launch_name(const Launch& launch) {
  return launch.node() ? launch.node()->info().name : std::string_view("copy");
}

// Nodes that no launch computes, and why.
std::vector<std::pair<const Node*, std::string>> without_launch(const Plan& plan) {
  std::set<const Node*> launched;
  for (const Launch& launch : plan.launches)
    launched.insert(launch.group.nodes.begin(), launch.group.nodes.end());
  std::vector<std::pair<const Node*, std::string>> nodes;
  for (const Node* node : operations(plan.graph))
    if (!launched.contains(node))
      nodes.emplace_back(node, "a view of its operand: nothing to compute");
  return nodes;
}

// "matmul"; "broadcast + add + tanh".
std::string launch_names(const Launch& launch) {
  if (launch.group.nodes.size() < 2) return std::string(launch_name(launch));
  std::string text;
  for (const Node* node : launch.group.nodes)
    text += fmt::format("{}{}", text.empty() ? "" : " + ", node->info().name);
  return text;
}

// Why a launch has no further operations.
std::vector<std::string> not_fused(const Launch& launch, const Backend& backend) {
  if (launch.group.is_fused()) return launch.group.notes;
  if (launch.group.nodes.empty()) return {"it copies a value"};
  const std::string_view name = launch_name(launch);
  if (launch.kind == Launch::Kind::loop && launch.code.run) return {};
  if (launch.kind == Launch::Kind::loop && !launch.group.notes.empty())
    return {fmt::format("{} is {}", name, launch.group.notes[0])};
  if (launch.kind != Launch::Kind::kernel)
    return {fmt::format("{} runs the plan of its region", name)};
  const std::string_view by = backend.backend_of(launch.group);
  return {fmt::format("{} has no tile kernel; the backend {} computes it by itself", name, by)};
}

Json schedule_json(const Plan& plan, const Backend& backend) {
  Json launches = Json::array();
  for (const Launch& launch : plan.launches) {
    const auto places = [&](const std::vector<int>& buffers) {
      Json list = Json::array();
      for (int b : buffers) list.push_back(place_text(plan.buffers[static_cast<size_t>(b)]));
      return list;
    };
    Json names = Json::array();
    for (const Node* node : launch.group.nodes) names.push_back(node->info().name);
    if (names.empty()) names.push_back("copy");
    launches.push_back({{"operations", names},
                        {"backend", backend.backend_of(launch.group)},
                        {"reads", places(launch.inputs)},
                        {"writes", places(launch.outputs)},
                        {"together", launch.together},
                        {"one_kernel", launch.kind == Launch::Kind::loop && launch.code.run},
                        {"not_fused", not_fused(launch, backend)}});
  }
  Json views = Json::array();
  for (const auto& [node, why] : without_launch(plan))
    views.push_back({{"operation", node->info().name}, {"why", why}});
  return {{"launches", launches},
          {"without_launch", views},
          {"peak_bytes", plan.peak_bytes()},
          {"argument_bytes", plan.argument_bytes},
          {"result_bytes", plan.result_bytes},
          {"arena_bytes", plan.arena_bytes}};
}

// What the launches of a loop are that is one function: "One kernel: loop of 11 launches".
std::vector<std::string> whole_loops(const Plan& plan) {
  std::vector<std::string> notes;
  for (const Launch& launch : plan.launches)
    if (launch.kind == Launch::Kind::loop && launch.code.run)
      notes.insert(notes.end(), launch.group.notes.begin(), launch.group.notes.end());
  return notes;
}

// How many operations share launches, and each reason why others do not.
void print_fusion(const Plan& plan, const Backend& backend, Output& out) {
  size_t fused = 0;
  size_t launches = 0;
  std::map<std::string, int> reasons;
  for (const Launch& launch : plan.launches) {
    if (launch.group.nodes.size() > 1) {
      fused += launch.group.nodes.size();
      ++launches;
    }
    for (const std::string& reason : not_fused(launch, backend)) ++reasons[reason];
  }
  out.line(fused ? fmt::format("Fused: {} operations in {} of backend {}.", fused,
                               launches == 1 ? "one launch" : fmt::format("{} launches", launches),
                               backend.name())
                 : "Fused: nothing.");
  for (const std::string& note : whole_loops(plan)) out.line(note + ".");
  int together = 0;
  for (const Launch& launch : plan.launches)
    if (launch.together > 1) together += launch.together;
  if (together)
    out.line(
        fmt::format("At once: {} launches, which share their pieces out to the threads with "
                    "neighbours that do not depend on them.",
                    together));
  for (const auto& [reason, count] : reasons)
    out.line(fmt::format("Not fused: {}{}.", reason,
                         count > 1 ? fmt::format(" ({} times)", count) : ""));
}

void print_schedule(const Plan& plan, const Backend& backend, Session& session) {
  Output& out = session.out;
  plot::Table table{"Schedule", {"launch", "operation", "type", "reads", "writes"}, {}};
  for (size_t i = 0; i < plan.launches.size(); ++i) {
    const Launch& launch = plan.launches[i];
    table.rows.push_back({std::to_string(i), launch_names(launch),
                          launch.node() ? types_of(*launch.node()) : "",
                          places_of(plan, launch.inputs), places_of(plan, launch.outputs)});
  }
  const auto style = session.out_terminal.table_style();
  out.write(plot::to_text(table, style));
  out.line("");
  if (const auto views = without_launch(plan); !views.empty()) {
    plot::Table rest{"Without a launch", {"operation", "type", "why"}, {}};
    for (const auto& [node, why] : views)
      rest.rows.push_back({std::string(node->info().name), types_of(*node), why});
    out.write(plot::to_text(rest, style));
    out.line("");
  }
  print_fusion(plan, backend, out);
  out.line(fmt::format("Memory: {} peak = {} arguments + {} results + {} arena.",
                       plot::human_bytes(plan.peak_bytes()), plot::human_bytes(plan.argument_bytes),
                       plot::human_bytes(plan.result_bytes), plot::human_bytes(plan.arena_bytes)));
}

// What is computed at the first call and is an argument of the plan from then on.
std::string kept_text(const Hoisted& hoisted) {
  size_t bytes = 0;
  for (const Tensor& t : hoisted.values) bytes += t.type().bytes();
  std::set<const Node*> packed;
  for (const Node* node : topological_order(hoisted.graph.outputs))
    if (reads_panels(*node, 1)) packed.insert(node->input(1).node_pointer());
  return fmt::format(
      "Computed once and kept: {} value{} of {}, {} of them weights in the order in which products "
      "read them.",
      hoisted.values.size(), hoisted.values.size() == 1 ? "" : "s", plot::human_bytes(bytes),
      packed.size());
}

Json types_json(const std::vector<Tensor>& tensors, const std::vector<std::string>& names) {
  Json list = Json::array();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorType& type = tensors[i].type();
    list.push_back({{"name", i < names.size() ? names[i] : std::string()},
                    {"dtype", name(type.dtype)},
                    {"shape", std::vector<int64_t>(type.shape.begin(), type.shape.end())}});
  }
  return list;
}

int run(const Options& options, Session& session) {
  if (options.file.has_value() == options.model.has_value())
    throw UsageError("cairn graph show needs one of FILE, a graph's text form, and --model");
  Graph whole =
      options.file ? read_graph(*options.file) : graph_of_model(*options.model, options.tokens);
  whole = with_precision(whole, session.precision());
  // A model's weights are leaves of it; the text has them as inputs.
  Graph graph = without_leaves(whole);
  if (options.grad) whole = graph = with_gradients(graph, float_inputs(graph));

  PrintOptions printing;
  if (options.costs) printing.comment = [](const Node& node) { return cost_text(cost_of(node)); };
  const std::string text = to_text(graph, printing);
  std::unique_ptr<Runtime> runtime;
  std::shared_ptr<const Plan> plan;
  Hoisted hoisted;
  if (options.schedule) {
    runtime = session.make_runtime();
    hoisted = hoist(simplify(whole), runtime->backend().packs_weights());
    plan = runtime->plan(hoisted.graph, {}, false);
  }
  if (session.common.json) {
    Json result = {{"name", graph.name},
                   {"inputs", types_json(graph.inputs, input_names(graph))},
                   {"outputs", types_json(graph.outputs, graph.output_names)},
                   {"operations", operations(graph).size()},
                   {"text", text}};
    if (options.costs) result["costs"] = to_json(cost_of(graph));
    if (options.schedule) {
      result["schedule"] = schedule_json(*plan, runtime->backend());
      result["schedule"]["kept"] = types_json(hoisted.values, {});
    }
    print_json(session.out, result);
    return 0;
  }
  session.out.write(text);
  if (options.costs) {
    session.out.line("");
    session.out.write(plot::to_text(cost_table(graph), session.out_terminal.table_style()));
  }
  if (options.schedule) {
    session.out.line("");
    print_schedule(*plan, runtime->backend(), session);
    if (!hoisted.values.empty()) session.out.line(kept_text(hoisted));
  }
  return 0;
}

}  // namespace

void add_graph_show(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command =
      group.command("show", "Show a graph as text, with what it costs and how it runs.");
  command.positional("FILE", options->file, "the graph's text form");
  command.model(options->model, "what a model computes, in place of FILE");
  command.option("--tokens", "N", options->tokens,
                 "how many tokens a language model is shown for (default: 16)", 1);
  command.flag("--costs", options->costs,
               "operations, bytes and arithmetic intensity, by node and in all");
  command.flag("--schedule", options->schedule,
               "launches, where values lie, what was fused and why the rest was not");
  command.flag("--grad", options->grad,
               "the graph with d(sum of the first output) by every float input");
  command.example("cairn graph show step.graph --costs --schedule");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
