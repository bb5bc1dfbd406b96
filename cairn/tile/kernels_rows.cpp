// Kernels that give each row of a matrix to a program: softmax, norms, cross entropy.
#include <algorithm>
#include <cmath>

#include "cairn/tile/kernel_cases.h"
#include "cairn/tile/rows.h"

namespace cairn::tile::detail {
namespace {

using Tiles = std::vector<Tile>;

// The element of row `row` (its first offset) of `x`, widened.
RowElement elements_of(Builder& k, Buffer x, const Tile& row) {
  return
      [&k, x, row](const Tile& i, const Tile& inside) { return widen(k.load(x, row + i, inside)); };
}

// The rows to check, so that about 2^18 elements are.
std::vector<int64_t> some_rows(const Shape& shape) {
  return spread(shape[0], std::max<int64_t>(1, (1 << 18) / shape[1]));
}
std::vector<double> row_of(const std::vector<double>& x, int64_t row, int64_t n) {
  return {x.begin() + row * n, x.begin() + (row + 1) * n};
}

// The largest element of a row, how far below it the others lie, and the sum of exp(x - largest).
struct Exponentials {
  double largest, depth = 0, total = 0;
  explicit Exponentials(const std::vector<double>& x) : largest(*std::ranges::max_element(x)) {
    for (double v : x) {
      depth = std::max(depth, largest - v);
      total += std::exp(v - largest);
    }
  }
  // Of an exponential, in units: x - largest rounds by half of at most `depth`, exp by 0.95.
  double error() const { return depth / 2 + 0.95; }
};

// --- softmax -------------------------------------------------------------------------------------

Kernel make_softmax(DType dtype, const Shape&, const Ints&) {
  return build("softmax", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), out = k.output("out", dtype);
    const Tile rows = k.size("rows"), n = k.size("n");
    k.grid([&] { return Tiles{rows}; });
    const Tile row = k.program_id(0) * n;
    const DType wide = compute_type(dtype);
    const RowElement element = elements_of(k, x, row);
    // Without its largest element subtracted a row of large numbers would overflow exp.
    const Tile largest = row_max(k, n, wide, element);
    const RowElement weight = [&](const Tile& i, const Tile& inside) {
      return exp(element(i, inside) - largest);
    };
    const Tile total = row_sum(k, n, wide, weight);
    for_row(k, n, [&](const Tile& i, const Tile& inside) {
      k.store(out, row + i, narrow(weight(i, inside) / total, dtype), inside);
    });
  });
}
KernelCall softmax_call(DType dtype, const Shape& shape, uint64_t seed) {
  return {{Filler(seed).even(dtype, shape, -4, 4), no_result(dtype, shape), shape[0], shape[1]}};
}
std::vector<Expected> expect_softmax(DType dtype, const Shape& shape, const KernelCall& call) {
  const int64_t n = shape[1];
  const std::vector<double> x = numbers(call.array(0));
  Expected out{1, {}, {}, {}};
  for (int64_t r : some_rows(shape)) {
    const std::vector<double> row = row_of(x, r, n);
    const Exponentials e(row);
    for (int64_t i = 0; i < n; ++i) {
      const double y = std::exp(row[size_t(i)] - e.largest) / e.total;
      add(out, r * n + i, y,
          unit(dtype) * y * (2 * e.error() + sum_depth(n) + 1) + rounding(dtype, y));
    }
  }
  return {out};
}

// --- norms ---------------------------------------------------------------------------------------

