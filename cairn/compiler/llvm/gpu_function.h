// The lowering of one kernel (gpu_lowering.h), in parts: statements in gpu_function.cpp, loops in
// gpu_loop.cpp, values in gpu_values.cpp, who has which element in gpu_layout.cpp, memory in
// gpu_memory.cpp, products in gpu_dot.cpp and gpu_mma.cpp, what goes along an axis in gpu_lines.cpp
// and gpu_reduce.h.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "cairn/compiler/llvm/emitter.h"
#include "cairn/compiler/llvm/gpu_device.h"
#include "cairn/compiler/llvm/gpu_dot.h"
#include "cairn/compiler/llvm/gpu_lowering.h"
#include "cairn/tile/axis.h"
#include "cairn/tile/ir.h"
#include "cairn/tile/layout.h"

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

// A matrix in shared memory. Its sizes are powers of two and its rows are swizzled (tile/layout.h),
// or it is in row-major order.
struct SharedTile {
  llvm::Value* memory = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  bool narrow = false;  // elements as global memory has them, not as registers do
  // Along each axis the offsets of coordinates 1, 2, 4, ...; empty in row-major order.
  std::vector<std::vector<int64_t>> offsets = {};

  int64_t element_bytes() const;
  int64_t bytes() const { return shape.elements() * element_bytes(); }
  int64_t piece() const { return kAccessBytes / element_bytes(); }
};

