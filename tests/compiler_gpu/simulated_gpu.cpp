#include "tests/compiler_gpu/simulated_gpu.h"

#include <llvm/ExecutionEngine/RuntimeDyld.h>
#include <llvm/ExecutionEngine/SectionMemoryManager.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/raw_ostream.h>
#include <ucontext.h>

#include <vector>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/emitter.h"
#include "cairn/compiler/llvm/gpu_lowering.h"
#include "cairn/compiler/llvm/machine.h"

namespace cairn::test {
namespace {

// --- the block that is running ------------------------------------------------------------------

using Entry = void (*)(const KernelSlot* arguments);

struct Simulation {
  struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    bool done = false;
    int waits = 0;  // barriers and shuffles so far
  };
  std::vector<Thread> threads;
  std::vector<uint32_t> words;  // that threads exchange
  ucontext_t scheduler;
  size_t current = 0;
  uint32_t program = 0;
  Entry entry = nullptr;
  const KernelSlot* arguments = nullptr;
};
thread_local Simulation* simulation = nullptr;

void wait() {
  Simulation& s = *simulation;
  ++s.threads[s.current].waits;
  swapcontext(&s.threads[s.current].context, &s.scheduler);
}
uint32_t thread_number() { return static_cast<uint32_t>(simulation->current); }
uint32_t program_number() { return simulation->program; }
uint32_t exchange(uint32_t, uint32_t word, uint32_t distance, uint32_t) {
  Simulation& s = *simulation;
  const size_t me = s.current;
  s.words[me] = word;
  wait();
  const uint32_t theirs = s.words[me ^ distance];
  wait();
  return theirs;
}

void run_thread() {
  Simulation& s = *simulation;
  s.entry(s.arguments);
  s.threads[s.current].done = true;
}

void run_block(Simulation& s) {
  for (Simulation::Thread& thread : s.threads) {
    getcontext(&thread.context);
    thread.stack.resize(size_t{64} << 10);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = &s.scheduler;
    thread.done = false;
    thread.waits = 0;
    makecontext(&thread.context, run_thread, 0);
  }
  for (int round = 0; !s.threads[0].done; ++round) {
    for (size_t i = 0; i < s.threads.size(); ++i) {
      s.current = round % 2 == 0 ? i : s.threads.size() - 1 - i;
      swapcontext(&s.scheduler, &s.threads[s.current].context);
    }
    for (const Simulation::Thread& thread : s.threads)
      CAIRN_ASSERT(thread.done == s.threads[0].done && thread.waits == s.threads[0].waits);
  }
}

void run_programs(Entry entry, const KernelSlot* arguments, int64_t begin, int64_t end,
                  int64_t threads) {
  Simulation s;
  s.threads.resize(static_cast<size_t>(threads));
  s.words.resize(static_cast<size_t>(threads));
  s.entry = entry;
  s.arguments = arguments;
  simulation = &s;
  for (int64_t program = begin; program < end; ++program) {
    s.program = static_cast<uint32_t>(program);
    run_block(s);
  }
  simulation = nullptr;
}

// --- the module ---------------------------------------------------------------------------------

struct Replacement {
  const char* intrinsic;
  void* function;
};
const Replacement kReplacements[] = {
    {"llvm.nvvm.read.ptx.sreg.tid.x", reinterpret_cast<void*>(thread_number)},
    {"llvm.nvvm.read.ptx.sreg.ctaid.x", reinterpret_cast<void*>(program_number)},
    {"llvm.nvvm.barrier0", reinterpret_cast<void*>(wait)},
    {"llvm.nvvm.shfl.sync.bfly.i32", reinterpret_cast<void*>(exchange)}};

class Memory : public llvm::SectionMemoryManager {
 public:
  uint64_t getSymbolAddress(const std::string& name) override {
    return reinterpret_cast<uint64_t>(compiler::runtime_function(name));
  }
};
struct Linked {
  Memory memory;
  std::unique_ptr<llvm::RuntimeDyld> linker;
  ~Linked() { memory.deregisterEHFrames(); }
};

// Calls an address: the objects of a test lie too far from its functions for anything else.
llvm::Value* address(llvm::IRBuilder<>& b, void* function) {
  return b.CreateIntToPtr(b.getInt64(reinterpret_cast<uint64_t>(function)), b.getPtrTy());
}

void replace_intrinsics(llvm::Module& module) {
  llvm::IRBuilder<> b(module.getContext());
  for (const Replacement& replacement : kReplacements) {
    llvm::Function* intrinsic = module.getFunction(replacement.intrinsic);
    if (!intrinsic) continue;
    while (!intrinsic->use_empty()) {
      auto* call = llvm::cast<llvm::CallInst>(*intrinsic->user_begin());
      b.SetInsertPoint(call);
      std::vector<llvm::Value*> arguments(call->arg_begin(), call->arg_end());
      call->replaceAllUsesWith(
          b.CreateCall(intrinsic->getFunctionType(), address(b, replacement.function), arguments));
      call->eraseFromParent();
    }
    intrinsic->eraseFromParent();
  }
}

// `void run(arguments, begin, end)` around the kernel.
void add_run(llvm::Module& module, llvm::Function& kernel, int threads) {
  llvm::IRBuilder<> b(module.getContext());
  kernel.setCallingConv(llvm::CallingConv::C);
  auto* entry =
      llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy()}, false),
                             llvm::Function::InternalLinkage, "entry", module);
  b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", entry));
  std::vector<llvm::Value*> arguments;
  for (unsigned i = 0; i < kernel.arg_size(); ++i)
    arguments.push_back(b.CreateLoad(kernel.getArg(i)->getType(),
                                     b.CreateConstGEP1_64(b.getInt64Ty(), entry->getArg(0), i)));
  b.CreateCall(&kernel, arguments);
  b.CreateRetVoid();
  auto* type =
      llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty()}, false);
  auto* run = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "run", module);
  b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", run));
  auto* programs = llvm::FunctionType::get(
      b.getVoidTy(), {b.getPtrTy(), b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty(), b.getInt64Ty()},
      false);
  b.CreateCall(programs, address(b, reinterpret_cast<void*>(run_programs)),
               {entry, run->getArg(0), run->getArg(1), run->getArg(2),
                b.getInt64(static_cast<uint64_t>(threads))});
  b.CreateRetVoid();
}

}  // namespace

