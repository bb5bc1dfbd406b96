#include "apps/cairn/bench_cases.h"

#include <fmt/format.h>

#include <charconv>

#include "apps/cairn/kernel_commands.h"
#include "cairn/core/block_format.h"
#include "cairn/graph/cost.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/quantize.h"
#include "cairn/train/optimizer.h"
#include "cairn/transforms/quantize.h"
#include "cairn/transforms/vjp.h"

namespace cairn::app {
namespace {

using Tensors = std::span<const Tensor>;

BenchGraph traced(const TensorFunction& fn, const std::vector<TensorType>& types) {
  return {trace(fn, types)};
}

// fn's result and, from a cotangent of it as the last argument, those of all others.
BenchGraph with_backward(const TensorFunction& fn, std::vector<TensorType> types) {
  const Graph forward = trace(fn, types);
  types.push_back(forward.outputs[0].type());
  return traced(
      [&](Tensors args) {
        const Tensors primals = args.first(args.size() - 1);
        Vjp result = vjp(fn, primals);
        std::vector<Tensor> all = {result.outputs[0]};
        for (Tensor& gradient : result.pullback(args.last(1))) all.push_back(std::move(gradient));
        return all;
      },
      types);
}

// --- Products: M x K x N -------------------------------------------------------------------------

BenchGraph matmul_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{matmul(x[0], x[1])}; },
                {{t, {s[0], s[1]}}, {t, {s[1], s[2]}}});
}
// The second operand lies as [N, K]: a layer's weights in PyTorch.
BenchGraph matmul_nt_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{matmul(x[0], transpose(x[1]))}; },
                {{t, {s[0], s[1]}}, {t, {s[2], s[1]}}});
}
// The first operand lies as [K, M]: the gradient of a layer's weights.
BenchGraph matmul_tn_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{matmul(transpose(x[0]), x[1])}; },
                {{t, {s[1], s[0]}}, {t, {s[1], s[2]}}});
}
// The same as a layer has them: the second operand does not change, so it may be put in order.
BenchGraph linear_graph(DType t, const Shape& s) {
  BenchGraph built = matmul_nt_graph(t, s);
  built.has_weights = true;
  return built;
}
// A layer whose weights are in blocks, as a GGUF file has them; x is quantized on the way.
template <const char* format>
BenchGraph quantized_graph(DType t, const Shape& s) {
  const BlockFormat& f = *find_block_format(format);
  const auto fn = [](Tensors x) {
    return std::vector{matmul(x[0], transpose(dequantize(x[1], format)))};
  };
  return {.graph = with_quantized_activations(trace(
              fn, std::vector<TensorType>{{t, {s[0], s[1]}},
                                          {DType::u8,
                                           {s[2], s[1] / f.block_elements * f.block_bytes}}})),
          .has_weights = true};
}
// One with 8 bits and a scale for each row.
BenchGraph row_scaled_graph(DType t, const Shape& s) {
  const auto fn = [](Tensors x) {
    return std::vector{matmul(x[0], transpose(dequantize_rows(x[1], x[2])))};
  };
  return {.graph = with_quantized_activations(
              trace(fn,
                    std::vector<TensorType>{
                        {t, {s[0], s[1]}}, {DType::u8, {s[2], s[1]}}, {DType::f32, {s[2]}}})),
          .has_weights = true};
}
constexpr char kQ40[] = "q4_0", kQ80[] = "q8_0", kQ2K[] = "q2_k", kQ4K[] = "q4_k", kQ6K[] = "q6_k";
BenchGraph matmul_bias_gelu_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{gelu(matmul(x[0], x[1]) + x[2])}; },
                {{t, {s[0], s[1]}}, {t, {s[1], s[2]}}, {t, {s[2]}}});
}
double product_flops(const Shape& s) {
  return 2 * static_cast<double>(s[0]) * static_cast<double>(s[1]) * static_cast<double>(s[2]);
}

void naive_loop(const float* a, const float* b, float* c, int64_t m, int64_t k, int64_t n) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += a[i * k + l] * b[l * n + j];
      c[i * n + j] = sum;
    }
}
// The same with the loops in another order: neighbours in the inner one are neighbours in memory.
void row_loop(const float* a, const float* b, float* c, int64_t m, int64_t k, int64_t n) {
  for (int64_t i = 0; i < m; ++i) {
    std::fill_n(c + i * n, n, 0.0f);
    for (int64_t l = 0; l < k; ++l)
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
  }
}

