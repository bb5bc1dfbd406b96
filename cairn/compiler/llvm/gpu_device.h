// What a kernel for a GPU takes from its device: who am I, barriers, shuffles and shared memory, as
// the instructions of NVIDIA's and AMD's processors.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <span>
#include <string_view>

#include "cairn/compiler/kernel_compiler.h"

namespace cairn::compiler {

// Address spaces, equal on both.
inline constexpr unsigned kGlobalMemory = 1;
inline constexpr unsigned kSharedMemory = 3;
// What a kernel may have of it without asking the driver.
inline constexpr int64_t kSharedBytes = 48 * 1024;

inline bool is_amd(GpuTarget target) { return target == GpuTarget::gfx942; }

class GpuDevice {
 public:
  GpuDevice(GpuTarget target, llvm::Module& module, llvm::IRBuilder<>& builder)
      : amd_(is_amd(target)), module_(module), b_(builder) {}

  // A kernel that is launched with blocks of `threads`.
  llvm::Function* make_kernel(std::string_view name, std::span<llvm::Type* const> parameters,
                              int threads);
  llvm::Value* thread();   // i32, below the number of threads
  llvm::Value* program();  // i32, the block

  // All threads of the block have come here and see what the others wrote to shared memory.
  void barrier();
  // The value that the thread `distance` away has, distance a power of two below 32: thread t gets
  // that of t ^ distance. All threads take part. For any number or i1.
  llvm::Value* exchange(llvm::Value* value, unsigned distance);

  // Memory of the block, aligned to 16 bytes.
  llvm::GlobalVariable* shared(std::string_view name, int64_t bytes);

 private:
  llvm::Value* special(llvm::Intrinsic::ID id);
  llvm::Value* exchange_word(llvm::Value* i32, unsigned distance);

  bool amd_;
  llvm::Module& module_;
  llvm::IRBuilder<>& b_;
};

}  // namespace cairn::compiler
