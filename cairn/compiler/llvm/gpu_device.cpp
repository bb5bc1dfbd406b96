#include "cairn/compiler/llvm/gpu_device.h"

#include <fmt/format.h>
#include <llvm/IR/IntrinsicsAMDGPU.h>
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::compiler {

namespace intrinsic = llvm::Intrinsic;
using llvm::Value;

namespace {

int64_t padded(int64_t bytes) { return (bytes + 15) / 16 * 16; }

}  // namespace

llvm::Function* GpuDevice::make_kernel(std::string_view name,
                                       std::span<llvm::Type* const> parameters, int threads,
                                       int64_t registers) {
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
  constexpr int64_t kRegisters = 64 * 1024;  // of a multiprocessor
  if (registers > 0)
    annotate("minctasm",
             static_cast<int>(std::max<int64_t>(1, kRegisters / (threads * registers))));
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

void GpuDevice::copy(Value* to, Value* from, unsigned bytes, Value* there) {
  // Of 16 bytes past the first cache, for they are read once.
  const llvm::Intrinsic::ID id = bytes == 16  ? intrinsic::nvvm_cp_async_cg_shared_global_16_s
                                 : bytes == 8 ? intrinsic::nvvm_cp_async_ca_shared_global_8_s
                                              : intrinsic::nvvm_cp_async_ca_shared_global_4_s;
  Value* all = b_.getInt32(bytes);
  b_.CreateIntrinsic(id, {}, {to, from, there ? b_.CreateSelect(there, all, b_.getInt32(0)) : all});
}

void GpuDevice::commit_copies() {
  b_.CreateIntrinsic(intrinsic::nvvm_cp_async_commit_group, {}, {});
}

void GpuDevice::wait_copies() { b_.CreateIntrinsic(intrinsic::nvvm_cp_async_wait_all, {}, {}); }

llvm::GlobalVariable* GpuDevice::shared(std::string_view name, int64_t bytes) {
  auto* type = llvm::ArrayType::get(b_.getInt8Ty(), static_cast<uint64_t>(bytes));
  auto* memory = new llvm::GlobalVariable(module_, type, false, llvm::GlobalValue::InternalLinkage,
                                          llvm::UndefValue::get(type), std::string(name), nullptr,
                                          llvm::GlobalValue::NotThreadLocal, kSharedMemory);
  memory->setAlignment(llvm::Align(16));
  shared_.push_back(memory);
  shared_bytes_ += padded(bytes);
  return memory;
}

void GpuDevice::resize(llvm::GlobalVariable*& memory, int64_t bytes) {
  const auto before = static_cast<int64_t>(memory->getValueType()->getArrayNumElements());
  if (bytes <= before) return;
  llvm::GlobalVariable* larger = shared("", bytes);
  larger->takeName(memory);
  memory->replaceAllUsesWith(larger);
  std::erase(shared_, memory);
  shared_bytes_ -= padded(before);
  memory->eraseFromParent();
  memory = larger;
}

int64_t GpuDevice::place_shared(std::string_view kernel) {
  if (shared_bytes_ > shared_limit(target_))
    throw_error(fmt::format("kernel '{}' needs {} bytes of shared memory, a block has {} on {}",
                            kernel, shared_bytes_, shared_limit(target_), name(target_)));
  if (amd_ || shared_bytes_ <= kStaticSharedBytes) return 0;
  auto* type = llvm::ArrayType::get(b_.getInt8Ty(), 0);
  auto* all =
      new llvm::GlobalVariable(module_, type, false, llvm::GlobalValue::ExternalLinkage, nullptr,
                               "shared", nullptr, llvm::GlobalValue::NotThreadLocal, kSharedMemory);
  all->setAlignment(llvm::Align(16));
  int64_t at = 0;
  for (llvm::GlobalVariable* memory : shared_) {
    const auto bytes = static_cast<int64_t>(memory->getValueType()->getArrayNumElements());
    memory->replaceAllUsesWith(llvm::ConstantExpr::getInBoundsGetElementPtr(
        b_.getInt8Ty(), all, b_.getInt32(static_cast<uint32_t>(at))));
    memory->eraseFromParent();
    at += padded(bytes);
  }
  shared_.clear();
  return at;
}

}  // namespace cairn::compiler