// Two passes: the mean, then the squares of what is left, which loses nothing to cancellation as
// the mean of squares minus the square of the mean does.
Kernel make_layer_norm(DType dtype, const Shape&, const Ints&) {
  return build("layer_norm", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), weight = k.input("weight", dtype);
    const Buffer bias = k.input("bias", dtype), out = k.output("out", dtype);
    const DType wide = compute_type(dtype);
    const Tile rows = k.size("rows"), n = k.size("n"), eps = k.scalar("eps", wide);
    k.grid([&] { return Tiles{rows}; });
    const Tile row = k.program_id(0) * n, count = cast(n, wide);
    const RowElement element = elements_of(k, x, row);
    const Tile mean = row_sum(k, n, wide, element) / count;
    const RowElement square = [&](const Tile& i, const Tile& inside) {
      const Tile centered = element(i, inside) - mean;
      return centered * centered;
    };
    const Tile variance = row_sum(k, n, wide, square) / count;
    const Tile scale = 1 / sqrt(variance + eps);
    for_row(k, n, [&](const Tile& i, const Tile& inside) {
      const Tile w = widen(k.load(weight, i, inside)), b = widen(k.load(bias, i, inside));
      const Tile y = (element(i, inside) - mean) * scale * w + b;
      k.store(out, row + i, narrow(y, dtype), inside);
    });
  });
}
KernelCall layer_norm_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  return {{fill.even(dtype, shape, -1, 3), fill.even(dtype, {shape[1]}),
           fill.even(dtype, {shape[1]}), no_result(dtype, shape), shape[0], shape[1], 1e-5}};
}
std::vector<Expected> expect_layer_norm(DType dtype, const Shape& shape, const KernelCall& call) {
  const int64_t n = shape[1];
  const std::vector<double> x = numbers(call.array(0)), w = numbers(call.array(1));
  const std::vector<double> b = numbers(call.array(2));
  const auto count = static_cast<double>(n);
  const double u = unit(dtype), depth = sum_depth(n);
  Expected out{3, {}, {}, {}};
  for (int64_t r : some_rows(shape)) {
    const std::vector<double> row = row_of(x, r, n);
    double mean = 0, sizes = 0, variance = 0;
    for (double v : row) mean += v / count;
    for (double v : row) sizes += std::abs(v) / count;
    for (double v : row) variance += (v - mean) * (v - mean) / count;
    const double scale = 1 / std::sqrt(variance + call.number(6));
    // The mean errs by its additions and a division. In the variance an error of the mean counts
    // squared, as deviations sum to zero, and once more with the roundings of the differences.
    const double mean_error = u * (depth + 1) * sizes;
    const double variance_error =
        u * (depth + 4) * variance + mean_error * mean_error + 2 * u * std::sqrt(variance) * sizes;
    const double scale_error = 0.5 * variance_error * scale * scale + 2 * u;  // relative
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      const double normal = (row[at] - mean) * scale, y = normal * w[at] + b[at];
      const double error =
          std::abs(w[at]) * (scale * mean_error + std::abs(normal) * (scale_error + 2 * u));
      add(out, r * n + i, y, error + u * std::abs(y) + rounding(dtype, y));
    }
  }
  return {out};
}

Kernel make_rms_norm(DType dtype, const Shape&, const Ints&) {
  return build("rms_norm", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), weight = k.input("weight", dtype);
    const Buffer out = k.output("out", dtype);
    const DType wide = compute_type(dtype);
    const Tile rows = k.size("rows"), n = k.size("n"), eps = k.scalar("eps", wide);
    k.grid([&] { return Tiles{rows}; });
    const Tile row = k.program_id(0) * n;
    const RowElement element = elements_of(k, x, row);
    const RowElement square = [&](const Tile& i, const Tile& inside) {
      const Tile v = element(i, inside);
      return v * v;
    };
    const Tile scale = 1 / sqrt(row_sum(k, n, wide, square) / cast(n, wide) + eps);
    for_row(k, n, [&](const Tile& i, const Tile& inside) {
      const Tile y = element(i, inside) * scale * widen(k.load(weight, i, inside));
      k.store(out, row + i, narrow(y, dtype), inside);
    });
  });
}
KernelCall rms_norm_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  return {{fill.even(dtype, shape), fill.even(dtype, {shape[1]}), no_result(dtype, shape), shape[0],
           shape[1], 1e-5}};
}
std::vector<Expected> expect_rms_norm(DType dtype, const Shape& shape, const KernelCall& call) {
  const int64_t n = shape[1];
  const std::vector<double> x = numbers(call.array(0)), w = numbers(call.array(1));
  Expected out{2, {}, {}, {}};
  for (int64_t r : some_rows(shape)) {
    const std::vector<double> row = row_of(x, r, n);
    double squares = 0;
    for (double v : row) squares += v * v;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + call.number(5));
    for (int64_t i = 0; i < n; ++i) {
      const double y = row[size_t(i)] * scale * w[size_t(i)];
      // Squares, their sum, division and eps count half under the root; root, quotient and two
      // products follow.
      const double error = unit(dtype) * ((sum_depth(n) + 3) / 2 + 4) * std::abs(y);
      add(out, r * n + i, y, error + rounding(dtype, y));
    }
  }
  return {out};
}

