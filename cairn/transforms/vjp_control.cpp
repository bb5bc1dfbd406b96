// Cotangents of cond, loop and custom operations.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/pullback.h"
#include "cairn/transforms/reverse_walk.h"
#include "cairn/transforms/rules.h"
#include "cairn/transforms/substitute.h"

namespace cairn::detail {
namespace {

std::vector<bool> defined(std::span<const Tensor> tensors) {
  std::vector<bool> flags;
  for (const Tensor& t : tensors) flags.push_back(t.defined());
  return flags;
}

// Places of the operands that need a cotangent, less `skip`.
std::vector<int> places(const std::vector<bool>& wanted, int skip) {
  std::vector<int> result;
  for (int i = skip; i < static_cast<int>(wanted.size()); ++i)
    if (wanted[static_cast<size_t>(i)]) result.push_back(i - skip);
  return result;
}

void append_defined(std::vector<Tensor>& list, std::span<const Tensor> tensors) {
  for (const Tensor& t : tensors)
    if (t.defined()) list.push_back(t);
}

std::vector<Tensor> spread(const VjpContext& c, const std::vector<int>& wrt, int skip,
                           const std::vector<Tensor>& cotangents) {
  std::vector<Tensor> result(c.inputs.size());
  for (size_t i = 0; i < wrt.size(); ++i)
    result[static_cast<size_t>(wrt[i]) + static_cast<size_t>(skip)] = cotangents[i];
  return result;
}

}  // namespace

// The branches' pullbacks under the same condition. They compute their branch again from the
// operands, which are the only residuals: what a branch computes inside does not exist when the
// other was taken.
std::vector<Tensor> vjp_cond(const VjpContext& c) {
  const std::vector<bool> given = defined(c.cotangents);
  const std::vector<int> wrt = places(c.wanted, 1);
  Attrs attrs;
  for (Attr key : {Attr::then, Attr::otherwise})
    attrs.set(key, std::make_shared<const Graph>(
                       pullback(*c.node.attrs().graph(key), given, wrt, false, c.meshes)));
  std::vector<Tensor> operands = c.inputs;
  append_defined(operands, c.cotangents);
  return spread(c, wrt, 1, make_many(Op::cond, std::move(operands), std::move(attrs)));
}

std::vector<Tensor> vjp_custom(const VjpContext& c) {
  const Attrs& attrs = c.node.attrs();
  if (const AttrValue* value = attrs.find(Attr::definition)) {
    const DefinitionPtr& definition = std::get<DefinitionPtr>(*value);
    if (definition && definition->vjp) {
      std::vector<Tensor> cotangents(c.outputs.size());
      for (size_t i = 0; i < cotangents.size(); ++i) {
        cotangents[i] = c.cotangents[i];
        if (!cotangents[i].defined() && is_float(c.outputs[i].dtype()))
          cotangents[i] = zeros_of(tangent_type(c.outputs[i].type()));
      }
      std::vector<Tensor> result = definition->vjp(c.inputs, c.outputs, cotangents);
      if (result.size() != c.inputs.size())
        fail("grad", c.node,
             fmt::format("the vjp of '{}' gives {} cotangents for {} operands; give an empty "
                         "Tensor where one is zero",
                         attrs.text(Attr::name), result.size(), c.inputs.size()));
      return result;
    }
  }
  const std::vector<int> wrt = places(c.wanted, 0);
  std::vector<Tensor> operands = c.inputs;
  append_defined(operands, c.cotangents);
  // A checkpoint computes its body again, and not before the cotangents are there: the barrier ties
  // the operands to them and keeps the second computation from being merged with the first.
  if (attrs.text(Attr::name) == kCheckpoint) operands = make_many(Op::barrier, std::move(operands));
  const Graph back =
      pullback(*attrs.graph(Attr::body), defined(c.cotangents), wrt, false, c.meshes);
  return spread(c, wrt, 0, call(back, operands));
}

namespace {

// Which carried values a derivative reaches, given the operands into which one flows: the least set
// that the body maps into itself.
std::vector<bool> active_operands(const Graph& body, int carried, std::vector<bool> active) {
  for (bool grown = true; grown;) {
    grown = false;
    std::vector<Tensor> sources;
    for (size_t i = 0; i < active.size(); ++i)
      if (active[i]) sources.push_back(body.inputs[i]);
    const auto reached = dependents(body.outputs, sources);
    for (int i = 0; i < carried; ++i) {
      const Tensor& out = body.outputs[static_cast<size_t>(i)];
      const bool depends =
          reached.contains(out.node_pointer()) || index_of(sources, out) < sources.size();
      if (!depends || !is_float(out.dtype()) || active[static_cast<size_t>(i) + 1]) continue;
      active[static_cast<size_t>(i) + 1] = true;
      grown = true;
    }
  }
  return active;
}

// The tensors at which the backward part of a body is cut off from its forward part.
class Residuals {
 public:
  Residuals(const Graph& body, const ReverseWalk& walk, int carried, int scanned)
      : body_(body), carried_(carried), scanned_(scanned) {
    for (const Node* node : topological_order(walk.roots())) forward_.insert(node);
    const std::span<const Tensor> inputs(body.inputs);
    late_ = dependents(walk.roots(), inputs.subspan(1, static_cast<size_t>(carried) +
                                                           static_cast<size_t>(scanned)));
  }

