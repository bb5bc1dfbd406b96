#include "cairn/runtime/verify_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cairn/graph/numbering.h"

namespace cairn {
namespace {

using Kind = PlanBuffer::Kind;

size_t at(int i) { return static_cast<size_t>(i); }

class PlanVerifier {
 public:
  PlanVerifier(const Plan& plan, const Backend& backend, bool region)
      : plan_(plan), backend_(backend), region_(region) {}

  std::optional<PlanFault> run() {
    try {
      check_counts();
      check_buffers();
      check_donors();
      for (size_t i = 0; i < plan_.arguments.size(); ++i) {
        holds(plan_.graph.inputs[i], plan_.arguments[i]);
        write(plan_.arguments[i]);
      }
      for (launch_ = 0; launch_ < std::ssize(plan_.launches); ++launch_)
        check_launch(plan_.launches[at(launch_)]);
      for (launch_ = 0; launch_ < std::ssize(plan_.launches); ++launch_) check_together();
      launch_ = -1;
      check_results();
      check_sums();
    } catch (const PlanFault& fault) {
      return fault;
    }
    return std::nullopt;
  }

 private:
  // One piece of memory: the arena, an argument's or a result's.
  struct Span {
    int64_t object;
    int64_t begin;
    int64_t end;
  };

  [[noreturn]] void fail(std::string what) const { throw PlanFault{launch_, std::move(what)}; }

  static std::string place(const PlanBuffer& buffer) {
    switch (buffer.kind) {
      case Kind::argument: return fmt::format("argument{}", buffer.index);
      case Kind::result: return fmt::format("result{}", buffer.index);
      case Kind::arena: break;
    }
    return fmt::format("arena[{}:{}]", buffer.index,
                       buffer.index + static_cast<int64_t>(buffer.bytes));
  }
  std::string place(int b) const { return place(plan_.buffers[at(b)]); }

  const PlanBuffer& buffer(int b) const {
    if (b < 0 || b >= std::ssize(plan_.buffers)) fail(fmt::format("there is no buffer {}", b));
    return plan_.buffers[at(b)];
  }

  void check_counts() const {
    const Graph& graph = plan_.graph;
    if (plan_.arguments.size() != graph.inputs.size())
      fail(fmt::format("{} arguments for {} inputs", plan_.arguments.size(), graph.inputs.size()));
    if (plan_.results.size() != graph.outputs.size() || plan_.donor.size() != graph.outputs.size())
      fail(fmt::format("{} results and {} donors for {} outputs", plan_.results.size(),
                       plan_.donor.size(), graph.outputs.size()));
  }

  void check_buffers() {
    std::vector<bool> seen[2];
    seen[0].resize(plan_.arguments.size());
    seen[1].resize(plan_.results.size());
    const auto limit = static_cast<int64_t>(plan_.arena_bytes);
    for (const PlanBuffer& b : plan_.buffers) {
      if (b.kind == Kind::arena) {
        const auto bytes = static_cast<int64_t>(b.bytes);
        if (b.index < 0 || b.index % static_cast<int64_t>(kBufferAlignment))
          fail(fmt::format("{} does not begin at a multiple of {}", place(b), kBufferAlignment));
        if (bytes < 0 || bytes > limit || b.index > limit - bytes)
          fail(fmt::format("{} ends outside the arena of {} bytes", place(b), plan_.arena_bytes));
        continue;
      }
      std::vector<bool>& known = seen[b.kind == Kind::result];
      if (b.index < 0 || b.index >= std::ssize(known)) fail(fmt::format("no {}", place(b)));
      if (known[static_cast<size_t>(b.index)]) fail(fmt::format("{} is two buffers", place(b)));
      known[static_cast<size_t>(b.index)] = true;
    }
    for (size_t i = 0; i < plan_.arguments.size(); ++i) {
      const PlanBuffer& b = buffer(plan_.arguments[i]);
      if (b.kind != Kind::argument || b.index != static_cast<int64_t>(i))
        fail(fmt::format("argument {} lies in {}", i, place(b)));
    }
    valid_.resize(plan_.buffers.size());
    written_.resize(plan_.buffers.size());
    argument_owner_.resize(plan_.arguments.size(), -1);
  }

