#include "cairn/compiler/llvm/gpu_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/gpu_lowering.h"

namespace cairn::compiler {

using llvm::BasicBlock;
using llvm::Value;
using tile::Block;
using tile::Instruction;
using tile::TileOp;
using tile::TileType;
using tile::ValueId;

namespace {

// A block has as many threads as give each 16 elements of the largest tile, within bounds; beyond
// 32 elements, registers would spill. Sums of a product are what registers are for: 64 of 32 bits.
constexpr int64_t kElementsPerThread = 16;
constexpr int64_t kMaxElementsPerThread = 32;
constexpr int64_t kSumWordsPerThread = 64;
// Beside small sums stand addresses: a bound of 32 registers made ptxas spill.
constexpr int64_t kMinProductRegisters = 128;
constexpr int64_t kMinThreads = 128;
constexpr int64_t kMaxThreads = 1024;

int64_t shares(int64_t count, int64_t each) { return (count + each - 1) / each; }

}  // namespace

GpuFunction::GpuFunction(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module)
    : kernel_(kernel),
      target_(target),
      module_(module),
      emitter_(module),
      b_(emitter_.b),
      device_(target, module, b_),
      facts_(tile::analyze_axes(kernel)),
      scalars_(kernel.types.size()),
      definitions_(kernel.types.size()),
      buffers_(kernel.parameters.size()),
      written_(kernel.parameters.size()) {}

GpuLaunch GpuFunction::emit() {
  define(kernel_.body);
  plan(kernel_.body);
  threads_ = static_cast<int>(
      std::clamp(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(wanted_threads_))),
                 kMinThreads, kMaxThreads));
  deal_out_sums();
  make_function();
  for (const Instruction& in : kernel_.grid.code) emit_scalar(in);
  place_program();
  emit_block(kernel_.body);
  b_.CreateRetVoid();
  return {threads_, device_.place_shared(kernel_.name)};
}

void GpuFunction::define(const Block& code) {
  for (const Instruction& in : code.code) {
    if (in.op != TileOp::loop)
      for (ValueId v : in.results) definitions_[static_cast<size_t>(v)] = &in;
    if (in.op == TileOp::dot) dots_.emplace_back(&in, &dot_strategy(kernel_, in, target_));
    for (const Block& region : in.regions) define(region);
  }
}

bool GpuFunction::is_sum(const Shape& shape) const {
  return std::ranges::any_of(
      dots_, [&](const auto& dot) { return type(dot.first->results[0]).shape == shape; });
}

void GpuFunction::plan(const Block& code) {
  for (const Instruction& in : code.code) {
    plan(in);
    for (const Block& region : in.regions) plan(region);
  }
}

void GpuFunction::plan(const Instruction& in) {
  const bool deals = in.op == TileOp::store || in.op == TileOp::reduce || in.op == TileOp::loop ||
                     in.op == TileOp::atomic || in.op == TileOp::scan ||
                     in.op == TileOp::arg_reduce || in.op == TileOp::dot;
  for (size_t i = 0; deals && i < in.operands.size(); ++i) {
    const TileType& x = type(in.operands[i]);
    const int64_t count = x.shape.elements();
    if (count > kMaxThreads * kMaxElementsPerThread)
      unsupported(in, fmt::format("a tile of {} elements is more than a block of threads holds, {}",
                                  count, kMaxThreads * kMaxElementsPerThread));
    // Offsets are computed when they are needed and do not stay.
    const int64_t words = x.dtype == DType::f64 ? 2 : 1;
    wanted_threads_ = std::max(wanted_threads_, in.op == TileOp::dot || is_sum(x.shape)
                                                    ? shares(count * words, kSumWordsPerThread)
                                                    : shares(count, kElementsPerThread));
  }
  if (in.parameter >= 0)
    access_lanes_ = std::max(
        access_lanes_,
        static_cast<unsigned>(kAccessBytes / static_cast<int64_t>(size_of(buffer(in).dtype))));
}

bool GpuFunction::may_share(const tile::Parameter& p) const {
  return std::ranges::any_of(kernel_.parameters, [&](const tile::Parameter& other) {
    return other.is_buffer() && other.is_written() != p.is_written() &&
           size_of(other.dtype) == size_of(p.dtype);
  });
}

void GpuFunction::make_function() {
  std::vector<llvm::Type*> types;
  for (const tile::Parameter& p : kernel_.parameters)
    types.push_back(p.is_buffer() ? b_.getPtrTy(kGlobalMemory) : emitter_.memory_type(p.dtype));
  // Products: their sums, as much for what is computed of them, and addresses.
  int64_t registers = 0;
  for (const auto& [dot, strategy] : dots_) {
    const TileType& z = type(dot->results[0]);
    const auto words = std::max<int64_t>(1, static_cast<int64_t>(size_of(z.dtype)) / 4);
    registers += 3 * shares(z.shape.elements() * words, threads_);
  }
  if (registers > 0) registers = std::max(registers + 32, kMinProductRegisters);
  function_ = device_.make_kernel(kernel_.name, types, threads_, registers);
  b_.SetInsertPoint(block("entry"));
  for (unsigned i = 0; i < types.size(); ++i) {
    const tile::Parameter& p = kernel_.parameters[i];
    llvm::Argument* argument = function_->getArg(i);
    argument->setName(p.name);
    if (!p.is_buffer()) {
      scalar(p.value) = emitter_.from_memory(argument, p.dtype);
      continue;
    }
    buffers_[i] = argument;
    if (!may_share(p)) function_->addParamAttr(i, llvm::Attribute::NoAlias);
    function_->addParamAttr(
        i, llvm::Attribute::getWithAlignment(module_.getContext(), buffer_alignment(p)));
    if (!p.is_written()) function_->addParamAttr(i, llvm::Attribute::ReadOnly);
  }
  thread_ = device_.thread();
}

