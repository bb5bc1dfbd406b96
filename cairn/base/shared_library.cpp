#include "cairn/base/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cairn/base/error.h"

namespace cairn {

SharedLibrary::SharedLibrary(std::initializer_list<std::string> names) {
  for (const std::string& name : names) {
    name_ = name;
    handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) return;
  }
  throw_error(fmt::format("no {} on this machine", *names.begin()));
}

void* SharedLibrary::address(const char* function) const {
  void* found = dlsym(handle_, function);
  if (!found) throw_error(fmt::format("{} has no function {}", name_, function));
  return found;
}

}  // namespace cairn
