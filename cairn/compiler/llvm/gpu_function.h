// The lowering of one kernel (gpu_lowering.h), in parts: statements in gpu_function.cpp, values in
// gpu_values.cpp, memory in gpu_memory.cpp; reductions are gpu_reduce.h's.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "cairn/compiler/llvm/emitter.h"
#include "cairn/compiler/llvm/gpu_device.h"
#include "cairn/tile/axis.h"
#include "cairn/tile/ir.h"

namespace cairn::compiler {

// Bytes of the widest access.
inline constexpr int64_t kAccessBytes = 16;

// Where a pack of a tile is: the coordinates of its first element, i32, and the axis along which
// the others follow. lanes 0: one element, not a vector.
struct Place {
  std::vector<llvm::Value*> at;
  int axis = -1;
  unsigned lanes = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

// A value at a place: one number for all lanes, first + stride * lane, or a vector.
struct PackValue {
  enum class Kind : uint8_t { uniform, affine, vector };
  Kind kind = Kind::uniform;
  llvm::Value* value = nullptr;
  int64_t stride = 0;  // of affine
};

struct Pack {
  Place place;
  llvm::Value* there;  // null: in all threads
};

class GpuFunction {
 public:
  GpuFunction(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module);
  // Gives the number of threads.
  int emit();

 private:
  using Instruction = tile::Instruction;
  using Value = llvm::Value;
  using ValueId = tile::ValueId;

  [[noreturn]] void unsupported(const Instruction& in, std::string_view what) const;
  llvm::BasicBlock* block(const char* name) {
    return llvm::BasicBlock::Create(module_.getContext(), name, function_);
  }
  Value* i32(int64_t v) { return b_.getInt32(static_cast<uint32_t>(v)); }
  const tile::TileType& type(ValueId v) const { return kernel_.type(v); }
  Value*& scalar(ValueId v) { return scalars_[static_cast<size_t>(v)]; }
  const tile::Parameter& buffer(const Instruction& in) const {
    return kernel_.parameters[static_cast<size_t>(in.parameter)];
  }
  static ValueId mask_of(const Instruction& in) {
    const size_t at = in.op == tile::TileOp::store ? 2 : 1;
    return in.operands.size() > at ? in.operands[at] : -1;
  }
  // Of a value along a pack's axis.
  tile::AxisFacts facts(ValueId v, const Place& place) const;

  // --- gpu_function.cpp: statements
  void define(const tile::Block& code);
  // The number of threads, the lanes of a pack (16 bytes of the smallest elements in memory) and
  // the shared memory for the largest tile that is reduced.
  void plan(const tile::Block& code);
  void plan(const Instruction& in);
  void make_function();
  void place_program();
  void emit_block(const tile::Block& code);
  void emit_scalar(const Instruction& in) { scalar(in.results[0]) = compute(in, {}).value; }
  void emit_stores(const std::vector<const Instruction*>& stores);
  void emit_reduce(const Instruction& in);
  void emit_loop(const Instruction& in);
  // Marks what a loop's body stores to.
  void mark_written(const tile::Block& code);
  void when(Value* condition, const std::function<void()>& body);
  // condition ? yes() : no(), each in its branch.
  Value* choose(Value* condition, const std::function<Value*()>& yes,
                const std::function<Value*()>& no);

  // --- gpu_values.cpp
  // Equal operands give the same value, so that equal places are known again.
  Value* index(llvm::Instruction::BinaryOps op, Value* x, Value* y);
  // This thread's packs of a tile. Called where code is straight, not in a branch.
  const std::vector<Pack>& packs(const Shape& shape);
  // The coordinates of the element with that number, and back.
  std::vector<Value*> cut(Value* linear, const Shape& shape);
  Value* joined(const std::vector<Value*>& at, const Shape& shape);
  // Where an operand of a movement is read for the result to be there; nothing where a pack falls
  // apart.
  std::optional<Place> moved(const Instruction& in, const Place& place);
  Value* lane(const PackValue& x, unsigned j);
  Value* as_vector(const PackValue& x, unsigned lanes);
  // A vector of what `element` gives for each lane.
  Value* gathered(unsigned lanes, const std::function<Value*(unsigned)>& element);
  PackValue evaluate(ValueId v, const Place& place);
  PackValue compute(const Instruction& in, const Place& place);
  PackValue elementwise(const Instruction& in, const Place& place);
  Value* number(const Instruction& in, DType from, DType to, std::span<Value* const> values);
  PackValue reduced(const Instruction& in, const Place& place);

  // --- gpu_memory.cpp
  static llvm::Align buffer_alignment(const tile::Parameter& p);
  Value* address(const Instruction& in, Value* offset);
  // Of an access to `count` elements that start at a multiple of as many.
  llvm::Align alignment(const Instruction& in, unsigned count) const;
  // How many elements of a pack are accessed at once.
  unsigned access_width(const Instruction& in, const Place& place) const;
  // Whether all lanes first..first+count-1 of a mask hold.
  Value* all_of(const PackValue& mask, unsigned first, unsigned count);
  Value* load_elements(const Instruction& in, Value* offset, unsigned count);
  PackValue load(const Instruction& in, const Place& place);
  void store_elements(const Instruction& in, Value* offset, Value* value, unsigned count);
  void store(const Instruction& in, const Place& place, const PackValue& offset,
             const PackValue& value, const PackValue& mask);

  // What has been computed on the way here. A loop's body adds to it what is not known behind it.
  struct Known {
    std::map<std::pair<ValueId, Place>, PackValue> values;
    std::map<std::vector<int64_t>, std::vector<Pack>> packs;  // by shape
    std::map<std::pair<int64_t, int64_t>, Value*> linear;     // by first pack and lanes
    std::map<std::tuple<int, Value*, Value*>, Value*> indices;
  };

  const tile::Kernel& kernel_;
  llvm::Module& module_;
  Emitter emitter_;
  llvm::IRBuilder<>& b_;
  GpuDevice device_;
  const std::vector<tile::ValueFacts> facts_;
  llvm::Function* function_ = nullptr;
  int threads_ = 0;
  int64_t largest_ = 1;  // tile that is dealt out
  unsigned access_lanes_ = 1;
  int64_t shared_bytes_ = 0;
  Value* thread_ = nullptr;
  Value* tile_memory_ = nullptr;                 // the tile that is being reduced
  std::vector<Value*> scalars_;                  // by ValueId, of those that have been computed
  std::vector<const Instruction*> definitions_;  // by ValueId; null of parameters, a loop's values
  std::vector<Value*> reduced_;                  // by ValueId: where a reduction's result lies
  std::vector<Value*> buffers_;                  // by parameter
  std::vector<bool> written_;                    // by parameter: stored to, so far
  std::vector<Value*> program_;                  // this program's coordinates in the grid
  Known known_;
};

}  // namespace cairn::compiler
