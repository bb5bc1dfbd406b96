#include "tests/compiler/run_kernel.h"

#include <fmt/format.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <ranges>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/core/dispatch.h"
#include "cairn/tile/drop_unused.h"
#include "cairn/tile/evaluate.h"
#include "cairn/tile/interpreter.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/rewrite.h"
#include "cairn/tile/verify.h"
#include "tests/support/same_values.h"

namespace cairn::test {
namespace {

using tile::Instruction;
using tile::Kernel;
using tile::Parameter;
using tile::Tile;

// Elements as they are found in practice and at the edges: small whole numbers, fractions, the
// largest, subnormal ones, infinities and NaN; small, large and any integers.
template <class T>
T random_element(Random& random, bool is_tame) {
  if constexpr (std::is_same_v<T, bool>) {
    return random.one_in(2);
  } else if constexpr (std::is_integral_v<T>) {
    if (random.one_in(2)) return static_cast<T>(random.between(-4, 12));
    constexpr T kEdges[] = {std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), T(0),
                            static_cast<T>(-1)};
    if (random.one_in(6)) return random.pick(kEdges);
    return static_cast<T>(random.bits() >> random.below(64));
  } else {
    const auto any = [&](double x) {
      if constexpr (std::is_same_v<T, double>)
        return x;
      else
        return T(static_cast<float>(x));
    };
    if (is_tame) return any(static_cast<double>(random.bits() >> 11) * 0x1p-52 - 1);
    if (random.one_in(3)) return any(static_cast<double>(random.between(-6, 6)));
    constexpr double kEdges[] = {0.0,    -0.0,    HUGE_VAL, -HUGE_VAL, NAN,   0x1p-149,
                                 -1e-40, 0x1p127, 65504.0,  0x1p-24,   0.5,   -2.5,
                                 1e300,  -1e-310, 0x1p31,   -0x1p63,   256.0, 0x1.fffffep127};
    if (random.one_in(6)) return any(random.pick(kEdges));
    const double fraction = static_cast<double>(random.bits() >> 11) * 0x1p-52 - 1;
    return any(std::ldexp(fraction, static_cast<int>(random.between(-3, 6))));
  }
}

// A buffer whose last byte is followed by a page that nobody may touch, as closely as its alignment
// allows, and whose first byte has one page before it and then another forbidden one.
class GuardedBuffer {
 public:
  GuardedBuffer(const Parameter& parameter, const RandomArgument& argument, uint64_t seed)
      : dtype_(parameter.dtype), elements_(argument.elements) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t size = static_cast<size_t>(elements_) * size_of(dtype_);
    inside_ = page + (size + page - 1) / page * page;
    mapped_ = inside_ + 2 * page;
    void* memory =
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CAIRN_ASSERT(memory != MAP_FAILED);
    memory_ = static_cast<std::byte*>(memory);
    begin_ = memory_ + page;
    CAIRN_ASSERT(mprotect(begin_, inside_, PROT_READ | PROT_WRITE) == 0);
    const auto alignment = static_cast<size_t>(parameter.divisor);
    data_ = begin_ + (inside_ - size) / alignment * alignment;
    std::memset(begin_, 0xa5, inside_);
    Random random(seed);
    visit_dtype(dtype_, [&](auto tag) {
      using T = typename decltype(tag)::type;
      std::generate_n(reinterpret_cast<T*>(data_), elements_,
                      [&] { return random_element<T>(random, argument.is_tame); });
    });
  }
  ~GuardedBuffer() { munmap(memory_, mapped_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  tile::BufferView view() { return {dtype_, data_, elements_, true}; }
  const void* data() const { return data_; }
  // Where it differs from another one that began with the same data.
  std::optional<std::string> difference(const GuardedBuffer& want) const {
    const size_t size = static_cast<size_t>(elements_) * size_of(dtype_);
    const auto before = static_cast<size_t>(data_ - begin_);
    const size_t after = inside_ - before - size;
    if (std::memcmp(begin_, want.begin_, before) != 0) return "bytes before it were written";
    if (std::memcmp(data_ + size, want.data_ + size, after) != 0)
      return "bytes behind it were written";
    if (same_values(array(0, elements_), want.array(0, elements_))) return std::nullopt;
    for (int64_t i = 0; i < elements_; ++i)
      if (!same_values(array(i, 1), want.array(i, 1)))
        return fmt::format("element {} is {}, the interpreter has {}", i, array(i, 1).at(0),
                           want.array(i, 1).at(0));
    return "differs";
  }

 private:
  HostArray array(int64_t first, int64_t count) const {
    HostArray result(dtype_, {count});
    std::memcpy(result.mutable_data(), data_ + static_cast<size_t>(first) * size_of(dtype_),
                result.bytes());
    return result;
  }
  DType dtype_;
  int64_t elements_;
  size_t mapped_, inside_;
  std::byte *memory_, *begin_, *data_;
};

// The arguments of one run.
struct Launch {
  std::vector<std::unique_ptr<GuardedBuffer>> buffers;  // by parameter; null of a scalar
  std::vector<tile::Argument> arguments;
  std::vector<KernelSlot> slots;
  std::vector<Number> scalars;

  Launch(const Kernel& kernel, std::span<const RandomArgument> given, uint64_t seed) {
    for (size_t i = 0; i < given.size(); ++i) {
      const Parameter& p = kernel.parameters[i];
      KernelSlot slot;
      slot.integer = 0;
      if (p.is_buffer()) {
        buffers.push_back(std::make_unique<GuardedBuffer>(p, given[i], seed + i));
        arguments.emplace_back(buffers.back()->view());
        slot.address = buffers.back()->data();
      } else {
        buffers.push_back(nullptr);
        arguments.emplace_back(given[i].number);
        scalars.push_back(given[i].number);
        tile::write_number(given[i].number, p.dtype, &slot);
      }
      slots.push_back(slot);
    }
  }
};

// Runs f(); false when the system ended it by a signal. Compiled code owns nothing that would be
// lost, and of a compiler that failed so nothing is used again.
sigjmp_buf refused;
void on_refusal(int) { siglongjmp(refused, 1); }
bool runs_through(const std::function<void()>& f) {
  struct sigaction action = {};
  action.sa_handler = on_refusal;
  sigemptyset(&action.sa_mask);
  constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  std::array<struct sigaction, kSignals.size()> before;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &before[i]);
  volatile bool done = false;
  if (sigsetjmp(refused, 1) == 0) {
    f();
    done = true;
  }
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
  return done;
}

// What offsets of stores follow from: if these changed, programs could write to the same place, in
// an order that nothing promises.
void mark_places(const tile::Block& block, std::vector<bool>& fixed) {
  for (const Instruction& in : block.code | std::views::reverse) {
    for (const tile::Block& region : in.regions) mark_places(region, fixed);
    const bool is_fixed = std::ranges::any_of(
        in.results, [&](tile::ValueId id) { return fixed[static_cast<size_t>(id)]; });
    if (is_fixed)
      for (const tile::ValueId id : in.operands) fixed[static_cast<size_t>(id)] = true;
    if (in.op == tile::TileOp::store) fixed[static_cast<size_t>(in.operands[0])] = true;
  }
}

}  // namespace