// --- Element by element and row by row: ROWS x COLUMNS -------------------------------------------

template <auto fn>
BenchGraph unary_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{fn(x[0])}; }, {{t, s}});
}
BenchGraph add_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{x[0] + x[1]}; }, {{t, s}, {t, s}});
}
BenchGraph layer_norm_graph(DType t, const Shape& s) {
  const Shape row{s.back()};
  return traced([](Tensors x) { return std::vector{layer_norm(x[0], x[1], x[2])}; },
                {{t, s}, {t, row}, {t, row}});
}
BenchGraph cross_entropy_graph(DType t, const Shape& s) {
  return traced([](Tensors x) { return std::vector{cross_entropy(x[0], x[1])}; },
                {{t, s}, {DType::i32, {s[0]}}});
}
// One step, tenth of many, of one parameter; it and its two averages stay where they are.
BenchGraph adamw_graph(DType t, const Shape& s) {
  const auto optimizer = make_optimizer({.name = "adamw"});
  const auto step = [&](Tensors x) {
    const StepInputs inputs{full({}, 1e-3), full({}, 10), optimizer->weight_decay()};
    const ParameterUpdate update = optimizer->update(inputs, x[0], x[1], x.subspan(2));
    return std::vector{update.parameter, update.state[0], update.state[1]};
  };
  BenchGraph built = traced(step, {{t, s}, {t, s}, {DType::f32, s}, {DType::f32, s}});
  built.donated = {true, false, true, true};
  return built;
}

// --- Attention: HEADS x TOKENS x WIDTH, causal ---------------------------------------------------

std::vector<Tensor> causal_attention(Tensors x) {
  return {attention(x[0], x[1], x[2], {.causal = true}).out};
}
std::vector<TensorType> attention_types(DType t, const Shape& s) {
  return std::vector<TensorType>(3, {t, {1, s[0], s[1], s[2]}});
}
BenchGraph attention_graph(DType t, const Shape& s) {
  return traced(causal_attention, attention_types(t, s));
}
BenchGraph attention_grad_graph(DType t, const Shape& s) {
  return with_backward(causal_attention, attention_types(t, s));
}
// Two products forward, of which the mask leaves half; five backward, one of them the scores again.
double attention_flops(const Shape& s) {
  const auto tokens = static_cast<double>(s[1]);
  return 2 * static_cast<double>(s[0]) * tokens * tokens * static_cast<double>(s[2]);
}
double attention_grad_flops(const Shape& s) { return 3.5 * attention_flops(s); }

// --- Convolutions: BATCH x CHANNELS x SIDE x FILTERS x KERNEL x STRIDE, padded by KERNEL / 2; or
// with x GROUPS

int64_t groups_of(const Shape& s) { return s.rank() > 6 ? s[6] : 1; }
TensorFunction convolution_of(const Shape& s) {
  return [s](Tensors x) {
    return std::vector{convolution(
        x[0], x[1], {}, {.stride = {s[5]}, .padding = {s[4] / 2}, .groups = groups_of(s)})};
  };
}
std::vector<TensorType> convolution_types(DType t, const Shape& s) {
  return {{t, {s[0], s[1], s[2], s[2]}}, {t, {s[3], s[1] / groups_of(s), s[4], s[4]}}};
}
BenchGraph convolution_graph(DType t, const Shape& s) {
  return traced(convolution_of(s), convolution_types(t, s));
}
BenchGraph convolution_grad_graph(DType t, const Shape& s) {
  return with_backward(convolution_of(s), convolution_types(t, s));
}
double convolution_flops(const Shape& s) {
  const int64_t side = (s[2] + 2 * (s[4] / 2) - s[4]) / s[5] + 1;
  const int64_t channels = s[1] / groups_of(s);
  return 2 * static_cast<double>(s[0] * s[3] * side * side) *
         static_cast<double>(channels * s[4] * s[4]);
}
double convolution_grad_flops(const Shape& s) { return 3 * convolution_flops(s); }

