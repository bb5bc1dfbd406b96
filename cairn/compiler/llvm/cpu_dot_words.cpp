// Products several k at a time: words of 32 bits that hold the elements of two or four of them.
//
// Products of bf16 take two: vdpbf16ps multiplies the upper halves of two registers of i32, adds
// that to the sum and then the lower halves' product, each as a fused multiply-add (but that
// subnormal numbers count as 0). Without that instruction the order is the same, one at a time.
//
// Products of bytes take four, and are exact in any order. vpdpbusd multiplies unsigned bytes by
// signed ones; of two signed operands x gets 128 more by flipping its upper bits, and 128 times the
// sum of a column of y is taken away: computed once for all rows. Without that instruction, and of
// two unsigned operands, bytes are widened to 16 bits: vpmaddwd multiplies and adds pairs.
#include <llvm/IR/IntrinsicsX86.h>

#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using tile::Instruction;
using tile::TileOp;
using tile::ValueId;

namespace {

// Packs of a row that are written one after the other without a loop.
constexpr int64_t kFewPacks = 4;

}  // namespace

int64_t CpuFunction::step_of(const Dot& dot) const {
  if (dot.element == DType::bf16) return features_.has_bf16 ? 2 : 1;
  return size_of(dot.element) == 1 ? 4 : 1;
}

bool CpuFunction::needs_corrections(const Dot& dot) const {
  return features_.has_vnni && dot.element == DType::i8 &&
         type(dot.in.operands[0]).dtype == DType::i8;
}

void CpuFunction::for_words(const Dot& dot, llvm::Value* begin,
                            const std::function<void(const DotStep&)>& step) {
  if (!dot.has_words) {
    llvm::Value* whole = b_.CreateAnd(dot.depth, i64(-dot.step));
    if (!is_constant(whole, 0))
      loop_over(begin, whole, dot.step, [&](llvm::Value* k) { step({k}); });
    if (is_constant(b_.CreateAnd(dot.depth, i64(dot.step - 1)), 0)) return;
    when(b_.CreateICmpSLT(whole, dot.depth), [&] { step({whole, true}); });
    return;
  }
  // Where the mask of one operand ends before the other's, elements that are there meet zeros.
  llvm::Value* words = b_.CreateLShr(dot.depth, dot.step == 4 ? 2 : 1);
  llvm::Value* both = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, words, dot.y_rows);
  llvm::Value* either = b_.CreateBinaryIntrinsic(
      llvm::Intrinsic::smax,
      b_.CreateLShr(b_.CreateAdd(dot.depth, i64(dot.step - 1)), dot.step == 4 ? 2 : 1), dot.y_rows);
  llvm::Value* whole = b_.CreateMul(both, i64(dot.step));
  // A few steps one after the other, so that what is computed from their numbers is a constant.
  constexpr int64_t kFewSteps = 16;
  const int64_t steps = type(dot.in.operands[1]).shape[0];
  if (steps <= kFewSteps && is_constant(begin, 0) && is_constant(dot.y_rows, steps) &&
      is_constant(dot.depth, steps * dot.step)) {
    for (int64_t k = 0; k < steps; ++k) step({i64(k * dot.step)});
    return;
  }
  loop_over(begin, whole, dot.step, [&](llvm::Value* k) { step({k}); });
  if (both != either)
    loop_over(whole, b_.CreateMul(either, i64(dot.step)), dot.step,
              [&](llvm::Value* k) { step({k, true}); });
}

// --- words of y ----------------------------------------------------------------------------------

llvm::Value* CpuFunction::joined(const Dot& dot, const std::vector<llvm::Value*>& elements) {
  llvm::Type* numbers = b_.getInt32Ty();
  if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(elements[0]->getType()))
    numbers = llvm::FixedVectorType::get(numbers, vector->getNumElements());
  const auto bits = static_cast<uint64_t>(32 / dot.step);
  llvm::Value* word = nullptr;
  for (size_t e = 0; e < elements.size(); ++e) {
    llvm::Value* part = b_.CreateBitCast(elements[e], numbers);
    // bf16 are held as f32: their bits are the upper halves.
    part = is_float(dot.element) ? b_.CreateLShr(part, 16)
                                 : b_.CreateAnd(part, (uint64_t{1} << bits) - 1);
    part = b_.CreateShl(part, bits * e);
    word = word ? b_.CreateOr(word, part) : part;
  }
  return word;
}

