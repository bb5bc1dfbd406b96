#include "cairn/compiler/quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "cairn/compiler/block_panels.h"
#include "cairn/compiler/custom_node.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/node_map.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/scope.h"
#include "cairn/tile/custom_kernel.h"
#include "cairn/tile/quantized.h"

namespace cairn {
namespace {

constexpr double kLargest = 127;  // code of an activation

Tensor reshape(const Tensor& x, const Ints& shape) {
  return make(Op::reshape, {x}, {{Attr::shape, shape}});
}
Tensor cast(const Tensor& x, DType dtype) {
  return x.dtype() == dtype ? x : make(Op::cast, {x}, {{Attr::dtype, dtype}});
}
Tensor transposed(const Tensor& x) { return make(Op::transpose, {x}, {{Attr::axes, Ints{1, 0}}}); }
Tensor decoded(const Tensor& bytes, const BlockFormat& f) {
  return make(Op::dequantize, {bytes},
              {{Attr::format, std::string(f.name)}, {Attr::dtype, DType::f32}});
}
Tensor product(const Tensor& x, const Tensor& y) { return make(Op::matmul, {x, y}); }

// The format that an f32 is decoded from.
const BlockFormat* decoded_format(const Tensor& t) {
  const Node& node = t.node();
  if (node.op() != Op::dequantize || t.dtype() != DType::f32) return nullptr;
  return find_block_format(node.attrs().text(Attr::format));
}

// A weight that is decoded from bytes, times a scale for each row where its format has none.
struct Weight {
  const BlockFormat* format;
  Tensor bytes, scales;
};

std::optional<Weight> weight_of(const Tensor& t) {
  if (t.rank() != 2) return std::nullopt;
  if (const BlockFormat* format = decoded_format(t))
    return format->scale_type == ScaleType::none
               ? std::nullopt
               : std::optional(Weight{format, t.node().input(0), Tensor()});
  if (t.node().op() != Op::multiply) return std::nullopt;
  const Tensor& numbers = t.node().input(0);
  const Node& spread = t.node().input(1).node();
  const BlockFormat* format = decoded_format(numbers);
  if (!format || format->scale_type != ScaleType::none || spread.op() != Op::broadcast ||
      spread.input(0).rank() != 1 || spread.attrs().ints(Attr::axes)[0] != 0)
    return std::nullopt;
  return Weight{format, numbers.node().input(0), spread.input(0)};
}

// What activations are rounded from.
struct Rounded {
  const BlockFormat* format;
  Tensor x;
};

// A product that has a kernel: what its operands are made of.
struct Found {
  Weight weight;
  std::optional<Rounded> x;  // nothing: multiplied as it is
};

// Whether the product of both takes codes times the scales of their groups.
bool has_scaled_codes(const Weight& weight, const Rounded& x) {
  return x.format->block_elements == tile::kGroupBlock && tile::has_scaled_codes(*weight.format);
}

// x from rows of it that are decoded from quantize(x), which may have more axes.
std::optional<Rounded> quantized(const Tensor& rows) {
  Tensor t = rows;
  while (t.node().op() == Op::reshape && t.node().input(0).rank() > 0 &&
         t.node().input(0).shape().back() == rows.shape().back())
    t = t.node().input(0);
  const BlockFormat* format = decoded_format(t);
  if (!format || !tile::is_activation_format(*format)) return std::nullopt;
  const Node& source = t.node().input(0).node();
  if (source.op() != Op::quantize || source.attrs().text(Attr::format) != format->name)
    return std::nullopt;
  return Rounded{format, source.input(0)};
}

std::optional<Found> find_product(const Node& node) {
  if (node.op() != Op::matmul || node.output().dtype != DType::f32 ||
      node.attrs().has(Attr::columns) || node.input(0).rank() != 2 ||
      node.output().shape.elements() == 0)
    return std::nullopt;
  const Node& w = node.input(1).node();
  if (w.op() != Op::transpose) return std::nullopt;
  const auto weight = weight_of(w.input(0));
  if (!weight || !tile::has_product_kernel(*weight->format) || node.input(0).dtype() != DType::f32)
    return std::nullopt;
  const Ints& axes = w.attrs().ints(Attr::axes);
  if (axes[0] != 1) return std::nullopt;
  auto x = quantized(node.input(0));
  // Long blocks of x may have several scales of w.
  if (x && !weight->scales.defined() && x->format->block_elements != tile::kActivationBlock &&
      !has_scaled_codes(*weight, *x))
    x.reset();
  return Found{*weight, x};
}

// Rows of a table that lies in panels, which are decoded.
bool takes_rows(const Node& node) {
  if (node.op() != Op::dequantize) return false;
  const Node& rows = node.input(0).node();
  return rows.op() == Op::gather && rows.attrs().integer(Attr::axis) == 0 &&
         panels_of(rows.input(0)).defined();
}

bool changes(const Graph& graph) {
  return std::ranges::any_of(topological_order(graph.outputs), [](const Node* node) {
    if (node->op() == Op::custom) return false;
    return takes_rows(*node) || find_product(*node) ||
           std::ranges::any_of(regions_of(*node), [](const Graph* r) { return changes(*r); });
  });
}

// Rows of a block of the result: few have a kernel for their number, so that a weight is unpacked
// once for all; of many those whose sums stay in the first cache.
int64_t block_rows(int64_t rows) {
  for (const int64_t few : {1, 2, 4, 6, 8, 12, 16})
    if (rows <= few) return few;
  return 48;
}

// Of those the rows that keep their sums in registers where there are few: others read a panel
// again, from the cache.
int64_t row_scaled_rows(int64_t block_rows) {
  switch (block_rows) {
    case 8:
    case 16: return 4;
    case 12: return 6;
    default: return block_rows;
  }
}

// Those of an integer product: the sums of 16 would not stay in registers while they are added up,
// and to read a panel twice costs less (q8_0 from memory: 45 % of the peak, 49 so; q6_k 35, 56).
int64_t integer_rows(int64_t block_rows) {
  return block_rows == 12 || block_rows == 16 ? block_rows / 2 : block_rows;
}

int64_t padded_rows(int64_t rows) {
  const int64_t block = block_rows(rows);
  return (rows + block - 1) / block * block;
}

// The kernel of an operation with weights of a format; `make` takes the rows of a block of the
// result.
std::shared_ptr<const CustomKernel> product_kernel(
    const std::string& operation, const BlockFormat& format,
    const std::function<tile::Kernel(const CustomTypes&, int64_t)>& make) {
  const auto rows = [](const CustomTypes& types) { return types.outputs[0].shape[0]; };
  auto kernel = std::make_shared<CustomKernel>();
  kernel->name = fmt::format("{} {}", operation, format.name);
  kernel->make = [make, rows](const CustomTypes& types) {
    return make(types, block_rows(rows(types)));
  };
  kernel->scalars = [](const CustomTypes& types) {
    const Shape& out = types.outputs[0].shape;
    const Shape& x = types.inputs[0].shape;
    if (x.rank() == 2) return std::vector<Number>{out[0], out[1], x[1]};
    return std::vector<Number>{out[0], out[1], x[0] * x[2], x[1]};
  };
  kernel->key = [rows](const CustomTypes& types) {
    const Shape& x = types.inputs[0].shape;
    return Ints{block_rows(rows(types)), x.rank() == 3 ? x[2] : 0};
  };
  return kernel;
}

class Lowering {
 public:
  std::vector<Tensor> operator()(const Node& node, std::span<const Tensor> inputs) {
    const Origin origin(node.scope(), node.location());
    if (takes_rows(node)) {
      const Node& rows = inputs[0].node();
      const BlockFormat& format = *find_block_format(node.attrs().text(Attr::format));
      const Tensor bytes = gather_from_block_panels(panels_of(rows.input(0)), format,
                                                    rows.input(0).shape()[0], rows.input(1));
      return {make(Op::dequantize, {bytes}, node.attrs())};
    }
    const auto found = find_product(node);
    if (!found) return {};
    // The new operands have the same form as the old ones.
    const Weight w = *weight_of(inputs[1].node().input(0));
    const Tensor panels = this->panels(w.bytes, *w.format);
    const int64_t columns = node.output().shape[1];
    if (!found->x) return decoded_product(inputs[0], panels, w, columns);
    const Rounded x = *quantized(inputs[0]);
    return integer_product(activations(x), panels, w, has_scaled_codes(w, x),
                           node.output().shape[0], columns);
  }

