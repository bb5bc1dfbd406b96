// Products, convolutions, pooling, norms, attention and losses.
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "tests/ops/golden_functions.h"

namespace cairn::test {
namespace {

Tensor optional_input(Tensors in, size_t i) { return i < in.size() ? in[i] : Tensor(); }

Reduction reduction_of(const GoldenCase& c) {
  const std::string name = c.attributes["reduction"];
  return name == "none"   ? Reduction::none
         : name == "sum"  ? Reduction::sum
         : name == "mean" ? Reduction::mean
                          : Reduction::batch_mean;
}

}  // namespace

void add_products(GoldenFunctions& table) {
  const Bound pair{Bound::terms, 1, 2};
  const auto two = [&](const std::string& name,
                       std::function<Tensor(const Tensor&, const Tensor&, const GoldenCase&)> f) {
    table[name] = {pair, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{f(in[0], in[1], c)};
                   }};
  };
  two("matmul", [](const Tensor& a, const Tensor& b, const GoldenCase&) { return matmul(a, b); });
  two("outer", [](const Tensor& a, const Tensor& b, const GoldenCase&) { return outer(a, b); });
  two("dot", [](const Tensor& a, const Tensor& b, const GoldenCase&) { return dot(a, b); });
  two("tensordot", [](const Tensor& a, const Tensor& b, const GoldenCase& c) {
    const auto& axes = c.attributes["axes"];
    return axes.is_array() ? tensordot(a, b, ints(axes[0]), ints(axes[1]))
                           : tensordot(a, b, axes.get<int>());
  });
  table["einsum"] = {
      {Bound::terms, 2, 3}, [](Tensors in, const GoldenCase& c) {
        const std::vector<Operand> operands(in.begin(), in.end());
        return std::vector<Tensor>{einsum(c.attributes["equation"].get<std::string>(), operands)};
      }};
  const auto convolve = [](auto f) {
    return [f](Tensors in, const GoldenCase& c) {
      ConvolutionOptions options;
      options.stride = ints(c.attributes["stride"]);
      options.padding = ints(c.attributes["padding"]);
      options.dilation = ints(c.attributes["dilation"]);
      options.groups = c.attributes["groups"];
      if (c.attributes.contains("output_padding"))
        options.output_padding = ints(c.attributes["output_padding"]);
      const Tensor plain = f(in[0], in[1], optional_input(in, 2), options);
      // The same with the channels last.
      options.channels_last = true;
      const Tensor last = f(moveaxis(in[0], 1, -1), in[1], optional_input(in, 2), options);
      return std::vector<Tensor>{plain, moveaxis(last, -1, 1)};
    };
  };
  table["convolution"] = {pair, convolve([](auto&&... a) { return convolution(a...); })};
  table["conv_transpose"] = {pair, convolve([](auto&&... a) { return conv_transpose(a...); })};
  const auto pool_options = [](const GoldenCase& c) {
    PoolOptions options;
    options.stride = ints(c.attributes["stride"]);
    options.padding = ints(c.attributes["padding"]);
    if (c.attributes.contains("count_include_pad"))
      options.count_include_pad = c.attributes["count_include_pad"];
    return options;
  };
  table["max_pool"] = {{}, [=](Tensors in, const GoldenCase& c) {
                         PoolOptions options = pool_options(c);
                         const Ints kernel = ints(c.attributes["kernel"]);
                         const Tensor plain = max_pool(in[0], kernel, options);
                         options.channels_last = true;
                         return std::vector<Tensor>{
                             plain,
                             moveaxis(max_pool(moveaxis(in[0], 1, -1), kernel, options), -1, 1)};
                       }};
  table["avg_pool"] = {{Bound::terms, 1, 1}, [=](Tensors in, const GoldenCase& c) {
                         PoolOptions options = pool_options(c);
                         const Ints kernel = ints(c.attributes["kernel"]);
                         const Tensor plain = avg_pool(in[0], kernel, options);
                         options.channels_last = true;
                         return std::vector<Tensor>{
                             plain,
                             moveaxis(avg_pool(moveaxis(in[0], 1, -1), kernel, options), -1, 1)};
                       }};
  table["adaptive_avg_pool"] = {{Bound::terms, 1, 1}, [](Tensors in, const GoldenCase&) {
                                  return std::vector<Tensor>{global_avg_pool(in[0])};
                                }};
}