llvm::Value* CpuFunction::right_word(const Dot& dot, const DotBlock& block, int64_t p,
                                     const DotStep& at) {
  llvm::Value* word = b_.CreateLShr(at.k, dot.step == 4 ? 2 : 1);
  llvm::Value* pack = b_.CreateAdd(block.pack, i64(p));
  if (dot.words) {
    const int64_t packs = (type(dot.in.operands[1]).shape[1] + lanes_ - 1) / lanes_;
    return load_pack(dot.words, b_.CreateAdd(b_.CreateMul(word, i64(packs)), pack));
  }
  if (dot.has_words) {
    const Coordinates here = {Lanes::uniform(word), Lanes::affine(column_of(block, p), i64(1))};
    if (dot.y_mask.value >= 0 && !at.is_edge)
      assume_terms(dot.y_mask.value, here, dot.y_mask.bounded);
    return as_vector(evaluate(dot.in.operands[1], here));
  }
  return joined(dot, elements_of(dot, at, [&](llvm::Value* k) {
                  return right_pack(dot, k, column_of(block, p));
                }));
}

// The elements of a step, of which those behind the depth are 0.
std::vector<llvm::Value*> CpuFunction::elements_of(
    const Dot& dot, const DotStep& at, const std::function<llvm::Value*(llvm::Value*)>& element) {
  std::vector<llvm::Value*> elements;
  llvm::Value* const last =
      b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, b_.CreateSub(dot.depth, i64(1)), i64(0));
  for (int64_t e = 0; e < dot.step; ++e) {
    llvm::Value* k = b_.CreateAdd(at.k, i64(e));
    if (!at.is_edge) {
      elements.push_back(element(k));
      continue;
    }
    llvm::Value* value = element(b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, k, last));
    elements.push_back(b_.CreateSelect(b_.CreateICmpSLT(k, dot.depth), value,
                                       llvm::Constant::getNullValue(value->getType())));
  }
  return elements;
}

// All of y as words in memory next to the stack, row by row of them.
llvm::Value* CpuFunction::words_of(const Dot& dot) {
  const Shape& shape = type(dot.in.operands[1]).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = (shape[1] + lanes - 1) / lanes;
  const int64_t rows = (shape[0] + dot.step - 1) / dot.step;
  llvm::Value* words =
      stack(llvm::ArrayType::get(pack_type(), static_cast<uint64_t>(rows * packs)), "words");
  for_words(dot, i64(0), [&](const DotStep& at) {
    llvm::Value* row = b_.CreateMul(b_.CreateLShr(at.k, dot.step == 4 ? 2 : 1), i64(packs));
    for_each_pack(shape[1], [&](const DotBlock& block) {
      b_.CreateAlignedStore(right_step(dot, block, at)[0],
                            b_.CreateGEP(pack_type(), words, b_.CreateAdd(row, block.pack)),
                            llvm::Align(64));
    });
  });
  memo_.clear();
  return words;
}

CpuFunction::WordUses CpuFunction::word_uses(ValueId v) const {
  constexpr int64_t kMost = 16 * 1024;  // elements, on the stack
  WordUses uses;
  const tile::TileType& t = type(v);
  if (!features_.has_bf16 || t.dtype != DType::bf16 || t.shape.rank() != 2 ||
      t.shape.elements() > kMost)
    return uses;
  const auto operand_of = [&](ValueId value, const auto& visit) {
    for (const Instruction* user : users_[static_cast<size_t>(value)])
      if (user && user->op == TileOp::dot)
        for (size_t i = 0; i < 2; ++i)
          if (user->operands[i] == value) visit(*user, i);
  };
  const bool is_computed = definition(v) && definition(v)->op == TileOp::apply;
  operand_of(v, [&](const Instruction& dot, size_t i) {
    // What a loop around the product leaves as it is; and what would be computed for each column.
    const auto depth = [&](ValueId value) { return depths_[static_cast<size_t>(value)]; };
    if (i == 1 && depth(dot.results[0]) > depth(v)) uses.down = true;
    if (i == 0 && is_computed) uses.along = true;
  });
  for (const Instruction* user : users_[static_cast<size_t>(v)])
    if (user && user->op == TileOp::transpose)
      operand_of(user->results[0], [&](const Instruction&, size_t i) { uses.down |= i == 0; });
  return uses;
}

