// 32 threads take a line, or a chunk of 4096 of its elements. Each is two of the 64 lanes of the
// order of sums, l and l + 32: so the first halving is an addition of its own two numbers, the
// other five are shuffles within a warp (or half a wave of AMD's), and neighbours read neighbours.
#include "cairn/compiler/llvm/gpu_reduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>

namespace cairn::compiler {

using llvm::Value;

namespace {

constexpr int64_t kThreadsPerLine = tile::kReduceLanes / 2;

class Reduction {
 public:
  Reduction(GpuDevice& device, Emitter& emitter, tile::Combine kind, DType dtype, int threads)
      : device_(device),
        emitter_(emitter),
        b_(emitter.b),
        kind_(kind),
        dtype_(dtype),
        // 16-bit floats accumulate in f32 and are rounded once.
        wide_(is_float(dtype) && size_of(dtype) == 2 ? DType::f32 : dtype),
        threads_(threads) {}

  // `lines` lines of n elements, `stride` apart.
  Value* reduce(Value* tile, int64_t lines, int64_t n, int64_t stride) {
    const int64_t chunks = (n + tile::kReduceChunk - 1) / tile::kReduceChunk;
    const int64_t groups = lines * chunks;
    const int64_t bytes = groups * shared_size(dtype_);
    Value* results = device_.shared("reduced", bytes);
    device_.barrier();
    Value* thread = device_.thread();
    for (int64_t first = 0; first < groups; first += threads_ / kThreadsPerLine) {
      Value* group = b_.CreateAdd(b_.CreateUDiv(thread, index(kThreadsPerLine)), index(first));
      Value* lane = b_.CreateURem(thread, index(kThreadsPerLine));
      // Those who are too many do what the last ones do, for shuffles need all.
      Value* place = group;
      if (first + threads_ / kThreadsPerLine > groups)
        place = b_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, group, index(groups - 1));
      Value* result = chunk(tile, place, lane, chunks, n, stride);
      if (chunks == 1) result = emitter_.apply(Op::cast, wide_, dtype_, {&result, 1});
      write(results, group, lane, groups, result);
    }
    device_.barrier();
    return chunks == 1 ? results : reduce(results, lines, chunks, 1);
  }

 private:
  Value* index(int64_t v) { return b_.getInt32(static_cast<uint32_t>(v)); }
  Value* combine(Value* x, Value* y) {
    Value* operands[] = {x, y};
    return emitter_.apply(combining(kind_), wide_, wide_, operands);
  }

  // In the thread of lane 0 the chunk's result.
  Value* chunk(Value* tile, Value* group, Value* lane, int64_t chunks, int64_t n, int64_t stride) {
    Value* line = b_.CreateUDiv(group, index(chunks));
    Value* begin = b_.CreateMul(b_.CreateURem(group, index(chunks)), index(tile::kReduceChunk));
    Value* base = b_.CreateAdd(b_.CreateMul(b_.CreateUDiv(line, index(stride)), index(stride * n)),
                               b_.CreateURem(line, index(stride)));
    Value* lanes[2];
    for (int64_t half = 0; half < 2; ++half) {
      Value* sum = start_of(emitter_, kind_, wide_);
      const int64_t length = std::min(n, tile::kReduceChunk);
      for (int64_t step = half * kThreadsPerLine; step < length; step += tile::kReduceLanes) {
        Value* i = b_.CreateAdd(b_.CreateAdd(begin, lane), index(step));
        const bool all = chunks == 1 && step + kThreadsPerLine <= n;
        Value* there = all ? nullptr : b_.CreateICmpULT(i, index(n));
        if (there) i = b_.CreateSelect(there, i, index(0));
        Value* at = b_.CreateAdd(base, b_.CreateMul(i, index(stride)));
        Value* next = combine(sum, load_shared(emitter_, tile, at, dtype_));
        sum = there ? b_.CreateSelect(there, next, sum) : next;
      }
      lanes[half] = sum;
    }
    Value* sum = combine(lanes[0], lanes[1]);
    for (unsigned distance = kThreadsPerLine / 2; distance > 0; distance /= 2)
      sum = combine(sum, device_.exchange(sum, distance));
    return sum;
  }

  void write(Value* results, Value* group, Value* lane, int64_t groups, Value* result) {
    llvm::Function* function = b_.GetInsertBlock()->getParent();
    auto* inside = llvm::BasicBlock::Create(b_.getContext(), "first_lane", function);
    auto* after = llvm::BasicBlock::Create(b_.getContext(), "reduced", function);
    Value* writes =
        b_.CreateAnd(b_.CreateICmpEQ(lane, index(0)), b_.CreateICmpULT(group, index(groups)));
    b_.CreateCondBr(writes, inside, after);
    b_.SetInsertPoint(inside);
    b_.CreateStore(to_shared(emitter_, result, dtype_),
                   b_.CreateGEP(shared_type(emitter_, dtype_), results, group));
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
  }

  GpuDevice& device_;
  Emitter& emitter_;
  llvm::IRBuilder<>& b_;
  tile::Combine kind_;
  DType dtype_, wide_;
  int64_t threads_;
};

}  // namespace

Op combining(tile::Combine kind) {
  switch (kind) {
    case tile::Combine::sum: return Op::add;
    case tile::Combine::prod: return Op::multiply;
    case tile::Combine::max: return Op::maximum;
    case tile::Combine::min: return Op::minimum;
  }
  return Op::add;
}

llvm::Constant* start_of(Emitter& emitter, tile::Combine kind, DType dtype) {
  if (kind == tile::Combine::sum) return emitter.number(0, dtype);
  if (kind == tile::Combine::prod) return emitter.number(1, dtype);
  const bool largest = kind == tile::Combine::max;
  llvm::Type* type = emitter.register_type(dtype);
  if (is_float(dtype)) return llvm::ConstantFP::getInfinity(type, largest);
  const unsigned bits = type->getIntegerBitWidth();
  const bool is_signed = cairn::is_signed(dtype);
  llvm::APInt value =
      largest ? (is_signed ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getMinValue(bits))
              : (is_signed ? llvm::APInt::getSignedMaxValue(bits) : llvm::APInt::getMaxValue(bits));
  return llvm::ConstantInt::get(type->getContext(), value);
}

llvm::Type* shared_type(Emitter& emitter, DType dtype) {
  return dtype == DType::b8 ? emitter.memory_type(dtype) : emitter.register_type(dtype);
}
Value* to_shared(Emitter& emitter, Value* value, DType dtype) {
  return dtype == DType::b8 ? emitter.to_memory(value, dtype) : value;
}
int64_t shared_size(DType dtype) {
  return is_float(dtype) ? std::max<int64_t>(static_cast<int64_t>(size_of(dtype)), 4)
                         : static_cast<int64_t>(size_of(dtype));
}
Value* load_shared(Emitter& emitter, Value* memory, Value* index, DType dtype) {
  llvm::Type* type = shared_type(emitter, dtype);
  Value* loaded = emitter.b.CreateLoad(type, emitter.b.CreateGEP(type, memory, index));
  return dtype == DType::b8 ? emitter.from_memory(loaded, dtype) : loaded;
}

Value* reduce_shared(GpuDevice& device, Emitter& emitter, tile::Combine kind, DType dtype,
                     const Shape& shape, int axis, Value* tile, int threads) {
  const int64_t n = shape[axis];
  return Reduction(device, emitter, kind, dtype, threads)
      .reduce(tile, shape.elements() / n, n, shape.strides()[axis]);
}

}  // namespace cairn::compiler
