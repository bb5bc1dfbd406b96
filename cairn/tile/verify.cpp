#include "cairn/tile/verify.h"

#include <fmt/format.h>

#include <bit>
#include <unordered_set>

#include "cairn/base/error.h"
#include "cairn/graph/lexer.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/print.h"

namespace cairn::tile {
namespace {

using cairn::detail::kMaxNameLength;

class Verifier {
 public:
  explicit Verifier(const Kernel& kernel)
      : kernel_(kernel), state_(kernel.types.size(), State::undefined) {}
  void run();

 private:
  enum class State : uint8_t { undefined, visible, left };

  [[noreturn]] void fail(const Instruction* in, std::string_view what) const;
  void require(bool condition, const Instruction* in, std::string_view what) const {
    if (!condition) fail(in, what);
  }
  State& state(ValueId v) { return state_[static_cast<size_t>(v)]; }
  void check_id(ValueId v, const Instruction* in) const;
  void define(ValueId v, const Instruction* in);
  void use(ValueId v, const Instruction* in, std::string_view role, size_t i);
  void check_types() const;
  void check_parameters();
  void check_block(const Block& block, const Instruction* owner, int depth);
  void check_instruction(const Instruction& in, int depth);
  void check_results(const Instruction& in);

  const Kernel& kernel_;
  std::vector<State> state_;
  bool in_grid_ = false;
};

void Verifier::fail(const Instruction* in, std::string_view what) const {
  std::string place = fmt::format("kernel @{}", cairn::detail::spell_name(kernel_.name));
  if (in) {
    const std::vector<std::string> names = value_names(kernel_);
    std::string results;
    for (const ValueId v : in->results) {
      const bool is_value = v >= 0 && static_cast<size_t>(v) < names.size();
      results += (results.empty() ? "" : ", ") + (is_value ? names[static_cast<size_t>(v)] : "%?");
    }
    place += fmt::format(", '{}{}{}'", results, results.empty() ? "" : " = ", word_of(*in));
  }
  throw InternalError(
      fmt::format("[verify] {}: {}\n{}", place, what, to_text(kernel_, [&](const Instruction& i) {
                    return &i == in ? fmt::format("broken: {}", what) : "";
                  })));
}

void Verifier::check_id(ValueId v, const Instruction* in) const {
  if (v < 0 || static_cast<size_t>(v) >= state_.size())
    fail(in, fmt::format("value number {} is not one of the kernel's {}", v, state_.size()));
}

void Verifier::define(ValueId v, const Instruction* in) {
  check_id(v, in);
  if (state(v) != State::undefined)
    fail(in, fmt::format("{} is defined twice", value_names(kernel_)[static_cast<size_t>(v)]));
  state(v) = State::visible;
}

void Verifier::use(ValueId v, const Instruction* in, std::string_view role, size_t i) {
  check_id(v, in);
  if (state(v) == State::visible) return;
  fail(in,
       fmt::format("{} {}, {}, is used {}", role, i, value_names(kernel_)[static_cast<size_t>(v)],
                   state(v) == State::left ? "outside of the block that defines it"
                                           : "before it is defined"));
}

// First of all, because everything after computes with sizes and looks names up.
void Verifier::check_types() const {
  for (size_t i = 0; i < kernel_.types.size(); ++i) {
    const TileType& type = kernel_.types[i];
    require(static_cast<int>(type.dtype) < kDTypeCount, nullptr,
            fmt::format("value number {} has no element type", i));
    if (checked_elements({type.shape.begin(), type.shape.end()}) < 1)
      fail(nullptr, fmt::format("value number {} has the impossible type {}", i, to_string(type)));
  }
}

void Verifier::check_parameters() {
  std::unordered_set<std::string_view> names;
  for (const Parameter& p : kernel_.parameters) {
    require(p.kind <= Parameter::Kind::scalar, nullptr,
            fmt::format("parameter '{}' is of no kind", p.name));
    require(static_cast<int>(p.dtype) < kDTypeCount, nullptr,
            fmt::format("parameter '{}' has no element type", p.name));
    if (const std::string fault = fault_of(p); !fault.empty()) fail(nullptr, fault);
    require(names.insert(p.name).second, nullptr,
            fmt::format("two parameters are named '{}'", p.name));
    if (p.is_buffer()) {
      require(p.value == -1, nullptr, fmt::format("buffer '{}' has a value", p.name));
      continue;
    }
    define(p.value, nullptr);
    if (!(kernel_.type(p.value) == TileType{p.dtype, {}}))
      fail(nullptr, fmt::format("parameter '{}' is a scalar of {}, its value is {}", p.name,
                                cairn::name(p.dtype), to_string(kernel_.type(p.value))));
  }
}

void Verifier::run() {
  check_types();
  require(kernel_.name.size() <= kMaxNameLength, nullptr,
          fmt::format("the name has more than {} characters", kMaxNameLength));
  check_parameters();
  const Block& grid = kernel_.grid;
  require(grid.arguments.empty(), nullptr, "the grid has arguments");
  if (!grid.code.empty() || !grid.yields.empty()) {
    in_grid_ = true;
    check_block(grid, nullptr, 0);
    in_grid_ = false;
    if (const std::string fault = fault_of_grid(kernel_); !fault.empty()) fail(nullptr, fault);
  }
  require(kernel_.body.arguments.empty(), nullptr, "the body has arguments");
  require(kernel_.body.yields.empty(), nullptr, "the body yields something");
  check_block(kernel_.body, nullptr, 0);
}

void Verifier::check_block(const Block& block, const Instruction* owner, int depth) {
  for (const ValueId v : block.arguments) define(v, owner);
  for (const Instruction& in : block.code) check_instruction(in, depth);
  for (size_t i = 0; i < block.yields.size(); ++i) use(block.yields[i], owner, "yield", i);
  for (const ValueId v : block.arguments) state(v) = State::left;
  for (const Instruction& in : block.code)
    for (const ValueId v : in.results) state(v) = State::left;
}

void Verifier::check_instruction(const Instruction& in, int depth) {
  require(static_cast<int>(in.op) < kTileOpCount, &in, "there is no such instruction");
  require(static_cast<int>(in.scalar) < kOpCount, &in, "there is no such primitive");
  require(static_cast<int>(in.kind) < kCombineCount, &in, "there is no such kind");
  require(in.stages >= 1, &in, fmt::format("stages={}, expected 1 or more", in.stages));
  require(in.text.size() <= kMaxNameLength, &in,
          fmt::format("the text has more than {} characters", kMaxNameLength));
  for (size_t i = 0; i < in.operands.size(); ++i) use(in.operands[i], &in, "operand", i);
  require(in.op == TileOp::loop || in.regions.empty(), &in, "only a loop has a region");
  for (const Block& region : in.regions) {
    require(depth < kMaxLoopDepth, &in, fmt::format("loops nest at most {} deep", kMaxLoopDepth));
    check_block(region, &in, depth + 1);
  }
  check_results(in);
  if (!in_grid_) return;
  if (const std::string fault = fault_in_grid(kernel_, in); !fault.empty()) fail(&in, fault);
}

void Verifier::check_results(const Instruction& in) {
  for (const ValueId v : in.results) check_id(v, &in);
  std::vector<TileType> types;
  try {
    types =
        result_types(kernel_, in, in.results.empty() ? TileType{} : kernel_.type(in.results[0]));
  } catch (const Error& error) {
    fail(&in, error.what());
  }
  if (types.size() != in.results.size())
    fail(&in,
         fmt::format("{} results follow, the instruction has {}", types.size(), in.results.size()));
  for (size_t i = 0; i < types.size(); ++i) {
    const TileType& type = kernel_.type(in.results[i]);
    if (!(type == types[i]))
      fail(&in,
           fmt::format("result {} is {}, but {} follows", i, to_string(type), to_string(types[i])));
    define(in.results[i], &in);
  }
}

}  // namespace

void verify(const Kernel& kernel) { Verifier(kernel).run(); }

std::string fault_of(const Parameter& p) {
  if (p.name.empty()) return "a parameter has no name";
  if (p.name.size() > kMaxNameLength)
    return fmt::format("the name of a parameter has more than {} characters", kMaxNameLength);
  if (p.is_buffer()) {
    if (p.divisor < 1 || !std::has_single_bit(static_cast<uint64_t>(p.divisor)))
      return fmt::format("the alignment of '{}' is {} bytes, expected a power of two", p.name,
                         p.divisor);
  } else if (p.divisor < 1) {
    return fmt::format("the divisor of '{}' is {}, expected 1 or more", p.name, p.divisor);
  } else if (p.divisor > 1 && !is_integer(p.dtype)) {
    return fmt::format("'{}' is {}; only an integer has a divisor", p.name, cairn::name(p.dtype));
  }
  return "";
}

std::string fault_in_grid(const Kernel& kernel, const Instruction& in) {
  // A launch computes the grid on the host, before there is a program or memory.
  const bool is_arithmetic = in.op == TileOp::constant || in.op == TileOp::apply ||
                             in.op == TileOp::fma || in.op == TileOp::multiply_high ||
                             in.op == TileOp::bitcast;
  if (!is_arithmetic)
    return fmt::format("the grid is scalar arithmetic; '{}' is none", word_of(in));
  for (const ValueId v : in.results)
    if (kernel.type(v).shape.rank() != 0)
      return fmt::format("the grid is scalar arithmetic; this is {}", to_string(kernel.type(v)));
  return "";
}

std::string fault_of_grid(const Kernel& kernel) {
  const std::vector<ValueId>& sizes = kernel.grid.yields;
  if (sizes.empty() || sizes.size() > kMaxGridRank)
    return fmt::format("the grid yields {} sizes, expected 1 to {}", sizes.size(), kMaxGridRank);
  for (size_t i = 0; i < sizes.size(); ++i)
    if (!(kernel.type(sizes[i]) == TileType{DType::i64, {}}))
      return fmt::format("size {} of the grid is {}, expected i64[]", i,
                         to_string(kernel.type(sizes[i])));
  return "";
}

}  // namespace cairn::tile