// Both from one evaluation.
void CpuFunction::hold_words(ValueId v) {
  const WordUses uses = word_uses(v);
  if (uses.is_none()) return;
  if (!stored_.contains(v) && !transposed_loads({v}).empty()) hold(v);
  const Shape& shape = type(v).shape;
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = (shape[1] + lanes - 1) / lanes, pairs = (shape[0] + 1) / 2;
  llvm::Type* const halves = llvm::FixedVectorType::get(b_.getInt16Ty(), lanes_);
  const auto room = [&](llvm::Type* pack, int64_t count, const char* name) {
    return stack(llvm::ArrayType::get(pack, static_cast<uint64_t>(count)), name);
  };
  llvm::Value* const along = uses.along ? room(halves, 2 * pairs * packs, "halves") : nullptr;
  llvm::Value* const down = uses.down ? room(pack_type(), pairs * packs, "words") : nullptr;
  const auto pair = [&](llvm::Value* number, bool is_last_row) {
    for_each_pack(shape[1], [&](const DotBlock& block) {
      llvm::Value* word = nullptr;
      for (int64_t e = 0; e < (is_last_row ? 1 : 2); ++e) {
        memo_.clear();
        tail_ = block.tail;
        llvm::Value* row = b_.CreateAdd(b_.CreateMul(number, i64(2)), i64(e));
        llvm::Value* value = as_vector(
            evaluate(v, {Lanes::uniform(row), Lanes::affine(column_of(block, 0), i64(1))}));
        tail_ = nullptr;
        // As f32, whose upper halves they are.
        llvm::Value* bits = b_.CreateLShr(b_.CreateBitCast(value, pack_type()), 16);
        if (along) {
          llvm::Value* place = b_.CreateAdd(b_.CreateMul(row, i64(packs)), block.pack);
          b_.CreateAlignedStore(b_.CreateTrunc(bits, halves), b_.CreateGEP(halves, along, place),
                                llvm::Align(lanes_ * 2));
        }
        word = word ? b_.CreateOr(word, b_.CreateShl(bits, 16)) : bits;
      }
      if (!down) return;
      llvm::Value* place = b_.CreateAdd(b_.CreateMul(number, i64(packs)), block.pack);
      b_.CreateAlignedStore(word, b_.CreateGEP(pack_type(), down, place), llvm::Align(lanes_ * 4));
    });
  };
  loop_over(i64(0), i64(shape[0] / 2), 1, [&](llvm::Value* number) { pair(number, false); });
  if (shape[0] % 2) pair(i64(shape[0] / 2), true);
  memo_.clear();
  if (along) halves_[v] = along;
  if (down) words_[v] = down;
}

// A word of x that is held; null: it is not.
llvm::Value* CpuFunction::held_left_word(const Dot& dot, llvm::Value* row, const DotStep& at) {
  const ValueId x = dot.in.operands[0];
  const auto row_length = [&](ValueId v) {
    const auto lanes = static_cast<int64_t>(lanes_);
    return i64((type(v).shape[1] + lanes - 1) / lanes * lanes);
  };
  llvm::Value* from = nullptr;
  if (const auto held = halves_.find(x); held != halves_.end() && !at.is_edge) {
    llvm::Value* place = b_.CreateAdd(b_.CreateMul(row, row_length(x)), at.k);
    from = b_.CreateGEP(b_.getInt16Ty(), held->second, place);
  } else if (const Instruction* in = definition(x); in && in->op == TileOp::transpose) {
    const ValueId v = in->operands[0];
    const auto words = words_.find(v);
    if (words == words_.end()) return nullptr;
    llvm::Value* place = b_.CreateAdd(b_.CreateMul(b_.CreateLShr(at.k, 1), row_length(v)), row);
    from = b_.CreateGEP(b_.getInt32Ty(), words->second, place);
  }
  return from ? b_.CreateAlignedLoad(b_.getInt32Ty(), from, llvm::Align(4)) : nullptr;
}

