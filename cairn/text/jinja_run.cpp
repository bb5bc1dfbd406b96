#include "cairn/text/jinja_run.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn::text::jinja {
namespace {

using Kind = Statement::Kind;

// A macro, or the body of a {% call %} block. Its scope is kept for as long as the Run.
class Macro final : public Object {
 public:
  Macro(const Statement& statement, std::string name, Scope& scope)
      : statement_(statement), name_(std::move(name)), scope_(scope) {}
  bool callable() const override { return true; }
  Value call(Run& run, Arguments arguments) override {
    auto scope = std::make_unique<Scope>(Scope{.parent = &scope_});
    run.bind_parameters(statement_, name_, std::move(arguments), *scope);
    std::string text = run.render_body(statement_.bodies[0], *scope);
    run.keep(std::move(scope));
    return text;
  }
  std::optional<Value> attribute(std::string_view name) const override {
    if (name == "name") return name_;
    return std::nullopt;
  }
  std::string describe() const override { return fmt::format("<macro {}>", name_); }

 private:
  const Statement& statement_;
  std::string name_;
  Scope& scope_;
};

// `loop` inside of a loop.
class Loop final : public Object {
 public:
  Loop(const Statement& statement, Scope& scope, std::vector<Value> items, int depth)
      : statement_(statement), scope_(scope), items_(std::move(items)), depth_(depth) {}

  bool next() {
    if (index_ + 1 == static_cast<int64_t>(items_.size())) return false;
    ++index_;
    return true;
  }
  const Value& item() const { return items_[static_cast<size_t>(index_)]; }

  std::optional<Value> attribute(std::string_view name) const override {
    const auto count = static_cast<int64_t>(items_.size());
    if (name == "index") return index_ + 1;
    if (name == "index0") return index_;
    if (name == "revindex") return count - index_;
    if (name == "revindex0") return count - index_ - 1;
    if (name == "first") return index_ == 0;
    if (name == "last") return index_ == count - 1;
    if (name == "length") return count;
    if (name == "depth") return depth_;
    if (name == "depth0") return depth_ - 1;
    if (name == "previtem") return neighbour(index_ - 1, "there is no previous item");
    if (name == "nextitem") return neighbour(index_ + 1, "there is no next item");
    if (name == "cycle") {
      return method(name, [index = index_](Run&, Arguments arguments) {
        const auto& of = arguments.positional;
        if (of.empty()) throw_error("loop.cycle needs something to cycle through");
        return of[static_cast<size_t>(index) % of.size()];
      });
    }
    if (name == "changed") {
      return method(name, [changed = changed_](Run& run, Arguments arguments) {
        Value now = run.tuple(std::move(arguments.positional));
        const bool differs = !changed->list() || !equal(*changed, now, run.budget());
        *changed = std::move(now);
        return Value(differs);
      });
    }
    return std::nullopt;
  }
  bool callable() const override { return statement_.recursive; }
  Value call(Run& run, Arguments arguments) override {
    if (!statement_.recursive) throw_error("'loop' is called, but its 'for' is not 'recursive'");
    if (arguments.positional.size() != 1 || !arguments.named.empty())
      throw_error("'loop' takes one argument: what to go through");
    return run.run_loop(statement_, arguments.positional[0], scope_, depth_ + 1);
  }
  std::string describe() const override { return "<loop>"; }

 private:
  static Value method(std::string_view name, Function::Call call) {
    return std::shared_ptr<Object>(
        std::make_shared<Function>("loop." + std::string(name), std::move(call)));
  }
  Value neighbour(int64_t index, const char* missing) const {
    if (index < 0 || index >= static_cast<int64_t>(items_.size())) return Value::undefined(missing);
    return items_[static_cast<size_t>(index)];
  }

  const Statement& statement_;
  Scope& scope_;
  std::vector<Value> items_;
  int depth_;
  int64_t index_ = -1;
  std::shared_ptr<Value> changed_ = std::make_shared<Value>();
};

}  // namespace

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->parent) {
    for (const auto& [known, value] : scope->names) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [known, old] : names) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  names.emplace_back(name, std::move(value));
}

std::optional<Value> Namespace::attribute(std::string_view name) const {
  for (const auto& [known, value] : fields) {
    if (known == name) return value;
  }
  return std::nullopt;
}

Run::Deeper::Deeper(Run& run) : run_(run) {
  if (run_.depth_ == run_.limits_.depth) {
    throw_error(fmt::format("stopped {} levels deep: a macro or loop calls itself without end",
                            run_.limits_.depth));
  }
  ++run_.depth_;
}

