#include "cairn/runtime/cpu/kernel_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "cairn/base/error.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"

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

// The lines that a kernel's instructions came from.
void add_lines(const tile::Block& block, std::string& text) {
  for (const tile::Instruction& in : block.code) {
    text += fmt::format("{}:{}\n", in.where.file_name(), in.where.line());
    for (const tile::Block& region : in.regions) add_lines(region, text);
  }
}

// A line as perf reads it; appended whole, so that threads' lines do not mix. A file that cannot be
// written costs names and nothing else.
void name_for_perf(const CompiledKernel& kernel, const std::string& name) {
  const std::string path = fmt::format("/tmp/perf-{}.map", getpid());
  const std::string line =
      fmt::format("{:x} {:x} cairn::{}\n", reinterpret_cast<uintptr_t>(kernel.run),
                  kernel.function_bytes, name);
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return;
  [[maybe_unused]] const ssize_t written = write(file, line.data(), line.size());
  close(file);
}

}  // namespace

KernelCache::KernelCache(CpuTarget target, DiskCache disk, bool perf_map)
    : target_(target),
      disk_(std::move(disk)),
      identity_(compiler_identity(target)),
      perf_map_(perf_map) {}

std::shared_ptr<const CompiledKernel> KernelCache::get(const tile::Kernel& kernel,
                                                       const KernelVersion& asked) {
  KernelVersion version = asked;
  // Who profiles wants to see lines; others share kernels that were written on different ones.
  version.lines |= perf_map_;
  std::string text = tile::to_text(kernel);
  if (version.unroll > 1) text += fmt::format("unroll {}\n", version.unroll);
  if (version.streams) text += "streams\n";
  if (version.lines) add_lines(kernel.body, text);
  return get(kernel.name, text,
             [&] { return compile_kernel(tile::run_passes(kernel), target_, version); });
}

std::shared_ptr<const CompiledKernel> KernelCache::get(const Program& program) {
  const std::string name = "loop";
  return get(name, to_text(program), [&] { return compile_program(program, name, target_); });
}

std::shared_ptr<const CompiledKernel> KernelCache::get(const std::string& name,
                                                       const std::string& text,
                                                       const Compile& compile) {
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Entry>& slot = entries_[text];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::call_once(entry->once, [&] {
    entry->kernel = make(name, text, compile);
    if (perf_map_) name_for_perf(*entry->kernel, name);
  });
  return entry->kernel;
}

std::shared_ptr<const CompiledKernel> KernelCache::make(const std::string& name,
                                                        const std::string& text,
                                                        const Compile& compile) const {
  const std::string key = identity_ + "\n" + text;
  if (const auto object = disk_.load(key))
    if (auto linked = link(*object, name)) return linked;
  const std::string object = compile();
  disk_.store(key, object);
  return std::make_shared<const CompiledKernel>(link_kernel(object, name));
}

}  // namespace cairn