class GpuFunction {
 public:
  GpuFunction(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module);
  GpuLaunch emit();

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
    const size_t at = in.op == tile::TileOp::load ? 1 : 2;
    return in.operands.size() > at ? in.operands[at] : -1;
  }
  // Of a value along a pack's axis.
  tile::AxisFacts facts(ValueId v, const Place& place) const;

  // --- gpu_function.cpp: statements
  void define(const tile::Block& code);
  // The strategies of products, the number of threads and the lanes of a pack (16 bytes of the
  // smallest elements in memory).
  void plan(const tile::Block& code);
  void plan(const Instruction& in);
  bool is_sum(const Shape& shape) const;  // of a product
  void deal_out_sums();
  void make_function();
  // Whether the launch may give an output the memory of this input, or this output that of an
  // input.
  bool may_share(const tile::Parameter& p) const;
  void place_program();
  void emit_block(const tile::Block& code);
  void emit_scalar(const Instruction& in) { scalar(in.results[0]) = compute(in, {}).value; }
  void emit_stores(const std::vector<const Instruction*>& stores);
  void when(Value* condition, const std::function<void()>& body);
  // for (i = 0; i < end; i += step), end above 0.
  void walk(int64_t end, int64_t step, const std::function<void(Value* i)>& body);
  // condition ? yes() : no(), each in its branch.
  Value* choose(Value* condition, const std::function<Value*()>& yes,
                const std::function<Value*()>& no);

  // --- gpu_loop.cpp
  // An operand of a product whose tile for the next turn of a loop is copied while this one's is
  // used: in two buffers, which turns use in turn.
  struct Stream {
    const Instruction* load;
    DotOperand operand;
    SharedTile tile;  // its memory is both
    unsigned width;   // elements of a copy
  };
  void emit_loop(const Instruction& in);
  // Marks what a loop's body stores to.
  void mark_written(const tile::Block& code);
  // Operands of the products of a loop's body that do not change in it are put in place before.
  void place_invariants(const tile::Block& body);
  bool is_invariant(ValueId v, const tile::Block& body) const;
  std::vector<Stream> streams_of(const Instruction& loop);
  std::optional<Stream> stream_of(const DotOperand& operand, const tile::Block& body);
  // Whether a value follows from the loop's index and what is known before the loop.
  bool follows_index(ValueId v, const tile::Block& body) const;
  // Elements of a copy; 0 where a load has none.
  unsigned copy_width(const Instruction& load, const SharedTile& tile, bool turns);
  void copy_turn(const std::vector<Stream>& streams, const tile::Block& body, Value* i,
                 Value* slot);
  Value* slot_memory(const Stream& stream, Value* slot);

  // --- gpu_values.cpp
  // Equal operands give the same value, so that equal places are known again.
  Value* index(llvm::Instruction::BinaryOps op, Value* x, Value* y);
  // The coordinates of the element with that number, and back.
  std::vector<Value*> cut(Value* linear, const Shape& shape);
  Value* joined(const std::vector<Value*>& at, const Shape& shape);
  // Where an operand of a movement is read for the result to be there; nothing where a pack falls
  // apart.
  std::optional<Place> moved(const Instruction& in, const Place& place);
  // Where operand of a movement is read for lane j of a place.
  Place moved_lane(const Instruction& in, const Place& place, unsigned j);
  Value* lane(const PackValue& x, unsigned j);
  Value* as_vector(const PackValue& x, unsigned lanes);
  // A vector of what `element` gives for each lane.
  Value* gathered(unsigned lanes, const std::function<Value*(unsigned)>& element);
  PackValue evaluate(ValueId v, const Place& place);
  PackValue compute(const Instruction& in, const Place& place);
  PackValue elementwise(const Instruction& in, const Place& place);
  Value* number(const Instruction& in, DType from, DType to, std::span<Value* const> values);

  // --- gpu_layout.cpp
  // This thread's packs of a tile. Called where code is straight, not in a branch.
  const std::vector<Pack>& packs(const Shape& shape);
  // In row-major order, neighbours in neighbouring threads.
  const std::vector<Pack>& row_packs(const Shape& shape);
  // Calls body for each of row_packs(), in code for each or, where that would be many accesses, in
  // one loop; what body adds to known_ is not known behind it. A pack may come in two threads.
  void each_row_pack(const Shape& shape, unsigned accesses,
                     const std::function<void(const Pack&)>& body);
  std::vector<Pack> dealt(const tile::Distribution& distribution);
  // How the sums of products of that shape are dealt out; null for other tiles.
  const tile::Distribution* distribution(const Shape& shape) const;
  // The exclusive or of images[b] over the bits b of x, which is below 2^images.size().
  Value* linear(const std::vector<int64_t>& images, Value* x);
  // This thread's coordinate, and that `fixed` further, where the two have no common bits.
  Value* coordinate(const tile::Layout& threads, int axis);
  Value* plus(Value* part, int64_t fixed);
  // Values that are computed once and stay where they are: sums of products, what a loop carries.
  void hold(ValueId v, const Pack& pack, Value* value);
  // Of what these values need at these packs, what lies in other threads is put in shared memory.
  // To be called by all threads before the values are evaluated.
  void prepare(const std::vector<ValueId>& values, const std::vector<Pack>& packs);
  // What v at that place needs and is not known there.
  using Missing = std::set<ValueId>;
  void find_missing(ValueId v, const Place& place, std::set<std::pair<ValueId, Place>>& seen,
                    Missing& missing);
  bool is_known(ValueId v, const std::vector<Pack>& packs);
  PackValue from_shared(ValueId v, const Place& place);
  // v in row-major order at `memory`, between barriers.
  void write_rows(ValueId v, const std::vector<Pack>& packs, Value* memory);
  SharedTile shared_tile(const Shape& shape, DType dtype, bool narrow);
  Value* offset_in(const SharedTile& tile, Value* row, Value* column);
  Value* element_in(const SharedTile& tile, Value* row, Value* column);
  // `count` neighbours of a row, as memory and as registers have them.
  Value* load_words(const SharedTile& tile, Value* row, Value* column, unsigned count);
  Value* load_from(const SharedTile& tile, Value* row, Value* column, unsigned count);
  void store_to(const SharedTile& tile, const Place& place, Value* value, bool turns);

  // --- gpu_dot.cpp
  void emit_dot(const Instruction& in);
  DotOperand operand_of(const Instruction& dot, int number) const;
  // Operands of a product that are not in place get there, in scratch memory.
  std::vector<SharedTile> stage(const std::vector<DotOperand>& operands);
  void stage_into(const SharedTile& tile, const DotOperand& operand);
  const SharedTile* staged(const DotOperand& operand) const;
  void emit_fma(const Instruction& in);
  // --- gpu_mma.cpp
  void emit_mma(const Instruction& in);
  void emit_mfma(const Instruction& in);
  // Where x is null it is in registers, in the packs of its fragments. Turned: in memory as the
  // transposed matrix.
  struct MatrixOperands {
    SharedTile x, y;
    bool x_turned, y_turned;
  };
  MatrixOperands place_operands(const Instruction& in, const std::vector<Pack>& x_packs);
  Value* words_of(ValueId v, const Pack& pack);

  // --- gpu_lines.cpp: reductions, scans
  void emit_reduce(const Instruction& in);
  bool reduce_in_registers(const Instruction& in);
  void emit_scan(const Instruction& in);
  void emit_arg_reduce(const Instruction& in);
  // All threads are done with what lies in scratch memory, of which `bytes` are needed next.
  Value* scratch(int64_t bytes);

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
  void emit_atomic(const Instruction& in);

  // What has been computed on the way here. A loop's body adds to it what is not known behind it.
  struct Known {
    std::map<std::pair<ValueId, Place>, PackValue> values;
    std::map<std::vector<int64_t>, std::vector<Pack>> packs, row_packs;  // by shape
    std::map<std::pair<int64_t, int64_t>, Value*> linear;                // by first pack and lanes
    std::map<std::tuple<int, Value*, Value*>, Value*> indices;
    // Of a coordinate that is a sum of two numbers without common bits: the two.
    std::map<Value*, std::pair<Value*, int64_t>> split;
    std::map<ValueId, std::vector<Pack>> held;  // where values are that stay where they are
    std::map<ValueId, Value*> in_shared;        // where values lie in row-major order
    std::map<DotOperand, SharedTile> staged;
  };

  const tile::Kernel& kernel_;
  const GpuTarget target_;
  llvm::Module& module_;
  Emitter emitter_;
  llvm::IRBuilder<>& b_;
  GpuDevice device_;
  const std::vector<tile::ValueFacts> facts_;
  llvm::Function* function_ = nullptr;
  int threads_ = 0;
  int64_t wanted_threads_ = 1;
  std::vector<std::pair<const Instruction*, const DotStrategy*>> dots_;  // in the order of the text
  std::map<std::vector<int64_t>, tile::Distribution> distributions_;     // by shape
  unsigned access_lanes_ = 1;
  Value* thread_ = nullptr;
  llvm::GlobalVariable* scratch_ = nullptr;      // for tiles that one instruction needs
  bool scratch_is_read_ = false;                 // since the last barrier, by any thread
  std::vector<Value*> scalars_;                  // by ValueId, of those that have been computed
  std::vector<const Instruction*> definitions_;  // by ValueId; null of parameters, a loop's values
  std::vector<Value*> buffers_;                  // by parameter
  std::vector<bool> written_;                    // by parameter: stored to, so far
  std::vector<Value*> program_;                  // this program's coordinates in the grid
  Known known_;
};

}  // namespace cairn::compiler
