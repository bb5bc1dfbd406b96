#include "cairn/runtime/cpu/kernel_cache.h"

#include "cairn/base/error.h"
#include "cairn/tile/expand_math.h"
#include "cairn/tile/print.h"
#include "cairn/tile/verify.h"

namespace cairn {
namespace {

// Null for what is whole, and yet no code of the kernel: it is compiled again and replaced.
std::shared_ptr<const CompiledKernel> link(const std::string& object, const std::string& name) {
  try {
    return std::make_shared<const CompiledKernel>(link_kernel(object, name));
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace

KernelCache::KernelCache(CpuTarget target, DiskCache disk)
    : target_(target), disk_(std::move(disk)), identity_(compiler_identity(target)) {}

std::shared_ptr<const CompiledKernel> KernelCache::get(const tile::Kernel& kernel) {
  const std::string text = tile::to_text(kernel);
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Entry>& slot = entries_[text];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::call_once(entry->once, [&] { entry->kernel = make(kernel, text); });
  return entry->kernel;
}

std::shared_ptr<const CompiledKernel> KernelCache::make(const tile::Kernel& kernel,
                                                        const std::string& text) {
  const std::string key = identity_ + "\n" + text;
  if (const auto object = disk_.load(key))
    if (auto linked = link(*object, kernel.name)) return linked;
  const tile::Kernel expanded = tile::expand_math(kernel);
#ifndef NDEBUG
  tile::verify(kernel);
  tile::verify(expanded);
#endif
  const std::string object = compile_kernel(expanded, target_);
  disk_.store(key, object);
  return std::make_shared<const CompiledKernel>(link_kernel(object, kernel.name));
}

}  // namespace cairn