  void check_donors() {
    std::vector<bool> taken(plan_.arguments.size());
    for (size_t j = 0; j < plan_.donor.size(); ++j) {
      const int donor = plan_.donor[j];
      if (donor == -1) continue;
      if (donor < 0 || donor >= std::ssize(taken))
        fail(fmt::format("there is no argument {}", donor));
      const PlanBuffer& b = buffer(plan_.results[j]);
      if (b.kind != Kind::result || b.index != static_cast<int64_t>(j) || region_)
        fail(fmt::format("result {} cannot take over the memory of an argument", j));
      if (plan_.graph.inputs[at(donor)].type().bytes() != b.bytes)
        fail(fmt::format("result {} and argument {}, whose memory it takes over, differ in size", j,
                         donor));
      if (taken[at(donor)]) fail(fmt::format("argument {} is taken over twice", donor));
      taken[at(donor)] = true;
    }
  }

  Span span(int b) const {
    const PlanBuffer& info = plan_.buffers[at(b)];
    const auto bytes = static_cast<int64_t>(info.bytes);
    switch (info.kind) {
      case Kind::arena: return {0, info.index, info.index + bytes};
      case Kind::argument: return {1 + info.index, 0, bytes};
      case Kind::result: break;
    }
    const int donor = plan_.donor[static_cast<size_t>(info.index)];
    if (donor >= 0) return {1 + donor, 0, bytes};
    return {1 + std::ssize(plan_.arguments) + info.index, 0, bytes};
  }
  bool overlap(int a, int b) const {
    const Span x = span(a);
    const Span y = span(b);
    return x.object == y.object && x.begin < y.end && y.begin < x.end;
  }

  // The launches that run at once with this one touch nothing of each other's.
  void check_together() const {
    const int end = launch_ + plan_.launches[at(launch_)].together;
    if (end <= launch_ || end > std::ssize(plan_.launches))
      fail(fmt::format("{} launches cannot run at once", end - launch_));
    for (int i = launch_; i < end; ++i)
      for (int j = launch_; j < end; ++j) {
        if (i == j) continue;
        const Launch& other = plan_.launches[at(j)];
        for (const int b : plan_.launches[at(i)].outputs)
          for (const auto* list : {&other.inputs, &other.outputs})
            for (const int touched : *list)
              if (overlap(b, touched))
                fail(fmt::format("launch {} writes {} while launch {} uses {}", i, place(b), j,
                                 place(touched)));
      }
  }

  // From now on buffer b has its value, and what lay there before is lost.
  void write(int b) {
    const Span s = span(b);
    if (s.object == 0 && s.begin < s.end) {
      auto place = live_.upper_bound(s.begin);
      if (place != live_.begin() && span(std::prev(place)->second).end > s.begin) --place;
      while (place != live_.end() && place->first < s.end) {
        valid_[at(place->second)] = false;
        place = live_.erase(place);
      }
      live_.emplace(s.begin, b);
    } else if (s.object > 0 && s.object <= std::ssize(plan_.arguments)) {
      int& owner = argument_owner_[static_cast<size_t>(s.object - 1)];
      if (owner >= 0) valid_[at(owner)] = false;
      owner = b;
    }
    valid_[at(b)] = true;
    written_[at(b)] = true;
  }

  // Buffer b is where the value is, or will be.
  void holds(const Tensor& value, int b) {
    const PlanBuffer& info = buffer(b);
    if (info.bytes != value.type().bytes())
      fail(fmt::format("{} has {} bytes, the value {} has {}", place(b), info.bytes,
                       to_string(value.type()), value.type().bytes()));
    if (!buffer_of_.emplace(value, b).second) fail("a value is computed twice");
  }

  void check_read(const Tensor& value, int b, std::string_view what) const {
    const auto found = buffer_of_.find(root_of(value));
    if (found == buffer_of_.end()) fail(fmt::format("{} is not computed yet", what));
    if (found->second != b)
      fail(fmt::format("{} lies in {}, not in {}", what, place(found->second), place(b)));
    if (!valid_[at(b)]) fail(fmt::format("{} in {} is overwritten", what, place(b)));
  }

  void check_launch(const Launch& launch) {
    for (int b : launch.inputs) buffer(b);
    for (int b : launch.outputs)
      if (buffer(b).kind == Kind::argument || written_[at(b)])
        fail(fmt::format("{} cannot be written here", place(b)));
    if (launch.kind == Launch::Kind::copy) {
      check_copy(launch);
    } else {
      check_operation(launch);
    }
    check_workspace(launch);
    for (size_t o = 0; o < launch.outputs.size(); ++o) {
      for (size_t p = 0; p < o; ++p)
        if (overlap(launch.outputs[o], launch.outputs[p]))
          fail(fmt::format("results {} and {} overlap", p, o));
      for (size_t i = 0; i < launch.inputs.size(); ++i) {
        if (!overlap(launch.outputs[o], launch.inputs[i])) continue;
        if (!launch.node() ||
            !may_overwrite(launch.group, static_cast<int>(i), static_cast<int>(o)) ||
            span(launch.outputs[o]).begin != span(launch.inputs[i]).begin)
          fail(fmt::format("result {} overwrites operand {}", o, i));
      }
    }
    for (int b : launch.outputs) write(b);
  }

