// Kernels over all elements of arrays, whatever their shape, and the transpose of a matrix.
#include <cmath>

#include "cairn/tile/kernel_cases.h"
#include "cairn/tile/rows.h"

namespace cairn::tile::detail {
namespace {

using Tiles = std::vector<Tile>;

// Elements of a program: enough to hide the start of a program, few enough that a vector in a
// cache is shared out over all threads.
const std::vector<Ints> kBlocks = {{1024}, {512}, {2048}, {4096}, {16384}};

// out[i] = f(x[i]) for i < n.
Kernel unary(std::string_view name, DType dtype, const Ints& block, Tile (*f)(const Tile&)) {
  return build(name, [&](Builder& k) {
    const Buffer x = k.input("x", dtype), out = k.output("out", dtype);
    const Tile n = k.size("n");
    k.grid([&] { return Tiles{ceil_div(n, block[0])}; });
    const Tile i = k.program_id(0) * block[0] + k.arange(block[0]);
    k.store(out, i, narrow(f(widen(k.load(x, i, i < n))), dtype), i < n);
  });
}

KernelCall unary_call(DType dtype, const Shape& shape, uint64_t seed) {
  return {{Filler(seed).even(dtype, shape, -6, 6), no_result(dtype, shape), shape.elements()}};
}

// `error` is in units of the value.
template <class F, class E>
std::vector<Expected> expect_unary(DType dtype, const KernelCall& call, F f, E error) {
  Expected out{1, {}, {}, {}};
  for (int64_t i : spread(call.array(0).elements())) {
    const double x = call.array(0).at(i), y = f(x);
    add(out, i, y, unit(dtype) * std::abs(y) * error(x) + rounding(dtype, y));
  }
  return {out};
}

// --- add -----------------------------------------------------------------------------------------

Kernel make_add(DType dtype, const Shape&, const Ints& block) {
  return build("add", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), y = k.input("y", dtype), out = k.output("out", dtype);
    const Tile n = k.size("n");
    k.grid([&] { return Tiles{ceil_div(n, block[0])}; });
    const Tile first = k.program_id(0) * block[0];
    const Tile i = first + k.arange(block[0]), inside = i < n;
    const Tile a = k.load(x, i, inside), b = k.load(y, i, inside);
    k.store(out, i, a + b, inside);
  });
}
KernelCall add_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  const double most = is_float(dtype) ? 2 : 1000;
  return {{fill.even(dtype, shape, -most, most), fill.even(dtype, shape, -most, most),
           no_result(dtype, shape), shape.elements()}};
}
std::vector<Expected> expect_add(DType dtype, const Shape&, const KernelCall& call) {
  Expected out{2, {}, {}, {}};
  for (int64_t i : spread(call.array(0).elements())) {
    const double z = call.array(0).at(i) + call.array(1).at(i);
    add(out, i, z, is_float(dtype) ? rounding(dtype, z) : 0);
  }
  return {out};
}

// --- activations ---------------------------------------------------------------------------------

Tile gelu_exact(const Tile& x) { return x * 0.5 * apply(Op::erfc, {x * -M_SQRT1_2}); }
Tile silu_of(const Tile& x) { return x * logistic(x); }

Kernel make_gelu(DType dtype, const Shape&, const Ints& block) {
  return unary("gelu", dtype, block, gelu_exact);
}
Kernel make_gelu_tanh(DType dtype, const Shape&, const Ints& block) {
  return unary("gelu_tanh", dtype, block, gelu_tanh);
}
Kernel make_silu(DType dtype, const Shape&, const Ints& block) {
  return unary("silu", dtype, block, silu_of);
}

// erfc(z) errs by 4.2, its argument by 1 with the factor -z erfc'(z) / erfc(z) < 2 z^2 + 1.
std::vector<Expected> expect_gelu(DType dtype, const Shape&, const KernelCall& call) {
  return expect_unary(
      dtype, call, [](double x) { return 0.5 * x * std::erfc(-x * M_SQRT1_2); },
      [](double x) { return 4.2 + (x * x + 1) + 1; });
}
std::vector<Expected> expect_gelu_tanh(DType dtype, const Shape&, const KernelCall& call) {
  return expect_unary(
      dtype, call, [](double x) { return gelu_tanh(x); },
      [](double x) { return gelu_tanh_error(x); });
}
std::vector<Expected> expect_silu(DType dtype, const Shape&, const KernelCall& call) {
  return expect_unary(
      dtype, call, [](double x) { return x / (1 + std::exp(-x)); },
      [](double) { return 1.75 + 1; });
}

