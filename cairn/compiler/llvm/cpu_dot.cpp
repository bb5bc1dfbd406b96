// Products of tiles: blocks of the result in registers, one fma chain per element in increasing k.
//
// A block is a few rows of x, read element by element and spread over a pack, times a few packs of
// a row of y. Both are values at coordinates like any other, so what is computed on the way (a
// cast, a scale, a dequantization) is part of the product.
//
// How many k a step multiplies at a time is the strategy: one, or as many as fit a word of 32 bits
// where there is an instruction for that (cpu_dot_words.cpp).
#include <algorithm>
#include <set>
#include <utility>

#include "cairn/compiler/llvm/cpu_function.h"
#include "cairn/compiler/llvm/machine.h"
#include "cairn/tile/infer.h"

namespace cairn::compiler {

using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

namespace {

struct BlockSize {
  int64_t rows;
  int64_t packs;
};

// Accumulators, the packs of y and one of x fit the registers: 32 of AVX-512, 16 of AVX2. With x
// read directly, 6 rows of 4 packs reach the peak (docs/adr/0005-tile-compiler.md).
// `is_computed`: y is, where it is read. `kept`: packs that are kept for each sum.
BlockSize block_of(unsigned lanes, int64_t rows, int64_t packs, DType sum, bool is_computed,
                   int64_t kept = 1) {
  const int64_t registers = (size_of(sum) == 8 ? 2 : 1) * kept;  // of a pack
  const int64_t accumulators = (lanes == 16 ? 24 : 12) / registers;
  const int64_t most = std::max<int64_t>((lanes == 16 ? 4 : 2) / registers, 1);
  int64_t p = std::min(packs, most);
  // A few more rows than that are still one block, so that y is read once. A narrow y that comes
  // from memory as it is multiplied is better read by whole rows, twice (8 rows times a panel of 64
  // columns, 4096 x 4096 on Zen 4: 5.9 ms in half rows, 3.1).
  if (rows <= accumulators / 2 && (is_computed || packs > most))
    p = std::min(p, accumulators / rows);
  // Three of four packs would leave one by itself.
  if (p == 3 && packs % 4 == 0) p = 2;
  // Rows that divide the tile spare a second version of the block, a third of the code, for what is
  // left; two thirds of the accumulators still reach the peak.
  int64_t r = accumulators / p;
  for (int64_t fewer = r; 3 * fewer * p >= 2 * accumulators; --fewer)
    if (rows % fewer == 0) {
      r = fewer;
      break;
    }
  return {r, p};
}

// A y that is read transposed is put in order by each program for itself; for so few rows on the
// way. The sums of a pack of columns and a square fit the registers.
int64_t few_rows(unsigned lanes) { return lanes == 16 ? 16 : 8; }

// Computed in the same way from the same values.
bool is_same(const llvm::Value* x, const llvm::Value* y, int depth = 8) {
  if (x == y) return true;
  const auto* a = llvm::dyn_cast<llvm::Instruction>(x);
  const auto* c = llvm::dyn_cast<llvm::Instruction>(y);
  if (!a || !c || depth == 0 || a->getOpcode() != c->getOpcode() ||
      a->getNumOperands() != c->getNumOperands() || a->mayReadOrWriteMemory() ||
      llvm::isa<llvm::PHINode>(a))
    return false;
  for (unsigned i = 0; i < a->getNumOperands(); ++i)
    if (!is_same(a->getOperand(i), c->getOperand(i), depth - 1)) return false;
  return true;
}

}  // namespace

// What products of that type add up in: f32 of 16-bit floats, f64 of f64, i32 of bytes.
static DType sum_type(DType from) {
  if (!is_float(from)) return DType::i32;
  return from == DType::f64 ? DType::f64 : DType::f32;
}

// How far the products go: beyond it both operands are 0 by their masks.
void CpuFunction::find_depth(Dot& dot) {
  const ValueId x = dot.in.operands[0], y = dot.in.operands[1];
  dot.depth = i64(type(x).shape[1]);
  dot.y_rows = i64(type(y).shape[0]);
  const ValueId x_mask = mask_leaving(0, x), y_mask = mask_leaving(0, y);
  if (x_mask < 0 || y_mask < 0) return;
  memo_.clear();
  std::vector<llvm::Value*> x_counts = sizes_of(type(x).shape);
  std::vector<llvm::Value*> y_counts = sizes_of(type(y).shape);
  std::vector<int> x_bounded = bound(x_mask, x_counts), y_bounded = bound(y_mask, y_counts);
  if (!dot.has_words && !is_same(x_counts[1], y_counts[0])) return;
  // Rows and columns that are masked off stay part of the product: 0 times an infinity is NaN.
  for (int& axis : x_bounded)
    if (axis != 1) axis = -1;
  for (int& axis : y_bounded)
    if (axis != 0) axis = -1;
  dot.depth = x_counts[1];
  dot.y_rows = y_counts[0];
  dot.x_mask = {x_mask, std::move(x_bounded)};
  dot.y_mask = {y_mask, std::move(y_bounded)};
}

// What is known of a product before its blocks are computed.
CpuFunction::Dot CpuFunction::begin_dot(const Instruction& in, const Stored& sum) {
  const ValueId x = in.operands[0], y = in.operands[1];
  Dot dot{in, sum};
  dot.element = type(y).dtype;
  if (const auto element = tile::element_of_words(type(x).dtype, type(y).dtype)) {
    dot.element = *element;
    dot.has_words = true;
  }
  dot.sum_type = sum_type(type(x).dtype);
  function_->addFnAttr(kInOrder);
  dot.step = step_of(dot);
  if (needs_corrections(dot)) dot.flip = hidden_flip();
  find_depth(dot);
  find_used(dot);
  if (const auto words = words_.find(y); words != words_.end()) dot.words = words->second;
  return dot;
}

void CpuFunction::emit_dot(const Instruction& in) {
  const ValueId x = in.operands[0], y = in.operands[1], z = in.operands[2];
  const Shape& shape = type(z).shape;
  // Offsets of fetches have one axis; a block that is computed again and again would fetch again.
  if (shape[0] > few_rows(lanes_)) emit_fetches();
  // The sum lies in z's memory where this is its last use, as in a loop that carries it.
  const auto held = stored_.find(z);
  const bool in_place = held != stored_.end() && uses_[z] == 1;
  Dot dot = begin_dot(in, in_place ? held->second : reserve(type(in.results[0])));
  const std::vector<ValueId> transposed = stored_.contains(y) || dot.has_words || dot.words
                                              ? std::vector<ValueId>()
                                              : transposed_loads({y});
  if (!transposed.empty() && shape[0] <= few_rows(lanes_)) {
    dot_squares(dot, transposed);
  } else {
    // A transposed right operand is put in order once for all rows.
    if (!transposed.empty()) hold(y);
    const int64_t packs = std::max<int64_t>(shape[1] / lanes_, 1);
    const BlockSize block = block_of(lanes_, shape[0], packs, type(z).dtype, computes_right(in));
    // Words that just one block of rows needs are made where they are.
    if (dot.step > 1 && !dot.has_words && !dot.words && shape[0] > block.rows)
      dot.words = words_of(dot);
    hold_computed(dot);
    if (needs_corrections(dot)) dot.corrections = corrections_of(dot);
    if (shape[0] > block.rows) {
      if (!stored_.contains(x)) put_in_order(dot);
      plan_ahead(dot, block.rows, block.packs, transposed);
    }
    for_blocks(dot, [&](const DotBlock& at) { dot_block(dot, at); });
  }
  stored_[in.results[0]] = dot.sum;
  memo_.clear();
}

bool CpuFunction::computes_right(const Instruction& dot) const {
  const Instruction* y = definition(dot.operands[1]);
  return y && tile::is_elementwise(*y);
}

// Whether one block has all rows, so that y is read once.
bool CpuFunction::is_one_block(const Instruction& dot) const {
  const auto& [dtype, shape] = type(dot.results[0]);
  return shape[0] <= block_of(lanes_, shape[0], std::max<int64_t>(shape[1] / lanes_, 1), dtype,
                              computes_right(dot))
                         .rows;
}

bool CpuFunction::reads_words_once(const Instruction& dot) const {
  return tile::element_of_words(type(dot.operands[0]).dtype, type(dot.operands[1]).dtype) &&
         is_one_block(dot);
}

// Words that are computed, as codes that are unpacked, and numbers that are widened, once for all
// blocks of rows.
void CpuFunction::hold_computed(const Dot& dot) {
  constexpr int64_t kMost = 16 * 1024;  // elements, on the stack
  const ValueId y = dot.in.operands[1];
  if (!computes_right(dot.in) || stored_.contains(y) || is_one_block(dot.in)) return;
  if (dot.has_words || (dot.step == 1 && type(y).shape.elements() <= kMost)) hold(y);
}

// The blocks of the result, as far as they are used.
void CpuFunction::for_blocks(const Dot& dot, const std::function<void(const DotBlock&)>& body,
                             int64_t kept) {
  const auto& [dtype, shape] = type(dot.in.results[0]);
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = shape[1] / lanes;
  const bool is_computed = computes_right(dot.in);
  const BlockSize block =
      block_of(lanes_, shape[0], std::max<int64_t>(packs, 1), dtype, is_computed, kept);
  const auto rows = [&](llvm::Value* pack, int64_t count, llvm::Value* tail) {
    const int64_t most = block_of(lanes_, shape[0], count, dtype, is_computed, kept).rows;
    const int64_t whole = shape[0] / most * most;
    if (whole)
      loop_over(i64(0), less_of(i64(whole), dot.rows), most,
                [&](llvm::Value* row) { body({row, most, pack, count, tail}); });
    if (whole == shape[0]) return;
    const auto rest = [&] { body({i64(whole), shape[0] - whole, pack, count, tail}); };
    if (dot.rows)
      when(b_.CreateICmpSLT(i64(whole), dot.rows), rest);
    else
      rest();
  };
  const int64_t full = packs / block.packs * block.packs;
  if (full > block.packs)
    loop_over(i64(0), less_of(i64(full), dot.packs), block.packs,
              [&](llvm::Value* pack) { rows(pack, block.packs, nullptr); });
  else if (full)
    rows(i64(0), full, nullptr);
  if (full < packs) rows(i64(full), packs - full, nullptr);
  // The pack that ends behind the last column goes by itself, with a mask.
  if (packs * lanes < shape[1]) rows(i64(packs), 1, first_lanes(i64(shape[1] - packs * lanes)));
}

// --- products that end in what a loop carries ----------------------------------------------------

// Products of words whose sums do nothing but enter, element by element, the one value that the
// loop carries, as sums of integers that are scaled and added up. They are computed together, block
// by block of that value, and never leave the registers as they are.
std::vector<const Instruction*> CpuFunction::products_of(const Instruction& loop) const {
  const tile::Block& body = loop.regions[0];
  std::vector<const Instruction*> dots;
  if (loop.results.size() != 1) return dots;
  const ValueId carried = body.yields[0];
  const Shape& shape = type(carried).shape;
  const Instruction* last = definition(carried);
  if (!last || !tile::is_elementwise(*last) || shape.rank() != 2 || shape[1] % lanes_) return dots;
  const std::function<bool(ValueId)> ends_there = [&](ValueId v) {
    return std::ranges::all_of(users_[static_cast<size_t>(v)], [&](const Instruction* user) {
      if (!user) return v == carried;
      return tile::is_elementwise(*user) && type(user->results[0]).shape == shape &&
             ends_there(user->results[0]);
    });
  };
  for (const Instruction& in : body.code) {
    if (in.op == TileOp::store || in.op == TileOp::atomic || in.op == TileOp::loop) return {};
    if (in.op != TileOp::dot) continue;
    const bool is_of_words =
        tile::element_of_words(type(in.operands[0]).dtype, type(in.operands[1]).dtype).has_value();
    if (!is_of_words || type(in.results[0]).shape != shape || !ends_there(in.results[0]) ||
        stored_.contains(in.operands[2]))
      return {};
    dots.push_back(&in);
  }
  return updates_itself(carried, body, 0) ? dots : std::vector<const Instruction*>();
}

// Block by block: a product, then element by element what is computed of it and those before, so
// that no more sums are in registers than must be.
void CpuFunction::finish_products(const std::vector<Dot>& dots, const tile::Block& body,
                                  const Stored& to) {
  const ValueId carried = body.yields[0];
  std::set<ValueId> of_sums;
  for (const Dot& dot : dots) of_sums.insert(dot.in.results[0]);
  // What is computed of sums behind each product, in the order of the code.
  std::vector<std::vector<ValueId>> behind;
  for (const Instruction& in : body.code) {
    if (in.op == TileOp::dot) behind.emplace_back();
    if (in.op == TileOp::dot ||
        std::ranges::none_of(in.operands, [&](ValueId v) { return of_sums.contains(v); }))
      continue;
    of_sums.insert(in.results[0]);
    behind.back().push_back(in.results[0]);
  }
  // Where rows are many, sums of one product wait for the next to be added to them, and for one
  // pack of columns half the rows are enough (q4_k times 512 rows: 51 % of the peak with 24 rows,
  // 61 % with 12); where they are few, what is fetched is so between the products.
  const bool is_once = reads_words_once(dots[0].in);
  const bool is_half = !is_once && (dots.size() > 1 || type(carried).shape[1] <= lanes_);
  if (!is_once) emit_fetches();
  const auto fetches = std::exchange(fetches_, {});
  int64_t turns = 0;  // words of y
  for (const Dot& dot : dots) turns += type(dot.in.operands[1]).shape[0];
  const auto finish = [&](const DotBlock& block) {
    std::vector<std::map<ValueId, Lanes>> known(static_cast<size_t>(block.rows * block.packs));
    int64_t turn = 0;
    for (size_t d = 0; d < dots.size(); ++d) {
      const std::vector<llvm::Value*> sums = load_sums(dots[d], block);
      for_steps(dots[d], i64(0), [&](const DotStep& step) {
        fetch_run(fetches, turn++, turns);
        add_step(dots[d], block, sums, step, right_step(dots[d], block, step));
      });
      for (size_t i = 0; i < known.size(); ++i) {
        const auto number = static_cast<int64_t>(i);
        const Coordinates at = {Lanes::uniform(row_of(block, number / block.packs)),
                                Lanes::affine(column_of(block, number % block.packs), i64(1))};
        auto* sum = llvm::cast<llvm::AllocaInst>(sums[i]);
        known[i][dots[d].in.results[0]] =
            Lanes::vector(b_.CreateLoad(sum->getAllocatedType(), sum));
        memo_.clear();
        for (const auto& [value, lanes] : known[i]) memo_[{value, at}] = lanes;
        for (const ValueId v : behind[d]) known[i][v] = evaluate(v, at);
        if (d + 1 == dots.size()) write(to, at, known[i][carried]);
      }
    }
  };
  // What the loop carries stays in registers, too, while several products enter it (q2_k in blocks
  // of 64 times 512 rows: 58 % of the peak with 12 rows, 64 % with 8).
  constexpr size_t kSeveral = 3;
  for_blocks(dots[0], finish, !is_half ? 1 : dots.size() < kSeveral ? 2 : 3);
  memo_.clear();
}

// The part of what is fetched that belongs to one of several turns.
void CpuFunction::fetch_run(std::span<const Instruction* const> fetches, int64_t turn,
                            int64_t turns) {
  for (const Instruction* fetch : fetches) {
    const int64_t lines = type(fetch->operands[0]).shape.elements();
    for (int64_t i = lines * turn / turns; i < lines * (turn + 1) / turns; ++i) {
      memo_.clear();
      prefetch(*fetch, evaluate(fetch->operands[0], {Lanes::uniform(i64(i))}).value, false);
    }
  }
  memo_.clear();
}

llvm::Value* CpuFunction::row_of(const DotBlock& block, int64_t r) {
  return b_.CreateAdd(block.row, i64(r));
}
llvm::Value* CpuFunction::column_of(const DotBlock& block, int64_t p) {
  return b_.CreateMul(b_.CreateAdd(block.pack, i64(p)), i64(lanes_));
}

// The block's sums as variables, row by row: what z has there.
std::vector<llvm::Value*> CpuFunction::load_sums(const Dot& dot, const DotBlock& block) {
  auto* packed = llvm::FixedVectorType::get(emitter_.register_type(dot.sum_type), lanes_);
  std::vector<llvm::Value*> sums;
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t p = 0; p < block.packs; ++p) {
      memo_.clear();
      tail_ = block.tail;
      const Coordinates at = {Lanes::uniform(row_of(block, r)),
                              Lanes::affine(column_of(block, p), i64(1))};
      llvm::Value* first = emitter_.convert(as_vector(evaluate(dot.in.operands[2], at)),
                                            type(dot.in.results[0]).dtype, dot.sum_type);
      tail_ = nullptr;
      if (dot.corrections)
        first = b_.CreateSub(first, load_pack(dot.corrections, b_.CreateAdd(block.pack, i64(p))));
      sums.push_back(stack(packed, "dot"));
      b_.CreateStore(first, sums.back());
    }
  return sums;
}