Run::~Run() {
  // Namespaces may hold each other, and scopes macros: all are emptied before any is destroyed.
  std::vector<Value> values;
  for (const auto& space : namespaces_) {
    for (auto& [name, value] : space->fields) values.push_back(std::move(value));
    space->fields.clear();
  }
  for (const auto& scope : kept_) {
    for (auto& [name, value] : scope->names) values.push_back(std::move(value));
    scope->names.clear();
  }
}

std::string Run::render() {
  auto scope = std::make_unique<Scope>();
  execute(statements_, *scope);
  keep(std::move(scope));
  return std::move(out_);
}

void Run::keep(std::unique_ptr<Scope> scope) {
  if (!scope->kept) return;
  budget_.bytes(sizeof(Scope) + scope->names.size() * sizeof(scope->names[0]));
  kept_.push_back(std::move(scope));
}

void Run::print(std::string_view text) {
  budget_.bytes(text.size());
  out_ += text;
}

std::string Run::render_body(const Statements& body, Scope& scope) {
  const Deeper deeper(*this);
  std::string outer = std::move(out_);
  out_.clear();
  execute(body, scope);
  std::swap(outer, out_);
  return outer;
}

Run::Flow Run::execute(const Statements& statements, Scope& scope) {
  for (const Statement& statement : statements) {
    const Flow flow = execute(statement, scope);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Run::Flow Run::execute(const Statement& statement, Scope& scope) {
  const Deeper deeper(*this);
  budget_.steps();
  at_ = statement.at;
  // A block whose names do not leave it.
  const auto inside = [&](const Statements& body) {
    auto own = std::make_unique<Scope>(Scope{.parent = &scope});
    std::string text = render_body(body, *own);
    keep(std::move(own));
    return text;
  };
  switch (statement.kind) {
    case Kind::text: print(statement.text); break;
    case Kind::print: print(text(evaluate(*statement.value, scope))); break;
    case Kind::branches: return branches(statement, scope);
    case Kind::loop: loop(statement, evaluate(*statement.value, scope), scope, 1); break;
    case Kind::set: assign(statement.targets[0], evaluate(*statement.value, scope), scope); break;
    case Kind::set_block: {
      Value text = inside(statement.bodies[0]);
      if (statement.value) text = filters(*statement.value, scope, &text);
      assign(statement.targets[0], std::move(text), scope);
      break;
    }
    case Kind::macro: define_macro(statement, scope); break;
    case Kind::call_block: call_block(statement, scope); break;
    case Kind::filter_block: {
      const Value body = inside(statement.bodies[0]);
      print(text(filters(*statement.value, scope, &body)));
      break;
    }
    case Kind::with: return with(statement, scope);
    case Kind::scope: print(inside(statement.bodies[0])); break;
    case Kind::break_loop: return Flow::break_loop;
    case Kind::continue_loop: return Flow::continue_loop;
  }
  return Flow::normal;
}

Run::Flow Run::branches(const Statement& statement, Scope& scope) {
  for (size_t i = 0; i < statement.bodies.size(); ++i) {
    if (i == statement.conditions.size() || is_true(evaluate(*statement.conditions[i], scope)))
      return execute(statement.bodies[i], scope);
  }
  return Flow::normal;
}

void Run::loop(const Statement& statement, const Value& value, Scope& scope, int depth) {
  std::vector<Value> items = elements(value);
  if (statement.filter) {
    std::vector<Value> chosen;
    for (Value& item : items) {
      auto own = std::make_unique<Scope>(Scope{.parent = &scope});
      assign(statement.targets[0], item, *own);
      if (is_true(evaluate(*statement.filter, *own))) chosen.push_back(std::move(item));
      keep(std::move(own));
    }
    items = std::move(chosen);
  }
  if (items.empty()) {
    if (statement.bodies.size() > 1) {
      auto own = std::make_unique<Scope>(Scope{.parent = &scope});
      execute(statement.bodies[1], *own);
      keep(std::move(own));
    }
    return;
  }
  // A loop that calls itself may be kept in a variable, and needs the scope around it.
  for (Scope* outer = &scope; statement.recursive && outer; outer = outer->parent)
    outer->kept = true;
  const auto state = std::make_shared<Loop>(statement, scope, std::move(items), depth);
  while (state->next()) {
    budget_.steps();
    auto own = std::make_unique<Scope>(Scope{.parent = &scope});
    assign(statement.targets[0], state->item(), *own);
    own->set("loop", std::shared_ptr<Object>(state));
    const Flow flow = execute(statement.bodies[0], *own);
    keep(std::move(own));
    if (flow == Flow::break_loop) break;
  }
}

std::string Run::run_loop(const Statement& statement, const Value& value, Scope& scope, int depth) {
  const Deeper deeper(*this);
  std::string outer = std::move(out_);
  out_.clear();
  loop(statement, value, scope, depth);
  std::swap(outer, out_);
  return outer;
}

void Run::define_macro(const Statement& statement, Scope& scope) {
  for (Scope* outer = &scope; outer; outer = outer->parent) outer->kept = true;
  budget_.bytes(sizeof(Macro));
  scope.set(statement.text,
            std::shared_ptr<Object>(std::make_shared<Macro>(statement, statement.text, scope)));
}

void Run::bind_parameters(const Statement& macro, std::string_view name, Arguments arguments,
                          Scope& scope) {
  auto& positional = arguments.positional;
  auto& named = arguments.named;
  const size_t count = macro.parameters.size();
  if (positional.size() > count && !macro.more_positional) {
    throw_error(fmt::format("macro '{}' takes at most {} arguments, not {}", name, count,
                            positional.size()));
  }
  for (size_t i = 0; i < count; ++i) {
    const Parameter& parameter = macro.parameters[i];
    const auto given = std::find_if(named.begin(), named.end(), [&](const auto& argument) {
      return argument.first == parameter.name;
    });
    if (i < positional.size()) {
      if (given != named.end()) {
        throw_error(
            fmt::format("macro '{}' is given its argument '{}' twice", name, parameter.name));
      }
      scope.set(parameter.name, positional[i]);
    } else if (given != named.end()) {
      scope.set(parameter.name, std::move(given->second));
      named.erase(given);
    } else if (parameter.fallback) {
      scope.set(parameter.name, evaluate(*parameter.fallback, scope));
    } else {
      scope.set(parameter.name,
                Value::undefined(fmt::format("parameter '{}' of macro '{}' was not given",
                                             parameter.name, name)));
    }
  }
  const auto caller = std::find_if(named.begin(), named.end(),
                                   [](const auto& argument) { return argument.first == "caller"; });
  if (caller != named.end()) {
    scope.set("caller", std::move(caller->second));
    named.erase(caller);
  }
  if (!named.empty() && !macro.more_named)
    throw_error(fmt::format("macro '{}' has no parameter '{}'", name, named[0].first));
  if (macro.more_positional) {
    positional.erase(positional.begin(), positional.begin() + static_cast<ptrdiff_t>(std::min(
                                                                  count, positional.size())));
    scope.set("varargs", tuple(std::move(positional)));
  }
  if (macro.more_named) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [key, value] : named) entries.emplace_back(key, std::move(value));
    scope.set("kwargs", make_dict(std::move(entries), budget_));
  }
}

