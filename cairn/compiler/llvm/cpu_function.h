// The lowering of one kernel (cpu_lowering.h), in parts: statements and loops in cpu_function.cpp,
// stores in cpu_store.cpp, values in cpu_values.cpp, bounds in cpu_bounds.cpp, reductions and scans
// in cpu_reduce.cpp, products in cpu_dot.cpp, cpu_dot_words.cpp and cpu_dot_operands.cpp.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "cairn/compiler/llvm/cpu_lowering.h"
#include "cairn/compiler/llvm/debug_lines.h"
#include "cairn/compiler/llvm/emitter.h"
#include "cairn/tile/ir.h"

namespace cairn::compiler {

// A value at the coordinates of a pack.
struct Lanes {
  enum class Kind : uint8_t { uniform, affine, vector };
  Kind kind = Kind::uniform;
  llvm::Value* value = nullptr;   // the number; that of lane 0; the vector
  llvm::Value* stride = nullptr;  // of affine, as wide as `value`

  static Lanes uniform(llvm::Value* v) { return {Kind::uniform, v, nullptr}; }
  static Lanes affine(llvm::Value* base, llvm::Value* stride) {
    return {Kind::affine, base, stride};
  }
  static Lanes vector(llvm::Value* v) { return {Kind::vector, v, nullptr}; }
  bool is_uniform() const { return kind == Kind::uniform; }
  friend auto operator<=>(const Lanes&, const Lanes&) = default;
};

// Along each axis of a tile, an i64.
using Coordinates = std::vector<Lanes>;

// A tile that is held in memory next to the stack, row-major, its rows a whole number of packs
// long, so that packs are loaded and stored without masks. Elements are as in registers, bools as
// bytes.
struct Stored {
  llvm::Value* base = nullptr;
  DType dtype = DType::f32;
  std::vector<int64_t> strides;
};

class CpuFunction {
 public:
  CpuFunction(const tile::Kernel& kernel, const CpuFeatures& features, const KernelVersion& version,
              llvm::Module& module);
  void emit();

 private:
  using Instruction = tile::Instruction;
  using ValueId = tile::ValueId;

  [[noreturn]] void unsupported(const Instruction& in, std::string_view what) const;
  llvm::BasicBlock* block(const char* name);
  llvm::Value* i64(int64_t v) { return b_.getInt64(static_cast<uint64_t>(v)); }
  const tile::TileType& type(ValueId v) const { return kernel_.type(v); }
  llvm::Value*& scalar(ValueId v) { return scalars_[static_cast<size_t>(v)]; }
  const Instruction* definition(ValueId v) const { return definitions_[static_cast<size_t>(v)]; }

  // --- cpu_function.cpp: statements
  // ---------------------------------------------------------------

  // for (i = begin; i < end; i += step) body(i).
  void loop_over(llvm::Value* begin, llvm::Value* end, int64_t step,
                 const std::function<void(llvm::Value*)>& body);
  void when(llvm::Value* condition, const std::function<void()>& body);
  void load_parameters();
  void define(const tile::Block& code, int depth);
  std::vector<llvm::Value*> grid_sizes();
  void place_program(llvm::Value* program, const std::vector<llvm::Value*>& grid);

  void emit_block(const tile::Block& code);
  void emit_scalar(const Instruction& in);
  void emit_loop(const Instruction& in);
  // Whether a yielded value reads, of what the loop carries in memory, only its own old value and
  // only where the new one is written: then it may be written there at once.
  bool updates_itself(ValueId v, const tile::Block& body, size_t number) const;
  void emit_atomic(const Instruction& in);
  // All that wait, at once.
  void emit_fetches();
  // Of each that waits the part of a product's step, one of `steps`.
  void fetch_part(std::span<const Instruction* const> fetches, llvm::Value* step, int64_t steps);
  // Loops over the axes of a tile: body(coordinates) for each pack, with tail_ set in the last one.
  using PackBody = std::function<void(const Coordinates&)>;
  void for_packs(const std::vector<llvm::Value*>& counts, const PackBody& body);
  void loop_nest(const std::vector<llvm::Value*>& counts, Coordinates& at, const PackBody& body);
  // Tiles of at most so many packs are unrolled: what they carry through a loop stays in registers.
  static constexpr int64_t kUnrolledPacks = 8;
  // for_packs() over a whole tile; unrolled when it is a few packs, so that LLVM keeps what they
  // write to a Stored in registers.
  void for_tile(const Shape& shape, const PackBody& body, int64_t most = kUnrolledPacks);
  std::vector<llvm::Value*> sizes_of(const Shape& shape);
  // The same one element at a time.
  void for_elements(const Shape& shape, const PackBody& body);
  bool is_few_packs(const Shape& shape, int64_t most) const;
  Stored reserve(const tile::TileType& type);
  llvm::Value* stack(llvm::Type* type, const char* name);  // a variable of the whole function
  void write(const Stored& to, const Coordinates& at, const Lanes& value);
  Lanes read(const Stored& from, const Coordinates& at);
  Lanes place(const Stored& stored, const Coordinates& at);  // in elements
  // Computes a value for all coordinates and holds it.
  void hold(ValueId v);
  // Whether that is cheaper than computing it wherever it is used: it takes long and several
  // statements need it, or one needs each element several times.
  bool is_better_held(ValueId v) const;
  bool is_long(ValueId v) const;
  bool is_row_index(ValueId v) const;
  void copy_into(const Stored& to, ValueId v, int64_t few = kUnrolledPacks);

