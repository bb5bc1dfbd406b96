// What a kernel for a GPU takes from its device: who am I, barriers, shuffles and shared memory, as
// the instructions of NVIDIA's and AMD's processors.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <span>
#include <string_view>
#include <vector>

#include "cairn/compiler/kernel_compiler.h"

namespace cairn::compiler {

// Address spaces, equal on both.
inline constexpr unsigned kGlobalMemory = 1;
inline constexpr unsigned kSharedMemory = 3;
// What a kernel may have of shared memory without asking the driver, and what the processor has.
inline constexpr int64_t kStaticSharedBytes = 48 * 1024;
inline int64_t shared_limit(GpuTarget target) {
  switch (target) {
    case GpuTarget::sm_80: return 163 * 1024;
    case GpuTarget::sm_90: return 227 * 1024;
    case GpuTarget::gfx942: return 64 * 1024;
  }
  return 0;
}

inline bool is_amd(GpuTarget target) { return target == GpuTarget::gfx942; }

class GpuDevice {
 public:
  GpuDevice(GpuTarget target, llvm::Module& module, llvm::IRBuilder<>& builder)
      : target_(target), amd_(is_amd(target)), module_(module), b_(builder) {}

  bool amd() const { return amd_; }
  // Threads that run the same instruction: a warp, or AMD's wave.
  int wave() const { return amd_ ? 64 : 32; }

  // A kernel that is launched with blocks of `threads`. `registers`: of a thread that are well
  // used; NVIDIA's assembler is told, which else spills some to run more blocks at a time. 0: it
  // decides.
  llvm::Function* make_kernel(std::string_view name, std::span<llvm::Type* const> parameters,
                              int threads, int64_t registers);
  llvm::Value* thread();   // i32, below the number of threads
  llvm::Value* program();  // i32, the block

  // All threads of the block have come here and see what the others wrote to shared memory.
  void barrier();
  // The value that the thread `distance` away has, distance a power of two below wave(): thread t
  // gets that of t ^ distance. All threads take part. For any number or i1.
  llvm::Value* exchange(llvm::Value* value, unsigned distance);

  // NVIDIA's copies of 4, 8 or 16 bytes from global to shared memory; where `there` (null: always)
  // is false, zeros. They are done when the thread has waited, for those committed so far.
  void copy(llvm::Value* to, llvm::Value* from, unsigned bytes, llvm::Value* there);
  void commit_copies();
  void wait_copies();

  // Memory of the block, aligned to 16 bytes.
  llvm::GlobalVariable* shared(std::string_view name, int64_t bytes);
  // The same of a size that is not known yet: of the bytes that resize() gives it last.
  void resize(llvm::GlobalVariable*& memory, int64_t bytes);
  int64_t shared_bytes() const { return shared_bytes_; }
  // When all is emitted: of more shared memory than kStaticSharedBytes the launch provides the
  // bytes that this returns, or 0. Throws Error naming the kernel beyond what the processor has.
  int64_t place_shared(std::string_view kernel);

 private:
  llvm::Value* special(llvm::Intrinsic::ID id);
  llvm::Value* exchange_word(llvm::Value* i32, unsigned distance);

  GpuTarget target_;
  bool amd_;
  llvm::Module& module_;
  llvm::IRBuilder<>& b_;
  std::vector<llvm::GlobalVariable*> shared_;
  int64_t shared_bytes_ = 0;
};

}  // namespace cairn::compiler