void CpuFunction::store_sums(const Dot& dot, const DotBlock& block,
                             const std::vector<llvm::Value*>& sums) {
  auto* packed = llvm::FixedVectorType::get(emitter_.register_type(dot.sum_type), lanes_);
  // A product of zeros that was left out would have made +0 of a sum that is -0.
  llvm::Value* skipped = nullptr;
  if (is_float(dot.sum_type) && !llvm::isa<llvm::ConstantInt>(dot.depth)) {
    llvm::Value* some = b_.CreateICmpSLT(dot.depth, i64(type(dot.in.operands[0]).shape[1]));
    skipped = emitter_.splat(b_.CreateSelect(some, emitter_.number(0.0, dot.sum_type),
                                             emitter_.number(-0.0, dot.sum_type)),
                             lanes_);
  }
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t p = 0; p < block.packs; ++p) {
      llvm::Value* value = b_.CreateLoad(packed, sums[static_cast<size_t>(r * block.packs + p)]);
      if (skipped) value = b_.CreateFAdd(value, skipped);
      write(dot.sum, {Lanes::uniform(row_of(block, r)), Lanes::affine(column_of(block, p), i64(1))},
            Lanes::vector(emitter_.convert(value, dot.sum_type, type(dot.in.results[0]).dtype)));
    }
  memo_.clear();
}