std::optional<std::string> find_difference(const Kernel& kernel,
                                           std::span<const RandomArgument> arguments, uint64_t seed,
                                           CpuTarget target) {
  const auto compare = [&](const tile::InterpretOptions& options) {
    return find_difference(
        kernel, arguments, seed,
        [&](const Kernel& expanded) {
          return link_kernel(compile_kernel(expanded, target), expanded.name);
        },
        options);
  };
  std::optional<std::string> difference = compare({});
  if (difference && target == CpuTarget::avx512)
    difference = compare({.bf16_subnormals_are_zero = true});
  if (!difference) return std::nullopt;
  return fmt::format("{}: {}", name(target), *difference);
}

std::optional<std::string> find_difference(const Kernel& kernel,
                                           std::span<const RandomArgument> arguments, uint64_t seed,
                                           const Compile& compile,
                                           const tile::InterpretOptions& options) {
  const Kernel expanded = tile::run_passes(kernel);
  tile::verify(expanded);
  Launch want(expanded, arguments, seed);
  tile::interpret(expanded, want.arguments, options);
  CompiledKernel compiled;
  std::string failure;
  const bool ended = runs_through([&] {
    try {
      compiled = compile(expanded);
    } catch (const std::exception& e) {
      failure = e.what();
    }
  });
  if (!ended) return "the compiler crashed";
  if (!failure.empty()) return failure;
  Launch got(expanded, arguments, seed);
  const auto grid = tile::grid_of(expanded, got.scalars);
  const int64_t programs = grid[0] * grid[1] * grid[2];
  const bool ran = runs_through([&] {
    // In two parts and in the wrong order, as threads may.
    compiled.run(got.slots.data(), programs / 3, programs);
    compiled.run(got.slots.data(), 0, programs / 3);
  });
  if (!ran) return "an access outside of the buffers, or another refusal of the system";
  for (size_t i = 0; i < got.buffers.size(); ++i)
    if (got.buffers[i])
      if (const auto difference = got.buffers[i]->difference(*want.buffers[i]))
        return fmt::format("buffer '{}': {}", kernel.parameters[i].name, *difference);
  return std::nullopt;
}

