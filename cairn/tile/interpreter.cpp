#include "cairn/tile/interpreter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/tile/combine.h"
#include "cairn/tile/evaluate.h"
#include "cairn/tile/infer.h"

namespace cairn::tile {
namespace {

using GridPoint = std::array<int64_t, kMaxGridRank>;

[[noreturn]] void bad_argument(const Kernel& kernel, const Parameter& parameter,
                               std::string_view what) {
  throw_error(fmt::format("[tile {}] parameter '{}' {}", kernel.name, parameter.name, what));
}

HostArray bind_scalar(const Kernel& kernel, const Parameter& parameter, const Number& number) {
  HostArray value(parameter.dtype, {});
  write_number(number, parameter.dtype, value.mutable_data());
  if (is_float(parameter.dtype)) return value;
  if (value.at(0) != number.as_double())
    bad_argument(
        kernel, parameter,
        fmt::format("is {}, which {} cannot hold", number.as_double(), name(parameter.dtype)));
  if (parameter.divisor > 1 && number.as_integer() % parameter.divisor != 0)
    bad_argument(
        kernel, parameter,
        fmt::format("is {}, expected a multiple of {}", number.as_integer(), parameter.divisor));
  return value;
}

void check_buffer(const Kernel& kernel, const Parameter& parameter, const BufferView& view) {
  if (view.dtype != parameter.dtype)
    bad_argument(
        kernel, parameter,
        fmt::format("got a buffer of {}, expected {}", name(view.dtype), name(parameter.dtype)));
  if (parameter.is_written() && !view.writable)
    bad_argument(kernel, parameter, "is written, got constant memory");
  if (parameter.divisor > 1 &&
      reinterpret_cast<uintptr_t>(view.data) % static_cast<uintptr_t>(parameter.divisor) != 0)
    bad_argument(
        kernel, parameter,
        fmt::format("lies at {}, which is not aligned to {} bytes", view.data, parameter.divisor));
}

// One element as text; of f16 and the like as the float that it is.
template <class T>
void append_element(std::string& text, T value) {
  fmt::format_to(std::back_inserter(text), "{}", load_element(value));
}

template <class T>
void append_axis(std::string& text, std::span<const T> elements, const Shape& shape, int axis) {
  if (axis == shape.rank()) return append_element(text, elements[0]);
  const size_t stride = elements.size() / static_cast<size_t>(shape[axis]);
  text += '[';
  for (size_t at = 0; at < elements.size(); at += stride) {
    if (at > 0) text += ", ";
    append_axis(text, elements.subspan(at, stride), shape, axis + 1);
  }
  text += ']';
}

// "[[1, 2], [3, 4]]": all of it, as a tile is small.
std::string elements_of(const HostArray& tile) {
  std::string text;
  visit_dtype(tile.dtype(), [&](auto tag) {
    append_axis(text, tile.span<typename decltype(tag)::type>(), tile.shape(), 0);
  });
  return text;
}

// " at element [1,2]" of a tile; nothing for a scalar, which has just one.
std::string element_text(const Shape& shape, int64_t element) {
  if (shape.rank() == 0) return "";
  Ints index(shape.rank(), 0);
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[axis] = element % shape[axis];
    element /= shape[axis];
  }
  return fmt::format(" at element {}", cairn::to_string(index));
}

// One launch: its arguments, and the values of the program that runs.
class Machine {
 public:
  Machine(const Kernel& kernel, const InterpretOptions& options)
      : kernel_(kernel),
        options_(options),
        buffers_(kernel.parameters.size()),
        values_(kernel.types.size()) {}

  void bind(std::span<const Argument> arguments) {
    if (arguments.size() != kernel_.parameters.size())
      throw_error(fmt::format("[tile {}] takes {} arguments, got {}", kernel_.name,
                              kernel_.parameters.size(), arguments.size()));
    for (size_t i = 0; i < arguments.size(); ++i) {
      const Parameter& parameter = kernel_.parameters[i];
      if (parameter.is_buffer() != (arguments[i].buffer() != nullptr))
        bad_argument(
            kernel_, parameter,
            parameter.is_buffer() ? "is a buffer, got a number" : "is a number, got a buffer");
      if (parameter.is_buffer()) {
        check_buffer(kernel_, parameter, *arguments[i].buffer());
        buffers_[i] = *arguments[i].buffer();
      } else {
        bind(parameter, *arguments[i].number());
      }
    }
  }
  void bind(const Parameter& parameter, const Number& number) {
    values_[static_cast<size_t>(parameter.value)] = bind_scalar(kernel_, parameter, number);
  }