void CpuFunction::dot_block(const Dot& dot, const DotBlock& block) {
  const std::vector<llvm::Value*> sums = load_sums(dot, block);
  if (dot.ahead.rows) fetch_ahead(dot, block);
  const auto fetches = std::exchange(fetches_, {});
  // Each block of rows fetches its part.
  const int64_t steps = type(dot.in.operands[0]).shape[1] / dot.step;
  const int64_t strips = (type(dot.in.results[0]).shape[0] + block.rows - 1) / block.rows;
  llvm::Value* before = b_.CreateMul(b_.CreateUDiv(block.row, i64(block.rows)), i64(steps));
  for_steps(dot, i64(0), [&](const DotStep& at) {
    add_step(dot, block, sums, at, right_step(dot, block, at));
    llvm::Value* turn = b_.CreateAdd(before, b_.CreateUDiv(at.k, i64(dot.step)));
    fetch_part(fetches, turn, strips * steps);
  });
  store_sums(dot, block, sums);
}

// One step after the other; of bf16 without an instruction for pairs of them the order is still
// theirs.
void CpuFunction::for_steps(const Dot& dot, llvm::Value* begin,
                            const std::function<void(const DotStep&)>& step) {
  if (dot.step > 1) return for_words(dot, begin, step);
  const auto one = [&](llvm::Value* k) { step({k}); };
  if (dot.element != DType::bf16) return loop_over(begin, dot.depth, 1, one);
  llvm::Value* even = b_.CreateAnd(dot.depth, i64(-2));
  loop_over(begin, even, 2, [&](llvm::Value* k) {
    one(b_.CreateAdd(k, i64(1)));
    one(k);
  });
  if (is_constant(b_.CreateAnd(dot.depth, i64(1)), 0)) return;
  when(b_.CreateICmpSLT(even, dot.depth), [&] { one(even); });
}

