#include "cairn/compiler/custom_node.h"

namespace cairn {

std::vector<Tensor> custom_node(CustomDefinition definition, std::vector<Tensor> operands) {
  std::vector<TensorType> types;
  for (const Tensor& t : operands) types.push_back(t.type());
  Graph body = trace(definition.fallback, types);
  body.name = definition.name;
  const std::string name = definition.name;
  return make_many(
      Op::custom, std::move(operands),
      {{Attr::name, name},
       {Attr::body, std::make_shared<const Graph>(std::move(body))},
       {Attr::definition, std::make_shared<const CustomDefinition>(std::move(definition))}});
}

}  // namespace cairn