// A launch has fewer than 2^31 blocks, so the sizes of its grid are 32-bit numbers: divisions of 64
// bits are a hundred instructions (and LLVM 19's AMDGPU backend crashes on some of uniform values).
void GpuFunction::place_program() {
  Value* program = device_.program();
  program_.assign(tile::kMaxGridRank, b_.getInt64(0));
  for (size_t axis = kernel_.grid.yields.size(); axis-- > 0;) {
    Value* coordinate = program;
    if (axis > 0) {
      Value* size = b_.CreateTrunc(scalar(kernel_.grid.yields[axis]), b_.getInt32Ty());
      coordinate = b_.CreateURem(program, size);
      program = b_.CreateUDiv(program, size);
    }
    program_[axis] = b_.CreateZExt(coordinate, b_.getInt64Ty());
  }
}

void GpuFunction::emit_block(const Block& code) {
  for (size_t i = 0; i < code.code.size(); ++i) {
    const Instruction& in = code.code[i];
    switch (in.op) {
      case TileOp::store: {
        // Stores of one shape with no other effect between them are one: all is read before any
        // is written.
        std::vector<const Instruction*> stores = {&in};
        while (i + 1 < code.code.size() && code.code[i + 1].op == TileOp::store &&
               type(code.code[i + 1].operands[0]).shape == type(in.operands[0]).shape)
          stores.push_back(&code.code[++i]);
        emit_stores(stores);
        break;
      }
      case TileOp::reduce: emit_reduce(in); break;
      case TileOp::loop: emit_loop(in); break;
      case TileOp::assume:
      case TileOp::fetch:
      case TileOp::print: break;
      case TileOp::dot: emit_dot(in); break;
      case TileOp::scan: emit_scan(in); break;
      case TileOp::arg_reduce: emit_arg_reduce(in); break;
      case TileOp::atomic: emit_atomic(in); break;
      default:
        if (type(in.results[0]).shape.rank() == 0) emit_scalar(in);
    }
  }
}

void GpuFunction::when(Value* condition, const std::function<void()>& body) {
  BasicBlock* inside = block("then");
  BasicBlock* after = block("end");
  b_.CreateCondBr(condition, inside, after);
  b_.SetInsertPoint(inside);
  body();
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

void GpuFunction::walk(int64_t end, int64_t step, const std::function<void(Value* i)>& body) {
  BasicBlock* before = b_.GetInsertBlock();
  BasicBlock* inside = block("walk");
  BasicBlock* after = block("walked");
  b_.CreateBr(inside);
  b_.SetInsertPoint(inside);
  llvm::PHINode* i = b_.CreatePHI(b_.getInt32Ty(), 2);
  i->addIncoming(i32(0), before);
  body(i);
  Value* next = b_.CreateAdd(i, i32(step));
  i->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpULT(next, i32(end)), inside, after);
  b_.SetInsertPoint(after);
}

Value* GpuFunction::choose(Value* condition, const std::function<Value*()>& yes,
                           const std::function<Value*()>& no) {
  BasicBlock* inside = block("all");
  BasicBlock* outside = block("some");
  BasicBlock* after = block("end");
  b_.CreateCondBr(condition, inside, outside);
  b_.SetInsertPoint(inside);
  Value* x = yes();
  BasicBlock* end_inside = b_.GetInsertBlock();
  b_.CreateBr(after);
  b_.SetInsertPoint(outside);
  Value* y = no();
  BasicBlock* end_outside = b_.GetInsertBlock();
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
  llvm::PHINode* result = b_.CreatePHI(x->getType(), 2);
  result->addIncoming(x, end_inside);
  result->addIncoming(y, end_outside);
  return result;
}

void GpuFunction::emit_stores(const std::vector<const Instruction*>& stores) {
  struct Ready {
    PackValue offset, value, mask;
  };
  const Shape& shape = type(stores[0]->operands[0]).shape;
  const std::vector<Pack>& all = packs(shape);
  std::vector<Ready> ready;
  std::vector<ValueId> needed;
  for (const Instruction* in : stores)
    needed.insert(needed.end(), in->operands.begin(), in->operands.end());
  prepare(needed, all);
  bool in_place = false;
  for (const Instruction* in : stores) {
    for (int axis = 0; axis < shape.rank(); ++axis)
      if (shape[axis] > 1 &&
          facts_[static_cast<size_t>(in->operands[0])].axes[static_cast<size_t>(axis)].is_uniform(
              2))
        unsupported(*in, fmt::format("offsets repeat along axis {}, and threads have no order: "
                                     "which of them wins is not lowered yet",
                                     axis));
    in_place |= buffer(*in).is_read();
    for (const Pack& pack : all)
      ready.push_back({evaluate(in->operands[0], pack.place), evaluate(in->operands[1], pack.place),
                       mask_of(*in) < 0 ? PackValue{PackValue::Kind::uniform, b_.getTrue()}
                                        : evaluate(mask_of(*in), pack.place)});
  }
  if (in_place) device_.barrier();
  auto next = ready.begin();
  for (const Instruction* in : stores) {
    for (const Pack& pack : all) {
      const auto write = [&] { store(*in, pack.place, next->offset, next->value, next->mask); };
      if (pack.there) {
        when(pack.there, write);
      } else {
        write();
      }
      ++next;
    }
    written_[static_cast<size_t>(in->parameter)] = true;
  }
}

GpuLaunch lower_for_gpu(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module) {
  return GpuFunction(kernel, target, module).emit();
}

}  // namespace cairn::compiler
