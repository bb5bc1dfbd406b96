// Walks over a model's nodes, each through the table.
#include <fmt/format.h>

#include "tests/onnx/operators.h"

namespace cairn::test {

const Tensor& OnnxCall::operator[](int i) const {
  if (!has(i)) throw_error(fmt::format("[{}] operand {} is missing", node_.op, i));
  return operands_[static_cast<size_t>(i)];
}

namespace {

bool depends_on_input(const Tensor& x) {
  const Tensor roots[] = {x};
  for (const Node* node : topological_order(roots))
    if (node->op() == Op::input) return true;
  return false;
}

}  // namespace

HostArray OnnxCall::values(const Tensor& x) const {
  if (depends_on_input(x))
    throw Unsupported(node_.op + ": a size that is computed inside a loop; cairn's are fixed");
  return eval(runtime_, x).host();
}

std::vector<int64_t> OnnxCall::constants(int i) const {
  const HostArray array = values(cast((*this)[i], DType::i64));
  const auto values = array.span<int64_t>();
  return {values.begin(), values.end()};
}

double OnnxCall::constant(int i) const { return values((*this)[i]).at(0); }

template <class T>
const T* OnnxCall::attribute(const std::string& name) const {
  const auto it = node_.attributes.find(name);
  if (it == node_.attributes.end()) return nullptr;
  const T* value = std::get_if<T>(&it->second);
  if (!value) throw_error(fmt::format("[{}] attribute {} has another type", node_.op, name));
  return value;
}

int64_t OnnxCall::integer(const std::string& name, int64_t otherwise) const {
  const auto* value = attribute<int64_t>(name);
  return value ? *value : otherwise;
}

double OnnxCall::number(const std::string& name, double otherwise) const {
  const auto* value = attribute<float>(name);
  return value ? *value : otherwise;
}

std::string OnnxCall::text(const std::string& name, const std::string& otherwise) const {
  const auto* value = attribute<std::string>(name);
  return value ? *value : otherwise;
}

Ints OnnxCall::ints(const std::string& name) const {
  const auto* value = attribute<std::vector<int64_t>>(name);
  return value ? Ints(std::span<const int64_t>(*value)) : Ints();
}

const OnnxValue* OnnxCall::value(const std::string& name) const {
  return attribute<OnnxValue>(name);
}

std::vector<Tensor> OnnxCall::run(const std::string& name, std::span<const Tensor> inputs) const {
  const auto* body = attribute<std::shared_ptr<const OnnxGraph>>(name);
  if (!body) throw_error(fmt::format("[{}] the body {} is missing", node_.op, name));
  return run_onnx_graph(**body, inputs, opset_, runtime_, scope_);
}

const OnnxTable& onnx_operators() {
  static const OnnxTable table = [] {
    OnnxTable t;
    add_elementwise(t);
    add_activations(t);
    add_reductions(t);
    add_shapes(t);
    add_indexing(t);
    add_products(t);
    add_pools(t);
    add_norms(t);
    add_attention(t);
    add_losses(t);
    add_quantization(t);
    add_recurrent(t);
    add_control(t);
    add_optimizers(t);
    add_others(t);
    return t;
  }();
  return table;
}

namespace {

void run_node(const OnnxNode& node, OnnxScope& scope, int64_t opset, Runtime& runtime) {
  const auto builder = onnx_operators().find(node.op);
  if (builder == onnx_operators().end()) throw Unsupported(why_no_onnx_operator(node.op));
  std::vector<Tensor> operands;
  for (const std::string& name : node.inputs) {
    if (name.empty()) {
      operands.emplace_back();
      continue;
    }
    const auto it = scope.find(name);
    if (it == scope.end()) throw_error(fmt::format("[{}] nothing gives {}", node.op, name));
    operands.push_back(it->second);
  }
  const std::vector<Tensor> results =
      builder->second(OnnxCall(node, std::move(operands), opset, runtime, scope));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (i >= results.size() || !results[i].defined())
      throw Unsupported(fmt::format("{}: its result {} is not built", node.op, i));
    scope[node.outputs[i]] = results[i];
  }
}

}  // namespace

std::vector<Tensor> run_onnx_graph(const OnnxGraph& graph, std::span<const Tensor> inputs,
                                   int64_t opset, Runtime& runtime, const OnnxScope& outer) {
  OnnxScope scope = outer;
  for (const auto& [name, value] : graph.initializers) scope[name] = Tensor(value.get());
  if (inputs.size() != graph.inputs.size())
    throw_error(fmt::format("[onnx] {} values for the {} inputs of a graph", inputs.size(),
                            graph.inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i) scope[graph.inputs[i].name] = inputs[i];
  for (const OnnxNode& node : graph.nodes) run_node(node, scope, opset, runtime);
  std::vector<Tensor> results;
  for (const OnnxSlot& output : graph.outputs) {
    const auto it = scope.find(output.name);
    if (it == scope.end()) throw_error("[onnx] no node gives the output " + output.name);
    results.push_back(it->second);
  }
  return results;
}

}  // namespace cairn::test