  // --- cpu_store.cpp: what is written
  // -----------------------------------------------------------------------

  void prefetch(const Instruction& access, llvm::Value* offset, bool is_written);
  void store_region(const std::vector<const Instruction*>& stores);
  // Loads, among what these values of one shape are computed from, whose neighbours in memory are
  // down the first of two axes.
  std::vector<ValueId> transposed_loads(std::vector<ValueId> values);
  // for_packs() in squares, where those loads are vectors down a column that are transposed in
  // registers: a gather takes three times as long.
  void for_squares(const std::vector<llvm::Value*>& counts, const std::vector<ValueId>& loads,
                   const PackBody& prepare, const PackBody& body);
  void transpose_square(std::vector<llvm::Value*>& vectors);

  // --- cpu_bounds.cpp: masks that bound loops
  // -----------------------------------------------------

  // One condition of a mask: the instruction `less`, and where this mask evaluates it.
  struct Term {
    const Instruction* less;
    Coordinates at;
  };
  void collect_terms(ValueId mask, const Coordinates& at, std::vector<Term>& terms);
  // Lowers the counts to what the mask leaves; for each of its terms the axis that it bounds, or
  // less than 0.
  std::vector<int> bound(ValueId mask, std::vector<llvm::Value*>& counts);
  // In a pack within the bounds the terms that bound them hold.
  void assume_terms(ValueId mask, const Coordinates& here, const std::vector<int>& bounded);

  // --- cpu_values.cpp
  // -----------------------------------------------------------------------------

  Lanes evaluate(ValueId v, const Coordinates& at);
  Lanes compute(const Instruction& in, const Coordinates& at);
  Lanes elementwise(const Instruction& in, const Coordinates& at);
  Lanes lookup(const Instruction& in, const Coordinates& at);
  Lanes load(const Instruction& in, const Coordinates& at);
  llvm::Value* load_every_second(const Instruction& in, llvm::Type* memory, const Lanes& offset,
                                 const Lanes& mask, llvm::Value* other);
  llvm::Value* load_scalar(const Instruction& in, DType dtype, llvm::Value* offset,
                           llvm::Value* mask, llvm::Value* other);
  void store(const Instruction& in, const Lanes& offset, const Lanes& value, const Lanes& mask,
             bool packed);
  // A whole pack, past the caches where the launch asks for it and the place allows.
  void stream(llvm::Value* pack, llvm::Value* to, llvm::Align align);
  llvm::Value* address(const Instruction& in, llvm::Value* offset);
  llvm::Value* widened(llvm::Value* offset);
  Coordinates operand_coordinates(const Instruction& in, const Coordinates& at);
  Coordinates reshaped(const Instruction& in, const Coordinates& at);
  Lanes arithmetic(Op op, const Lanes& x, const Lanes& y);
  std::optional<Lanes> affine_result(Op op, const Lanes& x, const Lanes& y);
  llvm::Value* as_vector(const Lanes& x);
  Lanes both(const Lanes& x, const Lanes& y);
  llvm::Value* lane_numbers(llvm::Type* element);
  llvm::Value* first_lanes(llvm::Value* n);

  // --- cpu_reduce.cpp
  // -----------------------------------------------------------------------------

  void emit_reduce(const Instruction& in);
  Lanes reduce_last(const Instruction& in, const Coordinates& outer);
  Lanes reduce_other(const Instruction& in, const Coordinates& at);
  llvm::Value* combine(const Instruction& in, llvm::Value* x, llvm::Value* y);
  llvm::Value* identity(const Instruction& in);
  llvm::Value* across_lanes(const Instruction& in, llvm::Value* packed);
  // The mask outside of which the value is that number everywhere, or -1.
  ValueId mask_leaving(const Number& nothing, ValueId v);
  // Of what x is computed from, the values that take long to compute and that later instructions
  // need again, where the mask holds and nowhere else.
  std::vector<ValueId> worth_keeping(ValueId x, ValueId mask) const;
  bool is_needed_under(ValueId v, ValueId mask) const;
  void emit_sequential(const Instruction& in);  // scan and arg_reduce

