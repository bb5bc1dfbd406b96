// Compiled kernels of a runtime, by what they compute: the text of the tile kernel.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "cairn/base/cpu_features.h"
#include "cairn/compiler/kernel_compiler.h"

namespace cairn {

class KernelCache {
 public:
  explicit KernelCache(CpuTarget target) : target_(target) {}

  // Compiles a kernel that is new; of two threads that ask for one, one compiles and the other
  // waits. Throws Error when it cannot be compiled.
  std::shared_ptr<const CompiledKernel> get(const tile::Kernel& kernel);

 private:
  struct Entry {
    std::once_flag once;
    std::shared_ptr<const CompiledKernel> kernel;
  };
  CpuTarget target_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace cairn
