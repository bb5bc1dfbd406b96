#include "cairn/compiler/llvm/cpu_program.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <functional>

#include "cairn/core/buffer.h"

namespace cairn::compiler {
namespace {

using llvm::BasicBlock;
using llvm::Value;

class ProgramFunction {
 public:
  ProgramFunction(const CpuFeatures& features, llvm::Module& module)
      : features_(features), module_(module), b_(module.getContext()) {}

  void emit(const Program& program, const std::string& name) {
    function_ = llvm::Function::Create(type(), llvm::Function::ExternalLinkage, name, module_);
    b_.SetInsertPoint(block("entry"));
    Memory memory;
    size_t at = 0;
    const auto next = [&] { return argument(at++, b_.getPtrTy()); };
    for (size_t i = 0; i < count(program, Program::Place::Kind::argument); ++i)
      memory.arguments.push_back(next());
    for (size_t i = 0; i < count(program, Program::Place::Kind::result); ++i)
      memory.results.push_back(next());
    memory.arena = next();
    for (int i = 0; i < constants(program); ++i)
      constants_.push_back(argument(at++, b_.getInt64Ty()));
    emit(program, memory);
    b_.CreateRetVoid();
  }

 private:
  struct Memory {
    std::vector<Value*> arguments, results;
    Value* arena = nullptr;
  };

  llvm::FunctionType* type() {
    llvm::Type* i64 = b_.getInt64Ty();
    return llvm::FunctionType::get(b_.getVoidTy(), {b_.getPtrTy(), i64, i64}, false);
  }
  BasicBlock* block(const char* name) {
    return BasicBlock::Create(module_.getContext(), name, function_);
  }
  Value* i64(int64_t v) { return b_.getInt64(static_cast<uint64_t>(v)); }
  Value* i64(size_t v) { return b_.getInt64(v); }
  Value* argument(size_t i, llvm::Type* type) {
    return b_.CreateLoad(type,
                         b_.CreateConstInBoundsGEP1_64(b_.getInt64Ty(), function_->getArg(0), i));
  }
  Value* address(Value* base, Value* bytes) { return b_.CreateGEP(b_.getInt8Ty(), base, bytes); }
  void copy(Value* to, Value* from, size_t bytes) {
    if (bytes) b_.CreateMemCpy(to, llvm::Align(1), from, llvm::Align(1), bytes);
  }
  void when(Value* condition, const std::function<void()>& then,
            const std::function<void()>& otherwise = nullptr) {
    BasicBlock* yes = block("then");
    BasicBlock* no = otherwise ? block("else") : nullptr;
    BasicBlock* after = block("end");
    b_.CreateCondBr(condition, yes, no ? no : after);
    b_.SetInsertPoint(yes);
    then();
    b_.CreateBr(after);
    if (no) {
      b_.SetInsertPoint(no);
      otherwise();
      b_.CreateBr(after);
    }
    b_.SetInsertPoint(after);
  }

  // Of the program itself, which has as many as its highest place says.
  static size_t count(const Program& program, Program::Place::Kind kind) {
    size_t n = 0;
    for (const Program::Place& place : program.places)
      if (place.kind == kind) n = std::max(n, static_cast<size_t>(place.index) + 1);
    return n;
  }
  static int constants(const Program& program) {
    int n = 0;
    for (const ProgramStep& step : program.steps) {
      for (const ProgramScalar& scalar : step.scalars) n = std::max(n, scalar.constant + 1);
      for (const Program& region : step.regions) n = std::max(n, constants(region));
    }
    return n;
  }