// Adds what a step makes of elements of x, spread over a pack, and packs of y.
void CpuFunction::add_step(const Dot& dot, const DotBlock& block,
                           const std::vector<llvm::Value*>& sums, const DotStep& at,
                           const std::vector<llvm::Value*>& right) {
  for (int64_t r = 0; r < block.rows; ++r) {
    llvm::Value* row = used_row(dot, row_of(block, r));
    llvm::Value* left = emitter_.splat(
        dot.step > 1 ? left_word(dot, row, at) : left_element(dot, row, at.k), lanes_);
    if (dot.step > 1) left = as_factor(dot, left);
    for (int64_t p = 0; p < block.packs; ++p) {
      llvm::Value* place = sums[static_cast<size_t>(r * block.packs + p)];
      llvm::Value* y = right[static_cast<size_t>(p)];
      llvm::Value* before =
          b_.CreateLoad(llvm::cast<llvm::AllocaInst>(place)->getAllocatedType(), place);
      llvm::Value* sum = dot.step > 1             ? multiply_words(dot, left, y, before)
                         : is_float(dot.sum_type) ? emitter_.fma(left, y, before)
                                                  : b_.CreateAdd(before, b_.CreateMul(left, y));
      b_.CreateStore(sum, place);
    }
  }
}

// Packs of y for a step.
std::vector<llvm::Value*> CpuFunction::right_step(const Dot& dot, const DotBlock& block,
                                                  const DotStep& at) {
  memo_.clear();
  std::vector<llvm::Value*> right;
  for (int64_t p = 0; p < block.packs; ++p) {
    tail_ = block.tail;
    right.push_back(dot.step > 1 ? right_word(dot, block, p, at)
                                 : right_pack(dot, at.k, column_of(block, p)));
    tail_ = nullptr;
  }
  return right;
}

