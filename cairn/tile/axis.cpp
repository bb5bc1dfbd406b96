#include "cairn/tile/axis.h"

#include <algorithm>
#include <bit>

#include "cairn/core/dtype.h"

namespace cairn::tile {
namespace {

constexpr int64_t kMaxProgram = (int64_t{1} << 40) - 1;

// Of powers of two up to kUnbounded.
int64_t product(int64_t x, int64_t y) { return x > kUnbounded / y ? kUnbounded : x * y; }
// What is kept of a stride is its remainder modulo 2^64, as that of its values.
int64_t wrapping(Op op, int64_t x, int64_t y) {
  const auto a = static_cast<uint64_t>(x), c = static_cast<uint64_t>(y);
  return static_cast<int64_t>(op == Op::add ? a + c : op == Op::subtract ? a - c : a * c);
}

int64_t uniform_run(const AxisFacts& facts) { return facts.stride == 0 ? facts.run : 1; }

struct Bounds {
  int64_t low = INT64_MIN, high = INT64_MAX;
};

class Analysis {
 public:
  explicit Analysis(const Kernel& kernel) : kernel_(kernel), facts_(kernel.types.size()) {
    for (size_t v = 0; v < facts_.size(); ++v) {
      facts_[v].axes.resize(static_cast<size_t>(kernel.types[v].shape.rank()));
      settle(static_cast<ValueId>(v));
    }
    for (const Parameter& p : kernel.parameters)
      if (!p.is_buffer() && is_integer(p.dtype))
        facts(p.value).divisor = power_of_two_in(p.divisor);
  }
  std::vector<ValueFacts> run() {
    visit(kernel_.body);
    return std::move(facts_);
  }

 private:
  ValueFacts& facts(ValueId v) { return facts_[static_cast<size_t>(v)]; }
  const TileType& type(ValueId v) const { return kernel_.type(v); }
  int64_t bits(ValueId v) const { return 8 * static_cast<int64_t>(size_of(type(v).dtype)); }

  void visit(const Block& block) {
    for (const Instruction& in : block.code) {
      if (in.op == TileOp::loop) {
        enter_loop(in);
        visit(in.regions[0]);
      } else if (in.results.size() == 1) {
        visit(in);
        settle(in.results[0]);
      }
    }
  }
  void enter_loop(const Instruction& in) {
    const ValueFacts &begin = facts(in.operands[0]), &end = facts(in.operands[1]);
    ValueFacts& i = facts(in.regions[0].arguments[0]);
    i.divisor = std::min(begin.divisor, facts(in.operands[2]).divisor);
    i.low = begin.low;
    i.high = end.high == INT64_MIN ? end.high : end.high - 1;
  }

  // What one fact says about the others.
  void settle(ValueId v) {
    ValueFacts& result = facts(v);
    const Shape& shape = type(v).shape;
    for (const AxisFacts& axis : result.axes)
      result.divisor = std::max(result.divisor, axis.divisor_at(1));
    for (int a = 0; a < shape.rank(); ++a) {
      AxisFacts& axis = result.axes[static_cast<size_t>(a)];
      if (shape[a] == 1) axis = {0, kUnbounded, axis.divisor};
      axis.divisor = std::max(axis.divisor, result.divisor);
    }
  }

  void visit(const Instruction& in) {
    ValueFacts& result = facts(in.results[0]);
    switch (in.op) {
      case TileOp::program_id:
        result.low = 0;
        result.high = kMaxProgram;
        return;
      case TileOp::constant:
        for (AxisFacts& axis : result.axes) axis = {0, kUnbounded, 1};
        if (is_integer(type(in.results[0]).dtype)) {
          const int64_t number = in.value.as_integer();
          result.divisor = power_of_two_in(number);
          if (fits({{}, 1, number, number}, type(in.results[0]).dtype))
            result.low = result.high = number;
        }
        return;
      case TileOp::arange:
        result.axes[0] = {1, kUnbounded, kUnbounded};
        result.low = 0;
        result.high = type(in.results[0]).shape[0] - 1;
        return;
      case TileOp::apply: apply(in, result); return;
      case TileOp::fma:
      case TileOp::multiply_high:
      case TileOp::lookup:
      case TileOp::bitcast:
      case TileOp::load: uniform(in, result); return;
      case TileOp::broadcast: broadcast(in, result); return;
      case TileOp::reshape: reshape(in, result); return;
      case TileOp::transpose: {
        const ValueFacts& x = facts(in.operands[0]);
        for (int a = 0; a < in.axes.size(); ++a)
          result.axes[static_cast<size_t>(a)] = x.axes[static_cast<size_t>(in.axes[a])];
        keep_elements(x, result);
        return;
      }
      case TileOp::reduce:
      case TileOp::arg_reduce: {
        const ValueFacts& x = facts(in.operands[0]);
        for (size_t a = 0; a < result.axes.size(); ++a)
          result.axes[a].run = uniform_run(x.axes[a + (static_cast<int>(a) >= in.axis ? 1 : 0)]);
        return;
      }
      default: return;
    }
  }

