#include "cairn/compiler/quantized.h"

#include <algorithm>
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

using tile::kActivationBlock;
using tile::kActivationSum;

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

// A product that has a kernel: what its operands are made of.
struct Found {
  const BlockFormat* format;  // of the weights
  Tensor bytes;
  Tensor x;  // what is quantized first, or multiplied as it is
  bool is_integer;
};

// x from rows of it that are decoded from quantize(x), which may have more axes.
std::optional<Tensor> quantized(const Tensor& rows) {
  Tensor t = rows;
  while (t.node().op() == Op::reshape && t.node().input(0).rank() > 0 &&
         t.node().input(0).shape().back() == rows.shape().back())
    t = t.node().input(0);
  const BlockFormat* format = decoded_format(t);
  if (!format || !tile::is_activation_format(*format)) return std::nullopt;
  const Node& source = t.node().input(0).node();
  if (source.op() != Op::quantize || source.attrs().text(Attr::format) != format->name)
    return std::nullopt;
  return source.input(0);
}

std::optional<Found> find_product(const Node& node) {
  if (node.op() != Op::matmul || node.output().dtype != DType::f32 ||
      node.attrs().has(Attr::columns) || node.input(0).rank() != 2 ||
      node.output().shape.elements() == 0)
    return std::nullopt;
  const Node& w = node.input(1).node();
  if (w.op() != Op::transpose || w.input(0).rank() != 2) return std::nullopt;
  const BlockFormat* format = decoded_format(w.input(0));
  if (!format || !tile::has_product_kernel(*format) || node.input(0).dtype() != DType::f32)
    return std::nullopt;
  const Ints& axes = w.attrs().ints(Attr::axes);
  if (axes[0] != 1) return std::nullopt;
  const Tensor bytes = w.input(0).node().input(0);
  if (const auto x = quantized(node.input(0))) return Found{format, bytes, *x, true};
  return Found{format, bytes, node.input(0), false};
}