  void emit(const Program& program, const Memory& memory) {
    std::vector<Value*> places;
    for (const Program::Place& place : program.places) {
      const auto at = static_cast<size_t>(place.index);
      switch (place.kind) {
        case Program::Place::Kind::argument: places.push_back(memory.arguments[at]); break;
        case Program::Place::Kind::result: places.push_back(memory.results[at]); break;
        case Program::Place::Kind::arena: places.push_back(address(memory.arena, i64(at))); break;
      }
    }
    for (const ProgramStep& step : program.steps) {
      std::vector<Value*> in, out;
      for (const int place : step.inputs) in.push_back(places[static_cast<size_t>(place)]);
      for (const int place : step.outputs) out.push_back(places[static_cast<size_t>(place)]);
      Value* workspace = step.workspace < 0 ? nullptr : places[static_cast<size_t>(step.workspace)];
      switch (step.kind) {
        case ProgramStep::Kind::kernel: emit_kernel(step, in, out); break;
        case ProgramStep::Kind::copy: copy(out[0], in[0], step.output_bytes[0]); break;
        case ProgramStep::Kind::cond: emit_cond(step, in, out, workspace); break;
        case ProgramStep::Kind::loop: emit_loop(step, in, out, workspace); break;
      }
    }
  }

  // A call whose arguments stand in memory that inlining makes registers.
  void emit_kernel(const ProgramStep& step, const std::vector<Value*>& in,
                   const std::vector<Value*>& out) {
    tile::Kernel kernel = step.kernel;
    kernel.name = fmt::format("{}.{}", step.kernel.name, kernels_++);
    lower_for_cpu(kernel, features_, {}, module_);
    llvm::Function* callee = module_.getFunction(kernel.name);
    callee->setLinkage(llvm::Function::InternalLinkage);
    callee->addFnAttr(llvm::Attribute::AlwaysInline);
    const size_t n = kernel.parameters.size();
    auto* slots_type = llvm::ArrayType::get(b_.getInt64Ty(), n);
    BasicBlock& entry = function_->getEntryBlock();
    Value* slots = llvm::IRBuilder<>(&entry, entry.begin()).CreateAlloca(slots_type);
    size_t at = 0;
    const auto pass = [&](Value* value) {
      b_.CreateStore(value, b_.CreateConstInBoundsGEP2_64(slots_type, slots, 0, at++));
    };
    for (Value* address : in) pass(address);
    for (Value* address : out) pass(address);
    for (const ProgramScalar& scalar : step.scalars)
      pass(scalar.constant < 0 ? i64(scalar.number)
                               : constants_[static_cast<size_t>(scalar.constant)]);
    for (const std::vector<int64_t>& table : step.tables) pass(emit_table(table));
    b_.CreateCall(callee, {slots, i64(int64_t{0}), i64(step.programs)});
  }

  Value* emit_table(const std::vector<int64_t>& table) {
    const std::vector<uint64_t> numbers(table.begin(), table.end());
    auto* values = llvm::ConstantDataArray::get(module_.getContext(), numbers);
    auto* variable = new llvm::GlobalVariable(module_, values->getType(), true,
                                              llvm::GlobalValue::PrivateLinkage, values, "table");
    variable->setAlignment(llvm::Align(64));
    return variable;
  }

  void emit_cond(const ProgramStep& step, const std::vector<Value*>& in,
                 const std::vector<Value*>& out, Value* workspace) {
    const Memory memory{{in.begin() + 1, in.end()}, out, workspace};
    Value* condition = b_.CreateICmpNE(b_.CreateLoad(b_.getInt8Ty(), in[0]), b_.getInt8(0));
    when(condition, [&] { emit(step.regions[0], memory); }, [&] { emit(step.regions[1], memory); });
  }