void CpuFunction::for_each_pack(int64_t columns, const std::function<void(const DotBlock&)>& body) {
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t whole = columns / lanes;
  const auto one = [&](llvm::Value* pack) { body({nullptr, 0, pack, 1, nullptr}); };
  if (whole > kFewPacks)
    loop_over(i64(0), i64(whole), 1, one);
  else
    for (int64_t p = 0; p < whole; ++p) one(i64(p));
  if (whole * lanes < columns)
    body({nullptr, 0, i64(whole), 1, first_lanes(i64(columns - whole * lanes))});
}

llvm::Type* CpuFunction::pack_type() { return llvm::FixedVectorType::get(b_.getInt32Ty(), lanes_); }
llvm::Value* CpuFunction::load_pack(llvm::Value* packs, llvm::Value* number) {
  return b_.CreateAlignedLoad(pack_type(), b_.CreateGEP(pack_type(), packs, number),
                              llvm::Align(64));
}
llvm::Value* CpuFunction::zero_pack() {
  llvm::Value* pack = stack(pack_type(), "zero");
  b_.CreateStore(llvm::Constant::getNullValue(pack_type()), pack);
  return pack;
}

// --- words of x ----------------------------------------------------------------------------------

llvm::Value* CpuFunction::left_word(const Dot& dot, llvm::Value* row, const DotStep& at) {
  if (dot.ordered) return ordered_element(dot, row, at.k);
  const ValueId x = dot.in.operands[0];
  if (llvm::Value* held = held_left_word(dot, row, at)) return held;
  if (!at.is_edge && can_load_words(dot, x)) {
    const Coordinates along = {Lanes::uniform(row), Lanes::affine(at.k, i64(1))};
    assume_used(dot, along[0]);
    if (dot.x_mask.value >= 0) assume_terms(dot.x_mask.value, along, dot.x_mask.bounded);
    return load_words(*definition(x), along, b_.getInt32Ty());
  }
  return joined(dot, elements_of(dot, at, [&](llvm::Value* k) {
                  Dot bare = dot;
                  if (at.is_edge) bare.x_mask.value = -1;
                  return left_element(bare, row, k);
                }));
}

// Whether neighbours along k lie together in memory, all under one mask.
bool CpuFunction::can_load_words(const Dot& dot, ValueId v) {
  const Instruction* load = definition(v);
  if (!load || load->op != TileOp::load || stored_.contains(v)) return false;
  const bool is_masked = load->operands.size() > 1;
  if (is_masked && mask_leaving(0, v) < 0) return false;
  const bool is_left = v == dot.in.operands[0];
  const DotMask& known = is_left ? dot.x_mask : dot.y_mask;
  const Lanes fixed = Lanes::uniform(i64(0)), along = Lanes::affine(i64(0), i64(1));
  const Coordinates at = is_left ? Coordinates{fixed, along} : Coordinates{along, fixed};
  memo_.clear();
  if (known.value >= 0) assume_terms(known.value, at, known.bounded);
  const Lanes offset = evaluate(load->operands[0], at);
  const bool result = offset.kind == Lanes::Kind::affine && is_constant(offset.stride, 1) &&
                      (!is_masked || evaluate(load->operands[1], at).is_uniform());
  memo_.clear();
  return result;
}

// Words from an element on; zeros where it is masked off.
llvm::Value* CpuFunction::load_words(const Instruction& load, const Coordinates& along,
                                     llvm::Type* words) {
  llvm::Value* from = address(load, evaluate(load.operands[0], along).value);
  if (load.operands.size() > 1) {
    const Lanes mask = evaluate(load.operands[1], along);
    if (!is_true(mask)) {
      llvm::Value* nothing = stack(words, "nothing");
      b_.CreateStore(llvm::Constant::getNullValue(words), nothing);
      from = b_.CreateSelect(mask.value, from, nothing);
    }
  }
  return b_.CreateAlignedLoad(words, from, llvm::Align(size_of(type(load.results[0]).dtype)));
}

// --- products of words ---------------------------------------------------------------------------

// Upper bits of bytes. Hidden from LLVM, which would flip those of x before they are spread over a
// pack, where that is not free.
llvm::Value* CpuFunction::hidden_flip() {
  llvm::Value* place = stack(pack_type(), "flip");
  b_.CreateStore(emitter_.splat(b_.getInt32(0x80808080), lanes_), place, true);
  return b_.CreateLoad(pack_type(), place, true);
}