// A pack of a row of y, as the sum's type.
llvm::Value* CpuFunction::right_pack(const Dot& dot, llvm::Value* k, llvm::Value* column) {
  const ValueId y = dot.in.operands[1];
  const Lanes across = Lanes::affine(column, i64(1));
  if (!dot.has_words) {
    const Coordinates here = {Lanes::uniform(k), across};
    if (dot.y_mask.value >= 0) assume_terms(dot.y_mask.value, here, dot.y_mask.bounded);
    return emitter_.convert(as_vector(evaluate(y, here)), dot.element, dot.sum_type);
  }
  // Words of two bf16, one at a time.
  llvm::Value* words = as_vector(evaluate(y, {Lanes::uniform(b_.CreateLShr(k, 1)), across}));
  llvm::Value* shift = b_.CreateTrunc(b_.CreateShl(b_.CreateAnd(k, i64(1)), 4), b_.getInt32Ty());
  llvm::Value* bits = b_.CreateShl(b_.CreateLShr(words, emitter_.splat(shift, lanes_)), 16);
  return b_.CreateBitCast(bits, llvm::FixedVectorType::get(b_.getFloatTy(), lanes_));
}

llvm::Value* CpuFunction::left_element(const Dot& dot, llvm::Value* row, llvm::Value* k) {
  if (dot.ordered) return ordered_element(dot, row, k);
  const ValueId x = dot.in.operands[0];
  const Coordinates here = {Lanes::uniform(row), Lanes::uniform(k)};
  assume_used(dot, here[0]);
  if (dot.x_mask.value >= 0) assume_terms(dot.x_mask.value, here, dot.x_mask.bounded);
  return emitter_.convert(evaluate(x, here).value, type(x).dtype, dot.sum_type);
}