  // As run_loop() of runtime/execute.cpp, which says why.
  void emit_loop(const ProgramStep& step, const std::vector<Value*>& in,
                 const std::vector<Value*>& out, Value* workspace) {
    const size_t carried = step.carried;
    const auto most = static_cast<size_t>(std::max<int64_t>(step.max, 1));
    Value* given = b_.CreateSExt(b_.CreateLoad(b_.getInt32Ty(), in[0]), b_.getInt64Ty());
    Value* steps = b_.CreateBinaryIntrinsic(
        llvm::Intrinsic::smin, i64(step.max),
        b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, given, i64(int64_t{0})));
    Memory memory{{workspace}, {}, nullptr};
    size_t at = kBufferAlignment;
    std::vector<Value*> spare, first;
    for (size_t i = 0; i < carried; ++i) {
      spare.push_back(address(workspace, i64(at)));
      at += round_up_to_alignment(step.output_bytes[i]);
    }
    memory.arena = address(workspace, i64(at));
    Value* is_odd = b_.CreateTrunc(steps, b_.getInt1Ty());
    for (size_t i = 0; i < carried; ++i) {
      Value* moves = b_.CreateAnd(is_odd, b_.CreateICmpEQ(in[1 + i], out[i]));
      when(moves, [&] { copy(spare[i], in[1 + i], step.output_bytes[i]); });
      first.push_back(b_.CreateSelect(moves, spare[i], in[1 + i]));
    }
    BasicBlock* before = b_.GetInsertBlock();
    BasicBlock* inside = block("step");
    BasicBlock* after = block("steps_done");
    b_.CreateCondBr(b_.CreateICmpSGT(steps, i64(int64_t{0})), inside, after);
    b_.SetInsertPoint(inside);
    llvm::PHINode* s = b_.CreatePHI(b_.getInt64Ty(), 2);
    s->addIncoming(i64(int64_t{0}), before);
    std::vector<llvm::PHINode*> values;
    for (size_t i = 0; i < carried; ++i) {
      values.push_back(b_.CreatePHI(b_.getPtrTy(), 2));
      values[i]->addIncoming(first[i], before);
      memory.arguments.push_back(values[i]);
    }
    Value* left = b_.CreateSub(b_.CreateSub(steps, i64(int64_t{1})), s);
    Value* k = step.reverse ? left : s;
    b_.CreateStore(b_.CreateTrunc(k, b_.getInt32Ty()), workspace);
    const auto row = [&](Value* base, size_t bytes) {
      return address(base, b_.CreateMul(k, i64(bytes / most)));
    };
    for (size_t i = 1 + carried; i < in.size(); ++i)
      memory.arguments.push_back(i <= carried + step.scanned ? row(in[i], step.input_bytes[i])
                                                             : in[i]);
    Value* to_spare = b_.CreateTrunc(left, b_.getInt1Ty());
    for (size_t i = 0; i < carried; ++i)
      memory.results.push_back(b_.CreateSelect(to_spare, spare[i], out[i]));
    for (size_t j = carried; j < out.size(); ++j)
      memory.results.push_back(row(out[j], step.output_bytes[j]));
    emit(step.regions[0], memory);
    Value* following = b_.CreateNSWAdd(s, i64(int64_t{1}));
    s->addIncoming(following, b_.GetInsertBlock());
    for (size_t i = 0; i < carried; ++i)
      values[i]->addIncoming(memory.results[i], b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpSLT(following, steps), inside, after);
    b_.SetInsertPoint(after);
    when(b_.CreateICmpEQ(steps, i64(int64_t{0})), [&] {
      for (size_t i = 0; i < carried; ++i)
        when(b_.CreateICmpNE(in[1 + i], out[i]),
             [&] { copy(out[i], in[1 + i], step.output_bytes[i]); });
    });
    for (size_t j = carried; j < out.size(); ++j) {
      Value* bytes = i64(step.output_bytes[j] / most);
      b_.CreateMemSet(address(out[j], b_.CreateMul(steps, bytes)), b_.getInt8(0),
                      b_.CreateMul(b_.CreateSub(i64(step.max), steps), bytes), llvm::Align(1));
    }
  }

  const CpuFeatures& features_;
  llvm::Module& module_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  std::vector<Value*> constants_;
  int kernels_ = 0;
};

}  // namespace

void lower_program(const Program& program, const std::string& name, const CpuFeatures& features,
                   llvm::Module& module) {
  ProgramFunction(features, module).emit(program, name);
}

}  // namespace cairn::compiler
