// The table of ONNX's operators: each as a function of cairn's public ones.
//
// A builder gets one node with its operands and gives the node's results. What ONNX takes as a
// tensor and cairn as a number (a shape, axes, a depth) is computed on the spot: `constants` and
// `constant` evaluate their operand.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cairn/ops/control.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "tests/onnx/model.h"

namespace cairn::test {

// Values by name: what a body sees from around it.
using OnnxScope = std::map<std::string, Tensor>;

class OnnxCall {
 public:
  OnnxCall(const OnnxNode& node, std::vector<Tensor> operands, int64_t opset, Runtime& runtime,
           const OnnxScope& scope)
      : node_(node),
        operands_(std::move(operands)),
        opset_(opset),
        runtime_(runtime),
        scope_(scope) {}

  int count() const { return static_cast<int>(operands_.size()); }
  const std::vector<Tensor>& all() const { return operands_; }
  bool has(int i) const { return i < count() && operands_[static_cast<size_t>(i)].defined(); }
  // Operand i; throws Error when it is left out.
  const Tensor& operator[](int i) const;
  // Operand i, undefined when it is left out.
  Tensor optional(int i) const { return has(i) ? operands_[static_cast<size_t>(i)] : Tensor(); }
  // The values of a tensor. Throws Unsupported for what depends on the state of a loop.
  HostArray values(const Tensor& x) const;
  // The values of operand i.
  std::vector<int64_t> constants(int i) const;
  double constant(int i) const;

  bool has_attribute(const std::string& name) const { return node_.attributes.contains(name); }
  int64_t integer(const std::string& name, int64_t otherwise) const;
  int axis(int64_t otherwise) const { return static_cast<int>(integer("axis", otherwise)); }
  double number(const std::string& name, double otherwise) const;
  std::string text(const std::string& name, const std::string& otherwise) const;
  Ints ints(const std::string& name) const;  // empty when it is not there
  const OnnxValue* value(const std::string& name) const;
  // The results of the graph that is attribute `name`.
  std::vector<Tensor> run(const std::string& name, std::span<const Tensor> inputs) const;

  const OnnxNode& node() const { return node_; }
  bool wants(size_t output) const {
    return output < node_.outputs.size() && !node_.outputs[output].empty();
  }
  int64_t opset() const { return opset_; }

 private:
  template <class T>
  const T* attribute(const std::string& name) const;
  const OnnxNode& node_;
  std::vector<Tensor> operands_;
  int64_t opset_;
  Runtime& runtime_;
  const OnnxScope& scope_;
};

using OnnxBuilder = std::function<std::vector<Tensor>(const OnnxCall& call)>;
using OnnxTable = std::map<std::string, OnnxBuilder>;

// The table, by the operator's name.
const OnnxTable& onnx_operators();
// Why an operator is not in the table.
std::string why_no_onnx_operator(const std::string& op);

// Its parts, a file each.
void add_elementwise(OnnxTable& table);
void add_activations(OnnxTable& table);
void add_reductions(OnnxTable& table);
void add_shapes(OnnxTable& table);
void add_indexing(OnnxTable& table);
void add_products(OnnxTable& table);
void add_pools(OnnxTable& table);
void add_norms(OnnxTable& table);
void add_attention(OnnxTable& table);
void add_losses(OnnxTable& table);
void add_quantization(OnnxTable& table);
void add_recurrent(OnnxTable& table);
void add_control(OnnxTable& table);
void add_optimizers(OnnxTable& table);
void add_others(OnnxTable& table);

// A builder of one result from a function of the call.
template <class F>
OnnxBuilder one(F f) {
  return [f](const OnnxCall& call) { return std::vector<Tensor>{f(call)}; };
}

// x in another type, with ONNX's rule for 8-bit floats: `saturate` takes what is too large to the
// largest number, where cairn's cast gives NaN or infinity.
Tensor onnx_cast(const Tensor& x, DType dtype, bool saturate);

// The results of a graph for `inputs`. Throws Unsupported where a node is something that cairn does
// not have. `outer`: the values around the graph, where it is a body.
std::vector<Tensor> run_onnx_graph(const OnnxGraph& graph, std::span<const Tensor> inputs,
                                   int64_t opset, Runtime& runtime, const OnnxScope& outer = {});

}  // namespace cairn::test