// --- adamw ---------------------------------------------------------------------------------------

// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019. correction1 is
// 1 - beta1^step, correction2 likewise: they are the same for every element.
Kernel make_adamw(DType dtype, const Shape&, const Ints& block) {
  return build("adamw", [&](Builder& k) {
    const DType wide = compute_type(dtype);
    const Buffer parameter = k.inout("parameter", dtype), gradient = k.input("gradient", dtype);
    const Buffer first = k.inout("m", wide), second = k.inout("v", wide);
    const Tile n = k.size("n");
    const Tile rate = k.scalar("learning_rate", wide), beta1 = k.scalar("beta1", wide);
    const Tile beta2 = k.scalar("beta2", wide), eps = k.scalar("eps", wide);
    const Tile decay = k.scalar("weight_decay", wide);
    const Tile correction1 = k.scalar("correction1", wide);
    const Tile correction2 = k.scalar("correction2", wide);
    k.grid([&] { return Tiles{ceil_div(n, block[0])}; });
    const Tile i = k.program_id(0) * block[0] + k.arange(block[0]), inside = i < n;
    const Tile p = widen(k.load(parameter, i, inside)), g = widen(k.load(gradient, i, inside));
    const Tile m = beta1 * k.load(first, i, inside) + (1 - beta1) * g;
    const Tile v = beta2 * k.load(second, i, inside) + (1 - beta2) * (g * g);
    const Tile step = rate * (m / correction1) / (sqrt(v / correction2) + eps);
    k.store(parameter, i, narrow(p * (1 - rate * decay) - step, dtype), inside);
    k.store(first, i, m, inside);
    k.store(second, i, v, inside);
  });
}
KernelCall adamw_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  const DType wide = compute_type(dtype);
  // Step 10 of an ordinary run.
  return {{fill.even(dtype, shape, -1, 1), fill.even(dtype, shape, -1, 1),
           fill.even(wide, shape, -1, 1), fill.even(wide, shape, 0, 1), shape.elements(), 1e-3, 0.9,
           0.99, 1e-8, 0.1, 1 - std::pow(0.9, 10), 1 - std::pow(0.99, 10)}};
}
std::vector<Expected> expect_adamw(DType dtype, const Shape&, const KernelCall& call) {
  const double u = unit(dtype);
  const double rate = call.number(5), beta1 = call.number(6), beta2 = call.number(7);
  const double eps = call.number(8), decay = call.number(9);
  const double correction1 = call.number(10), correction2 = call.number(11);
  Expected parameter{0, {}, {}, {}}, first{2, {}, {}, {}}, second{3, {}, {}, {}};
  for (int64_t i : spread(call.array(0).elements())) {
    const double p = call.array(0).at(i), g = call.array(1).at(i);
    const double m0 = call.array(2).at(i), v0 = call.array(3).at(i);
    const double m = beta1 * m0 + (1 - beta1) * g, v = beta2 * v0 + (1 - beta2) * g * g;
    // Each product errs by the rounding of its coefficient (1 - beta by 1/(1 - beta) times as much:
    // the rounding of beta itself) and its own; the sum rounds once.
    const double m_error =
        u * (1.5 * std::abs(beta1 * m0) + (1.5 + beta1 / (1 - beta1)) * std::abs((1 - beta1) * g));
    const double v_error = u * (1.5 * beta2 * v0 + (2 + beta2 / (1 - beta2)) * (1 - beta2) * g * g);
    const double root = std::sqrt(v / correction2) + eps, step = rate * (m / correction1) / root;
    // Rate, two corrections, two divisions, root, sum, product.
    const double step_error = std::abs(rate / correction1 / root) * m_error +
                              std::abs(step) * (v > 0 ? v_error / (2 * v) : 0) +
                              5 * u * std::abs(step);
    const double next = p * (1 - rate * decay) - step;
    add(parameter, i, next,
        step_error + 2 * u * (std::abs(p) + std::abs(step)) + rounding(dtype, next));
    add(first, i, m, m_error);
    add(second, i, v, v_error);
  }
  return {parameter, first, second};
}