  void check_operation(const Launch& launch) {
    if (!launch.node()) fail("a launch without an operation");
    check_group(launch.group);
    const std::string_view last = name(launch.node()->op());
    const auto& [inputs, outputs] = std::tie(launch.group.inputs, launch.group.outputs);
    if (launch.inputs.size() != inputs.size())
      fail(fmt::format("{} operands, '{}' has {}", launch.inputs.size(), last, inputs.size()));
    for (size_t i = 0; i < inputs.size(); ++i)
      check_read(inputs[i], launch.inputs[i], fmt::format("operand {}", i));
    if (launch.outputs.size() != outputs.size())
      fail(fmt::format("{} results, '{}' has {}", launch.outputs.size(), last, outputs.size()));
    for (size_t i = 0; i < outputs.size(); ++i) holds(outputs[i], launch.outputs[i]);
    check_kind(launch);
  }

  // Inputs come from outside, outputs from inside, operands before what reads them.
  void check_group(const LaunchGroup& group) {
    for (size_t n = 0; n < group.nodes.size(); ++n) {
      const Node& node = *group.nodes[n];
      if (is_given(node) || is_alias(node))
        fail(fmt::format("'{}' needs no launch", name(node.op())));
      launched_.insert(&node);
      for (size_t later = n; group.is_fused() && later < group.nodes.size(); ++later)
        for (const Tensor& t : node.inputs())
          if (root_of(t).node_pointer() == group.nodes[later])
            fail(fmt::format("'{}' stands before its operand", name(node.op())));
    }
    const LaunchGroup again =
        group.is_fused() ? fused_group(group.nodes, group.outputs) : group_of(group.node());
    if (!same(again.inputs, group.inputs) || !same(again.outputs, group.outputs))
      fail("inputs and outputs are not those of the operations");
    for (const Tensor& t : group.outputs)
      if (std::find(group.nodes.begin(), group.nodes.end(), t.node_pointer()) == group.nodes.end())
        fail("an output is not one of the launch's");
  }

  void check_kind(const Launch& launch) const {
    const std::vector<const Graph*> regions = regions_of(*launch.node());
    const Op op = launch.node()->op();
    const auto kind = op == Op::loop   ? Launch::Kind::loop
                      : op == Op::cond ? Launch::Kind::cond
                                       : Launch::Kind::kernel;
    if (launch.kind != kind) fail(fmt::format("not the launch of a '{}'", name(op)));
    if (kind == Launch::Kind::kernel) {
      LaunchCode code;
      try {
        code = backend_.code(launch.group);
      } catch (const Error& error) {
        fail(error.what());
      }
      if (!backend_.same_code(code, launch.code) || !launch.regions.empty())
        fail(fmt::format("not the kernel of '{}'", name(op)));
      return;
    }
    if (launch.regions.size() != regions.size())
      fail(fmt::format("{} plans for {} regions", launch.regions.size(), regions.size()));
    for (size_t i = 0; i < regions.size(); ++i)
      if (!same(launch.regions[i]->graph.inputs, regions[i]->inputs) ||
          !same(launch.regions[i]->graph.outputs, regions[i]->outputs))
        fail(fmt::format("plan {} is of another region", i));
  }

  void check_copy(const Launch& launch) {
    if (!region_ || launch.inputs.size() != 1 || launch.outputs.size() != 1 || launch.node())
      fail("a copy moves one result of a region");
    const PlanBuffer& to = buffer(launch.outputs[0]);
    if (to.kind != Kind::result) fail(fmt::format("a copy to {}", place(to)));
    const Tensor& value = plan_.graph.outputs[static_cast<size_t>(to.index)];
    check_read(value, launch.inputs[0], "the value");
    if (to.bytes != value.type().bytes()) fail(fmt::format("{} has another size", place(to)));
    copied_[launch.outputs[0]] = launch.inputs[0];
  }