void interpret(const Kernel& kernel, std::span<const RandomArgument> arguments, uint64_t seed) {
  tile::interpret(kernel, Launch(kernel, arguments, seed).arguments);
}

// They take a minute at worst and leave little.
static constexpr int kMostTries = 1000;

Kernel shrink(Kernel kernel, const std::function<bool(const Kernel&)>& fails) {
  // `change` of instruction `place`, counted as rewrite() walks: 0 drops it or makes it a constant,
  // i > 0 gives operand i - 1. Nothing where that is impossible.
  const auto changed = [&](int place, int change) -> std::optional<Kernel> {
    int at = 0;
    bool applied = false;
    std::vector<bool> fixed(kernel.types.size());
    mark_places(kernel.body, fixed);
    Kernel result =
        tile::rewrite(kernel,
                      [&](tile::Builder& b, const Instruction& in,
                          std::span<const Tile> operands) -> std::optional<std::vector<Tile>> {
                        if (at++ != place) return std::nullopt;
                        if (change == 0 && in.results.empty()) {
                          applied = true;
                          return std::vector<Tile>{};
                        }
                        if (in.results.size() != 1 || in.op == tile::TileOp::constant ||
                            fixed[static_cast<size_t>(in.results[0])])
                          return std::nullopt;
                        const tile::TileType& type = kernel.type(in.results[0]);
                        if (change == 0) {
                          applied = true;
                          return std::vector{b.full(type.shape, Number(1), type.dtype)};
                        }
                        const auto operand = static_cast<size_t>(change - 1);
                        if (operand >= operands.size() || !(operands[operand].type() == type))
                          return std::nullopt;
                        applied = true;
                        return std::vector{operands[operand]};
                      });
    if (!applied) return std::nullopt;
    return tile::drop_unused(result);
  };
  const auto size = [](const Kernel& k) { return static_cast<int>(k.types.size()); };
  int tries = 0;
  for (bool any = true; any;) {
    any = false;
    for (int place = size(kernel) + 8; place-- > 0;)
      for (int change = 0; change < 4; ++change) {
        std::optional<Kernel> smaller = changed(place, change);
        if (!smaller || ++tries > kMostTries || !fails(*smaller)) continue;
        kernel = std::move(*smaller);
        any = true;
        break;
      }
  }
  return kernel;
}

}  // namespace cairn::test