 private:
  Tensor panels(const Tensor& bytes, const BlockFormat& format) {
    Tensor& known = panels_[bytes];
    if (!known.defined()) known = in_block_panels(bytes, format);
    return known;
  }

  // Codes, scales and sums as tile/quantized.h has them.
  std::vector<Tensor> activations(const Rounded& rounded) {
    const auto& [format, x] = rounded;
    std::vector<Tensor>& known = activations_[format][x];
    if (!known.empty()) return known;
    const int64_t depth = x.shape().back();
    const Tensor rows = reshape(cast(x, DType::f32), {x.shape().elements() / depth, depth});
    CustomDefinition definition;
    definition.name = "quantize_rows";
    const int64_t x_rows = padded_rows(rows.shape()[0]);
    definition.fallback = [x_rows, f = format](auto t) {
      return plain_activations(t[0], *f, x_rows);
    };
    auto kernel = std::make_shared<CustomKernel>();
    const auto has_many = [](const CustomTypes& types) {
      return types.outputs[1].shape[1] >= tile::kQuantizedRows;
    };
    kernel->make = [has_many, f = format](const CustomTypes& types) {
      return tile::quantize_rows_kernel(*f, has_many(types));
    };
    kernel->key = [has_many](const CustomTypes& types) { return Ints{has_many(types)}; };
    kernel->name = fmt::format("{} {}", definition.name, format->name);
    kernel->scalars = [](const CustomTypes& types) {
      const Shape& shape = types.inputs[0].shape;
      const Shape& codes = types.outputs[0].shape;
      return std::vector<Number>{shape[0], codes[0], codes[1]};
    };
    definition.kernel = std::move(kernel);
    return known = custom_node(std::move(definition), {rows});
  }
  // What encode_blocks() does of a format of signed bytes.
  static std::vector<Tensor> plain_activations(const Tensor& x, const BlockFormat& f,
                                               int64_t rows) {
    const int64_t depth = x.shape()[1], size = f.block_elements;
    const int64_t part = tile::activation_sum(size), blocks = depth / size;
    const Ints each = {rows, blocks, size};
    const auto all = [&](double value, const Ints& shape) {
      return make(Op::full, {},
                  {{Attr::value, Number(value)}, {Attr::dtype, DType::f32}, {Attr::shape, shape}});
    };
    const auto reduced = [](const Tensor& t, const char* kind, int64_t axis) {
      return make(Op::reduce, {t}, {{Attr::kind, std::string(kind)}, {Attr::axes, Ints{axis}}});
    };
    const Tensor padded = make(Op::pad, {x, all(0, Ints())},
                               {{Attr::low, Ints{0, 0}},
                                {Attr::high, Ints{rows - x.shape()[0], 0}},
                                {Attr::interior, Ints{0, 0}}});
    const Tensor v = reshape(padded, each);
    const Tensor sizes =
        make(Op::select, {make(Op::equal, {v, v}), make(Op::abs, {v}), all(0, each)});
    const Ints per_block = {rows, blocks};
    const Tensor unit = make(Op::divide, {reduced(sizes, "max", 2), all(kLargest, per_block)});
    const Tensor scales =
        f.scale_type == ScaleType::f16 ? cast(cast(unit, DType::f16), DType::f32) : unit;
    const Tensor none = all(0, per_block);
    const Tensor inverse = make(Op::select, {make(Op::equal, {scales, none}), none,
                                             make(Op::divide, {all(1, per_block), scales})});
    const Tensor spread =
        make(Op::broadcast, {inverse}, {{Attr::shape, each}, {Attr::axes, Ints{0, 1}}});
    const Tensor near = make(Op::round, {make(Op::multiply, {v, spread})});
    const Tensor smallest = all(-kLargest, each);
    const Tensor code =
        make(Op::select, {make(Op::less, {smallest, near}),
                          make(Op::minimum, {near, all(kLargest, each)}), smallest});
    const Tensor codes = cast(code, DType::i8);
    const Tensor parts = reshape(cast(codes, DType::i32), {rows, depth / part, part});
    const Tensor sums = reduced(parts, "sum", 2);
    // Blocks of equal number row after row.
    return {make(Op::transpose, {codes}, {{Attr::axes, Ints{1, 0, 2}}}), transposed(scales),
            size == tile::kGroupBlock ? in_bytes(sums) : transposed(sums)};
  }
  // Sums of groups i32[rows, K / 16] in two bytes each, u8[K / 64, rows, 8].
  static Tensor in_bytes(const Tensor& sums) {
    constexpr int64_t kSums = tile::kGroupBlock / tile::activation_sum(tile::kGroupBlock);
    const Ints each = {sums.shape()[0], sums.shape()[1] / kSums, kSums};
    const auto all = [&](int value) {
      return make(Op::full, {},
                  {{Attr::value, Number(value)}, {Attr::dtype, DType::i32}, {Attr::shape, each}});
    };
    const Tensor s = reshape(sums, each);
    const auto byte = [&](const Tensor& t) {
      return cast(make(Op::bitwise_and, {t, all(255)}), DType::u8);
    };
    const Tensor lower = byte(make(Op::bitwise_and, {s, all(15)}));
    const Tensor upper = byte(make(Op::shift_right, {s, all(4)}));
    return make(Op::transpose, {make(Op::concatenate, {lower, upper}, {{Attr::axis, int64_t{2}}})},
                {{Attr::axes, Ints{1, 0, 2}}});
  }