void add_networks(GoldenFunctions& table) {
  const auto set = [&table](const std::string& name, Bound bound, GoldenCall call) {
    table[name] = {bound, std::move(call)};
  };
  set("softmax", {Bound::terms, 2, 1}, [](Tensors in, const GoldenCase& c) {
    return std::vector<Tensor>{softmax(in[0], c.attributes["axis"])};
  });
  set("log_softmax", {Bound::terms, 2, 1}, [](Tensors in, const GoldenCase& c) {
    return std::vector<Tensor>{log_softmax(in[0], c.attributes["axis"])};
  });
  set("layer_norm", {Bound::terms, 4, 2}, [](Tensors in, const GoldenCase& c) {
    return std::vector<Tensor>{layer_norm(in[0], optional_input(in, 1), optional_input(in, 2),
                                          c.attributes["eps"], c.attributes["last_axes"])};
  });
  set("rms_norm", {Bound::terms, 4, 2}, [](Tensors in, const GoldenCase& c) {
    return std::vector<Tensor>{rms_norm(in[0], in[1], c.attributes["eps"])};
  });
  set("group_norm", {Bound::terms, 4, 2}, [](Tensors in, const GoldenCase& c) {
    return std::vector<Tensor>{
        group_norm(in[0], c.attributes["groups"], in[1], in[2], c.attributes["eps"])};
  });
  set("batch_norm", {Bound::terms, 4, 2}, [](Tensors in, const GoldenCase& c) {
    const double eps = c.attributes["eps"], momentum = c.attributes["momentum"];
    if (!c.attributes["training"].get<bool>())
      return std::vector<Tensor>{
          batch_norm(in[0], stop_gradient(in[3]), stop_gradient(in[4]), in[1], in[2], eps)};
    Ints axes{0};
    for (int i = 2; i < in[0].rank(); ++i) axes.push_back(i);
    const auto blend = [momentum](const Tensor& old, const Tensor& now) {
      return stop_gradient((1 - momentum) * old + momentum * now);
    };
    return std::vector<Tensor>{
        batch_norm(in[0], mean(in[0], axes), variance(in[0], axes), in[1], in[2], eps),
        blend(in[3], mean(in[0], axes)), blend(in[4], variance(in[0], axes, 1))};
  });
  set("attention", {Bound::terms, 2, 2}, [](Tensors in, const GoldenCase& c) {
    AttentionOptions options;
    options.causal = c.attributes["causal"];
    if (!c.attributes["scale"].is_null()) options.scale = c.attributes["scale"].get<double>();
    if (!c.attributes["soft_cap"].is_null()) options.soft_cap = c.attributes["soft_cap"];
    if (in.size() > 3) (in[3].dtype() == DType::b8 ? options.mask : options.bias) = in[3];
    const AttentionResult result = attention(in[0], in[1], in[2], options);
    return std::vector<Tensor>{result.out, result.logsumexp};
  });
  set("rotary_embedding", {Bound::terms, 2, 1}, [](Tensors in, const GoldenCase& c) {
    const int64_t width = c.attributes["width"];
    const Tensor turned =
        rotary_embedding(slice_axis(in[0], -1, 0, width), in[1], c.attributes["theta"],
                         c.attributes["interleaved"].get<bool>());
    return std::vector<Tensor>{
        concatenate(std::vector<Tensor>{turned, slice_axis(in[0], -1, width, in[0].size(-1))}, -1)};
  });
  const auto loss = [&](const std::string& name, int degree,
                        std::function<Tensor(Tensors, const GoldenCase&)> f) {
    set(name, {Bound::terms, 2, degree},
        [f](Tensors in, const GoldenCase& c) { return std::vector<Tensor>{f(in, c)}; });
  };
  loss("mse_loss", 2,
       [](Tensors in, const GoldenCase& c) { return mse_loss(in[0], in[1], reduction_of(c)); });
  loss("l1_loss", 1,
       [](Tensors in, const GoldenCase& c) { return l1_loss(in[0], in[1], reduction_of(c)); });
  loss("huber_loss", 2, [](Tensors in, const GoldenCase& c) {
    return huber_loss(in[0], in[1], c.attributes["delta"], reduction_of(c));
  });
  loss("smooth_l1_loss", 2, [](Tensors in, const GoldenCase& c) {
    return smooth_l1_loss(in[0], in[1], c.attributes["beta"], reduction_of(c));
  });
  loss("bce_with_logits", 1, [](Tensors in, const GoldenCase& c) {
    return bce_with_logits(in[0], in[1], reduction_of(c));
  });
  loss("cross_entropy", 1, [](Tensors in, const GoldenCase& c) {
    return cross_entropy(in[0], in[1],
                         {.reduction = reduction_of(c),
                          .ignore_index = c.attributes["ignore_index"],
                          .label_smoothing = c.attributes["label_smoothing"]});
  });
  loss("nll_loss", 1, [](Tensors in, const GoldenCase& c) {
    return nll_loss(in[0], in[1],
                    {.reduction = reduction_of(c), .ignore_index = c.attributes["ignore_index"]});
  });
  loss("kl_div", 2, [](Tensors in, const GoldenCase& c) {
    return kl_div(in[0], in[1], c.attributes["log_target"], reduction_of(c));
  });
  loss("cosine_similarity", 2, [](Tensors in, const GoldenCase& c) {
    return cosine_similarity(in[0], in[1], c.attributes["axis"], c.attributes["eps"]);
  });
}

}  // namespace cairn::test
