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

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/emitter.h"
#include "cairn/compiler/llvm/gpu_lowering.h"
#include "cairn/compiler/llvm/machine.h"
#include "cairn/graph/scalar.h"

namespace cairn::test {
namespace {

// --- the block that is running ------------------------------------------------------------------

using Entry = void (*)(const KernelSlot* arguments);

struct Simulation {
  struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack = nullptr;
    struct Copy {
      char* to;
      const char* from;
      size_t from_bytes, bytes;
      bool committed;
    };
    std::vector<Copy> copies = {};  // that are under way
    bool done = false;
    int waits = 0;  // barriers and exchanges so far
  };
  std::vector<Thread> threads;
  std::vector<const char*> posted;  // what each thread shows the others
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

// What an intrinsic is replaced by: its arguments one after the other, 16 bytes each, and its
// result behind each other.
constexpr size_t kSlot = 16;
template <class T>
T argument(const char* arguments, int number) {
  T value;
  std::memcpy(static_cast<void*>(&value), arguments + static_cast<size_t>(number) * kSlot,
              sizeof(T));
  return value;
}
template <class T>
void give(char* result, T value) {
  std::memcpy(result, &value, sizeof(T));
}

void thread_number(const char*, char* result) {
  give(result, static_cast<uint32_t>(simulation->current));
}
void program_number(const char*, char* result) { give(result, simulation->program); }
void barrier(const char*, char*) { wait(); }

// All threads put something down, then see what the others put.
const char* posted(size_t thread) { return simulation->posted[thread]; }
void exchange(const char* arguments, char* result) {
  Simulation& s = *simulation;
  s.posted[s.current] = arguments;
  wait();
  give(result, argument<uint32_t>(posted(s.current ^ argument<uint32_t>(arguments, 2)), 1));
  wait();
}

// --- NVIDIA's matrices: a warp at a time, by the fragments that PTX documents for each
template <bool kTurned>
void load_matrices(const char* arguments, char* result) {
  Simulation& s = *simulation;
  s.posted[s.current] = arguments;
  wait();
  const size_t warp = s.current / 32 * 32, lane = s.current % 32;
  for (size_t matrix = 0; matrix < 4; ++matrix)
    for (size_t e = 0; e < 2; ++e) {
      size_t row = lane / 4, column = 2 * (lane % 4) + e;
      if (kTurned) std::swap(row, column);
      const auto* from = argument<const uint16_t*>(posted(warp + 8 * matrix + row), 0);
      std::memcpy(result + 4 * matrix + 2 * e, from + column, 2);
    }
  wait();
}
template <class T>
void multiply_matrices(const char* arguments, char* result) {
  Simulation& s = *simulation;
  s.posted[s.current] = arguments;
  wait();
  const size_t warp = s.current / 32 * 32, lane = s.current % 32;
  const auto number = [&](size_t from, size_t word, size_t e) {
    const auto pair = argument<std::array<T, 2>>(posted(from), static_cast<int>(word));
    return static_cast<float>(pair[e]);
  };
  for (size_t i = 0; i < 4; ++i) {
    const size_t row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
    auto sum = argument<float>(arguments, static_cast<int>(6 + i));
    for (size_t k = 0; k < 16; ++k) {
      const float x = number(warp + row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2);
      const float y = number(warp + column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
      sum = std::fma(x, y, sum);
    }
    std::memcpy(result + 4 * i, &sum, 4);
  }
  wait();
}

// --- AMD's, a wave of 64 at a time
void lane_low(const char* arguments, char* result) {
  const auto lane = static_cast<uint32_t>(simulation->current % 64);
  give(result, argument<uint32_t>(arguments, 1) + std::min(lane, uint32_t{32}));
}
void lane_high(const char* arguments, char* result) {
  const auto lane = static_cast<uint32_t>(simulation->current % 64);
  give(result, argument<uint32_t>(arguments, 1) + std::max(lane, uint32_t{32}) - 32);
}
void permute(const char* arguments, char* result) {
  Simulation& s = *simulation;
  s.posted[s.current] = arguments;
  wait();
  const size_t from = s.current / 64 * 64 + argument<uint32_t>(arguments, 0) / 4 % 64;
  give(result, argument<uint32_t>(posted(from), 1));
  wait();
}
template <class T>
void multiply_16_by_16(const char* arguments, char* result) {
  Simulation& s = *simulation;
  s.posted[s.current] = arguments;
  wait();
  const size_t wave = s.current / 64 * 64, lane = s.current % 64;
  const auto number = [&](size_t line, size_t k, int operand) {
    const size_t from = wave + k / 4 * 16 + line;
    return static_cast<float>(argument<std::array<T, 4>>(posted(from), operand)[k % 4]);
  };
  for (size_t i = 0; i < 4; ++i) {
    const size_t row = lane / 16 * 4 + i, column = lane % 16;
    float sum = argument<std::array<float, 4>>(arguments, 2)[i];
    for (size_t k = 0; k < 16; ++k) sum = std::fma(number(row, k, 0), number(column, k, 1), sum);
    std::memcpy(result + 4 * i, &sum, 4);
  }
  wait();
}

// --- copies arrive when they are waited for, and not before
template <size_t kBytes>
void copy(const char* arguments, char*) {
  Simulation& s = *simulation;
  s.threads[s.current].copies.push_back({argument<char*>(arguments, 0),
                                         argument<const char*>(arguments, 1),
                                         argument<uint32_t>(arguments, 2), kBytes, false});
  CAIRN_ASSERT(reinterpret_cast<uintptr_t>(argument<char*>(arguments, 0)) % kBytes == 0);
  CAIRN_ASSERT(reinterpret_cast<uintptr_t>(argument<char*>(arguments, 1)) % kBytes == 0);
}
void commit_copies(const char*, char*) {
  for (auto& copy : simulation->threads[simulation->current].copies) copy.committed = true;
}
void wait_copies(const char*, char*) {
  auto& copies = simulation->threads[simulation->current].copies;
  for (const auto& copy : copies) {
    CAIRN_ASSERT(copy.committed);
    std::memset(copy.to, 0, copy.bytes);
    std::memcpy(copy.to, copy.from, copy.from_bytes);
  }
  copies.clear();
}

void run_thread() {
  Simulation& s = *simulation;
  s.entry(s.arguments);
  s.threads[s.current].done = true;
}

// What registers would hold, a large kernel has there.
constexpr size_t kStackBytes = size_t{1} << 20;

void run_block(Simulation& s) {
  for (Simulation::Thread& thread : s.threads) {
    getcontext(&thread.context);
    if (!thread.stack) thread.stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = kStackBytes;
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
  s.posted.resize(static_cast<size_t>(threads));
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
  void (*function)(const char* arguments, char* result);
};
constexpr Replacement kReplacements[] = {
    {"llvm.nvvm.read.ptx.sreg.tid.x", thread_number},
    {"llvm.nvvm.read.ptx.sreg.ctaid.x", program_number},
    {"llvm.nvvm.barrier0", barrier},
    {"llvm.nvvm.shfl.sync.bfly.i32", exchange},
    {"llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3", load_matrices<false>},
    {"llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3", load_matrices<true>},
    {"llvm.nvvm.mma.m16n8k16.row.col.bf16", multiply_matrices<BFloat16>},
    {"llvm.nvvm.mma.m16n8k16.row.col.f32.f32", multiply_matrices<Float16>},
    {"llvm.nvvm.cp.async.cg.shared.global.16.s", copy<16>},
    {"llvm.nvvm.cp.async.ca.shared.global.8.s", copy<8>},
    {"llvm.nvvm.cp.async.ca.shared.global.4.s", copy<4>},
    {"llvm.nvvm.cp.async.commit.group", commit_copies},
    {"llvm.nvvm.cp.async.wait.all", wait_copies},
    {"llvm.amdgcn.workitem.id.x", thread_number},
    {"llvm.amdgcn.workgroup.id.x", program_number},
    {"llvm.amdgcn.s.barrier", barrier},
    {"llvm.amdgcn.mbcnt.lo", lane_low},
    {"llvm.amdgcn.mbcnt.hi", lane_high},
    {"llvm.amdgcn.ds.bpermute", permute},
    {"llvm.amdgcn.mfma.f32.16x16x16bf16.1k", multiply_16_by_16<BFloat16>},
    {"llvm.amdgcn.mfma.f32.16x16x16f16", multiply_16_by_16<Float16>}};

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

void replace(llvm::CallInst& call, const Replacement& by) {
  llvm::Function& function = *call.getFunction();
  llvm::IRBuilder<> entry(&function.getEntryBlock(), function.getEntryBlock().begin());
  const auto slots = [&](size_t count) {
    auto* memory = entry.CreateAlloca(
        llvm::ArrayType::get(entry.getInt8Ty(), kSlot * std::max<size_t>(count, 1)));
    memory->setAlignment(llvm::Align(kSlot));
    return memory;
  };
  llvm::Value *arguments = slots(call.arg_size()), *result = slots(1);
  llvm::IRBuilder<> b(&call);
  for (unsigned i = 0; i < call.arg_size(); ++i)
    b.CreateStore(call.getArgOperand(i), b.CreateConstGEP1_64(b.getInt8Ty(), arguments, kSlot * i));
  b.CreateCall(llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getPtrTy()}, false),
               address(b, reinterpret_cast<void*>(by.function)), {arguments, result});
  if (!call.getType()->isVoidTy()) call.replaceAllUsesWith(b.CreateLoad(call.getType(), result));
  call.eraseFromParent();
}

void replace_intrinsics(llvm::Module& module) {
  for (const Replacement& replacement : kReplacements) {
    llvm::Function* intrinsic = module.getFunction(replacement.intrinsic);
    if (!intrinsic) continue;
    while (!intrinsic->use_empty())
      replace(*llvm::cast<llvm::CallInst>(*intrinsic->user_begin()), replacement);
    intrinsic->eraseFromParent();
  }
}

// Shared memory that the launch provides.
void provide_shared(llvm::Module& module, int64_t bytes) {
  llvm::GlobalVariable* shared = module.getGlobalVariable("shared");
  CAIRN_ASSERT((bytes > 0) == (shared != nullptr && shared->isDeclaration()));
  if (bytes == 0) return;
  auto* type = llvm::ArrayType::get(llvm::Type::getInt8Ty(module.getContext()),
                                    static_cast<uint64_t>(bytes));
  auto* memory = new llvm::GlobalVariable(
      module, type, false, llvm::GlobalValue::InternalLinkage, llvm::UndefValue::get(type),
      "provided", nullptr, llvm::GlobalValue::NotThreadLocal, shared->getAddressSpace());
  memory->setAlignment(llvm::Align(kSlot));
  shared->replaceAllUsesWith(memory);
  shared->eraseFromParent();
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

CompiledKernel simulated_gpu_kernel(const tile::Kernel& kernel, GpuTarget target) {
  llvm::LLVMContext context;
  llvm::Module module(kernel.name, context);
  const auto gpu = compiler::make_gpu_machine(target);
  module.setTargetTriple(gpu->getTargetTriple().str());
  module.setDataLayout(gpu->createDataLayout());
  const compiler::GpuLaunch launch = compiler::lower_for_gpu(kernel, target, module);
  compiler::optimize(module, *gpu);

  const auto cpu = compiler::make_cpu_machine(CpuTarget::avx2);
  module.setTargetTriple(cpu->getTargetTriple().str());
  module.setDataLayout(cpu->createDataLayout());
  replace_intrinsics(module);
  provide_shared(module, launch.shared_bytes);
  add_run(module, *module.getFunction(kernel.name), launch.threads);
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