  void check_workspace(const Launch& launch) {
    const size_t needed = workspace_bytes(launch, backend_);
    if (launch.workspace == -1) {
      if (needed) fail(fmt::format("a workspace of {} bytes is missing", needed));
      return;
    }
    const PlanBuffer& b = buffer(launch.workspace);
    if (b.kind != Kind::arena || b.bytes != needed || written_[at(launch.workspace)])
      fail(fmt::format("{} cannot be the workspace, which has {} bytes", place(b), needed));
    for (int other : launch.inputs)
      if (overlap(launch.workspace, other)) fail("the workspace overlaps an operand");
    for (int other : launch.outputs)
      if (overlap(launch.workspace, other)) fail("the workspace overlaps a result");
    write(launch.workspace);
  }

  void check_results() const {
    for (size_t j = 0; j < plan_.results.size(); ++j) {
      const int b = plan_.results[j];
      const std::string what = fmt::format("result {}", j);
      const PlanBuffer& info = buffer(b);
      const auto copied = copied_.find(b);
      if (copied == copied_.end()) {
        check_read(plan_.graph.outputs[j], b, what);
      } else if (!valid_[at(b)]) {
        fail(fmt::format("{} is overwritten", what));
      }
      // The executor hands results out in order, and of each buffer once.
      if (info.kind == Kind::arena ||
          (info.kind == Kind::result && info.index > static_cast<int64_t>(j)) ||
          (region_ && info.index != static_cast<int64_t>(j)) ||
          (region_ && info.kind != Kind::result))
        fail(fmt::format("{} cannot lie in {}", what, place(b)));
    }
    for (const PlanBuffer& b : plan_.buffers)
      if (b.kind == Kind::result && &buffer(plan_.results[static_cast<size_t>(b.index)]) != &b)
        fail(fmt::format("{} is not where that result is", place(b)));
    size_t operations = 0;
    for (const Node* node : topological_order(plan_.graph.outputs))
      operations += !is_given(*node) && !is_alias(*node);
    // What is launched is an operation of the graph, so equal counts mean that each is.
    if (operations != launched_.size())
      fail(fmt::format("{} operations, {} are launched", operations, launched_.size()));
  }

  void check_sums() const {
    size_t arguments = 0;
    for (const Tensor& t : plan_.graph.inputs) arguments += round_up_to_alignment(t.type().bytes());
    size_t results = 0;
    size_t arena = 0;
    for (const PlanBuffer& b : plan_.buffers) {
      const size_t bytes = round_up_to_alignment(b.bytes);
      if (b.kind == Kind::arena && bytes)
        arena = std::max(arena, static_cast<size_t>(b.index) + bytes);
      if (b.kind == Kind::result && plan_.donor[static_cast<size_t>(b.index)] < 0) results += bytes;
    }
    if (plan_.argument_bytes != arguments)
      fail(fmt::format("the arguments take {} bytes, not {}", arguments, plan_.argument_bytes));
    if (plan_.result_bytes != results)
      fail(fmt::format("the results take {} bytes, not {}", results, plan_.result_bytes));
    if (plan_.arena_bytes != arena)
      fail(fmt::format("the arena takes {} bytes, not {}", arena, plan_.arena_bytes));
  }

  const Plan& plan_;
  const Backend& backend_;
  const bool region_;
  int launch_ = -1;
  std::vector<bool> valid_;    // holds its value now
  std::vector<bool> written_;  // was written
  TensorMap<int> buffer_of_;
  std::map<int64_t, int> live_;      // of the arena: begin → buffer; they do not overlap
  std::vector<int> argument_owner_;  // whose value an argument's memory holds
  std::map<int, int> copied_;
  std::set<const Node*> launched_;  // operations
};

}  // namespace

std::optional<PlanFault> find_fault(const Plan& plan, const Backend& backend, bool region) {
  return PlanVerifier(plan, backend, region).run();
}

namespace {

void verify_all(const Plan& plan, const Plan& whole, const Backend& backend, bool region) {
  for (const Launch& launch : plan.launches)
    for (const auto& inner : launch.regions) verify_all(*inner, whole, backend, true);
  const auto fault = find_fault(plan, backend, region);
  if (!fault) return;
  throw InternalError(
      fmt::format("[verify] {}{}{}\n{}", region ? "in the plan of a region: " : "",
                  fault->launch < 0 ? "" : fmt::format("launch {}: ", fault->launch), fault->what,
                  to_text(whole)));
}

}  // namespace

void verify(const Plan& plan, const Backend& backend) { verify_all(plan, plan, backend, false); }

}  // namespace cairn
