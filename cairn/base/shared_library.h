// A library of the system that is opened at run time, so that it is neither needed to build nor to
// start.
#pragma once

#include <initializer_list>
#include <string>

namespace cairn {

class SharedLibrary {
 public:
  // The first of `names` that the system finds. Throws Error naming the first where it finds none.
  explicit SharedLibrary(std::initializer_list<std::string> names);
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;
  // Stays open: its threads may run code of it until the process ends.
  ~SharedLibrary() = default;

  const std::string& name() const { return name_; }
  // Also of the libraries that it was linked with. Throws Error where there is none.
  template <class Function>
  Function* find(const char* function) const {
    return reinterpret_cast<Function*>(address(function));
  }

 private:
  void* address(const char* function) const;
  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace cairn