  // --- cpu_dot.cpp
  // --------------------------------------------------------------------------------

  // A mask outside of which an operand is 0, and the axis that each of its terms bounds.
  struct DotMask {
    ValueId value = -1;
    std::vector<int> bounded = {};
  };
  // What the blocks of a product fetch for what comes later: see plan_ahead().
  struct Ahead {
    int64_t rows = 0, packs = 0;  // of a block; 0: nothing is fetched
    llvm::Value* next = nullptr;  // how many rows of y there are behind this tile's
    // Loads: of y where it lies; of whole tiles, with the axis along which neighbours are.
    const Instruction* y = nullptr;
    std::vector<std::pair<const Instruction*, int>> whole = {};
    std::vector<const Instruction*> ends = {};  // loads and stores of what is made of the result
  };
  // One product of tiles on its way.
  struct Dot {
    const Instruction& in;
    Stored sum;
    DType element = DType::f32;  // of y
    DType sum_type = DType::f32;
    int64_t step = 1;        // how many k are multiplied at a time
    bool has_words = false;  // y comes as words of its elements (tile_ops.def)
    // Beyond `depth` elements of x and `y_rows` rows of y's tile the operands are 0 by their masks.
    llvm::Value* depth = nullptr;
    llvm::Value* y_rows = nullptr;
    DotMask x_mask = {}, y_mask = {};
    llvm::Value* words = nullptr;        // y as words_of() makes it
    llvm::Value* corrections = nullptr;  // corrections_of()
    llvm::Value* flip = nullptr;         // hidden_flip(), where there are corrections
    // How many rows and packs of the result are used, by the mask of the stores that it leads to;
    // null: all.
    llvm::Value* rows = nullptr;
    llvm::Value* packs = nullptr;
    DotMask used = {};
    llvm::Value* ordered = nullptr;  // x as put_in_order() writes it
    Ahead ahead = {};
  };
  // A block of the result: rows that count from an index, and packs of columns.
  struct DotBlock {
    llvm::Value* row;
    int64_t rows;
    llvm::Value* pack;  // the number of the first
    int64_t packs;
    llvm::Value* tail;  // which lanes of the pack are columns; null: all
  };
  // The products of k and, where a step has several, of what follows; at the edge some of those are
  // behind the depth.
  struct DotStep {
    llvm::Value* k;
    bool is_edge = false;
  };
  using StepBody = std::function<void(const DotStep&)>;

  Dot begin_dot(const Instruction& in, const Stored& sum);
  void emit_dot(const Instruction& in);
  bool computes_right(const Instruction& dot) const;
  bool is_one_block(const Instruction& dot) const;
  bool reads_words_once(const Instruction& dot) const;
  void hold_computed(const Dot& dot);
  void for_blocks(const Dot& dot, const std::function<void(const DotBlock&)>& body,
                  int64_t kept = 1);
  void fetch_run(std::span<const Instruction* const> fetches, int64_t turn, int64_t turns);
  std::vector<const Instruction*> products_of(const Instruction& loop) const;
  void finish_products(const std::vector<Dot>& dots, const tile::Block& body, const Stored& to);
  void find_depth(Dot& dot);
  llvm::Value* row_of(const DotBlock& block, int64_t r);
  llvm::Value* column_of(const DotBlock& block, int64_t p);
  std::vector<llvm::Value*> load_sums(const Dot& dot, const DotBlock& block);
  void store_sums(const Dot& dot, const DotBlock& block, const std::vector<llvm::Value*>& sums);
  void dot_block(const Dot& dot, const DotBlock& block);
  void for_steps(const Dot& dot, llvm::Value* begin, const StepBody& step);
  void add_step(const Dot& dot, const DotBlock& block, const std::vector<llvm::Value*>& sums,
                const DotStep& at, const std::vector<llvm::Value*>& right);
  std::vector<llvm::Value*> right_step(const Dot& dot, const DotBlock& block, const DotStep& at);
  llvm::Value* right_pack(const Dot& dot, llvm::Value* k, llvm::Value* column);
  llvm::Value* left_element(const Dot& dot, llvm::Value* row, llvm::Value* k);
  // Of a y whose neighbours in memory are down its columns: `loads` as transposed_loads() says.
  void dot_squares(Dot& dot, const std::vector<ValueId>& loads);
  std::vector<llvm::Value*> transposed_square(
      const Dot& dot, llvm::Value* k, llvm::Value* column,
      const std::function<llvm::Value*(const Coordinates&)>& load);

  // --- cpu_dot_operands.cpp
  // --------------------------------------------------------------------------

