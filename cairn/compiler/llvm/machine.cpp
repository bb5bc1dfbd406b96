#include "cairn/compiler/llvm/machine.h"

#include <fmt/format.h>
#include <llvm/Analysis/AliasAnalysis.h>
#include <llvm/Analysis/AssumptionCache.h>
#include <llvm/Analysis/BasicAliasAnalysis.h>
#include <llvm/Analysis/BlockFrequencyInfo.h>
#include <llvm/Analysis/BranchProbabilityInfo.h>
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/MemoryDependenceAnalysis.h>
#include <llvm/Analysis/MemorySSA.h>
#include <llvm/Analysis/OptimizationRemarkEmitter.h>
#include <llvm/Analysis/PostDominators.h>
#include <llvm/Analysis/ProfileSummaryInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/Analysis/ScopedNoAliasAA.h>
#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/PassInstrumentation.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/IPO/AlwaysInliner.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/Scalarizer.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include <algorithm>
#include <mutex>

#include "cairn/base/error.h"

namespace cairn::compiler {

CpuFeatures cpu_features(CpuTarget target) {
  if (target != CpuTarget::avx512) return {};
  static const bool has_bf16 = llvm::sys::getHostCPUFeatures().lookup("avx512bf16");
  static const bool has_vnni = llvm::sys::getHostCPUFeatures().lookup("avx512vnni");
  return {16, has_bf16, has_vnni};
}

namespace {

std::unique_ptr<llvm::TargetMachine> make_machine(const std::string& triple,
                                                  const std::string& processor,
                                                  const std::string& features) {
  std::string problem;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, problem);
  if (!found) throw_error(fmt::format("LLVM has no target {}: {}", triple, problem));
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(triple, processor, features, options, llvm::Reloc::PIC_,
                                 llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default, true));
}

}  // namespace

std::unique_ptr<llvm::TargetMachine> make_cpu_machine(CpuTarget target) {
  if (target == CpuTarget::baseline)
    throw_error(
        "compiled kernels need AVX2 and FMA, which the processor (or CAIRN_TARGET) does not offer; "
        "use --device ref");
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  return make_machine("x86_64-unknown-linux-gnu",
                      target == CpuTarget::avx512 ? "x86-64-v4" : "x86-64-v3", "");
}

std::unique_ptr<llvm::TargetMachine> make_gpu_machine(GpuTarget target) {
  if (target == GpuTarget::gfx942) {
    static std::once_flag once;
    std::call_once(once, [] {
      LLVMInitializeAMDGPUTargetInfo();
      LLVMInitializeAMDGPUTarget();
      LLVMInitializeAMDGPUTargetMC();
      LLVMInitializeAMDGPUAsmPrinter();
    });
    return make_machine("amdgcn-amd-amdhsa", "gfx942", "");
  }
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  // The oldest versions of PTX with what the lowering uses: drivers refuse newer ones than theirs.
  const bool hopper = target == GpuTarget::sm_90;
  return make_machine("nvptx64-nvidia-cuda", hopper ? "sm_90" : "sm_80",
                      hopper ? "+ptx80" : "+ptx71");
}

