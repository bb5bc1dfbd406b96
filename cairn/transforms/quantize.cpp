#include "cairn/transforms/quantize.h"

#include <fmt/format.h>

#include <map>

#include "cairn/core/block_format.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/quantize.h"
#include "cairn/tile/quantized.h"
#include "cairn/transforms/substitute.h"

namespace cairn {
namespace {

bool is_moved(const Node& node) {
  switch (node.op()) {
    case Op::reshape:
    case Op::transpose:
    case Op::broadcast:
    case Op::slice:
    case Op::cast:
    case Op::stop_gradient: return true;
    default: return false;
  }
}

// The format that t is decoded from. Scales of rows stand apart from its bytes.
const BlockFormat* decoded_format(Tensor t) {
  while (is_moved(t.node())) t = t.node().input(0);
  const bool is_scaled = t.node().op() == Op::multiply;
  if (is_scaled) t = t.node().input(0);
  if (t.node().op() != Op::dequantize) return nullptr;
  const BlockFormat* format = find_block_format(t.node().attrs().text(Attr::format));
  return is_scaled == (format->scale_type == ScaleType::none) ? format : nullptr;
}

// Of activations for weights that their products need fewer scales for; empty: the usual one.
std::string_view longer_format(const BlockFormat& weight) {
  if (weight.scale_type == ScaleType::none) return kRowActivations;
  return tile::has_scaled_codes(weight) ? kGroupActivations : std::string_view();
}

// Rows of x as they came, before a product took them for a matrix: products share what they share.
Tensor source_of(Tensor x) {
  while (x.node().op() == Op::reshape && x.node().input(0).rank() > 0 &&
         x.node().input(0).shape().back() == x.shape().back())
    x = x.node().input(0);
  return x;
}

class Quantization {
 public:
  explicit Quantization(std::string_view format) : format_(find_block_format(format)) {
    if (!format_)
      throw_error(fmt::format("[quantize] there is no block format '{}' for activations", format));
  }

  std::vector<Tensor> operator()(const Node& node, const std::vector<Tensor>& inputs) {
    if (node.op() != Op::matmul || !is_float(node.output().dtype)) return {};
    const Tensor& x = inputs[0];
    const BlockFormat* weight = decoded_format(inputs[1]);
    if (!weight || decoded_format(x)) return {};
    const int64_t depth = x.shape().back();
    const BlockFormat* format = format_;
    // Longer blocks, where they divide the row, suit weights whose scales are those of whole rows,
    // and those whose codes can be multiplied with the scales of their groups.
    if (const std::string_view name = longer_format(*weight); !name.empty())
      if (const BlockFormat* longer = find_block_format(name); depth % longer->block_elements == 0)
        format = longer;
    if (depth % format->block_elements) return {};
    const Tensor source = source_of(x);
    Tensor& rounded = rounded_[format][source];
    if (!rounded.defined())
      rounded = dequantize(quantize(source, format->name), format->name, source.dtype());
    const Tensor rows = x.shape() == source.shape() ? rounded : reshape(rounded, x.shape());
    return rebuild(node, {rows, inputs[1]});
  }

 private:
  const BlockFormat* format_;
  std::map<const BlockFormat*, TensorMap<Tensor>> rounded_;
};

}  // namespace

std::vector<Tensor> with_quantized_activations(std::span<const Tensor> values,
                                               std::string_view format) {
  Quantization quantization(format);
  return detail::replace(values, [&](const Node& node, const std::vector<Tensor>& inputs) {
    return quantization(node, inputs);
  });
}

Graph with_quantized_activations(const Graph& graph, std::string_view format) {
  return {graph.name, graph.inputs, with_quantized_activations(graph.outputs, format),
          graph.output_names};
}

TensorFunction with_quantized_activations(TensorFunction fn, std::string_view format) {
  return [fn = std::move(fn), name = std::string(format)](std::span<const Tensor> args) {
    return with_quantized_activations(fn(args), name);
  };
}

}  // namespace cairn