  static std::vector<Tensor> integer_product(const std::vector<Tensor>& x, const Tensor& panels,
                                             const Weight& weight, bool is_of_scaled_codes,
                                             int64_t rows, int64_t columns) {
    const BlockFormat* f = weight.format;
    const bool has_row_scales = weight.scales.defined();
    CustomDefinition definition;
    definition.name = has_row_scales ? "row_scaled_product" : "integer_product";
    definition.fallback = [f, rows, columns](std::span<const Tensor> all) {
      const Tensor &codes = all[0], &scales = all[1];
      const Shape& shape = codes.shape();  // [blocks of K, rows and more, block]
      const Tensor spread =
          make(Op::broadcast, {scales},
               {{Attr::shape, Ints{shape[0], shape[1], shape[2]}}, {Attr::axes, Ints{0, 1}}});
      const Tensor numbers = make(Op::multiply, {cast(codes, DType::f32), spread});
      const Tensor ordered = make(Op::transpose, {numbers}, {{Attr::axes, Ints{1, 0, 2}}});
      const int64_t depth = shape[0] * shape[2];
      const Tensor x = make(
          Op::slice, {reshape(ordered, {shape[1], depth})},
          {{Attr::start, Ints{0, 0}}, {Attr::stop, Ints{rows, depth}}, {Attr::step, Ints{1, 1}}});
      return std::vector{product(x, transposed(plain_weight(*f, all.subspan(3), columns)))};
    };
    std::vector<Tensor> operands = {x[0], x[1], x[2], panels};
    if (has_row_scales) {
      operands.push_back(weight.scales);
      definition.kernel =
          product_kernel(definition.name, *f, [](const CustomTypes& types, int64_t block_rows) {
            return tile::row_scaled_product_kernel(types.inputs[0].shape[2],
                                                   row_scaled_rows(block_rows));
          });
    } else {
      operands.insert(operands.end(), 2, panels);
      definition.kernel =
          product_kernel(is_of_scaled_codes ? "scaled_code_product" : definition.name, *f,
                         [=](const CustomTypes&, int64_t block_rows) {
                           const int64_t few = block_rows > tile::kSomeRows ? 0 : block_rows;
                           return (is_of_scaled_codes ? tile::scaled_code_product_kernel
                                                      : tile::integer_product_kernel)(
                               *f, integer_rows(block_rows), few);
                         });
    }
    return custom_node(std::move(definition), std::move(operands));
  }

