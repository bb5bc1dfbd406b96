#include "cairn/tile/access.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/tile/print.h"

namespace cairn::tile {
namespace {

using Kind = Stride::Kind;

constexpr Stride kVaries = {Kind::varies, 0, -1};

bool is_zero(const Stride& s) { return s == Stride{}; }

struct Walk {
  std::vector<Stride> strides;  // by axis
  ValueId root = -1;            // the scalar or constant that every element is, where there is one
};

class Analysis {
 public:
  explicit Analysis(const Kernel& kernel)
      : kernel_(kernel), walks_(kernel.types.size()), constants_(kernel.types.size()) {
    for (size_t v = 0; v < walks_.size(); ++v)
      if (kernel.types[v].shape.rank() == 0) walks_[v].root = static_cast<ValueId>(v);
    visit(kernel.body, 0);
  }
  std::vector<MemoryAccess> take() { return std::move(accesses_); }

 private:
  const Shape& shape(ValueId v) const { return kernel_.type(v).shape; }
  Walk& walk(ValueId v) { return walks_[static_cast<size_t>(v)]; }
  const Instruction* constant(ValueId v) const {
    return v < 0 ? nullptr : constants_[static_cast<size_t>(v)];
  }

  void visit(const Block& block, int loops) {
    for (const Instruction& in : block.code) {
      if (in.op == TileOp::loop) {
        for (ValueId v : in.regions[0].arguments) set_unknown(v);
        visit(in.regions[0], loops + 1);
      }
      if (in.op == TileOp::load || in.op == TileOp::store || in.op == TileOp::atomic)
        add_access(in, loops);
      for (ValueId v : in.results) {
        if (shape(v).rank() > 0) walk(v) = result(in, v);
        if (in.op == TileOp::constant) {
          constants_[static_cast<size_t>(v)] = &in;
          walk(v).root = v;
        }
      }
    }
  }
  void set_unknown(ValueId v) {
    walk(v).strides.assign(static_cast<size_t>(shape(v).rank()), kVaries);
  }

  void add_access(const Instruction& in, int loops) {
    const ValueId offsets = in.operands[0];
    MemoryAccess access{&in, loops, shape(offsets), {}, true};
    for (int axis = access.shape.rank(); axis-- > 0 && access.one_element;)
      if (access.shape[axis] > 1) {
        access.last = walk(offsets).strides[static_cast<size_t>(axis)];
        access.one_element = false;
      }
    accesses_.push_back(access);
  }

  Walk result(const Instruction& in, ValueId v) {
    const Shape& to = shape(v);
    const auto rank = static_cast<size_t>(to.rank());
    Walk out{std::vector<Stride>(rank, kVaries), -1};
    switch (in.op) {
      case TileOp::constant: out.strides.assign(rank, {}); return out;
      case TileOp::arange: out.strides[0] = {Kind::fixed, 1, -1}; return out;
      case TileOp::broadcast:
        out = walk(in.operands[0]);
        for (size_t i = 0; i < rank; ++i)
          if (shape(in.operands[0])[static_cast<int>(i)] == 1) out.strides[i] = {};
        return out;
      case TileOp::reshape: return reshaped(walk(in.operands[0]), shape(in.operands[0]), to);
      case TileOp::transpose: {
        const Walk& x = walk(in.operands[0]);
        out.root = x.root;
        for (size_t i = 0; i < rank; ++i)
          out.strides[i] = x.strides[static_cast<size_t>(in.axes[static_cast<int>(i)])];
        return out;
      }
      case TileOp::apply:
        if (in.scalar == Op::cast) return walk(in.operands[0]);
        if (in.operands.size() == 2 && in.scalar == Op::multiply)
          return product(walk(in.operands[0]), walk(in.operands[1]));
        break;
      case TileOp::load:
      case TileOp::fma: break;
      default: return out;
    }
    for (size_t i = 0; i < rank; ++i) {
      if (in.op == TileOp::apply && in.operands.size() == 2 &&
          (in.scalar == Op::add || in.scalar == Op::subtract))
        out.strides[i] = sum(walk(in.operands[0]).strides[i], walk(in.operands[1]).strides[i],
                             in.scalar == Op::add ? 1 : -1);
      else if (std::ranges::all_of(in.operands,
                                   [&](ValueId x) { return is_zero(walk(x).strides[i]); }))
        out.strides[i] = {};
    }
    return out;
  }

  // Axes of size 1 come and go; anything else mixes the axes up.
  static Walk reshaped(const Walk& x, const Shape& from, const Shape& to) {
    Walk out{std::vector<Stride>(static_cast<size_t>(to.rank())), x.root};
    if (std::ranges::all_of(x.strides, is_zero)) return out;
    int at = 0;
    for (int i = 0; i < to.rank(); ++i) {
      if (to[i] == 1) continue;
      while (at < from.rank() && from[at] == 1) ++at;
      if (at == from.rank() || from[at] != to[i]) {
        std::ranges::fill(out.strides, kVaries);
        return out;
      }
      out.strides[static_cast<size_t>(i)] = x.strides[static_cast<size_t>(at++)];
    }
    return out;
  }

  static Stride sum(const Stride& x, const Stride& y, int64_t sign) {
    if (is_zero(y)) return x;
    if (is_zero(x) && sign > 0) return y;
    if (x.kind == Kind::fixed && y.kind == Kind::fixed)
      return {Kind::fixed, x.number + sign * y.number, -1};
    if (x.kind == Kind::varies || y.kind == Kind::varies) return kVaries;
    return {Kind::scalar, 0, -1};
  }

  Walk product(const Walk& x, const Walk& y) const {
    if (std::ranges::all_of(x.strides, is_zero)) return scaled(y, x.root);
    if (std::ranges::all_of(y.strides, is_zero)) return scaled(x, y.root);
    Walk out{std::vector<Stride>(x.strides.size(), kVaries), -1};
    for (size_t i = 0; i < out.strides.size(); ++i)
      if (is_zero(x.strides[i]) && is_zero(y.strides[i])) out.strides[i] = {};
    return out;
  }
  // x times one number, which is `root` where that is known.
  Walk scaled(const Walk& x, ValueId root) const {
    Walk out{x.strides, -1};
    for (Stride& s : out.strides) {
      if (is_zero(s) || s.kind == Kind::varies) continue;
      const Instruction* number = constant(root);
      if (number && s.kind == Kind::fixed)
        s.number *= number->value.as_integer();
      else
        s = {Kind::scalar, 0, s == Stride{Kind::fixed, 1, -1} ? root : -1};
    }
    return out;
  }

  const Kernel& kernel_;
  std::vector<Walk> walks_;                    // by ValueId
  std::vector<const Instruction*> constants_;  // by ValueId; null of others
  std::vector<MemoryAccess> accesses_;
};

}  // namespace

std::vector<MemoryAccess> memory_accesses(const Kernel& kernel) { return Analysis(kernel).take(); }

std::string describe(const Kernel& kernel, const MemoryAccess& access) {
  if (access.one_element) return "one element";
  const Stride& s = access.last;
  switch (s.kind) {
    case Kind::fixed:
      if (s.number == 1) return "contiguous";
      return s.number == 0 ? "the same element" : fmt::format("{} apart", s.number);
    case Kind::scalar: {
      const std::string name =
          s.scalar < 0 ? "%?" : value_names(kernel)[static_cast<size_t>(s.scalar)];
      return name == "%?" ? "as far apart as the sizes say" : name + " apart";
    }
    case Kind::varies: break;
  }
  return "anywhere";
}

}  // namespace cairn::tile