void optimize(llvm::Module& module, llvm::TargetMachine& machine) {
  // The loop analyses must outlive the function analyses, which refer to them.
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::ModuleAnalysisManager modules;
  const auto add = [&](auto make) { functions.registerPass(make); };
  add([] { return llvm::PassInstrumentationAnalysis(); });
  add([] { return llvm::DominatorTreeAnalysis(); });
  add([] { return llvm::PostDominatorTreeAnalysis(); });
  add([] { return llvm::AssumptionAnalysis(); });
  add([] { return llvm::TargetLibraryAnalysis(); });
  add([&] { return machine.getTargetIRAnalysis(); });
  add([] { return llvm::LoopAnalysis(); });
  add([] { return llvm::OptimizationRemarkEmitterAnalysis(); });
  add([] { return llvm::MemorySSAAnalysis(); });
  add([] { return llvm::ScalarEvolutionAnalysis(); });
  add([] { return llvm::BasicAA(); });
  add([] { return llvm::ScopedNoAliasAA(); });
  add([] {
    llvm::AAManager manager;
    manager.registerFunctionAnalysis<llvm::BasicAA>();
    manager.registerFunctionAnalysis<llvm::ScopedNoAliasAA>();
    return manager;
  });
  add([] { return llvm::MemoryDependenceAnalysis(); });
  add([] { return llvm::BranchProbabilityAnalysis(); });
  add([] { return llvm::BlockFrequencyAnalysis(); });
  loops.registerPass([] { return llvm::PassInstrumentationAnalysis(); });
  modules.registerPass([] { return llvm::PassInstrumentationAnalysis(); });
  modules.registerPass([] { return llvm::ProfileSummaryAnalysis(); });
  modules.registerPass([&] { return llvm::FunctionAnalysisManagerModuleProxy(functions); });
  functions.registerPass([&] { return llvm::ModuleAnalysisManagerFunctionProxy(modules); });
  functions.registerPass([&] { return llvm::LoopAnalysisManagerFunctionProxy(loops); });
  loops.registerPass([&] { return llvm::FunctionAnalysisManagerLoopProxy(functions); });

  // The kernels of a program; a kernel by itself calls nothing that could be inlined.
  llvm::ModulePassManager inlining;
  inlining.addPass(llvm::AlwaysInlinerPass());
  inlining.run(module, modules);
  // On a CPU one InstCombine gives the same code as two, and each takes a tenth of all the time.
  const bool is_cpu = machine.getTargetTriple().isX86();
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(true));
  // A lane's conditions in vectors that several blocks use crash LLVM 19's AMDGPU backend (its pass
  // si-fix-sgpr-copies, as in llvm/llvm-project#149181); as numbers they do not.
  if (machine.getTargetTriple().isAMDGPU()) passes.addPass(llvm::ScalarizerPass());
  if (!is_cpu) passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::SimplifyCFGPass());
  llvm::LoopPassManager hoist;
  hoist.addPass(llvm::LICMPass(llvm::LICMOptions()));
  // ptxas moves code out of loops itself, as far as it has registers; what comes to it moved, it
  // spills.
  if (!machine.getTargetTriple().isNVPTX())
    passes.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(hoist), true));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::InstCombinePass());
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) passes.run(function, functions);
}

void verify(const llvm::Module& module) {
  std::string problem;
  llvm::raw_string_ostream out(problem);
  if (llvm::verifyModule(module, &out))
    throw InternalError(fmt::format("the lowering of kernel '{}' for {} made invalid code: {}",
                                    module.getName().str(), module.getTargetTriple(), problem));
}

namespace {

// The first problem that a code generator reports. Without a handler LLVM would end the program.
void keep_problem(const llvm::DiagnosticInfo* info, void* text) {
  if (info->getSeverity() != llvm::DS_Error) return;
  auto& problem = *static_cast<std::string*>(text);
  if (!problem.empty()) return;
  llvm::raw_string_ostream out(problem);
  llvm::DiagnosticPrinterRawOStream printer(out);
  info->print(printer);
}

// Processors schedule what registers leave in any order: the pass behind them took a tenth of the
// time of making machine code, for no faster kernel. Where a function is to stay in order, the one
// before them is left out too: it moves loads of a product before the sums that they are for, and
// there are no registers for that (24 sums, 4 packs of y and 1 of x; LLVM 19 then copies 30 of them
// in each step).
class CpuPasses final : public llvm::OptPassGate {
 public:
  explicit CpuPasses(const llvm::Module& module)
      : in_order_(std::ranges::any_of(
            module, [](const llvm::Function& f) { return f.hasFnAttribute(kInOrder); })) {}
  bool shouldRunPass(llvm::StringRef pass, llvm::StringRef) override {
    return pass != "Post RA top-down list latency scheduler" &&
           !(in_order_ && pass == "Machine Instruction Scheduler");
  }
  bool isEnabled() const override { return true; }

 private:
  bool in_order_;
};

}  // namespace

std::string emit(llvm::Module& module, llvm::TargetMachine& machine, bool assembly) {
  std::string failure;
  module.getContext().setDiagnosticHandlerCallBack(keep_problem, &failure);
  CpuPasses cpu_passes(module);
  llvm::OptPassGate& all_passes = module.getContext().getOptPassGate();
  if (machine.getTargetTriple().isX86()) module.getContext().setOptPassGate(cpu_passes);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream out(bytes);
  llvm::legacy::PassManager passes;
  const auto kind =
      assembly ? llvm::CodeGenFileType::AssemblyFile : llvm::CodeGenFileType::ObjectFile;
  if (machine.addPassesToEmitFile(passes, out, nullptr, kind))
    throw_error("LLVM cannot write machine code for this target");
  passes.run(module);
  module.getContext().setDiagnosticHandlerCallBack(nullptr, nullptr);
  module.getContext().setOptPassGate(all_passes);
  if (!failure.empty())
    throw_error(fmt::format("LLVM has no code of kernel '{}' for {}: {}", module.getName().str(),
                            module.getTargetTriple(), failure));
  return {bytes.begin(), bytes.end()};
}

}  // namespace cairn::compiler