void Run::call_block(const Statement& statement, Scope& scope) {
  for (Scope* outer = &scope; outer; outer = outer->parent) outer->kept = true;
  const Expression& node = *statement.value;
  const Value callee = evaluate(*node.parts[0], scope);
  Arguments values = arguments(node, scope);
  budget_.bytes(sizeof(Macro));
  values.named.emplace_back(
      "caller", std::shared_ptr<Object>(std::make_shared<Macro>(statement, "caller", scope)));
  at_ = node.at;
  print(text(call(callee, std::move(values))));
}

Run::Flow Run::with(const Statement& statement, Scope& scope) {
  auto own = std::make_unique<Scope>(Scope{.parent = &scope});
  for (size_t i = 0; i < statement.targets.size(); ++i)
    assign(statement.targets[i], evaluate(*statement.conditions[i], scope), *own);
  const Flow flow = execute(statement.bodies[0], *own);
  keep(std::move(own));
  return flow;
}

void Run::assign(const Target& target, Value value, Scope& scope) {
  if (!target.parts.empty()) {
    std::vector<Value> items = elements(value);
    if (items.size() != target.parts.size()) {
      at_ = target.at;
      throw_error(fmt::format("{} names for {} values", target.parts.size(), items.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], std::move(items[i]), scope);
    return;
  }
  if (target.attribute.empty()) return scope.set(target.name, std::move(value));
  at_ = target.at;
  const Value* object = scope.find(target.name);
  auto* space = object ? dynamic_cast<Namespace*>(object->object()) : nullptr;
  if (!space) {
    throw_error(fmt::format("'{0}.{1}' cannot be assigned to: '{0}' is no namespace", target.name,
                            target.attribute));
  }
  budget_.bytes(sizeof(Value));
  for (auto& [name, old] : space->fields) {
    if (name == target.attribute) {
      old = std::move(value);
      return;
    }
  }
  space->fields.emplace_back(target.attribute, std::move(value));
}

Value Run::make_namespace(std::vector<std::pair<std::string, Value>> fields) {
  budget_.bytes(sizeof(Namespace) + fields.size() * sizeof(fields[0]));
  auto space = std::make_shared<Namespace>();
  space->fields = std::move(fields);
  namespaces_.push_back(space);
  return std::shared_ptr<Object>(space);
}

}  // namespace cairn::text::jinja