  static void keep_elements(const ValueFacts& x, ValueFacts& result) {
    result.divisor = x.divisor;
    result.low = x.low;
    result.high = x.high;
  }

  // Equal operands give equal results.
  void uniform(const Instruction& in, ValueFacts& result) {
    for (size_t a = 0; a < result.axes.size(); ++a) {
      int64_t run = kUnbounded;
      for (ValueId v : in.operands) run = std::min(run, uniform_run(facts(v).axes[a]));
      result.axes[a] = {0, run, 1};
    }
  }

  void broadcast(const Instruction& in, ValueFacts& result) {
    const ValueFacts& x = facts(in.operands[0]);
    const Shape& from = type(in.operands[0]).shape;
    for (int a = 0; a < from.rank(); ++a) {
      const auto i = static_cast<size_t>(a);
      result.axes[i] = from[a] == 1 ? AxisFacts{0, kUnbounded, 1} : x.axes[i];
    }
    keep_elements(x, result);
  }

  void reshape(const Instruction& in, ValueFacts& result) {
    const ValueFacts& x = facts(in.operands[0]);
    keep_elements(x, result);
    const Shape &from = type(in.operands[0]).shape, &to = type(in.results[0]).shape;
    // The last axes are cut or joined; those before them stay as long as the sizes agree from the
    // front.
    int i = 0, j = 0;
    for (;; ++i, ++j) {
      while (i < from.rank() && from[i] == 1) ++i;
      while (j < to.rank() && to[j] == 1) ++j;
      if (i == from.rank() || j == to.rank() || from[i] != to[j]) break;
      result.axes[static_cast<size_t>(j)] = x.axes[static_cast<size_t>(i)];
    }
    if (i == from.rank()) return;
    int last_from = from.rank() - 1, last_to = to.rank() - 1;
    while (from[last_from] == 1) --last_from;
    while (to[last_to] == 1) --last_to;
    // An aligned group stays one where its length divides both sizes.
    const AxisFacts& inner = x.axes[static_cast<size_t>(last_from)];
    AxisFacts& cut = result.axes[static_cast<size_t>(last_to)];
    const int64_t length = power_of_two_in(to[last_to]);
    cut = inner;
    if (from[last_from] % to[last_to] == 0 && inner.run == kUnbounded) {
      cut.divisor = inner.divisor_at(length);
    } else {
      cut.run = std::min({inner.run, length, power_of_two_in(from[last_from])});
      cut.divisor = inner.divisor_at(cut.run);
    }
  }

  // The longest run in which x, which steps upwards, does not pass a multiple of a power of two
  // that divides the firsts of x and, where there is one, the uniform y. With first = m * g, y =
  // k * g and x = first + j, j < g: x < y, x / y and x % y are then those of m and k.
  int64_t level_run(ValueId v, size_t axis, const AxisFacts& x, const AxisFacts* y) const {
    if (x.stride < 0 || (y && y->stride != 0)) return 1;
    const int64_t size = type(v).shape[static_cast<int>(axis)];
    const int64_t limit = int64_t{1} << std::min<int64_t>(bits(v) - 1, 62);
    int64_t run = std::min(x.run, y ? y->run : kUnbounded);
    if (run >= size) run = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
    for (; run > 1; run /= 2) {
      const int64_t level = std::min({x.divisor_at(run), y ? y->divisor : kUnbounded, limit});
      if (x.stride <= (level - 1) / (run - 1)) break;
    }
    return run >= size ? kUnbounded : run;
  }

  void apply(const Instruction& in, ValueFacts& result) {
    uniform(in, result);
    const ValueId a = in.operands[0];
    if (!is_integer(type(in.operands.back()).dtype)) return;
    switch (in.scalar) {
      case Op::cast:
        if (is_integer(type(in.results[0]).dtype)) cast(in, result);
        return;
      case Op::negate:
        for (size_t i = 0; i < result.axes.size(); ++i) {
          result.axes[i] = facts(a).axes[i];
          result.axes[i].stride = wrapping(Op::subtract, 0, result.axes[i].stride);
        }
        result.divisor = facts(a).divisor;
        return;
      case Op::add:
      case Op::subtract:
      case Op::multiply: arithmetic(in, result); return;
      case Op::divide:
      case Op::remainder: quotient(in, result); return;
      case Op::less: compare(a, in.operands[1], result); return;
      case Op::less_equal: compare(in.operands[1], a, result); return;
      default: return;
    }
  }

  // x < y, or y <= x.
  void compare(ValueId v, ValueId w, ValueFacts& result) {
    for (size_t i = 0; i < result.axes.size(); ++i) {
      const int64_t run = level_run(v, i, facts(v).axes[i], &facts(w).axes[i]);
      if (run > result.axes[i].run) result.axes[i] = {0, run, 1};
    }
  }

