// Compiled kernels of a runtime, by what they compute: the text of the tile kernel. Behind it the
// disk's.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "cairn/base/cpu_features.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/program.h"
#include "cairn/runtime/cpu/disk_cache.h"

namespace cairn {

class KernelCache {
 public:
  // `perf_map`: see make_cpu_backend().
  KernelCache(CpuTarget target, DiskCache disk, bool perf_map = false);

  // Compiles a kernel (in that version) that is new; of two threads that ask for one, one compiles
  // and the other waits. Throws Error when it cannot be compiled.
  std::shared_ptr<const CompiledKernel> get(const tile::Kernel& kernel,
                                            const KernelVersion& version = {});
  std::shared_ptr<const CompiledKernel> get(const Program& program);

 private:
  struct Entry {
    std::once_flag once;
    std::shared_ptr<const CompiledKernel> kernel;
  };
  // `compile()` makes the object file of what the text says.
  using Compile = std::function<std::string()>;
  std::shared_ptr<const CompiledKernel> get(const std::string& name, const std::string& text,
                                            const Compile& compile);
  std::shared_ptr<const CompiledKernel> make(const std::string& name, const std::string& text,
                                             const Compile& compile) const;
  CpuTarget target_;
  DiskCache disk_;
  std::string identity_;
  bool perf_map_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace cairn
