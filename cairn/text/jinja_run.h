// One rendering of a template: walks the tree, with scopes, macros and loops.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/text/jinja_tree.h"
#include "cairn/text/jinja_value.h"

namespace cairn::text::jinja {

// Names and values of a block. A loop has one per round, a macro one per call.
struct Scope {
  Scope* parent = nullptr;
  bool kept = false;  // a macro that was defined inside may outlive the block
  std::vector<std::pair<std::string_view, Value>> names = {};

  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

// A function of the engine, or a method together with what it is a method of.
class Function final : public Object {
 public:
  using Call = std::function<Value(Run&, Arguments)>;
  Function(std::string name, Call call) : name_(std::move(name)), call_(std::move(call)) {}
  bool callable() const override { return true; }
  Value call(Run& run, Arguments arguments) override { return call_(run, std::move(arguments)); }
  std::string describe() const override { return "<function " + name_ + ">"; }

 private:
  std::string name_;
  Call call_;
};

class Namespace final : public Object {
 public:
  std::optional<Value> attribute(std::string_view name) const override;
  std::string describe() const override { return "<Namespace>"; }
  std::vector<std::pair<std::string, Value>> fields;
};

class Run {
 public:
  // `globals` is a dict. All must outlive the Run.
  Run(const Statements& statements, const Dict& globals, const Limits& limits,
      std::optional<std::tm> now)
      : statements_(statements), globals_(globals), limits_(limits), budget_(limits), now_(now) {}
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Throws Error without a place; at() says where that was.
  std::string render();
  size_t at() const { return at_; }

  // For functions, filters, tests and methods.
  Budget& budget() { return budget_; }
  const std::optional<std::tm>& now() const { return now_; }
  Value filter(std::string_view name, Value input, Arguments arguments);
  bool test(std::string_view name, const Value& value, Arguments arguments);
  Value attribute(const Value& value, std::string_view name);
  Value item(const Value& value, const Value& key);
  Value call(const Value& callee, Arguments arguments);
  std::string text(const Value& value) { return to_text(value, budget_); }
  Value list(std::vector<Value> items) { return make_list(std::move(items), budget_); }
  Value tuple(std::vector<Value> items) { return make_list(std::move(items), budget_, true); }
  Value make_namespace(std::vector<std::pair<std::string, Value>> fields);
  // Elements and pairs of a mapping.
  std::vector<Value> elements(const Value& value) { return jinja::elements(value, budget_); }
  std::vector<Value> pairs(const Value& value);

  // For macros and loops.
  enum class Flow { normal, break_loop, continue_loop };
  std::string render_body(const Statements& body, Scope& scope);
  void bind_parameters(const Statement& macro, std::string_view name, Arguments arguments,
                       Scope& scope);
  void keep(std::unique_ptr<Scope> scope);
  std::string run_loop(const Statement& loop, const Value& value, Scope& scope, int depth);

 private:
  // Bounds how deep the functions of a Run nest, so that no template exhausts the stack.
  class Deeper {
   public:
    explicit Deeper(Run& run);
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    ~Deeper() { --run_.depth_; }

   private:
    Run& run_;
  };

  Flow execute(const Statements& statements, Scope& scope);
  Flow execute(const Statement& statement, Scope& scope);
  Flow branches(const Statement& statement, Scope& scope);
  void loop(const Statement& statement, const Value& value, Scope& scope, int depth);
  void define_macro(const Statement& statement, Scope& scope);
  void call_block(const Statement& statement, Scope& scope);
  Flow with(const Statement& statement, Scope& scope);
  void assign(const Target& target, Value value, Scope& scope);
  void print(std::string_view text);

  Value evaluate(const Expression& node, Scope& scope);
  Value evaluate_parts(const Expression& node, Scope& scope);
  Value name(const Expression& node, Scope& scope);
  Value call(const Expression& node, Scope& scope);
  Value slice(const Expression& node, Scope& scope);
  bool compare(const Expression& node, Scope& scope);
  Value concatenate(const Expression& node, Scope& scope);
  Value filters(const Expression& node, Scope& scope, const Value* block);
  Arguments arguments(const Expression& node, Scope& scope);

  const Statements& statements_;
  const Dict& globals_;
  Limits limits_;
  Budget budget_;
  std::optional<std::tm> now_;
  std::string out_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<std::unique_ptr<Scope>> kept_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;  // emptied at the end: they may form cycles
};

// The value of `a operation b` for an arithmetic operation.
Value arithmetic(Run& run, Operator operation, const Value& a, const Value& b);
Value negate(const Value& value);
bool contains(Run& run, const Value& container, const Value& value);

// What templates find by name; null when there is none.
using Filter = Value (*)(Run& run, const Value& input, Arguments& arguments);
using Test = bool (*)(Run& run, const Value& value, Arguments& arguments);
using Method = Value (*)(Run& run, const Value& self, Arguments& arguments);
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
Method find_method(const Value& self, std::string_view name);
// range, dict, namespace, cycler, joiner, raise_exception, strftime_now.
std::optional<Value> find_function(std::string_view name);

}  // namespace cairn::text::jinja