constexpr BenchOp kOps[] = {
    {"matmul", Family::product, matmul_graph, product_flops},
    {"matmul_nt", Family::product, matmul_nt_graph, product_flops},
    {"matmul_tn", Family::product, matmul_tn_graph, product_flops},
    {"linear", Family::product, linear_graph, product_flops},
    {"linear_q4_0", Family::product, quantized_graph<kQ40>, product_flops, nullptr, kQ40},
    {"linear_q8_0", Family::product, quantized_graph<kQ80>, product_flops, nullptr, kQ80},
    {"linear_int8", Family::product, row_scaled_graph, product_flops, nullptr, kRowFormat},
    {"linear_q2_k", Family::product, quantized_graph<kQ2K>, product_flops, nullptr, kQ2K},
    {"linear_q4_k", Family::product, quantized_graph<kQ4K>, product_flops, nullptr, kQ4K},
    {"linear_q6_k", Family::product, quantized_graph<kQ6K>, product_flops, nullptr, kQ6K},
    {"matmul_bias_gelu", Family::product, matmul_bias_gelu_graph, product_flops},
    {"matmul_naive_loop", Family::product, matmul_graph, product_flops, naive_loop},
    {"matmul_row_loop", Family::product, matmul_graph, product_flops, row_loop},
    {"attention", Family::attention, attention_graph, attention_flops},
    {"attention_grad", Family::attention, attention_grad_graph, attention_grad_flops},
    {"conv2d", Family::convolution, convolution_graph, convolution_flops},
    {"conv2d_grad", Family::convolution, convolution_grad_graph, convolution_grad_flops},
    {"add", Family::other, add_graph, nullptr},
    {"exp", Family::other, unary_graph<[](const Tensor& x) { return exp(x); }>, nullptr},
    {"gelu", Family::other, unary_graph<[](const Tensor& x) { return gelu(x); }>, nullptr},
    {"silu", Family::other, unary_graph<[](const Tensor& x) { return silu(x); }>, nullptr},
    {"softmax", Family::other, unary_graph<[](const Tensor& x) { return softmax(x); }>, nullptr},
    {"layer_norm", Family::other, layer_norm_graph, nullptr},
    {"cross_entropy", Family::other, cross_entropy_graph, nullptr},
    {"transpose", Family::other, unary_graph<[](const Tensor& x) { return transpose(x); }>,
     nullptr},
    {"adamw", Family::other, adamw_graph, nullptr},
};

struct Row {
  const char* op;
  const char* shapes;          // separated by spaces
  std::string_view more = "";  // types beside f32
};

// A line of these is all that another case needs.
constexpr std::string_view kBoth = "bf16";
constexpr std::string_view kWithBytes = "bf16 i8";
// Of TinyLlama's layers: one token, a batch of eight, a prompt.
constexpr const char* kLlama =
    "1x2048x2048 1x2048x256 1x2048x5632 1x5632x2048 1x2048x32000 8x2048x2048 8x2048x5632 "
    "8x5632x2048 512x2048x2048 512x2048x256 512x2048x5632 512x5632x2048";
