#include "cairn/compiler/llvm/gpu_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/gpu_lowering.h"
#include "cairn/compiler/llvm/gpu_reduce.h"

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
// 32 elements, registers would spill.
constexpr int64_t kElementsPerThread = 16;
constexpr int64_t kMaxElementsPerThread = 32;
constexpr int64_t kMinThreads = 128;
constexpr int64_t kMaxThreads = 1024;

}  // namespace

GpuFunction::GpuFunction(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module)
    : kernel_(kernel),
      module_(module),
      emitter_(module),
      b_(emitter_.b),
      device_(target, module, b_),
      facts_(tile::analyze_axes(kernel)),
      scalars_(kernel.types.size()),
      definitions_(kernel.types.size()),
      reduced_(kernel.types.size()),
      buffers_(kernel.parameters.size()),
      written_(kernel.parameters.size()) {}

int GpuFunction::emit() {
  define(kernel_.body);
  plan(kernel_.body);
  const auto wanted =
      static_cast<uint64_t>((largest_ + kElementsPerThread - 1) / kElementsPerThread);
  threads_ = static_cast<int>(
      std::clamp(static_cast<int64_t>(std::bit_ceil(wanted)), kMinThreads, kMaxThreads));
  make_function();
  for (const Instruction& in : kernel_.grid.code) emit_scalar(in);
  place_program();
  emit_block(kernel_.body);
  b_.CreateRetVoid();
  if (shared_bytes_ > kSharedBytes)
    throw_error(fmt::format("kernel '{}' needs {} bytes of shared memory, a block has {}",
                            kernel_.name, shared_bytes_, kSharedBytes));
  return threads_;
}

void GpuFunction::define(const Block& code) {
  for (const Instruction& in : code.code) {
    if (in.op != TileOp::loop)
      for (ValueId v : in.results) definitions_[static_cast<size_t>(v)] = &in;
    for (const Block& region : in.regions) define(region);
  }
}

void GpuFunction::plan(const Block& code) {
  for (const Instruction& in : code.code) {
    plan(in);
    for (const Block& region : in.regions) plan(region);
  }
}

void GpuFunction::plan(const Instruction& in) {
  const bool deals = in.op == TileOp::store || in.op == TileOp::reduce || in.op == TileOp::loop;
  for (size_t i = 0; deals && i < in.operands.size(); ++i) {
    const int64_t count = type(in.operands[i]).shape.elements();
    if (count > kMaxThreads * kMaxElementsPerThread)
      unsupported(in, fmt::format("a tile of {} elements is more than a block of threads holds, {}",
                                  count, kMaxThreads * kMaxElementsPerThread));
    largest_ = std::max(largest_, count);
    if (in.op == TileOp::reduce)
      shared_bytes_ = std::max(shared_bytes_, count * shared_size(type(in.operands[i]).dtype));
  }
  if (in.parameter >= 0)
    access_lanes_ = std::max(
        access_lanes_,
        static_cast<unsigned>(kAccessBytes / static_cast<int64_t>(size_of(buffer(in).dtype))));
}

void GpuFunction::make_function() {
  std::vector<llvm::Type*> types;
  for (const tile::Parameter& p : kernel_.parameters)
    types.push_back(p.is_buffer() ? b_.getPtrTy(kGlobalMemory) : emitter_.memory_type(p.dtype));
  function_ = device_.make_kernel(kernel_.name, types, threads_);
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
    function_->addParamAttr(i, llvm::Attribute::NoAlias);
    function_->addParamAttr(
        i, llvm::Attribute::getWithAlignment(module_.getContext(), buffer_alignment(p)));
    if (!p.is_written()) function_->addParamAttr(i, llvm::Attribute::ReadOnly);
  }
  thread_ = device_.thread();
  if (shared_bytes_ > 0) tile_memory_ = device_.shared("tile", shared_bytes_);
}