  GridPoint grid() {
    GridPoint sizes = {1, 1, 1};
    in_grid_ = true;
    const std::vector<HostArray> yields = run(kernel_.grid);
    in_grid_ = false;
    CAIRN_ASSERT(yields.size() <= sizes.size());
    for (size_t axis = 0; axis < yields.size(); ++axis) sizes[axis] = integer(yields[axis]);
    for (int64_t size : sizes)
      if (size < 0)
        throw_error(
            fmt::format("[tile {}] the grid is ({})", kernel_.name, fmt::join(sizes, ", ")));
    return sizes;
  }

  void run_program(const GridPoint& program) {
    program_ = program;
    run(kernel_.body);
  }

 private:
  // Throws Error with the place in the grid and in the source.
  [[noreturn]] void fail_at(const Instruction& in, std::string_view what) const {
    fail(spelled(in),
         in_grid_ ? fmt::format("{}; in the grid of kernel '{}'", what, kernel_.name)
                  : fmt::format("{}; kernel '{}', program ({})", what, kernel_.name,
                                fmt::join(program_, ", ")),
         in.where);
  }

  static int64_t integer(const HostArray& tile, int64_t element = 0) {
    const auto i = static_cast<size_t>(element);
    return tile.dtype() == DType::i32 ? tile.span<int32_t>()[i] : tile.span<int64_t>()[i];
  }

  HostArray& value(ValueId id) { return values_[static_cast<size_t>(id)]; }
  const TileType& result_type(const Instruction& in) const { return kernel_.type(in.results[0]); }

  // Gives the yields. What the block computed is forgotten: nothing outside of it, not even its
  // next run, may read it.
  std::vector<HostArray> run(const Block& block) {
    for (const Instruction& in : block.code) run(in);
    std::vector<HostArray> yields;
    for (ValueId id : block.yields) yields.push_back(value(id));
    for (const Instruction& in : block.code)
      for (ValueId id : in.results) value(id) = {};
    return yields;
  }

  void run(const Instruction& in) {
    std::vector<HostArray> operands;
    for (ValueId id : in.operands) {
      operands.push_back(value(id));
      if (!operands.back().data())
        fail_at(in, fmt::format("operand %{} has no value here: it belongs to another block", id));
    }
    if (in_grid_ && (in.op == TileOp::program_id || in.parameter >= 0))
      fail_at(in, "a grid is computed from scalar parameters alone");
    switch (in.op) {
      case TileOp::program_id: {
        HostArray id(DType::i64, {});
        id.mutable_span<int64_t>()[0] = program_[static_cast<size_t>(in.axis)];
        value(in.results[0]) = id;
        return;
      }
      case TileOp::load: value(in.results[0]) = load(in, operands); return;
      case TileOp::fetch: return;
      case TileOp::store: store(in, operands); return;
      case TileOp::atomic: value(in.results[0]) = atomic(in, operands); return;
      case TileOp::loop: loop(in, std::move(operands)); return;
      case TileOp::assume: assume(in, operands[0]); return;
      case TileOp::print:
        if (options_.print)
          options_.print(fmt::format("{} ({}) {}: {} {}", kernel_.name, fmt::join(program_, ", "),
                                     in.text, to_string(kernel_.type(in.operands[0])),
                                     elements_of(operands[0])));
        return;
      case TileOp::dot:
        value(in.results[0]) =
            detail::evaluate_dot(result_type(in), operands, options_.bf16_subnormals_are_zero);
        return;
      default: value(in.results[0]) = evaluate(in, result_type(in), operands); return;
    }
  }

  // Calls access(i, address) for each element i that the mask, where there is one, lets through.
  template <class F>
  void for_each_access(const Instruction& in, const HostArray& offsets, const HostArray* mask,
                       F access) const {
    const BufferView& buffer = buffers_[static_cast<size_t>(in.parameter)];
    for (int64_t i = 0; i < offsets.elements(); ++i) {
      if (mask && !mask->span<bool>()[static_cast<size_t>(i)]) continue;
      const int64_t offset = integer(offsets, i);
      if (offset < 0 || offset >= buffer.elements)
        fail_at(in, fmt::format("offset {}{} is outside buffer '{}' of {} elements", offset,
                                element_text(offsets.shape(), i),
                                kernel_.parameters[static_cast<size_t>(in.parameter)].name,
                                buffer.elements));
      access(static_cast<size_t>(i), static_cast<std::byte*>(buffer.data) +
                                         static_cast<size_t>(offset) * size_of(buffer.dtype));
    }
  }