bool changes(const Graph& graph) {
  return std::ranges::any_of(topological_order(graph.outputs), [](const Node* node) {
    if (node->op() == Op::custom) return false;
    return find_product(*node) ||
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

int64_t padded_rows(int64_t rows) {
  const int64_t block = block_rows(rows);
  return (rows + block - 1) / block * block;
}

std::shared_ptr<const CustomKernel> product_kernel(const BlockFormat* f,
                                                   tile::Kernel (*make)(const BlockFormat&,
                                                                        int64_t)) {
  const auto rows = [](const CustomTypes& types) { return types.outputs[0].shape[0]; };
  auto kernel = std::make_shared<CustomKernel>();
  kernel->make = [f, make, rows](const CustomTypes& types) {
    return make(*f, block_rows(rows(types)));
  };
  kernel->scalars = [](const CustomTypes& types) {
    const Shape& out = types.outputs[0].shape;
    const Shape& x = types.inputs[0].shape;
    if (x.rank() == 2) return std::vector<Number>{out[0], out[1], x[1]};
    return std::vector<Number>{out[0], out[1], x[0] * kActivationBlock, x[1]};
  };
  kernel->key = [rows](const CustomTypes& types) { return Ints{block_rows(rows(types))}; };
  return kernel;
}

class Lowering {
 public:
  std::vector<Tensor> operator()(const Node& node, std::span<const Tensor> inputs) {
    const auto found = find_product(node);
    if (!found) return {};
    const Origin origin(node.scope(), node.location());
    // The new operands have the same form as the old ones.
    const Tensor bytes = inputs[1].node().input(0).node().input(0);
    const Tensor panels = this->panels(bytes, *found->format);
    const int64_t columns = node.output().shape[1];
    if (!found->is_integer) return decoded_product(inputs[0], panels, *found->format, columns);
    return integer_product(activations(*quantized(inputs[0])), panels, *found->format,
                           node.output().shape[0], columns);
  }

 private:
  Tensor panels(const Tensor& bytes, const BlockFormat& format) {
    Tensor& known = panels_[bytes];
    if (!known.defined()) known = in_block_panels(bytes, format);
    return known;
  }

  // Codes i8 [M, K], scales f32 [M, K / 32] and sums i32 [M, K / 16].
  std::vector<Tensor> activations(const Tensor& x) {
    std::vector<Tensor>& known = activations_[x];
    if (!known.empty()) return known;
    const int64_t depth = x.shape().back();
    const Tensor rows = reshape(cast(x, DType::f32), {x.shape().elements() / depth, depth});
    CustomDefinition definition;
    definition.name = "quantize_rows";
    const int64_t x_rows = padded_rows(rows.shape()[0]);
    definition.fallback = [x_rows](auto t) { return plain_activations(t[0], x_rows); };
    auto kernel = std::make_shared<CustomKernel>();
    const auto has_many = [](const CustomTypes& types) {
      return types.outputs[1].shape[1] >= tile::kQuantizedRows;
    };
    kernel->make = [has_many](const CustomTypes& types) {
      return tile::quantize_rows_kernel(has_many(types));
    };
    kernel->key = [has_many](const CustomTypes& types) { return Ints{has_many(types)}; };
    kernel->scalars = [](const CustomTypes& types) {
      const Shape& shape = types.inputs[0].shape;
      return std::vector<Number>{shape[0], shape[1] / kActivationBlock, types.outputs[1].shape[1]};
    };
    definition.kernel = std::move(kernel);
    return known = custom_node(std::move(definition), {rows});
  }
  // What encode_blocks() does of a format of signed bytes.
  static std::vector<Tensor> plain_activations(const Tensor& x, int64_t rows) {
    const int64_t depth = x.shape()[1];
    const int64_t blocks = depth / kActivationBlock;
    const Ints each = {rows, blocks, kActivationBlock};
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
    const Tensor size =
        make(Op::select, {make(Op::equal, {v, v}), make(Op::abs, {v}), all(0, each)});
    const Ints per_block = {rows, blocks};
    const Tensor unit = make(Op::divide, {reduced(size, "max", 2), all(kLargest, per_block)});
    const Tensor scales = cast(cast(unit, DType::f16), DType::f32);
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
    const Tensor parts =
        reshape(cast(codes, DType::i32), {rows, depth / kActivationSum, kActivationSum});
    // Blocks of equal number row after row.
    return {make(Op::transpose, {codes}, {{Attr::axes, Ints{1, 0, 2}}}), transposed(scales),
            transposed(reduced(parts, "sum", 2))};
  }

  static std::vector<Tensor> integer_product(const std::vector<Tensor>& x, const Tensor& panels,
                                             const BlockFormat& format, int64_t rows,
                                             int64_t columns) {
    const BlockFormat* f = &format;
    CustomDefinition definition;
    definition.name = "integer_product";
    definition.fallback = [f, rows, columns](std::span<const Tensor> all) {
      const Tensor &codes = all[0], &scales = all[1];
      const Shape& shape = codes.shape();  // [K / 32, rows and more, 32]
      const Tensor spread =
          make(Op::broadcast, {scales},
               {{Attr::shape, Ints{shape[0], shape[1], shape[2]}}, {Attr::axes, Ints{0, 1}}});
      const Tensor numbers = make(Op::multiply, {cast(codes, DType::f32), spread});
      const Tensor ordered = make(Op::transpose, {numbers}, {{Attr::axes, Ints{1, 0, 2}}});
      const int64_t depth = shape[0] * shape[2];
      const Tensor x = make(
          Op::slice, {reshape(ordered, {shape[1], depth})},
          {{Attr::start, Ints{0, 0}}, {Attr::stop, Ints{rows, depth}}, {Attr::step, Ints{1, 1}}});
      return std::vector{
          product(x, transposed(decoded(from_block_panels(all[3], *f, columns), *f)))};
    };
    definition.kernel = product_kernel(f, tile::integer_product_kernel);
    return custom_node(std::move(definition), {x[0], x[1], x[2], panels, panels, panels});
  }

  static std::vector<Tensor> decoded_product(const Tensor& x, const Tensor& panels,
                                             const BlockFormat& format, int64_t columns) {
    const BlockFormat* f = &format;
    CustomDefinition definition;
    definition.name = "decoded_product";
    definition.fallback = [f, columns](std::span<const Tensor> all) {
      const Tensor w = decoded(from_block_panels(all[1], *f, columns), *f);
      return std::vector{product(all[0], transposed(w))};
    };
    definition.kernel = product_kernel(f, tile::decoded_product_kernel);
    return custom_node(std::move(definition), {x, panels, panels, panels});
  }

  TensorMap<Tensor> panels_;
  TensorMap<std::vector<Tensor>> activations_;
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
