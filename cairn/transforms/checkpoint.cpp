#include "cairn/transforms/checkpoint.h"

#include <fmt/format.h>

#include "cairn/ops/elementwise.h"
#include "cairn/transforms/pullback.h"

namespace cairn {
namespace {

// fn traced at the types of `args`; what it captures becomes further inputs and is appended to
// args.
Graph closed_trace(const std::string& name, const TensorFunction& fn, std::vector<Tensor>& args) {
  std::vector<TensorType> types;
  for (const Tensor& t : args) types.push_back(t.type());
  Graph graph = trace(fn, types);
  graph.name = name;
  return close_over(graph, args);
}

}  // namespace

TensorFunction checkpoint(TensorFunction fn) {
  return [fn = std::move(fn)](std::span<const Tensor> args) -> std::vector<Tensor> {
    std::vector<Tensor> operands(args.begin(), args.end());
    auto body = std::make_shared<const Graph>(closed_trace(detail::kCheckpoint, fn, operands));
    if (body->outputs.empty()) return {};
    return make_many(
        Op::custom, std::move(operands),
        {{Attr::name, std::string(detail::kCheckpoint)}, {Attr::body, std::move(body)}});
  };
}

TensorFunction custom_vjp(const std::string& name, TensorFunction fn, CustomVjp rule) {
  if (name == detail::kCheckpoint)
    throw_error("[custom_vjp] the name 'checkpoint' is taken by checkpoint()");
  auto definition = std::make_shared<CustomDefinition>();
  definition->name = name;
  definition->fallback = std::move(fn);
  definition->vjp = std::move(rule);
  return [definition](std::span<const Tensor> args) -> std::vector<Tensor> {
    std::vector<Tensor> operands(args.begin(), args.end());
    auto body = std::make_shared<const Graph>(
        closed_trace(definition->name, definition->fallback, operands));
    if (body->outputs.empty()) return {};
    DefinitionPtr used = definition;
    if (const size_t given = args.size(); operands.size() > given) {
      // The rule knows of its arguments only.
      auto closed = std::make_shared<CustomDefinition>();
      closed->name = definition->name;
      closed->fallback = [body](std::span<const Tensor> all) { return call(*body, all); };
      closed->vjp = [definition, given](std::span<const Tensor> all,
                                        std::span<const Tensor> outputs,
                                        std::span<const Tensor> cotangents) {
        std::vector<Tensor> result = definition->vjp(all.first(given), outputs, cotangents);
        if (result.size() == given) result.resize(all.size());
        return result;
      };
      used = std::move(closed);
      for (size_t i = given; i < operands.size(); ++i) operands[i] = stop_gradient(operands[i]);
    }
    return make_many(Op::custom, std::move(operands),
                     {{Attr::name, definition->name},
                      {Attr::body, std::move(body)},
                      {Attr::definition, std::move(used)}});
  };
}

}  // namespace cairn