// --- cross entropy -------------------------------------------------------------------------------

Kernel make_cross_entropy(DType dtype, const Shape&, const Ints&) {
  return build("cross_entropy", [&](Builder& k) {
    const DType wide = compute_type(dtype);
    const Buffer logits = k.input("logits", dtype), labels = k.input("labels", DType::i32);
    const Buffer loss = k.output("loss", wide);
    const Tile rows = k.size("rows"), n = k.size("n");
    k.grid([&] { return Tiles{rows}; });
    const Tile r = k.program_id(0), row = r * n;
    const RowElement element = elements_of(k, logits, row);
    const Tile largest = row_max(k, n, wide, element);
    const Tile total = row_sum(k, n, wide, [&](const Tile& i, const Tile& inside) {
      return exp(element(i, inside) - largest);
    });
    const Tile label = cast(k.load(labels, r), DType::i64);
    k.assume((label >= 0) & (label < n), "a label is one of the classes");
    k.store(loss, r, log(total) - (widen(k.load(logits, row + label)) - largest));
  });
}
KernelCall cross_entropy_call(DType dtype, const Shape& shape, uint64_t seed) {
  Filler fill(seed);
  return {{fill.even(dtype, shape, -4, 4),
           fill.even(DType::i32, {shape[0]}, 0, static_cast<double>(shape[1])),
           no_result(compute_type(dtype), {shape[0]}), shape[0], shape[1]}};
}
std::vector<Expected> expect_cross_entropy(DType dtype, const Shape& shape,
                                           const KernelCall& call) {
  const int64_t n = shape[1];
  const std::vector<double> x = numbers(call.array(0));
  Expected out{2, {}, {}, {}};
  for (int64_t r : some_rows(shape)) {
    const std::vector<double> row = row_of(x, r, n);
    const Exponentials e(row);
    const double drop = row[size_t(call.array(1).at(r))] - e.largest;
    const double y = std::log(e.total) - drop;
    add(out, r, y,
        unit(dtype) * (e.error() + sum_depth(n) + std::log(e.total) - drop + std::abs(y)));
  }
  return {out};
}

}  // namespace

void add_rows(std::vector<NamedKernel>& kernels) {
  const Shape usual = {4096, 4096}, small = {9, 321};
  const std::string_view axes = "ROWSxCOLUMNS";
  kernels.push_back({"softmax", "each row as probabilities: exp(x) over its sum", axes, usual,
                     small, kFloats, make_softmax, softmax_call, expect_softmax});
  kernels.push_back({"layer_norm", "each row with mean 0 and variance 1, scaled and shifted", axes,
                     usual, small, kFloats, make_layer_norm, layer_norm_call, expect_layer_norm});
  kernels.push_back({"rms_norm", "each row with mean square 1, scaled", axes, usual, small, kFloats,
                     make_rms_norm, rms_norm_call, expect_rms_norm});
  kernels.push_back({"cross_entropy", "each row's loss: -log of its label's probability", axes,
                     usual, small, kFloats, make_cross_entropy, cross_entropy_call,
                     expect_cross_entropy});
}

}  // namespace cairn::tile::detail
