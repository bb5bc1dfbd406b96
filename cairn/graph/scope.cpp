#include "cairn/graph/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cairn/graph/infer.h"

namespace cairn {
namespace {

struct ThreadState {
  ScopePath path;
  std::source_location location;
  std::string_view operation;
  bool located = false;
};
thread_local ThreadState state;

// "softmax" of "cairn::Tensor cairn::softmax(cairn::Operand, int)".
std::string_view name_of(std::string_view signature) {
  const size_t end = std::min(signature.find('('), signature.size());
  size_t begin = end;
  const auto is_part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  while (begin > 0 && is_part(signature[begin - 1])) --begin;
  return signature.substr(begin, end - begin);
}

}  // namespace

Scope::Scope(std::string_view name) : outer_(state.path) {
  state.path = std::make_shared<const std::string>(outer_ ? *outer_ + "/" + std::string(name)
                                                          : std::string(name));
}
Scope::~Scope() { state.path = std::move(outer_); }
const ScopePath& Scope::current() { return state.path; }

Provenance::Provenance(const std::source_location& where, std::string_view operation)
    : outermost_(!state.located) {
  if (!outermost_) return;
  state.location = where;
  state.operation = operation;
  state.located = true;
}
// The whole signature is kept, whose name is looked for only when there is an error.
Provenance::Provenance(const std::source_location& where, const std::source_location& here)
    : Provenance(where, std::string_view(here.function_name())) {}
Provenance::~Provenance() {
  if (!outermost_) return;
  state.location = {};
  state.operation = {};
  state.located = false;
}
const std::source_location& Provenance::current() { return state.location; }
std::string_view Provenance::operation() { return name_of(state.operation); }

std::string error_prefix(std::string_view operation) {
  const std::string_view outer = Provenance::operation();
  if (outer.empty() || outer == operation) return fmt::format("[{}] ", operation);
  return fmt::format("[{}] in {}: ", outer, operation);
}

std::string error_location() {
  return state.location.line() ? fmt::format(" (at {})", locate(state.location)) : "";
}

Origin::Origin(const ScopePath& path, const std::source_location& where)
    : path_(state.path),
      location_(state.location),
      operation_(state.operation),
      located_(state.located) {
  state.path = path;
  state.location = where;
  state.operation = {};
  state.located = true;
}
Origin::~Origin() {
  state.path = std::move(path_);
  state.location = location_;
  state.operation = operation_;
  state.located = located_;
}

}  // namespace cairn