  HostArray load(const Instruction& in, std::span<const HostArray> operands) const {
    const TileType& type = result_type(in);
    HostArray out(type.dtype, type.shape);
    auto* bytes = static_cast<std::byte*>(out.mutable_data());
    const size_t size = size_of(type.dtype);
    if (operands.size() > 2)
      std::memcpy(bytes, operands[2].data(), out.bytes());
    else
      std::memset(bytes, 0, out.bytes());
    for_each_access(
        in, operands[0], operands.size() > 1 ? &operands[1] : nullptr,
        [&](size_t i, const std::byte* at) { std::memcpy(bytes + i * size, at, size); });
    return out;
  }

  void store(const Instruction& in, std::span<const HostArray> operands) const {
    const auto* bytes = static_cast<const std::byte*>(operands[1].data());
    const size_t size = size_of(operands[1].dtype());
    for_each_access(in, operands[0], operands.size() > 2 ? &operands[2] : nullptr,
                    [&](size_t i, std::byte* at) { std::memcpy(at, bytes + i * size, size); });
  }

  // One element after the other. Where the mask is false the result is 0.
  HostArray atomic(const Instruction& in, std::span<const HostArray> operands) const {
    const TileType& type = result_type(in);
    HostArray before(type.dtype, type.shape);
    std::memset(before.mutable_data(), 0, before.bytes());
    const HostArray* mask = operands.size() > 2 ? &operands[2] : nullptr;
    visit_dtype(type.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      visit_combine(in.kind, [&](auto op) {
        if constexpr (combines<op.value, T>()) {
          const auto old = before.mutable_span<T>();
          const auto with = operands[1].span<T>();
          for_each_access(in, operands[0], mask, [&](size_t i, std::byte* at) {
            std::memcpy(&old[i], at, sizeof(T));
            const T now =
                store_element<T>(Scalar<op.value>::of(load_element(old[i]), load_element(with[i])));
            std::memcpy(at, &now, sizeof(T));
          });
        } else {
          fail_at(in, fmt::format("{} does not apply to {}", name(in.kind), name(type.dtype)));
        }
      });
    });
    return before;
  }

  void loop(const Instruction& in, std::vector<HostArray> operands) {
    const int64_t begin = integer(operands[0]), end = integer(operands[1]);
    const int64_t step = integer(operands[2]);
    if (step <= 0) fail_at(in, fmt::format("the step is {}, expected at least 1", step));
    const Block& body = in.regions[0];
    std::vector<HostArray> carried(operands.begin() + 3, operands.end());
    for (int64_t i = begin; i < end;) {
      HostArray index(DType::i64, {});
      index.mutable_span<int64_t>()[0] = i;
      value(body.arguments[0]) = index;
      for (size_t c = 0; c < carried.size(); ++c) value(body.arguments[c + 1]) = carried[c];
      carried = run(body);
      // As unsigned numbers: end - i of two far apart, or i + step past the end, may overflow.
      if (static_cast<uint64_t>(end) - static_cast<uint64_t>(i) <= static_cast<uint64_t>(step))
        break;
      i += step;
    }
    for (ValueId id : body.arguments) value(id) = {};
    for (size_t c = 0; c < carried.size(); ++c) value(in.results[c]) = carried[c];
  }

  void assume(const Instruction& in, const HostArray& condition) const {
    const auto holds = condition.span<bool>();
    for (size_t i = 0; i < holds.size(); ++i)
      if (!holds[i])
        fail_at(in, fmt::format("'{}' is false{}", in.text,
                                element_text(condition.shape(), static_cast<int64_t>(i))));
  }

  const Kernel& kernel_;
  const InterpretOptions& options_;
  std::vector<BufferView> buffers_;  // by parameter
  std::vector<HostArray> values_;    // by ValueId; without data where there is none now
  GridPoint program_ = {0, 0, 0};
  bool in_grid_ = false;
};

}  // namespace

void interpret(const Kernel& kernel, std::span<const Argument> arguments,
               const InterpretOptions& options) {
  Machine machine(kernel, options);
  machine.bind(arguments);
  const GridPoint grid = machine.grid();
  for (int64_t z = 0; z < grid[2]; ++z)
    for (int64_t y = 0; y < grid[1]; ++y)
      for (int64_t x = 0; x < grid[0]; ++x) machine.run_program({x, y, z});
}

GridPoint grid_of(const Kernel& kernel, std::span<const Number> scalars) {
  const InterpretOptions options;
  Machine machine(kernel, options);
  const auto count =
      std::ranges::count_if(kernel.parameters, [](const Parameter& p) { return !p.is_buffer(); });
  if (static_cast<size_t>(count) != scalars.size())
    throw_error(
        fmt::format("[tile {}] takes {} scalars, got {}", kernel.name, count, scalars.size()));
  for (const Parameter& parameter : kernel.parameters) {
    if (parameter.is_buffer()) continue;
    machine.bind(parameter, scalars.front());
    scalars = scalars.subspan(1);
  }
  return machine.grid();
}

}  // namespace cairn::tile
