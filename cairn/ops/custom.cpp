#include "cairn/ops/custom.h"

#include "cairn/ops/helpers.h"

namespace cairn {

TensorFunction custom(CustomDefinition given) {
  if (given.name.empty() || given.name == "checkpoint")
    detail::fail("custom", "a custom operation needs a name other than 'checkpoint'");
  if (!given.fallback)
    detail::fail("custom", "'" + given.name + "' needs a fallback of plain operations");
  const auto definition = std::make_shared<const CustomDefinition>(std::move(given));
  return [definition](std::span<const Tensor> args) -> std::vector<Tensor> {
    std::vector<TensorType> types;
    for (const Tensor& t : args) types.push_back(t.type());
    std::vector<Tensor> operands(args.begin(), args.end());
    Graph traced = trace(definition->fallback, types);
    traced.name = definition->name;
    const auto body = std::make_shared<const Graph>(close_over(traced, operands));
    if (body->outputs.empty()) return {};
    DefinitionPtr used = definition;
    if (const size_t count = args.size(); operands.size() > count) {
      auto closed = std::make_shared<CustomDefinition>();
      closed->name = definition->name;
      closed->kernel = definition->kernel;
      closed->fallback = [body](std::span<const Tensor> all) { return call(*body, all); };
      if (definition->vjp) {
        closed->vjp = [definition, count](std::span<const Tensor> all,
                                          std::span<const Tensor> outputs,
                                          std::span<const Tensor> cotangents) {
          std::vector<Tensor> result = definition->vjp(all.first(count), outputs, cotangents);
          if (result.size() == count) result.resize(all.size());
          return result;
        };
        for (size_t i = count; i < operands.size(); ++i) operands[i] = stop_gradient(operands[i]);
      }
      used = std::move(closed);
    }
    return make_many(
        Op::custom, std::move(operands),
        {{Attr::name, definition->name}, {Attr::body, body}, {Attr::definition, std::move(used)}});
  };
}

}  // namespace cairn
