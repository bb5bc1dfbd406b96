#include "cairn/nn/module.h"

#include <fmt/format.h>

#include "cairn/graph/graph.h"
#include "cairn/ops/random.h"

namespace cairn {

void Visitor::module(std::string_view name, Module& child) {
  const size_t before = path_.size();
  if (!name.empty()) path_ += (path_.empty() ? "" : ".") + std::string(name);
  child.visit(*this);
  path_.resize(before);
}

void Visitor::visit(FieldKind kind, std::string_view name, Tensor& field_tensor) {
  field(kind, path_.empty() ? std::string(name) : path_ + "." + std::string(name), field_tensor);
}

namespace {

class Collector : public Visitor {
 public:
  std::vector<Field> found;

 protected:
  void field(FieldKind kind, const std::string& path, Tensor& tensor) override {
    if (tensor.defined()) found.push_back({kind, path, &tensor});
  }
};

}  // namespace

std::vector<Field> fields(Module& module) {
  Collector collector;
  collector.module("", module);
  return std::move(collector.found);
}

std::vector<Field> fields(Module& module, FieldKind kind) {
  std::vector<Field> all = fields(module);
  std::erase_if(all, [kind](const Field& f) { return f.kind != kind; });
  return all;
}

int64_t parameter_count(Module& module) {
  int64_t n = 0;
  for (const Field& f : fields(module, FieldKind::parameter)) n += f.tensor->elements();
  return n;
}

void initialize(Runtime& runtime, Module& module, uint64_t seed) {
  const Tensor root = random_key(seed);
  std::vector<Field> open;
  std::vector<Tensor> values;
  for (const Field& f : fields(module)) {
    if (f.tensor->is_leaf()) continue;
    // An initialiser is a graph of at most one input: its key (nn/init.h).
    Graph graph;
    graph.outputs = {*f.tensor};
    for (const Node* node : topological_order(graph.outputs))
      if (node->op() == Op::input) graph.inputs.emplace_back(const_cast<Node*>(node), 0);
    const std::vector<Tensor> keys(graph.inputs.size(), fold_in(root, f.path));
    values.push_back(call(graph, keys)[0]);
    open.push_back(f);
  }
  std::vector<Tensor> leaves = eval(runtime, values);
  runtime.separate(leaves);
  for (size_t i = 0; i < open.size(); ++i) *open[i].tensor = leaves[i].named(open[i].path);
}

Tensor Context::next_key() {
  if (!key.defined())
    throw_error(
        "this forward pass needs random numbers (dropout), but its Context has no key: set "
        "Context::key");
  const std::string path = Scope::current() ? *Scope::current() : "";
  return fold_in(fold_in(key, path), calls_[path]++);
}

Bound::Bound(std::vector<Field> fields, std::span<const Tensor> values)
    : fields_(std::move(fields)) {
  CAIRN_ASSERT(fields_.size() == values.size());
  for (size_t i = 0; i < fields_.size(); ++i) {
    saved_.push_back(std::move(*fields_[i].tensor));
    *fields_[i].tensor = values[i];
  }
}

Bound::~Bound() {
  for (size_t i = 0; i < fields_.size(); ++i) *fields_[i].tensor = std::move(saved_[i]);
}

}  // namespace cairn
