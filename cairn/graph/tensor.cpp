#include "cairn/graph/tensor.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "cairn/graph/infer.h"

namespace cairn {

namespace {

const std::string kNoName;
std::atomic<uint64_t> next_id{1};

}  // namespace

std::string to_string(const TensorType& type) {
  std::string text =
      std::string(name(type.dtype)) + to_string(static_cast<const Ints&>(type.shape));
  if (type.placement != Placement{}) text += "@" + to_string(type.placement);
  if (!type.varying.empty()) text += fmt::format("{{{}}}", fmt::join(type.varying, ","));
  return text;
}

// --- Tensor -------------------------------------------------------------------------------------

Tensor::Tensor(Node* node, int output) : node_(node), output_(output) {
  node_->references_.fetch_add(1, std::memory_order_relaxed);
}
Tensor::Tensor(const Tensor& other)
    : node_(other.node_), output_(other.output_), moved_name_(other.moved_name_) {
  if (node_) node_->references_.fetch_add(1, std::memory_order_relaxed);
}
Tensor::Tensor(Tensor&& other) noexcept
    : node_(other.node_), output_(other.output_), moved_name_(std::move(other.moved_name_)) {
  if (node_) other.moved_name_ = node_->name_;
  other.node_ = nullptr;
}
Tensor& Tensor::operator=(const Tensor& other) {
  if (this != &other) *this = Tensor(other);
  return *this;
}
Tensor& Tensor::operator=(Tensor&& other) noexcept {
  if (this == &other) return *this;
  Node* old = node_;
  node_ = other.node_;
  output_ = other.output_;
  moved_name_ = std::move(other.moved_name_);
  if (node_) other.moved_name_ = node_->name_;
  other.node_ = nullptr;
  if (old) Node::release(old);
  return *this;
}
Tensor::~Tensor() {
  if (node_) Node::release(node_);
}

// Iterative: the operands of a dead node join a list instead of the stack.
void Node::release(Node* node) {
  if (node->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (node->inputs_.empty()) {
    delete node;
    return;
  }
  std::vector<Node*> dead{node};
  while (!dead.empty()) {
    Node* next = dead.back();
    dead.pop_back();
    for (Tensor& input : next->inputs_) {
      Node* operand = input.node_;
      input.node_ = nullptr;
      if (operand && operand->references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
        dead.push_back(operand);
    }
    delete next;
  }
}

const std::string& Node::name() const { return name_ ? *name_ : kNoName; }

const Node& Tensor::node() const {
  if (!node_) {
    if (moved_name_)
      throw_error(
          fmt::format("tensor '{}' is empty: it was moved from (donated); copy the handle "
                      "before moving it, or use the tensor that the call returned",
                      *moved_name_));
    throw_error("this tensor handle is empty: nothing was assigned to it, or it was moved from");
  }
  return *node_;
}

const TensorType& Tensor::type() const { return node().output(output_); }

int64_t Tensor::size(int axis) const {
  const int at = axis < 0 ? axis + rank() : axis;
  if (at < 0 || at >= rank())
    throw_error(
        fmt::format("axis {} is out of range for a tensor of shape {}", axis, to_string(shape())));
  return shape()[at];
}

bool Tensor::is_leaf() const { return node().op() == Op::leaf; }

const std::string& Tensor::name() const { return node().name(); }

namespace {

std::string describe(const Tensor& t) {
  const Node& node = t.node();
  std::string text = fmt::format("{} {}", cairn::name(node.op()), to_string(t.type()));
  if (!node.name().empty()) text += " '" + node.name() + "'";
  if (node.location().line()) text += " built at " + locate(node.location());
  return text;
}

}  // namespace

const std::shared_ptr<Buffer>& Tensor::buffer() const {
  if (!is_leaf())
    throw_error(
        fmt::format("the values of {} do not exist yet: call eval(runtime, tensor) and use "
                    "what it returns",
                    describe(*this)));
  return node_->buffer_;
}

HostArray Tensor::host() const {
  const auto& b = buffer();
  if (b->placement.tier == Tier::file)
    throw_error("the values are in a file; transfer the tensor to the host first");
  if (b->data == nullptr && b->bytes > 0)
    throw_error(fmt::format("{} has no values: the null device plans and computes nothing",
                            describe(*this)));
  return HostArray(dtype(), shape(), b, b->data);
}

HostArray Tensor::only_element() const {
  HostArray array = host();
  if (array.elements() != 1)
    throw_error(fmt::format("[item] one element is needed, the tensor is {}", to_string(type())));
  return array;
}

double Tensor::item_as_double() const { return only_element().at(0); }

int64_t Tensor::item_as_integer(int64_t low, int64_t high) const {
  const HostArray array = only_element();
  const auto refuse = [&](auto value) {
    throw_error(fmt::format("[item] {} does not fit an integer from {} to {}", value, low, high));
  };
  if (is_float(dtype())) {
    const double whole = std::trunc(array.at(0));
    // 2^63 is a double, the largest i64 is not.
    if (!(whole >= static_cast<double>(low) && whole <= static_cast<double>(high) &&
          whole < 0x1p63))
      refuse(whole);
    return static_cast<int64_t>(whole);
  }
  const int64_t whole =
      dtype() == DType::i64 ? array.span<int64_t>()[0] : static_cast<int64_t>(array.at(0));
  if (whole < low || whole > high) refuse(whole);
  return whole;
}

Tensor Tensor::leaf(TensorType type, std::shared_ptr<Buffer> buffer, std::string name) {
  CAIRN_ASSERT(buffer && buffer->bytes >= type.bytes());
  std::vector<TensorType> types;
  types.push_back(std::move(type));
  Node* node = new_node(Op::leaf, {}, {}, std::move(types));
  node->buffer_ = std::move(buffer);
  if (!name.empty()) node->name_ = std::make_shared<const std::string>(std::move(name));
  return Tensor(node, 0);
}

Tensor Tensor::input(TensorType type, std::string name) {
  Node* node = new_node(Op::input, {}, {}, {std::move(type)});
  node->name_ = std::make_shared<const std::string>(std::move(name));
  return Tensor(node, 0);
}

Tensor::Tensor(const HostArray& values) {
  auto buffer = std::make_shared<Buffer>();
  buffer->data = const_cast<void*>(values.data());
  buffer->bytes = values.bytes();
  buffer->owner = values.owner();
  buffer->writable = false;  // the array is shared with whoever made it
  *this = leaf({values.dtype(), values.shape()}, std::move(buffer));
}

Tensor Tensor::named(std::string name) const {
  const Node& old = node();
  if (old.op() == Op::leaf) return leaf(type(), old.buffer(), std::move(name));
  if (old.op() == Op::input) return input(type(), std::move(name));
  Node* renamed = new_node(old.op(), {old.inputs().begin(), old.inputs().end()}, old.attrs(),
                           {old.outputs().begin(), old.outputs().end()});
  renamed->name_ = std::make_shared<const std::string>(std::move(name));
  return Tensor(renamed, output_);
}

Tensor Tensor::scalar(Number value, DType dtype) {
  return make(Op::full, {}, {{Attr::value, value}, {Attr::dtype, dtype}, {Attr::shape, Ints()}});
}

// --- building -----------------------------------------------------------------------------------

Node* new_node(Op op, std::vector<Tensor> inputs, Attrs attrs, std::vector<TensorType> outputs) {
  Node* node = new Node();
  node->op_ = op;
  node->id_ = next_id.fetch_add(1, std::memory_order_relaxed);
  node->attrs_ = std::move(attrs);
  node->inputs_ = std::move(inputs);
  node->outputs_ = std::move(outputs);
  node->location_ = Provenance::current();
  node->scope_ = Scope::current();
  return node;
}

std::vector<Tensor> make_many(Op op, std::vector<Tensor> inputs, Attrs attrs) {
  std::vector<TensorType> types = infer(op, inputs, attrs);
  const int count = static_cast<int>(types.size());
  Node* node = new_node(op, std::move(inputs), std::move(attrs), std::move(types));
  std::vector<Tensor> outputs;
  outputs.reserve(count);
  for (int i = 0; i < count; ++i) outputs.emplace_back(node, i);
  if (outputs.empty()) Tensor(node, 0);  // frees it
  return outputs;
}

Tensor make(Op op, std::vector<Tensor> inputs, Attrs attrs) {
  std::vector<TensorType> types = infer(op, inputs, attrs);
  CAIRN_ASSERT(types.size() == 1);
  return Tensor(new_node(op, std::move(inputs), std::move(attrs), std::move(types)), 0);
}

std::vector<Tensor> all_outputs(const Tensor& any) {
  std::vector<Tensor> outputs;
  for (int i = 0; i < any.node().output_count(); ++i) outputs.emplace_back(any.node_pointer(), i);
  return outputs;
}

}  // namespace cairn
