// Tensor: a value-semantics handle on one output of an immutable node. Node: one operation.
//
// Building computes nothing and needs no runtime. Values appear when `eval(runtime, ...)` returns
// leaves. Copying a handle shares the node; moving one out leaves it empty, which is how a value is
// donated. Nodes are destroyed iteratively, so that a chain of a million does not exhaust the
// stack.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cairn/core/buffer.h"
#include "cairn/graph/attributes.h"
#include "cairn/graph/scope.h"

namespace cairn {

class Node;
class Tensor;

// What is known of a value without computing it.
struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  Placement placement{};
  // Mesh axes along which the value may differ from rank to rank, sorted (the convention of JAX's
  // shard_map). Empty for nearly every tensor.
  std::vector<std::string> varying{};
  friend bool operator==(const TensorType&, const TensorType&) = default;
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * size_of(dtype); }
};

// "f32[2,3]", with placement and varying axes where they are not the default.
std::string to_string(const TensorType& type);

class Tensor {
 public:
  Tensor() = default;
  Tensor(Node* node, int output);  // takes a reference
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(const Tensor& other);
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor();

  // A leaf of values on the host. A number gives a scalar.
  Tensor(const HostArray& values);
  static Tensor scalar(Number value, DType dtype);
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape) {
    return Tensor(HostArray::from<T>(values, shape));
  }
  template <class T>
  static Tensor from(std::initializer_list<T> values, Shape shape) {
    return from(std::span<const T>(values.begin(), values.size()), shape);
  }
  // A leaf on `buffer`.
  static Tensor leaf(TensorType type, std::shared_ptr<Buffer> buffer, std::string name = {});
  // A placeholder that a graph is called with.
  static Tensor input(TensorType type, std::string name);

  bool defined() const { return node_ != nullptr; }
  // Throws Error, naming what was moved, when the handle is empty.
  const TensorType& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  int rank() const { return shape().rank(); }
  // Size of an axis; negative axes count from the end.
  int64_t size(int axis) const;
  int64_t elements() const { return shape().elements(); }

  // True when the values exist.
  bool is_leaf() const;
  // The values of a leaf. On an unevaluated tensor these throw an Error that names eval(), on one
  // of the null device an Error that there are none.
  HostArray host() const;
  // The only element. An integer T holds it exactly or there is an Error; floats become integers
  // towards zero.
  template <class T>
  T item() const {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      constexpr auto kMost = std::numeric_limits<T>::max();
      return static_cast<T>(
          item_as_integer(static_cast<int64_t>(std::numeric_limits<T>::min()),
                          std::in_range<int64_t>(kMost) ? static_cast<int64_t>(kMost) : INT64_MAX));
    } else {
      return static_cast<T>(item_as_double());
    }
  }
  template <class T>
  std::vector<T> to_vector() const {
    const HostArray array = host();
    const auto values = array.span<T>();
    return {values.begin(), values.end()};
  }
  const std::shared_ptr<Buffer>& buffer() const;

  // The same value under a name for errors, printing and donation.
  Tensor named(std::string name) const;
  const std::string& name() const;

  const Node& node() const;
  Node* node_pointer() const { return node_; }
  int output() const { return output_; }
  // True when both are the same output of the same node. `==` of tensors (ops/elementwise.h) is
  // elementwise, as in NumPy.
  friend bool same(const Tensor& a, const Tensor& b) {
    return a.node_ == b.node_ && a.output_ == b.output_;
  }

 private:
  friend class Node;
  HostArray only_element() const;
  double item_as_double() const;
  int64_t item_as_integer(int64_t low, int64_t high) const;
  Node* node_ = nullptr;
  int output_ = 0;
  // What an empty handle was called before it was moved from.
  std::shared_ptr<const std::string> moved_name_;
};

class Node {
 public:
  Op op() const { return op_; }
  const OpInfo& info() const { return cairn::info(op_); }
  const Attrs& attrs() const { return attrs_; }
  std::span<const Tensor> inputs() const { return inputs_; }
  const Tensor& input(int i) const { return inputs_[i]; }
  int output_count() const { return static_cast<int>(outputs_.size()); }
  const TensorType& output(int i = 0) const { return outputs_[i]; }
  std::span<const TensorType> outputs() const { return outputs_; }
  // Grows with every node that the process builds: the order of building, which eager evaluation
  // and the order of collectives follow.
  uint64_t id() const { return id_; }
  const std::string& name() const;
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }  // of a leaf
  const std::source_location& location() const { return location_; }
  const ScopePath& scope() const { return scope_; }
  uint32_t references() const { return references_.load(std::memory_order_relaxed); }

 private:
  friend class Tensor;
  friend Node* new_node(Op, std::vector<Tensor>, Attrs, std::vector<TensorType>);
  Node() = default;
  static void release(Node* node);

  Op op_ = Op::input;
  std::atomic<uint32_t> references_{0};
  uint64_t id_ = 0;
  Attrs attrs_;
  std::vector<Tensor> inputs_;
  std::vector<TensorType> outputs_;
  std::shared_ptr<const std::string> name_;
  std::shared_ptr<Buffer> buffer_;
  std::source_location location_;
  ScopePath scope_;
};

// A node without references as it is given: nothing is checked or inferred. For the parts of the
// library that rebuild nodes whose types they know; others call make().
Node* new_node(Op op, std::vector<Tensor> inputs, Attrs attrs, std::vector<TensorType> outputs);
// Builds a node: checks operands and attributes, infers the types of its results. Throws Error with
// the operation, the shapes and the source line.
Tensor make(Op op, std::vector<Tensor> inputs, Attrs attrs = {});
// The same for an operation with several results.
std::vector<Tensor> make_many(Op op, std::vector<Tensor> inputs, Attrs attrs = {});
// All results of the node of `any`.
std::vector<Tensor> all_outputs(const Tensor& any);

}  // namespace cairn