  // What depends on captured values and the step only is computed again instead of being kept; so
  // is a broadcast, which is larger than its operand.
  void collect(std::span<const Tensor> roots) {
    std::unordered_set<const Node*> seen;
    std::vector<Tensor> stack(roots.rbegin(), roots.rend());
    while (!stack.empty()) {
      const Tensor t = stack.back();
      stack.pop_back();
      const Node& node = t.node();
      if (const size_t at = index_of(body_.inputs, t); at < body_.inputs.size()) {
        const int operand = static_cast<int>(at);
        if (operand > 0 && operand <= carried_) {
          keep(t, kept);
        } else if (operand > carried_ && operand <= carried_ + scanned_) {
          keep(t, scanned_reads);
        } else if (operand > 0) {
          keep(t, captured_reads);
        }
      } else if (forward_.contains(&node) && late_.contains(&node) && node.op() != Op::broadcast) {
        keep(t, kept);
      } else if (seen.insert(&node).second) {
        for (int i = static_cast<int>(node.inputs().size()) - 1; i >= 0; --i)
          stack.push_back(node.input(i));
      }
    }
  }

  std::vector<Tensor> kept, scanned_reads, captured_reads;

 private:
  void keep(const Tensor& t, std::vector<Tensor>& list) {
    if (index_of(list, t) == list.size()) list.push_back(t);
  }
  const Graph& body_;
  int carried_, scanned_;
  std::unordered_set<const Node*> forward_, late_;
};

}  // namespace

TapedLoop tape_loop(const Node& loop, std::vector<Tensor> inputs,
                    const std::vector<bool>& active_inputs, const MeshSizes& meshes) {
  const Graph& body = *loop.attrs().graph(Attr::body);
  const int carried = static_cast<int>(loop.attrs().integer(Attr::carried));
  const int scanned = static_cast<int>(loop.attrs().integer(Attr::scanned));
  const int count = static_cast<int>(inputs.size());
  const std::vector<bool> active = active_operands(body, carried, active_inputs);
  std::vector<Tensor> wrt;
  for (int i = 1; i < count; ++i)
    if (active[static_cast<size_t>(i)]) wrt.push_back(body.inputs[static_cast<size_t>(i)]);
  const ReverseWalk walk(body.outputs, wrt, meshes);

  LoopTape tape;
  tape.forward_outputs = static_cast<int>(body.outputs.size());
  std::vector<Tensor> carried_in, sums_in, stacked_in;
  std::vector<Tensor> cotangents(body.outputs.size());
  for (size_t i = 0; i < cotangents.size(); ++i) {
    const bool is_carried = static_cast<int>(i) < carried;
    if (is_carried ? !active[i + 1] : !walk.reaches(i)) continue;
    cotangents[i] = Tensor::input(tangent_type(body.outputs[i].type()), fmt::format("ct{}", i));
    if (is_carried) tape.carried.push_back(static_cast<int>(i) + 1);
    if (!is_carried) tape.stacked.push_back(static_cast<int>(i));
    (is_carried ? carried_in : stacked_in).push_back(cotangents[i]);
  }
  const std::vector<Tensor> pulled = walk.pull(cotangents);
  std::vector<Tensor> carried_out, sums_out, stacked_out;
  for (int i = 1, next = 0; i < count; ++i) {
    if (!active[static_cast<size_t>(i)]) continue;
    const Tensor& ct = pulled[static_cast<size_t>(next++)];
    const Tensor& value = body.inputs[static_cast<size_t>(i)];
    if (i <= carried) {
      carried_out.push_back(ct.defined() ? ct : zeros_of(tangent_type(value.type())));
    } else if (i <= carried + scanned) {
      if (!ct.defined()) continue;
      tape.scanned.push_back(i);
      stacked_out.push_back(ct);
    } else {
      if (!ct.defined()) continue;
      tape.captured.push_back(i);
      sums_in.push_back(tangent_input(value, "sum_"));
      sums_out.push_back(make(Op::add, {sums_in.back(), ct}));
    }
  }

  Graph back{body.name, {}, {}, {}};
  for (const auto* list : {&carried_out, &sums_out, &stacked_out})
    back.outputs.insert(back.outputs.end(), list->begin(), list->end());
  Residuals residuals(body, walk, carried, scanned);
  residuals.collect(back.outputs);
  TensorMap<Tensor> cut;
  const auto replace = [&](const Tensor& t, const std::string& name) {
    cut[t] = Tensor::input(t.type(), name);
    return cut[t];
  };
  back.inputs.push_back(replace(body.inputs[0], "k"));
  back.inputs.insert(back.inputs.end(), carried_in.begin(), carried_in.end());
  back.inputs.insert(back.inputs.end(), sums_in.begin(), sums_in.end());
  for (const Tensor& t : residuals.kept)
    back.inputs.push_back(replace(t, fmt::format("r{}", back.inputs.size())));
  const auto operand_of = [&](const Tensor& t) {
    return static_cast<int>(index_of(body.inputs, t));
  };
  for (const Tensor& t : residuals.scanned_reads) {
    tape.scanned_reads.push_back(operand_of(t));
    back.inputs.push_back(replace(t, t.name()));
  }
  back.inputs.insert(back.inputs.end(), stacked_in.begin(), stacked_in.end());
  for (const Tensor& t : residuals.captured_reads) {
    tape.captured_reads.push_back(operand_of(t));
    back.inputs.push_back(replace(t, t.name()));
  }
  back.outputs = substitute(back.outputs, cut);
  tape.body = std::make_shared<const Graph>(std::move(back));

  Graph forward{body.name, body.inputs, walk.roots(), {}};
  forward.outputs.insert(forward.outputs.end(), residuals.kept.begin(), residuals.kept.end());
  Attrs attrs = loop.attrs();
  attrs.set(Attr::body, std::make_shared<const Graph>(std::move(forward)));
  return {rebuild(loop, std::move(inputs), std::move(attrs)), std::move(tape)};
}

std::vector<Tensor> vjp_loop(const VjpContext& c) {
  CAIRN_ASSERT(c.tape);
  const LoopTape& tape = *c.tape;
  std::vector<Tensor> operands{c.inputs[0]};
  const auto cotangent = [&](int output) {
    const size_t i = static_cast<size_t>(output);
    return c.cotangents[i].defined() ? c.cotangents[i]
                                     : zeros_of(tangent_type(c.outputs[i].type()));
  };
  for (int i : tape.carried) operands.push_back(cotangent(i - 1));
  for (int i : tape.captured)
    operands.push_back(zeros_of(tangent_type(c.inputs[static_cast<size_t>(i)].type())));
  operands.insert(operands.end(), c.outputs.begin() + tape.forward_outputs, c.outputs.end());
  for (int i : tape.scanned_reads) operands.push_back(c.inputs[static_cast<size_t>(i)]);
  for (int i : tape.stacked) operands.push_back(cotangent(i));
  for (int i : tape.captured_reads) operands.push_back(c.inputs[static_cast<size_t>(i)]);

  const auto count = [](auto... sizes) { return static_cast<int64_t>((sizes + ...)); };
  Attrs attrs{{Attr::body, tape.body}, {Attr::max, c.node.attrs().integer(Attr::max)}};
  attrs.set(Attr::carried, count(tape.carried.size(), tape.captured.size()));
  attrs.set(Attr::scanned, count(c.outputs.size() - static_cast<size_t>(tape.forward_outputs),
                                 tape.scanned_reads.size(), tape.stacked.size()));
  if (!c.node.attrs().flag(Attr::reverse)) attrs.set(Attr::reverse, true);
  std::vector<Tensor> result(c.inputs.size());
  if (tape.body->outputs.empty()) return result;
  const std::vector<Tensor> outputs = make_many(Op::loop, std::move(operands), std::move(attrs));
  size_t next = 0;
  for (const auto* list : {&tape.carried, &tape.captured, &tape.scanned})
    for (int i : *list) result[static_cast<size_t>(i)] = outputs[next++];
  return result;
}

}  // namespace cairn::detail
