// Module: a plain struct of tensors and other modules, with one visitor that names each field once.
//
//   struct Xor : Module {
//     Linear fc1{2, 2}, fc2{2, 1};
//     void visit(Visitor& v) override { v.module("fc1", fc1); v.module("fc2", fc2); }
//     Tensor forward(Context& ctx, const Tensor& x) { return fc2.forward(ctx, relu(fc1.forward(ctx,
//     x))); }
//   };
//
// The visitor serves initialisation, optimizers, checkpoints, sharding and counting. A field is a
// parameter (trained), state (updated by forward, as batch norm's means) or a constant.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cairn/graph/tensor.h"
#include "cairn/runtime/runtime.h"

namespace cairn {

enum class FieldKind : uint8_t { parameter, state, constant };

class Module;
struct Context;

class Visitor {
 public:
  virtual ~Visitor() = default;
  void parameter(std::string_view name, Tensor& field) { visit(FieldKind::parameter, name, field); }
  void state(std::string_view name, Tensor& field) { visit(FieldKind::state, name, field); }
  void constant(std::string_view name, Tensor& field) { visit(FieldKind::constant, name, field); }
  // A module within: its fields are "name.field". An empty name adds nothing to the path.
  void module(std::string_view name, Module& child);
  // "name.0", "name.1", ...
  template <class M>
  void modules(std::string_view name, std::vector<M>& children) {
    for (size_t i = 0; i < children.size(); ++i)
      module(std::string(name) + "." + std::to_string(i), children[i]);
  }

 protected:
  virtual void field(FieldKind kind, const std::string& path, Tensor& tensor) = 0;

 private:
  void visit(FieldKind kind, std::string_view name, Tensor& field_tensor);
  std::string path_;
};

class Module {
 public:
  virtual ~Module() = default;
  virtual void visit(Visitor& visitor) = 0;
};

// A module that is one of several kinds, chosen when it is made: OneOf<LayerNorm, RmsNorm>.
template <class... M>
struct OneOf : Module {
  std::variant<M...> choice;
  template <class Kind>
  OneOf(Kind module) : choice(std::move(module)) {}
  void visit(Visitor& v) override {
    std::visit([&v](Module& m) { m.visit(v); }, choice);
  }
  Tensor forward(Context& ctx, const Tensor& x) const {
    return std::visit([&](const auto& m) { return m.forward(ctx, x); }, choice);
  }
};

struct Field {
  FieldKind kind;
  std::string path;
  Tensor* tensor;
};
// Every field, in the order of visiting. Fields that hold no tensor (an absent bias) are left out.
std::vector<Field> fields(Module& module);
std::vector<Field> fields(Module& module, FieldKind kind);
int64_t parameter_count(Module& module);

// Replaces every field's initialiser by its value: the key of each is fold_in(key(seed), path), so
// a value depends on its name and the seed, never on order or layout. Fields that are leaves stay.
void initialize(Runtime& runtime, Module& module, uint64_t seed);

// What a forward pass is given besides its operands.
struct Context {
  bool training = false;
  // Of this step; undefined where nothing random is asked for.
  Tensor key = {};
  // New values of state fields.
  std::vector<std::pair<Tensor*, Tensor>> updates = {};
  // Called with the path and output of each layer, by models that name theirs.
  std::function<void(const std::string& path, const Tensor& output)> observer = {};

  // A key of its own for each call: the context's with the scope's path and the number of earlier
  // calls in that scope folded in. Throws Error when the context has no key.
  Tensor next_key();
  void update(Tensor& field, Tensor value) { updates.emplace_back(&field, std::move(value)); }
  void observe(const std::string& path, const Tensor& output) const {
    if (observer) observer(path, output);
  }

 private:
  std::map<std::string, int> calls_;
};

// While it lives, the module's fields are the given tensors (one per field, in visiting order): how
// a module is traced as a function of its parameters.
class Bound {
 public:
  Bound(std::vector<Field> fields, std::span<const Tensor> values);
  ~Bound();
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

 private:
  std::vector<Field> fields_;
  std::vector<Tensor> saved_;
};

}  // namespace cairn
