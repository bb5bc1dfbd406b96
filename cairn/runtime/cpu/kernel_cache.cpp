#include "cairn/runtime/cpu/kernel_cache.h"

#include "cairn/tile/print.h"
#include "cairn/tile/verify.h"

namespace cairn {

std::shared_ptr<const CompiledKernel> KernelCache::get(const tile::Kernel& kernel) {
  std::shared_ptr<Entry> entry;
  {
    const std::string text = tile::to_text(kernel);
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Entry>& slot = entries_[text];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::call_once(entry->once, [&] {
#ifndef NDEBUG
    tile::verify(kernel);
#endif
    entry->kernel = std::make_shared<const CompiledKernel>(compile_kernel(kernel, target_));
  });
  return entry->kernel;
}

}  // namespace cairn
