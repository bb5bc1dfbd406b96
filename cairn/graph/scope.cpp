#include "cairn/graph/scope.h"

namespace cairn {
namespace {

struct ThreadState {
  ScopePath path;
  std::source_location location;
  bool located = false;
};
thread_local ThreadState state;

}  // namespace

Scope::Scope(std::string_view name) : outer_(state.path) {
  state.path = std::make_shared<const std::string>(outer_ ? *outer_ + "/" + std::string(name)
                                                          : std::string(name));
}
Scope::~Scope() { state.path = std::move(outer_); }
const ScopePath& Scope::current() { return state.path; }

Provenance::Provenance(const std::source_location& where) : outermost_(!state.located) {
  if (!outermost_) return;
  state.location = where;
  state.located = true;
}
Provenance::~Provenance() {
  if (!outermost_) return;
  state.location = {};
  state.located = false;
}
const std::source_location& Provenance::current() { return state.location; }

Origin::Origin(const ScopePath& path, const std::source_location& where)
    : path_(state.path), location_(state.location), located_(state.located) {
  state.path = path;
  state.location = where;
  state.located = true;
}
Origin::~Origin() {
  state.path = std::move(path_);
  state.location = location_;
  state.located = located_;
}

}  // namespace cairn
