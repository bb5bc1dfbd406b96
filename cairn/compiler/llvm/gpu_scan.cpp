// Scans and indices of the best elements, of tiles that lie in shared memory. A thread walks a line
// from its first element to its last: a scan has one order, and a kernel has many lines.
#include <functional>

#include "cairn/compiler/llvm/gpu_reduce.h"

namespace cairn::compiler {

using llvm::BasicBlock;
using llvm::Value;

namespace {

// The lines of a tile along an axis, dealt out to the threads.
class Lines {
 public:
  Lines(GpuDevice& device, Emitter& emitter, const Shape& shape, int axis, int threads)
      : b_(emitter.b),
        thread_(device.thread()),
        n_(shape[axis]),
        stride_(shape.strides()[axis]),
        count_(shape.elements() / shape[axis]),
        threads_(threads) {}

  // Calls line(number, first) for each line of this thread: where its first element is.
  void each(const std::function<void(Value*, Value*)>& line) {
    if (count_ <= threads_) {
      when(b_.CreateICmpULT(thread_, i32(count_)), [&] { line(thread_, first_of(thread_)); });
      return;
    }
    walk(thread_, count_, threads_, [&](Value* l) { line(l, first_of(l)); });
  }

  // step(k, carried) for k = begin .. n - 1, from `start` on; gives what is carried last.
  std::vector<Value*> along(
      int64_t begin, std::vector<Value*> carried,
      const std::function<std::vector<Value*>(Value*, const std::vector<Value*>&)>& step) {
    if (begin == n_) return carried;
    BasicBlock* before = b_.GetInsertBlock();
    BasicBlock* inside = block("along");
    BasicBlock* after = block("along_done");
    b_.CreateBr(inside);
    b_.SetInsertPoint(inside);
    llvm::PHINode* k = b_.CreatePHI(b_.getInt32Ty(), 2);
    k->addIncoming(i32(begin), before);
    std::vector<llvm::PHINode*> phis;
    std::vector<Value*> now;
    for (Value* value : carried) {
      phis.push_back(b_.CreatePHI(value->getType(), 2));
      phis.back()->addIncoming(value, before);
      now.push_back(phis.back());
    }
    const std::vector<Value*> next = step(k, now);
    Value* following = b_.CreateAdd(k, i32(1));
    k->addIncoming(following, b_.GetInsertBlock());
    for (size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(next[i], b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpULT(following, i32(n_)), inside, after);
    b_.SetInsertPoint(after);
    return next;
  }

  Value* element(Value* first, Value* k) {
    return b_.CreateAdd(first, b_.CreateMul(k, i32(stride_)));
  }
  Value* i32(int64_t v) { return b_.getInt32(static_cast<uint32_t>(v)); }
  int64_t n() const { return n_; }
  int64_t count() const { return count_; }

 private:
  BasicBlock* block(const char* name) {
    return BasicBlock::Create(b_.getContext(), name, b_.GetInsertBlock()->getParent());
  }
  Value* first_of(Value* line) {
    return b_.CreateAdd(b_.CreateMul(b_.CreateUDiv(line, i32(stride_)), i32(stride_ * n_)),
                        b_.CreateURem(line, i32(stride_)));
  }
  void when(Value* condition, const std::function<void()>& body) {
    BasicBlock* inside = block("line");
    BasicBlock* after = block("lines_done");
    b_.CreateCondBr(condition, inside, after);
    b_.SetInsertPoint(inside);
    body();
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
  }
  // for (i = begin; i < end; i += step), begin below end.
  void walk(Value* begin, int64_t end, int64_t step, const std::function<void(Value*)>& body) {
    BasicBlock* before = b_.GetInsertBlock();
    BasicBlock* inside = block("lines");
    BasicBlock* after = block("lines_done");
    b_.CreateBr(inside);
    b_.SetInsertPoint(inside);
    llvm::PHINode* i = b_.CreatePHI(b_.getInt32Ty(), 2);
    i->addIncoming(begin, before);
    body(i);
    Value* next = b_.CreateAdd(i, i32(step));
    i->addIncoming(next, b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpULT(next, i32(end)), inside, after);
    b_.SetInsertPoint(after);
  }

  llvm::IRBuilder<>& b_;
  Value* thread_;
  int64_t n_, stride_, count_;
  int threads_;
};

}  // namespace

void scan_shared(GpuDevice& device, Emitter& emitter, const tile::Instruction& in,
                 const tile::TileType& type, Value* tile, int threads) {
  const DType dtype = type.dtype;
  const DType wide = is_float(dtype) && size_of(dtype) == 2 ? DType::f32 : dtype;
  llvm::IRBuilder<>& b = emitter.b;
  Lines lines(device, emitter, type.shape, in.axis, threads);
  // A sum starts from +0 as that of `reduce` does; a maximum from what leaves the first as it is.
  const bool sums = in.kind == tile::Combine::sum || in.kind == tile::Combine::prod;
  lines.each([&](Value*, Value* first) {
    const auto at = [&](Value* k) {
      return lines.element(first, in.reverse ? b.CreateSub(lines.i32(lines.n() - 1), k) : k);
    };
    const auto write = [&](Value* where, Value* value) {
      value = emitter.apply(Op::cast, wide, dtype, {&value, 1});
      b.CreateStore(to_shared(emitter, value, dtype),
                    b.CreateGEP(shared_type(emitter, dtype), tile, where));
    };
    const auto step = [&](Value* k, const std::vector<Value*>& carried) {
      Value* where = at(k);
      Value* operands[] = {carried[0], load_shared(emitter, tile, where, dtype)};
      Value* value = emitter.apply(combining(in.kind), wide, wide, operands);
      write(where, value);
      return std::vector<Value*>{value};
    };
    if (sums) {
      lines.along(0, {start_of(emitter, in.kind, wide)}, step);
    } else {
      lines.along(1, {load_shared(emitter, tile, at(lines.i32(0)), dtype)}, step);
    }
  });
}

Value* arg_reduce_shared(GpuDevice& device, Emitter& emitter, tile::Combine kind,
                         const tile::TileType& type, int axis, Value* tile, int threads) {
  const DType dtype = type.dtype;
  llvm::IRBuilder<>& b = emitter.b;
  Lines lines(device, emitter, type.shape, axis, threads);
  Value* results = device.shared("best", lines.count() * static_cast<int64_t>(sizeof(int32_t)));
  device.barrier();
  lines.each([&](Value* line, Value* first) {
    const auto better = [&](Value* value, Value* best) {
      Value* is_better = kind == tile::Combine::max ? emitter.compare_less(dtype, best, value)
                                                    : emitter.compare_less(dtype, value, best);
      if (!is_float(dtype)) return is_better;
      // A NaN is better than any number, and then the first stays.
      Value* is_nan = b.CreateFCmpUNO(value, value);
      return b.CreateAnd(b.CreateOr(is_better, is_nan), b.CreateFCmpORD(best, best));
    };
    const auto step = [&](Value* k, const std::vector<Value*>& carried) {
      Value* value = load_shared(emitter, tile, lines.element(first, k), dtype);
      Value* take = better(value, carried[0]);
      return std::vector<Value*>{b.CreateSelect(take, value, carried[0]),
                                 b.CreateSelect(take, k, carried[1])};
    };
    const std::vector<Value*> best =
        lines.along(1, {load_shared(emitter, tile, first, dtype), lines.i32(0)}, step);
    b.CreateStore(best[1], b.CreateGEP(b.getInt32Ty(), results, line));
  });
  device.barrier();
  return results;
}

}  // namespace cairn::compiler