  // The stores that a value leads to element by element; none where it leads elsewhere, too.
  std::vector<const Instruction*> stores_of(ValueId v) const;
  // Whether the scalars that a value is computed from have been.
  bool is_known(ValueId v) const;
  void find_used(Dot& dot);
  llvm::Value* used_row(const Dot& dot, llvm::Value* row);
  void assume_used(const Dot& dot, const Lanes& row);
  llvm::Value* less_of(llvm::Value* x, llvm::Value* limit);  // null: no limit
  void put_in_order(Dot& dot);
  llvm::Type* ordered_type(const Dot& dot);
  llvm::Value* ordered_element(const Dot& dot, llvm::Value* row, llvm::Value* k);
  void plan_ahead(Dot& dot, int64_t rows, int64_t packs, const std::vector<ValueId>& transposed);
  void fetch_ahead(const Dot& dot, const DotBlock& block);
  void fetch_row(const Instruction& access, Coordinates at, int axis, int64_t elements);
  std::vector<const Instruction*> loads_of(const Instruction& store) const;

  // --- cpu_dot_words.cpp
  // --------------------------------------------------------------------------

  int64_t step_of(const Dot& dot) const;
  bool needs_corrections(const Dot& dot) const;
  void for_words(const Dot& dot, llvm::Value* begin, const StepBody& step);
  // Elements of neighbouring k, the first in the lowest bits.
  llvm::Value* joined(const Dot& dot, const std::vector<llvm::Value*>& elements);
  std::vector<llvm::Value*> elements_of(const Dot& dot, const DotStep& at,
                                        const std::function<llvm::Value*(llvm::Value*)>& element);
  llvm::Value* right_word(const Dot& dot, const DotBlock& block, int64_t p, const DotStep& at);
  llvm::Value* left_word(const Dot& dot, llvm::Value* row, const DotStep& at);
  llvm::Value* words_of(const Dot& dot);
  // Whether products read words of a bf16 tile so often that they are made once.
  struct WordUses {
    bool along = false, down = false;
    bool is_none() const { return !along && !down; }
  };
  WordUses word_uses(ValueId v) const;
  void hold_words(ValueId v);
  llvm::Value* held_left_word(const Dot& dot, llvm::Value* row, const DotStep& at);
  void for_each_pack(int64_t columns, const std::function<void(const DotBlock&)>& body);
  llvm::Type* pack_type();  // of i32
  llvm::Value* load_pack(llvm::Value* packs, llvm::Value* number);
  llvm::Value* zero_pack();
  bool can_load_words(const Dot& dot, ValueId v);
  llvm::Value* load_words(const Instruction& load, const Coordinates& along, llvm::Type* words);
  llvm::Value* hidden_flip();
  llvm::Value* as_factor(const Dot& dot, llvm::Value* words);
  llvm::Value* multiply_words(const Dot& dot, llvm::Value* x, llvm::Value* y, llvm::Value* sum);
  void correct(llvm::Value* correction, llvm::Value* y);
  llvm::Value* corrections_of(const Dot& dot);

  const tile::Kernel& kernel_;
  const unsigned lanes_;
  const CpuFeatures features_;
  const KernelVersion version_;
  llvm::Module& module_;
  Emitter emitter_;
  std::optional<DebugLines> lines_;
  llvm::IRBuilder<>& b_;
  llvm::Function* function_ = nullptr;
  std::vector<llvm::Value*> scalars_;            // by ValueId, of those that have been computed
  std::vector<const Instruction*> definitions_;  // by ValueId; null of parameters and arguments
  std::vector<int> depths_;                      // by ValueId: loops around its definition
  std::map<ValueId, Stored> stored_;             // tiles that are held
  // Tiles of bf16 that are held for products: rows as they are, in 16 bits; and words of two rows,
  // in packs.
  std::map<ValueId, llvm::Value*> halves_, words_;
  std::map<ValueId, int> uses_;
  std::vector<const Instruction*> fetches_;             // that wait
  std::vector<std::vector<const Instruction*>> users_;  // by ValueId; null: a block yields it
  std::multimap<ValueId, std::pair<const Instruction*, size_t>>
      yielding_;                                           // loops, which of theirs
  std::vector<llvm::Value*> buffers_;                      // by parameter
  std::vector<llvm::Value*> program_;                      // this program's coordinates in the grid
  std::map<std::pair<ValueId, Coordinates>, Lanes> memo_;  // of the current pack
  // Products of the loop that is being emitted which are computed at its end.
  std::map<const Instruction*, std::optional<Dot>> late_;
  llvm::Value* streams_ = nullptr;  // whether the launch wants that; null: it cannot
  llvm::Value* tail_ = nullptr;     // which lanes of the current pack are there; null: all
};

bool is_true(const Lanes& x);
bool is_constant(const llvm::Value* v, int64_t number);

}  // namespace cairn::compiler