// --- few rows times a transposed y ---------------------------------------------------------------

// Each square of y is put in order in registers and used at once, where a copy of y would be
// written and read again for next to no use.
void CpuFunction::dot_squares(Dot& dot, const std::vector<ValueId>& loads) {
  const Shape& shape = type(dot.in.operands[2]).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  const bool in_words = dot.step > 1 && can_load_words(dot, dot.in.operands[1]);
  const int64_t length = in_words ? dot.step * lanes : lanes;
  loop_over(i64(0), i64(shape[1] / lanes), 1, [&](llvm::Value* pack) {
    const DotBlock block{i64(0), shape[0], pack, 1, nullptr};
    llvm::Value* column = column_of(block, 0);
    const std::vector<llvm::Value*> sums = load_sums(dot, block);
    llvm::Value* const correction = needs_corrections(dot) ? zero_pack() : nullptr;
    const auto add = [&](const DotStep& at, llvm::Value* right) {
      if (correction) correct(correction, right);
      add_step(dot, block, sums, at, {right});
    };
    llvm::Value* whole = b_.CreateAnd(dot.depth, i64(-length));
    loop_over(i64(0), whole, length, [&](llvm::Value* k) {
      std::vector<std::vector<llvm::Value*>> squares;
      if (in_words)
        squares.push_back(transposed_square(dot, k, column, [&](const Coordinates& down) {
          return load_words(*definition(dot.in.operands[1]), down, pack_type());
        }));
      else
        for (const ValueId load : loads)
          squares.push_back(transposed_square(dot, k, column, [&](const Coordinates& down) {
            return as_vector(evaluate(load, down));
          }));
      const auto element = [&](int64_t i) {
        const Coordinates here = {Lanes::uniform(b_.CreateAdd(k, i64(i))),
                                  Lanes::affine(column, i64(1))};
        memo_.clear();
        for (size_t l = 0; l < loads.size(); ++l)
          memo_[{loads[l], here}] = Lanes::vector(squares[l][static_cast<size_t>(i)]);
        return right_pack(dot, here[0].value, column);
      };
      if (dot.step == 1) {
        const int64_t other = dot.element == DType::bf16 ? 1 : 0;
        for (int64_t i = 0; i < lanes; ++i)
          add({b_.CreateAdd(k, i64(i ^ other))}, element(i ^ other));
        return;
      }
      for (int64_t i = 0; i < length; i += dot.step) {
        std::vector<llvm::Value*> elements;
        for (int64_t e = 0; !in_words && e < dot.step; ++e) elements.push_back(element(i + e));
        add({b_.CreateAdd(k, i64(i))},
            in_words ? squares[0][static_cast<size_t>(i / dot.step)] : joined(dot, elements));
      }
    });
    for_steps(dot, whole, [&](const DotStep& at) { add(at, right_step(dot, block, at)[0]); });
    if (correction)
      for (llvm::Value* sum : sums) {
        auto* packed = llvm::cast<llvm::AllocaInst>(sum)->getAllocatedType();
        b_.CreateStore(b_.CreateSub(b_.CreateLoad(packed, sum), b_.CreateLoad(packed, correction)),
                       sum);
      }
    store_sums(dot, block, sums);
  });
}

// A square of y from row k and that column on, in its rows; `load` gives what lies down a column.
std::vector<llvm::Value*> CpuFunction::transposed_square(
    const Dot& dot, llvm::Value* k, llvm::Value* column,
    const std::function<llvm::Value*(const Coordinates&)>& load) {
  std::vector<llvm::Value*> square;
  for (int64_t c = 0; c < static_cast<int64_t>(lanes_); ++c) {
    memo_.clear();
    const Coordinates down = {Lanes::affine(k, i64(1)),
                              Lanes::uniform(b_.CreateAdd(column, i64(c)))};
    if (dot.y_mask.value >= 0) assume_terms(dot.y_mask.value, down, dot.y_mask.bounded);
    square.push_back(load(down));
  }
  transpose_square(square);
  return square;
}

}  // namespace cairn::compiler