void GpuFunction::place_program() {
  Value* program = b_.CreateZExt(device_.program(), b_.getInt64Ty());
  program_.assign(tile::kMaxGridRank, b_.getInt64(0));
  for (size_t axis = kernel_.grid.yields.size(); axis-- > 1;) {
    Value* size = scalar(kernel_.grid.yields[axis]);
    program_[axis] = b_.CreateURem(program, size);
    program = b_.CreateUDiv(program, size);
  }
  program_[0] = program;
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
      case TileOp::print: break;
      case TileOp::atomic:
      case TileOp::arg_reduce:
      case TileOp::scan:
      case TileOp::dot: unsupported(in, "is not lowered yet");
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

void GpuFunction::emit_reduce(const Instruction& in) {
  const TileType& x = type(in.operands[0]);
  llvm::Type* element = shared_type(emitter_, x.dtype);
  for (const Pack& pack : packs(x.shape)) {
    Value* value = as_vector(evaluate(in.operands[0], pack.place), pack.place.lanes);
    Value* to = b_.CreateGEP(element, tile_memory_, joined(pack.place.at, x.shape));
    const auto size = static_cast<uint64_t>(shared_size(x.dtype));
    b_.CreateAlignedStore(
        to_shared(emitter_, value, x.dtype), to,
        llvm::Align(std::min<uint64_t>(size * std::max(pack.place.lanes, 1u), kAccessBytes)));
  }
  const ValueId result = in.results[0];
  reduced_[static_cast<size_t>(result)] = reduce_shared(
      device_, emitter_, in.kind, x.dtype, x.shape, in.axis, tile_memory_, threads_, shared_bytes_);
  if (type(result).shape.rank() == 0) scalar(result) = reduced(in, {}).value;
}

// Carried tiles are carried pack by pack, each thread its own.
void GpuFunction::emit_loop(const Instruction& in) {
  const Block& body = in.regions[0];
  Value *begin = scalar(in.operands[0]), *end = scalar(in.operands[1]);
  Value* step = scalar(in.operands[2]);
  const size_t carried = in.results.size();
  // The values of tile v, in each pack.
  const auto values = [&](ValueId v) {
    std::vector<Value*> result;
    for (const Pack& pack : packs(type(v).shape))
      result.push_back(as_vector(evaluate(v, pack.place), pack.place.lanes));
    return result;
  };
  const auto set = [&](ValueId v, const std::vector<Value*>& to) {
    if (type(v).shape.rank() == 0) {
      scalar(v) = to[0];
      return;
    }
    const std::vector<Pack>& all = packs(type(v).shape);
    for (size_t p = 0; p < all.size(); ++p)
      known_.values[{v, all[p].place}] = {
          all[p].place.lanes ? PackValue::Kind::vector : PackValue::Kind::uniform, to[p]};
  };
  std::vector<std::vector<Value*>> first;
  for (size_t c = 0; c < carried; ++c) first.push_back(values(in.operands[c + 3]));
  mark_written(body);

  BasicBlock* before = b_.GetInsertBlock();
  BasicBlock* inside = block("loop");
  BasicBlock* after = block("done");
  b_.CreateCondBr(b_.CreateICmpSLT(begin, end), inside, after);
  b_.SetInsertPoint(inside);
  const Known outside = known_;
  const auto phis = [&](std::vector<std::vector<Value*>> incoming) {
    for (std::vector<Value*>& row : incoming)
      for (Value*& value : row) {
        llvm::PHINode* phi = b_.CreatePHI(value->getType(), 2);
        phi->addIncoming(value, before);
        value = phi;
      }
    return incoming;
  };
  const auto join = [&](const std::vector<std::vector<Value*>>& to,
                        const std::vector<std::vector<Value*>>& from) {
    for (size_t c = 0; c < to.size(); ++c)
      for (size_t p = 0; p < to[c].size(); ++p)
        llvm::cast<llvm::PHINode>(to[c][p])->addIncoming(from[c][p], b_.GetInsertBlock());
  };
  const auto index_phi = phis({{begin}});
  const auto now = phis(first);
  Value* i = scalar(body.arguments[0]) = index_phi[0][0];
  for (size_t c = 0; c < carried; ++c) set(body.arguments[c + 1], now[c]);
  emit_block(body);
  std::vector<std::vector<Value*>> next;
  for (size_t c = 0; c < carried; ++c) next.push_back(values(body.yields[c]));
  join(now, next);
  join(index_phi, {{b_.CreateAdd(i, step)}});
  BasicBlock* latch = b_.GetInsertBlock();
  // As unsigned numbers: i + step past the end may overflow.
  b_.CreateCondBr(b_.CreateICmpUGT(b_.CreateSub(end, i), step), inside, after);

  b_.SetInsertPoint(after);
  known_ = outside;
  const auto last = phis(first);
  for (size_t c = 0; c < carried; ++c) {
    for (size_t p = 0; p < last[c].size(); ++p)
      llvm::cast<llvm::PHINode>(last[c][p])->addIncoming(next[c][p], latch);
    set(in.results[c], last[c]);
  }
}

// What an iteration stores, the next one would read.
void GpuFunction::mark_written(const Block& code) {
  for (const Instruction& in : code.code) {
    if (in.op == TileOp::store) written_[static_cast<size_t>(in.parameter)] = true;
    for (const Block& region : in.regions) mark_written(region);
  }
}

int lower_for_gpu(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module) {
  return GpuFunction(kernel, target, module).emit();
}

}  // namespace cairn::compiler