CompiledKernel simulated_gpu_kernel(const tile::Kernel& kernel) {
  llvm::LLVMContext context;
  llvm::Module module(kernel.name, context);
  const auto gpu = compiler::make_gpu_machine(GpuTarget::sm_80);
  module.setTargetTriple(gpu->getTargetTriple().str());
  module.setDataLayout(gpu->createDataLayout());
  const int threads = compiler::lower_for_gpu(kernel, GpuTarget::sm_80, module);
  compiler::optimize(module, *gpu);

  const auto cpu = compiler::make_cpu_machine(CpuTarget::avx2);
  module.setTargetTriple(cpu->getTargetTriple().str());
  module.setDataLayout(cpu->createDataLayout());
  replace_intrinsics(module);
  add_run(module, *module.getFunction(kernel.name), threads);
  for (llvm::Function& function : module) function.addFnAttr("target-cpu", cpu->getTargetCPU());
  CAIRN_ASSERT(!llvm::verifyModule(module, &llvm::errs()));
  const std::string bytes = compiler::emit(module, *cpu, false);

  auto linked = std::make_shared<Linked>();
  linked->linker = std::make_unique<llvm::RuntimeDyld>(linked->memory, linked->memory);
  auto file = llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(llvm::StringRef(bytes.data(), bytes.size()), "kernel"));
  CAIRN_ASSERT(static_cast<bool>(file));
  linked->linker->loadObject(**file);
  CAIRN_ASSERT(!linked->linker->hasError());
  linked->linker->finalizeWithMemoryManagerLocking();
  CompiledKernel result;
  result.run = reinterpret_cast<CompiledFunction>(linked->linker->getSymbolLocalAddress("run"));
  result.owner = linked;
  return result;
}

}  // namespace cairn::test