// --- transpose -----------------------------------------------------------------------------------

// Tiles of 32 x 32: a row of either side fills a cache line of two-byte elements.
Kernel make_transpose(DType dtype, const Shape&, const Ints& block) {
  return build("transpose", [&](Builder& k) {
    const int64_t side = block[0];
    const Buffer x = k.input("x", dtype), out = k.output("out", dtype);
    const Tile rows = k.size("rows"), columns = k.size("columns");
    k.grid([&] { return Tiles{ceil_div(rows, side), ceil_div(columns, side)}; });
    const Tile row = k.program_id(0) * side + k.arange(side);
    const Tile column = k.program_id(1) * side + k.arange(side);
    const Tile r = expand_dims(row, 1), c = expand_dims(column, 0);
    const Tile block = k.load(x, r * columns + c, (r < rows) & (c < columns));
    const Tile down = expand_dims(column, 1), across = expand_dims(row, 0);
    k.store(out, down * rows + across, transpose(block, {1, 0}),
            (down < columns) & (across < rows));
  });
}
KernelCall transpose_call(DType dtype, const Shape& shape, uint64_t seed) {
  return {{Filler(seed).even(dtype, shape, -1000, 1000), no_result(dtype, {shape[1], shape[0]}),
           shape[0], shape[1]}};
}
std::vector<Expected> expect_transpose(DType, const Shape& shape, const KernelCall& call) {
  Expected out{1, {}, {}, {}};
  for (int64_t i : spread(shape.elements()))
    add(out, i, call.array(0).at(i % shape[0] * shape[1] + i / shape[0]), 0);
  return {out};
}

}  // namespace

// x sigma(2 sqrt(2/pi) (x + 0.044715 x^3)), which is x/2 (1 + tanh(...)) with one function less.
Tile gelu_tanh(const Tile& x) {
  const double c = 2 * std::sqrt(2 / M_PI);
  return x * logistic(c * (x + 0.044715 * (x * x * x)));
}
double gelu_tanh(double x) {
  const double c = 2 * std::sqrt(2 / M_PI);
  return x / (1 + std::exp(-c * (x + 0.044715 * x * x * x)));
}
// The argument of the logistic function errs by 4 units of itself, and the function by no more.
double gelu_tanh_error(double x) {
  const double c = 2 * std::sqrt(2 / M_PI);
  return 4 * std::abs(c * (x + 0.044715 * x * x * x)) + 1.75 + 1;
}

void add_elementwise(std::vector<NamedKernel>& kernels) {
  const Shape usual = {4096, 4096}, small = {33, 257};
  std::vector<DType> numbers = kFloats;
  numbers.push_back(DType::i32);
  numbers.push_back(DType::i64);
  kernels.push_back({"add", "x + y, element by element", "", usual, small, numbers, make_add,
                     add_call, expect_add, nullptr, kBlocks});
  kernels.push_back({"gelu", "x Phi(x), with the normal distribution's Phi", "", usual, small,
                     kFloats, make_gelu, unary_call, expect_gelu, nullptr, kBlocks});
  kernels.push_back({"gelu_tanh", "gelu in its approximate form with tanh", "", usual, small,
                     kFloats, make_gelu_tanh, unary_call, expect_gelu_tanh, nullptr, kBlocks});
  kernels.push_back({"silu", "x times the logistic function of x", "", usual, small, kFloats,
                     make_silu, unary_call, expect_silu, nullptr, kBlocks});
  kernels.push_back({"adamw", "a step of AdamW on a parameter and its moments, in place", "", usual,
                     small, kFloats, make_adamw, adamw_call, expect_adamw, nullptr, kBlocks});
  kernels.push_back({"transpose",
                     "a matrix with rows and columns swapped",
                     "ROWSxCOLUMNS",
                     usual,
                     small,
                     numbers,
                     make_transpose,
                     transpose_call,
                     expect_transpose,
                     nullptr,
                     {{32}, {16}, {64}}});
}

}  // namespace cairn::tile::detail