  static std::vector<Tensor> decoded_product(const Tensor& x, const Tensor& panels,
                                             const Weight& weight, int64_t columns) {
    const BlockFormat* f = weight.format;
    CustomDefinition definition;
    definition.name = "decoded_product";
    definition.fallback = [f, columns](std::span<const Tensor> all) {
      return std::vector{product(all[0], transposed(plain_weight(*f, all.subspan(1), columns)))};
    };
    definition.kernel =
        product_kernel(definition.name, *f, [f](const CustomTypes&, int64_t block_rows) {
          return tile::decoded_product_kernel(*f, block_rows);
        });
    std::vector<Tensor> operands = {x, panels, panels, panels};
    if (weight.scales.defined()) operands.push_back(weight.scales);
    return custom_node(std::move(definition), std::move(operands));
  }
  // The numbers of a weight in panels, the first of `operands`; scales of rows are the last.
  static Tensor plain_weight(const BlockFormat& f, std::span<const Tensor> operands, int64_t rows) {
    const Tensor all = decoded(from_block_panels(operands[0], f, rows), f);
    if (f.scale_type != ScaleType::none) return all;
    const Ints shape = {all.shape()[0], all.shape()[1]};
    return make(Op::multiply, {all, make(Op::broadcast, {operands.back()},
                                         {{Attr::shape, shape}, {Attr::axes, Ints{0}}})});
  }

  TensorMap<Tensor> panels_;
  std::map<const BlockFormat*, TensorMap<std::vector<Tensor>>> activations_;
};

}  // namespace

Graph lower_quantized(const Graph& graph) {
  if (!can_compile_kernels() || !changes(graph)) return graph;
  Lowering lower;
  return rebuild(
      graph, [&](Graph&, const Node& node, std::span<const Tensor> inputs) -> std::vector<Tensor> {
        if (owns_regions(node.op()) && node.op() != Op::custom)
          return rebuild_with_regions(node, inputs, lower_quantized);
        return lower(node, inputs);
      });
}

}  // namespace cairn
