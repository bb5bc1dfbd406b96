#include "cairn/runtime/null/null_backend.h"

namespace cairn {
namespace {

class NullBackend : public Backend {
 public:
  std::string_view name() const override { return "null"; }
  LaunchCode code(const LaunchGroup&) const override {
    return {[](const KernelArgs&) {}};
  }
  bool executes() const override { return false; }
};

}  // namespace

std::unique_ptr<Backend> make_null_backend() { return std::make_unique<NullBackend>(); }

}  // namespace cairn