  void cast(const Instruction& in, ValueFacts& result) {
    const ValueId v = in.operands[0];
    const ValueFacts& x = facts(v);
    const bool widens = bits(in.results[0]) > bits(v);
    for (size_t i = 0; i < result.axes.size(); ++i) {
      AxisFacts axis = x.axes[i];
      if (widens && axis.stride != 0) {
        // Neighbours differ by the stride only as long as the narrow type does not wrap.
        axis.run = level_run(v, i, axis, nullptr);
        axis.divisor = x.axes[i].divisor_at(axis.run);
      }
      if (axis.run > 1) result.axes[i] = axis;
    }
    result.divisor = x.divisor;
    if (fits(x, type(in.results[0]).dtype)) {
      result.low = x.low;
      result.high = x.high;
    }
  }
  static bool fits(const ValueFacts& x, DType dtype) {
    return dtype == DType::i64 || (x.low >= 0 && x.high <= INT8_MAX) ||
           (dtype == DType::i32 && x.low >= INT32_MIN && x.high <= INT32_MAX);
  }

  void arithmetic(const Instruction& in, ValueFacts& result) {
    const ValueFacts &x = facts(in.operands[0]), &y = facts(in.operands[1]);
    const bool multiplies = in.scalar == Op::multiply;
    const auto divisor = [&](int64_t a, int64_t c) {
      return multiplies ? product(a, c) : std::min(a, c);
    };
    for (size_t i = 0; i < result.axes.size(); ++i) {
      const AxisFacts &a = x.axes[i], &c = y.axes[i];
      const int64_t run = std::min(a.run, c.run);
      int64_t stride = 0;
      if (!multiplies) {
        stride = wrapping(in.scalar, a.stride, c.stride);
      } else if (x.low == x.high) {
        stride = wrapping(Op::multiply, x.low, c.stride);
      } else if (y.low == y.high) {
        stride = wrapping(Op::multiply, a.stride, y.low);
      } else if (a.stride != 0 || c.stride != 0) {
        continue;  // a step of unknown size
      }
      if (run > result.axes[i].run || stride == 0)
        result.axes[i] = {stride, run, divisor(a.divisor_at(run), c.divisor_at(run))};
    }
    result.divisor = divisor(x.divisor, y.divisor);
    const Bounds bounds = bound(in.scalar, x, y);
    if (fits({{}, 1, bounds.low, bounds.high}, type(in.results[0]).dtype)) {
      result.low = bounds.low;
      result.high = bounds.high;
    }
  }
  static Bounds bound(Op op, const ValueFacts& x, const ValueFacts& y) {
    Bounds all, r;
    bool overflows = false;
    if (op == Op::add) {
      overflows = __builtin_add_overflow(x.low, y.low, &r.low);
      overflows |= __builtin_add_overflow(x.high, y.high, &r.high);
    } else if (op == Op::subtract) {
      overflows = __builtin_sub_overflow(x.low, y.high, &r.low);
      overflows |= __builtin_sub_overflow(x.high, y.low, &r.high);
    } else {
      if (x.low < 0 || y.low < 0) return all;
      overflows = __builtin_mul_overflow(x.low, y.low, &r.low);
      overflows |= __builtin_mul_overflow(x.high, y.high, &r.high);
    }
    return overflows ? all : r;
  }

  // Division truncates, so what it does to negative numbers is not what level_run() thinks of. A
  // divisor of zero gives -1 and the number itself, which are as uniform and as contiguous.
  void quotient(const Instruction& in, ValueFacts& result) {
    const ValueFacts &x = facts(in.operands[0]), &y = facts(in.operands[1]);
    const bool remainder = in.scalar == Op::remainder;
    if (remainder) result.divisor = std::min(x.divisor, y.divisor);
    if (x.low < 0) return;
    if (is_signed(type(in.results[0]).dtype)) {
      result.low = remainder || y.low >= 1 ? 0 : std::min<int64_t>(-x.high, -1);
      result.high = x.high;
    }
    for (size_t i = 0; i < result.axes.size(); ++i) {
      const AxisFacts &a = x.axes[i], &c = y.axes[i];
      const int64_t run = level_run(in.operands[0], i, a, &c);
      if (run <= result.axes[i].run) continue;
      result.axes[i] = {remainder ? a.stride : 0, run,
                        remainder ? std::min(a.divisor_at(run), c.divisor) : 1};
    }
  }

  const Kernel& kernel_;
  std::vector<ValueFacts> facts_;
};

}  // namespace

int64_t power_of_two_in(int64_t number) {
  if (number == 0) return kUnbounded;
  return int64_t{1} << std::min(std::countr_zero(static_cast<uint64_t>(number)), 62);
}

int64_t AxisFacts::divisor_at(int64_t length) const {
  if (length >= run) return divisor;
  return std::min(divisor, product(power_of_two_in(stride), length));
}

std::vector<ValueFacts> analyze_axes(const Kernel& kernel) { return Analysis(kernel).run(); }

}  // namespace cairn::tile
