// What a launch of the CPU backend is.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cairn/compiler/group_kernel.h"
#include "cairn/compiler/kernel_compiler.h"

namespace cairn {

// What the launches of one structure share: their kernels, one per form and version.
class CpuKernels {
 public:
  CpuKernels(GroupBinding b, std::string s) : binding(std::move(b)), structure(std::move(s)) {}
  const GroupBinding binding;
  const std::string structure;  // for the tuner, where it is used

  template <class Make>
  std::shared_ptr<const CompiledKernel> get(const GroupForm& form, const KernelVersion& version,
                                            const Make& make) const {
    {
      const std::lock_guard lock(mutex_);
      for (const Entry& entry : kernels_)
        if (entry.form == form && entry.version == version) return entry.kernel;
    }
    std::shared_ptr<const CompiledKernel> kernel = make();
    const std::lock_guard lock(mutex_);
    kernels_.push_back({form, version, kernel});
    return kernel;
  }

 private:
  struct Entry {
    GroupForm form;
    KernelVersion version;
    std::shared_ptr<const CompiledKernel> kernel;
  };
  mutable std::mutex mutex_;
  mutable std::vector<Entry> kernels_;
};

// A launch: a kernel and all of its arguments but the buffers.
struct CpuLaunch {
  std::shared_ptr<const CpuKernels> kernels;  // of a group
  GroupForm form;
  // Of a custom operation: its kernel, and what that was made from.
  std::shared_ptr<const tile::Kernel> custom;
  Ints key;
  std::shared_ptr<const CompiledKernel> kernel;
  std::vector<KernelSlot> scalars;
  std::vector<std::vector<int64_t>> tables;
  int64_t programs = 0;
  int64_t grain = 1;     // programs that one thread takes at a time
  bool streams = false;  // results go past the caches, if none takes the place of an operand
};

}  // namespace cairn
