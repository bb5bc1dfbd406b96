#include "cairn/compiler/llvm/gpu_device.h"

#include <fmt/format.h>
#include <llvm/IR/IntrinsicsAMDGPU.h>
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <string>
#include <vector>

namespace cairn::compiler {

namespace intrinsic = llvm::Intrinsic;
using llvm::Value;

llvm::Function* GpuDevice::make_kernel(std::string_view name,
                                       std::span<llvm::Type* const> parameters, int threads) {
  auto* type = llvm::FunctionType::get(
      b_.getVoidTy(), std::vector<llvm::Type*>(parameters.begin(), parameters.end()), false);
  llvm::Function* function =
      llvm::Function::Create(type, llvm::Function::ExternalLinkage, std::string(name), module_);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  if (amd_) {
    function->setCallingConv(llvm::CallingConv::AMDGPU_KERNEL);
    function->addFnAttr("amdgpu-flat-work-group-size", fmt::format("{0},{0}", threads));
    function->addFnAttr("uniform-work-group-size", "true");
    // What is not named here as unused, the launch would have to provide.
    for (const char* unused :
         {"workitem-id-y", "workitem-id-z", "workgroup-id-y", "workgroup-id-z", "dispatch-ptr",
          "dispatch-id", "queue-ptr", "implicitarg-ptr", "hostcall-ptr", "heap-ptr",
          "multigrid-sync-arg", "default-queue", "completion-action", "lds-kernel-id"})
      function->addFnAttr(fmt::format("amdgpu-no-{}", unused));
    return function;
  }
  function->setCallingConv(llvm::CallingConv::PTX_Kernel);
  llvm::LLVMContext& context = module_.getContext();
  const auto annotate = [&](const char* key, int value) {
    llvm::Metadata* fields[] = {
        llvm::ValueAsMetadata::get(function), llvm::MDString::get(context, key),
        llvm::ConstantAsMetadata::get(b_.getInt32(static_cast<uint32_t>(value)))};
    module_.getOrInsertNamedMetadata("nvvm.annotations")
        ->addOperand(llvm::MDNode::get(context, fields));
  };
  annotate("kernel", 1);
  annotate("maxntidx", threads);
  return function;
}

Value* GpuDevice::thread() {
  return special(amd_ ? llvm::Intrinsic::ID{intrinsic::amdgcn_workitem_id_x}
                      : llvm::Intrinsic::ID{intrinsic::nvvm_read_ptx_sreg_tid_x});
}

Value* GpuDevice::program() {
  return special(amd_ ? llvm::Intrinsic::ID{intrinsic::amdgcn_workgroup_id_x}
                      : llvm::Intrinsic::ID{intrinsic::nvvm_read_ptx_sreg_ctaid_x});
}

Value* GpuDevice::special(llvm::Intrinsic::ID id) { return b_.CreateIntrinsic(id, {}, {}); }

void GpuDevice::barrier() {
  if (!amd_) {
    b_.CreateIntrinsic(intrinsic::nvvm_barrier0, {}, {});
    return;
  }
  const llvm::SyncScope::ID block = module_.getContext().getOrInsertSyncScopeID("workgroup");
  b_.CreateFence(llvm::AtomicOrdering::Release, block);
  b_.CreateIntrinsic(intrinsic::amdgcn_s_barrier, {}, {});
  b_.CreateFence(llvm::AtomicOrdering::Acquire, block);
}

Value* GpuDevice::exchange_word(Value* word, unsigned distance) {
  if (!amd_)
    return b_.CreateIntrinsic(
        intrinsic::nvvm_shfl_sync_bfly_i32, {},
        {b_.getInt32(0xffffffff), word, b_.getInt32(distance), b_.getInt32(31)});
  Value* low =
      b_.CreateIntrinsic(intrinsic::amdgcn_mbcnt_lo, {}, {b_.getInt32(0xffffffff), b_.getInt32(0)});
  Value* lane = b_.CreateIntrinsic(intrinsic::amdgcn_mbcnt_hi, {}, {b_.getInt32(0xffffffff), low});
  Value* from = b_.CreateShl(b_.CreateXor(lane, distance), 2);  // in bytes
  return b_.CreateIntrinsic(intrinsic::amdgcn_ds_bpermute, {}, {from, word});
}

Value* GpuDevice::exchange(Value* value, unsigned distance) {
  llvm::Type* type = value->getType();
  const unsigned bits = type->getPrimitiveSizeInBits();
  Value* integer = b_.CreateBitCast(value, b_.getIntNTy(bits));
  if (bits <= 32) {
    Value* word = exchange_word(b_.CreateZExt(integer, b_.getInt32Ty()), distance);
    return b_.CreateBitCast(b_.CreateTrunc(word, integer->getType()), type);
  }
  Value* low = exchange_word(b_.CreateTrunc(integer, b_.getInt32Ty()), distance);
  Value* high =
      exchange_word(b_.CreateTrunc(b_.CreateLShr(integer, 32), b_.getInt32Ty()), distance);
  Value* both = b_.CreateOr(b_.CreateZExt(low, integer->getType()),
                            b_.CreateShl(b_.CreateZExt(high, integer->getType()), 32));
  return b_.CreateBitCast(both, type);
}

llvm::GlobalVariable* GpuDevice::shared(std::string_view name, int64_t bytes) {
  auto* type = llvm::ArrayType::get(b_.getInt8Ty(), static_cast<uint64_t>(bytes));
  auto* memory = new llvm::GlobalVariable(module_, type, false, llvm::GlobalValue::InternalLinkage,
                                          llvm::UndefValue::get(type), std::string(name), nullptr,
                                          llvm::GlobalValue::NotThreadLocal, kSharedMemory);
  memory->setAlignment(llvm::Align(16));
  return memory;
}

}  // namespace cairn::compiler