// A pack of words of x as multiply_words() takes it.
llvm::Value* CpuFunction::as_factor(const Dot& dot, llvm::Value* words) {
  if (!needs_corrections(dot)) return words;
  return b_.CreateXor(words, dot.flip);
}

llvm::Value* CpuFunction::multiply_words(const Dot& dot, llvm::Value* x, llvm::Value* y,
                                         llvm::Value* sum) {
  const DType left = type(dot.in.operands[0]).dtype;
  if (dot.element == DType::bf16) {
    auto* halves = llvm::FixedVectorType::get(b_.getBFloatTy(), 2 * lanes_);
    return b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {},
                              {sum, b_.CreateBitCast(x, halves), b_.CreateBitCast(y, halves)});
  }
  if (features_.has_vnni && (left == DType::i8 || dot.element == DType::i8)) {
    if (dot.element == DType::u8) std::swap(x, y);
    return b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512_vpdpbusd_512, {}, {sum, x, y});
  }
  // Even and odd bytes as 16 bits.
  auto* wide = llvm::FixedVectorType::get(b_.getInt16Ty(), 2 * lanes_);
  const auto half = [&](llvm::Value* words, bool is_signed, bool is_odd) {
    llvm::Value* pairs = b_.CreateBitCast(words, wide);
    if (!is_odd) {
      if (!is_signed) return b_.CreateAnd(pairs, 0xff);
      pairs = b_.CreateShl(pairs, 8);
    }
    return is_signed ? b_.CreateAShr(pairs, 8) : b_.CreateLShr(pairs, 8);
  };
  const auto id =
      lanes_ == 16 ? llvm::Intrinsic::x86_avx512_pmaddw_d_512 : llvm::Intrinsic::x86_avx2_pmadd_wd;
  for (const bool is_odd : {false, true})
    sum = b_.CreateAdd(sum, b_.CreateIntrinsic(id, {},
                                               {half(x, left == DType::i8, is_odd),
                                                half(y, dot.element == DType::i8, is_odd)}));
  return sum;
}

void CpuFunction::correct(llvm::Value* correction, llvm::Value* y) {
  llvm::Value* before = b_.CreateLoad(pack_type(), correction);
  b_.CreateStore(b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512_vpdpbusd_512, {},
                                    {before, emitter_.splat(b_.getInt32(0x80808080), lanes_), y}),
                 correction);
}

// What 128 more in each element of x adds to the sums, by pack of columns. Four packs at a time, as
// each addition takes four cycles.
llvm::Value* CpuFunction::corrections_of(const Dot& dot) {
  const int64_t columns = type(dot.in.operands[1]).shape[1];
  const auto lanes = static_cast<int64_t>(lanes_);
  const int64_t packs = (columns + lanes - 1) / lanes;
  llvm::Value* corrections =
      stack(llvm::ArrayType::get(pack_type(), static_cast<uint64_t>(packs)), "corrections");
  const auto block = [&](llvm::Value* first, int64_t count, llvm::Value* tail) {
    std::vector<llvm::Value*> sums;
    for (int64_t p = 0; p < count; ++p) sums.push_back(zero_pack());
    const DotBlock at{nullptr, 0, first, count, tail};
    for_words(dot, i64(0), [&](const DotStep& step) {
      const std::vector<llvm::Value*> right = right_step(dot, at, step);
      for (size_t p = 0; p < sums.size(); ++p) correct(sums[p], right[p]);
    });
    for (int64_t p = 0; p < count; ++p)
      b_.CreateAlignedStore(b_.CreateLoad(pack_type(), sums[static_cast<size_t>(p)]),
                            b_.CreateGEP(pack_type(), corrections, b_.CreateAdd(first, i64(p))),
                            llvm::Align(64));
  };
  const int64_t whole = columns / lanes, fours = whole / kFewPacks * kFewPacks;
  if (fours)
    loop_over(i64(0), i64(fours), kFewPacks,
              [&](llvm::Value* pack) { block(pack, kFewPacks, nullptr); });
  if (fours < whole) block(i64(fours), whole - fours, nullptr);
  if (whole < packs) block(i64(whole), 1, first_lanes(i64(columns - whole * lanes)));
  memo_.clear();
  return corrections;
}

}  // namespace cairn::compiler
