// Masks that bound the loops over a tile.
#include <fmt/format.h>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/cpu_function.h"

namespace cairn::compiler {

using tile::TileOp;

// The comparisons that a mask is the conjunction of, each where this mask evaluates it; others
// are left out.
void CpuFunction::collect_terms(ValueId mask, const Coordinates& at, std::vector<Term>& terms) {
  const Instruction* in = definition(mask);
  if (!in) return;
  if (in->op == TileOp::apply && in->scalar == Op::bitwise_and) {
    collect_terms(in->operands[0], at, terms);
    collect_terms(in->operands[1], at, terms);
  } else if (in->op == TileOp::broadcast || in->op == TileOp::reshape ||
             in->op == TileOp::transpose) {
    collect_terms(in->operands[0], operand_coordinates(*in, at), terms);
  } else if (in->op == TileOp::apply && in->scalar == Op::less &&
             type(in->operands[0]).dtype == DType::i64) {
    terms.push_back({in, at});
  }
}

// Lowers the counts to what the mask leaves, and says which axis each of its terms bounds.
std::vector<int> CpuFunction::bound(ValueId mask, std::vector<llvm::Value*>& counts) {
  std::vector<int> axes;
  std::vector<llvm::Value*> limits;
  for (size_t axis = 0; axis < counts.size(); ++axis) {
    Coordinates probe(counts.size(), Lanes::uniform(i64(0)));
    probe[axis] = Lanes::affine(i64(0), i64(1));
    std::vector<Term> terms;
    collect_terms(mask, probe, terms);
    axes.resize(terms.size(), -1);
    limits.resize(terms.size());
    for (size_t t = 0; t < terms.size(); ++t) {
      const Lanes x = evaluate(terms[t].less->operands[0], terms[t].at);
      const Lanes y = evaluate(terms[t].less->operands[1], terms[t].at);
      if (x.is_uniform() && y.is_uniform()) continue;  // does not depend on this axis
      const bool bounds = x.kind == Lanes::Kind::affine && is_constant(x.stride, 1) &&
                          y.is_uniform() && axes[t] == -1;
      axes[t] = bounds ? static_cast<int>(axis) : -2;
      if (bounds) limits[t] = b_.CreateBinaryIntrinsic(llvm::Intrinsic::ssub_sat, y.value, x.value);
    }
  }
  for (size_t t = 0; t < axes.size(); ++t) {
    if (axes[t] < 0) continue;
    llvm::Value*& count = counts[static_cast<size_t>(axes[t])];
    count = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, count, limits[t]);
  }
  for (llvm::Value*& count : counts)
    if (!llvm::isa<llvm::ConstantInt>(count))
      count = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, count, i64(0));
  return axes;
}
// In a pack within the bounds the terms that bound them hold.
void CpuFunction::assume_terms(ValueId mask, const Coordinates& here,
                               const std::vector<int>& bounded) {
  std::vector<Term> terms;
  collect_terms(mask, here, terms);
  for (size_t t = 0; t < terms.size(); ++t) {
    if (t >= bounded.size() || bounded[t] < 0) continue;  // a single element has no axes
    const bool last = bounded[t] + 1 == static_cast<int>(here.size());
    memo_[{terms[t].less->results[0], terms[t].at}] =
        last && tail_ ? Lanes::vector(tail_) : Lanes::uniform(b_.getTrue());
  }
}

}  // namespace cairn::compiler