constexpr Row kRows[] = {
    // Squares; those that a layer of 768 or 4096 makes of 512 and 2048 tokens; few rows, as
    // decoding.
    {"matmul", "64x64x64 128x128x128 256x256x256 512x512x512 1024x1024x1024", kBoth},
    {"matmul", "2048x2048x2048 3620x3620x3620 4096x4096x4096", kBoth},
    {"matmul", "512x768x3072 512x4096x4096 512x4096x11008", kBoth},
    {"matmul", "2048x768x3072 2048x4096x4096 2048x4096x11008", kBoth},
    {"matmul", "1x4096x4096 2x4096x4096 4x4096x4096 8x4096x4096 16x4096x4096", kBoth},
    {"matmul_nt", "256x256x256 1024x1024x1024 2048x2048x2048 512x4096x4096"},
    {"matmul_nt", "1x4096x4096 8x4096x4096"},
    {"linear", "1x4096x4096 2x4096x4096 4x4096x4096 8x4096x4096 16x4096x4096", kWithBytes},
    {"linear", "512x512x512 1024x1024x1024 2048x2048x2048 512x4096x11008", kWithBytes},
    {"linear_q4_0", kLlama},
    {"linear_q8_0", kLlama},
    {"linear_int8", kLlama},
    {"linear_q2_k", kLlama},
    {"linear_q4_k", kLlama},
    {"linear_q6_k", kLlama},
    {"matmul_tn", "256x256x256 1024x1024x1024 2048x2048x2048 768x2048x3072"},
    {"matmul_bias_gelu", "512x768x3072 2048x768x3072", kBoth},
    // What the notes begin with: 50 MB a matrix.
    {"matmul_naive_loop", "3620x3620x3620"},
    {"matmul_row_loop", "3620x3620x3620"},
    // In cache and in memory.
    {"add", "64x4096 4096x4096", kBoth},
    {"exp", "64x4096 4096x4096", kBoth},
    {"gelu", "64x4096 4096x4096", kBoth},
    {"silu", "64x4096 4096x4096", kBoth},
    {"softmax", "64x4096 4096x4096", kBoth},
    {"layer_norm", "64x4096 4096x4096", kBoth},
    {"cross_entropy", "64x4096 4096x4096"},
    {"transpose", "512x512 4096x4096"},
    {"adamw", "16777216"},
    // GPT-2's heads.
    {"attention", "12x512x64 12x1024x64 12x4096x64", kBoth},
    {"attention_grad", "12x512x64 12x1024x64 12x4096x64"},
    // Layers of ResNet.
    {"conv2d", "8x64x56x64x3x1 8x128x28x128x3x1 8x256x14x1024x1x1 8x3x224x64x7x2 8x512x7x512x3x1"},
    {"conv2d_grad",
     "8x64x56x64x3x1 8x128x28x128x3x1 8x256x14x1024x1x1 8x3x224x64x7x2 8x512x7x512x3x1"},
    {"conv2d", "8x256x14x256x3x1 8x128x56x128x3x2 8x256x56x512x1x2"},
    {"conv2d_grad", "8x256x14x256x3x1 8x128x56x128x3x2 8x256x56x512x1x2"},
    // Depthwise, of MobileNet; of ResNeXt.
    {"conv2d", "8x32x112x32x3x1x32 8x144x56x144x3x2x144 8x384x14x384x3x1x384"},
    {"conv2d", "8x960x7x960x3x1x960 8x128x56x128x3x1x32"},
    {"conv2d_grad", "8x32x112x32x3x1x32 8x144x56x144x3x2x144 8x384x14x384x3x1x384"},
    {"conv2d_grad", "8x960x7x960x3x1x960 8x128x56x128x3x1x32"},
};

const BenchOp* find_op(std::string_view name) {
  for (const BenchOp& op : kOps)
    if (op.name == name) return &op;
  throw_error(fmt::format("bench_cases.cpp: a case of '{}', which is no operation there", name));
}

// "64x64x64 128x128x128".
std::vector<Shape> parse_shapes(std::string_view text) {
  std::vector<Shape> shapes(1);
  const char* end = text.data() + text.size();
  for (const char* at = text.data(); at < end; ++at) {
    int64_t size = 0;
    at = std::from_chars(at, end, size).ptr;
    shapes.back().push_back(size);
    if (at < end && *at == ' ') shapes.emplace_back();
  }
  return shapes;
}

}  // namespace

std::string_view name(Family family) {
  switch (family) {
    case Family::product: return "products";
    case Family::attention: return "attention";
    case Family::convolution: return "convolutions";
    case Family::other: break;
  }
  return "elements and rows";
}

std::string BenchCase::title() const {
  return fmt::format("{} {} {}", op->name, cairn::name(dtype), shape_text(sizes));
}

std::vector<BenchCase> bench_cases() {
  std::vector<BenchCase> cases;
  for (const Row& row : kRows)
    for (const DType dtype : {DType::f32, DType::bf16, DType::i8})
      for (const Shape& sizes : parse_shapes(row.shapes))
        if (dtype == DType::f32 || row.more.find(cairn::name(dtype)) != row.more.npos)
          cases.push_back({find_op(row.op), dtype, sizes});
  return cases;
}

std::vector<std::string> bench_op_names() {
  std::vector<std::string> names;
  for (const BenchOp& op : kOps) names.emplace_back(op.name);
  return names;
}

Work work_of(const BenchCase& work, const Graph& graph) {
  Work result;
  result.dtype = work.op->format.empty() ? work.dtype : DType::i8;
  const Cost cost = cost_of(graph);
  result.flops = work.op->flops ? work.op->flops(work.sizes) : cost.flops + cost.transcendentals;
  for (const Tensor& input : graph.inputs) result.read += static_cast<double>(input.type().bytes());
  for (const Tensor& output : graph.outputs)
    result.written += static_cast<double>(output.type().bytes());
  return result;
}

}  // namespace cairn::app
