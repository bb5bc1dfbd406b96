// How each function of the golden cases is called, and how far from the golden its result may be.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "tests/support/op_golden.h"

namespace cairn::test {

// What |result - golden| may be. eps is that of the result's type.
struct Bound {
  enum Kind {
    exact,     // the golden rounded once: movement, comparisons, and what IEEE 754 rounds correctly
    relative,  // k eps |golden|: a chain of k roundings, each of a function with condition number
               // near 1
    terms,  // k n eps s^degree: sums of at most n products of `degree` numbers that are at most s,
            // with k roundings each; n is 4 + the elements of the largest input, s the largest of 1
            // and of all finite numbers of the case
  };
  Kind kind = exact;
  double k = 0;
  int degree = 1;
};

using Tensors = std::span<const Tensor>;
using GoldenCall = std::function<std::vector<Tensor>(Tensors in, const GoldenCase& c)>;

struct GoldenFunction {
  Bound bound;
  GoldenCall call;
};

inline Ints ints(const nlohmann::json& list) {
  Ints result;
  if (!list.is_null())
    for (const auto& v : list) result.push_back(v.get<int64_t>());
  return result;
}

inline Tensor optional_input(Tensors in, size_t i) { return i < in.size() ? in[i] : Tensor(); }

inline Reduction reduction_of(const GoldenCase& c) {
  const std::string name = c.attributes["reduction"];
  return name == "none"   ? Reduction::none
         : name == "sum"  ? Reduction::sum
         : name == "mean" ? Reduction::mean
                          : Reduction::batch_mean;
}

inline void add_elementwise(std::map<std::string, GoldenFunction>& table) {
  const Bound exact;
  const auto relative = [](double k) { return Bound{Bound::relative, k}; };
  const auto one = [&table](const std::string& name, Bound bound, Tensor (*f)(Operand)) {
    table[name] = {bound,
                   [f](Tensors in, const GoldenCase&) { return std::vector<Tensor>{f(in[0])}; }};
  };
  const auto two = [&table](const std::string& name, Bound bound, Tensor (*f)(Operand, Operand)) {
    table[name] = {
        bound, [f](Tensors in, const GoldenCase&) { return std::vector<Tensor>{f(in[0], in[1])}; }};
  };
  const auto with = [&table](const std::string& name, Bound bound,
                             std::function<Tensor(const Tensor&, const nlohmann::json&)> f) {
    table[name] = {bound, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{f(in[0], c.attributes)};
                   }};
  };
  one("negate", exact, negate);
  one("abs", exact, abs);
  one("sign", exact, sign);
  one("floor", exact, floor);
  one("ceil", exact, ceil);
  one("round", exact, round);
  one("sqrt", exact, sqrt);
  one("square", exact, square);
  one("reciprocal", exact, reciprocal);
  one("relu", exact, relu);
  one("bitwise_not", exact, bitwise_not);
  one("logical_not", exact, logical_not);
  one("is_nan", exact, is_nan);
  one("is_inf", exact, is_inf);
  one("is_finite", exact, is_finite);
  // Ours are within 1 ulp, PyTorch's within 1 to 2.
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand)>>{{"exp", exp},
                                                                          {"expm1", expm1},
                                                                          {"log", log},
                                                                          {"log1p", log1p},
                                                                          {"sin", sin},
                                                                          {"cos", cos},
                                                                          {"tanh", tanh},
                                                                          {"erf", erf},
                                                                          {"erfc", erfc},
                                                                          {"sigmoid", sigmoid}})
    one(name, relative(4), f);
  one("rsqrt", relative(3), rsqrt);
  one("tan", relative(6), tan);
  one("asin", relative(6), asin);
  one("acos", relative(6), acos);
  one("atan", relative(4), atan);
  one("sinh", relative(8), sinh);
  one("cosh", relative(8), cosh);
  one("asinh", relative(10), asinh);
  one("acosh", relative(10), acosh);
  one("atanh", relative(6), atanh);
  one("ndtri", relative(16), ndtri);  // Cephes' own error is up to 9 eps
  one("silu", relative(5), silu);
  one("softplus", relative(6), softplus);
  one("log_sigmoid", relative(6), log_sigmoid);
  one("selu", relative(6), selu);
  one("hardswish", relative(5), hardswish);
  one("mish", relative(12), mish);
  // erfc at v / sqrt(2) has condition number v^2, which is 16 in the cases; 1 + tanh of the
  // approximate form cancels in PyTorch, so that only absolute errors are small.
  table["gelu"] = {Bound{Bound::terms, 1, 1}, [](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{gelu(in[0], c.attributes["approximate"])};
                   }};
  with("elu", relative(4),
       [](const Tensor& x, const nlohmann::json& a) { return elu(x, a["alpha"]); });
  with("leaky_relu", relative(1),
       [](const Tensor& x, const nlohmann::json& a) { return leaky_relu(x, a["slope"]); });
  with("clamp", exact, [](const Tensor& x, const nlohmann::json& a) {
    if (a["min"].is_null()) return minimum(x, a["max"].get<double>());
    if (a["max"].is_null()) return maximum(x, a["min"].get<double>());
    return clamp(x, a["min"].get<double>(), a["max"].get<double>());
  });

  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, Operand)>>{
           {"add", add},
           {"subtract", subtract},
           {"multiply", multiply},
           {"divide", divide},
           {"fmod", fmod},
           {"maximum", maximum},
           {"minimum", minimum},
           {"floor_divide", floor_divide},
           {"truncate_divide", truncate_divide},
           {"equal", equal},
           {"not_equal", not_equal},
           {"less", less},
           {"less_equal", less_equal},
           {"greater", greater},
           {"greater_equal", greater_equal},
           {"logical_and", logical_and},
           {"logical_or", logical_or},
           {"logical_xor", logical_xor},
           {"bitwise_and", bitwise_and},
           {"bitwise_or", bitwise_or},
           {"bitwise_xor", bitwise_xor},
           {"shift_left", shift_left},
           {"shift_right", shift_right}})
    two(name, exact, f);
  two("remainder", relative(1), remainder);
  two("power", relative(4), power);
  two("atan2", relative(4), atan2);
  two("hypot", relative(5), hypot);
  table["where"] = {exact, [](Tensors in, const GoldenCase&) {
                      return std::vector<Tensor>{where(in[0], in[1], in[2])};
                    }};
  table["cast"] = {
      exact, [](Tensors in, const GoldenCase& c) {
        const Tensor y = cast(in[0], *parse_dtype(c.attributes["to"].get<std::string>()));
        return std::vector<Tensor>{c.attributes.contains("stored") ? cast(y, DType::f32) : y};
      }};
}

inline void add_reductions(std::map<std::string, GoldenFunction>& table) {
  const auto over_axes = [&table](const std::string& name, Bound bound,
                                  Tensor (*f)(Operand, Ints, bool)) {
    table[name] = {bound, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{
                         f(in[0], ints(c.attributes["axes"]), c.attributes["keepdims"])};
                   }};
  };
  over_axes("sum", {Bound::terms, 1, 1}, sum);
  over_axes("mean", {Bound::terms, 1, 1}, mean);
  over_axes("prod", {Bound::relative, 70}, prod);  // of at most 60 factors
  over_axes("max", {}, max);
  over_axes("min", {}, min);
  over_axes("any", {}, any);
  over_axes("all", {}, all);
  over_axes("logsumexp", {Bound::terms, 2, 1}, logsumexp);
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, Ints, int, bool)>>{
           {"variance", variance}, {"standard_deviation", standard_deviation}})
    table[name] = {
        {Bound::terms, 4, 2}, [f = f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], ints(c.attributes["axes"]),
                                       c.attributes["correction"], c.attributes["keepdims"])};
        }};
  table["norm"] = {
      {Bound::terms, 2, 1}, [](Tensors in, const GoldenCase& c) {
        const auto& order = c.attributes["ord"];
        return std::vector<Tensor>{norm(in[0], order.is_string() ? INFINITY : order.get<double>(),
                                        ints(c.attributes["axes"]), c.attributes["keepdims"])};
      }};
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, int, bool)>>{
           {"argmax", argmax}, {"argmin", argmin}})
    table[name] = {
        {}, [f = f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], c.attributes["axis"], c.attributes["keepdims"])};
        }};
  const auto running = [&table](const std::string& name, Bound bound,
                                Tensor (*f)(Operand, int, bool)) {
    table[name] = {
        bound, [f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], c.attributes["axis"], c.attributes["reverse"])};
        }};
  };
  running("cumsum", {Bound::terms, 1, 1}, cumsum);
  running("cumprod", {Bound::relative, 10}, cumprod);  // of at most 7 factors
  running("cummax", {}, cummax);
  running("cummin", {}, cummin);
  running("logcumsumexp", {Bound::terms, 2, 1}, logcumsumexp);
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, int, bool)>>{
           {"sort", sort}, {"argsort", argsort}})
    table[name] = {
        {}, [f = f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], c.attributes["axis"], c.attributes["descending"])};
        }};
  table["top_k"] = {{}, [](Tensors in, const GoldenCase& c) {
                      const auto [values, indices] = top_k(in[0], c.attributes["k"]);
                      return std::vector<Tensor>{values, indices};
                    }};
  table["unique"] = {{}, [](Tensors in, const GoldenCase& c) {
                       const auto u =
                           unique(in[0], c.attributes["size"], c.attributes["fill"].get<double>());
                       return std::vector<Tensor>{u.values, u.inverse, u.counts, u.count};
                     }};
}

inline void add_products(std::map<std::string, GoldenFunction>& table) {
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
      const Tensor last = f(move_axis(in[0], 1, -1), in[1], optional_input(in, 2), options);
      return std::vector<Tensor>{plain, move_axis(last, -1, 1)};
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
                             move_axis(max_pool(move_axis(in[0], 1, -1), kernel, options), -1, 1)};
                       }};
  table["avg_pool"] = {{Bound::terms, 1, 1}, [=](Tensors in, const GoldenCase& c) {
                         PoolOptions options = pool_options(c);
                         const Ints kernel = ints(c.attributes["kernel"]);
                         const Tensor plain = avg_pool(in[0], kernel, options);
                         options.channels_last = true;
                         return std::vector<Tensor>{
                             plain,
                             move_axis(avg_pool(move_axis(in[0], 1, -1), kernel, options), -1, 1)};
                       }};
  table["adaptive_avg_pool"] = {{Bound::terms, 1, 1}, [](Tensors in, const GoldenCase&) {
                                  return std::vector<Tensor>{global_avg_pool(in[0])};
                                }};
}

inline void add_movement(std::map<std::string, GoldenFunction>& table) {
  const auto one = [&table](const std::string& name,
                            std::function<Tensor(const Tensor&, const nlohmann::json&)> f) {
    table[name] = {{}, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{f(in[0], c.attributes)};
                   }};
  };
  using J = nlohmann::json;
  table["take"] = {{}, [](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{take(in[0], in[1], c.attributes["axis"])};
                   }};
  table["take_along_axis"] = {
      {}, [](Tensors in, const GoldenCase& c) {
        return std::vector<Tensor>{take_along_axis(in[0], in[1], c.attributes["axis"])};
      }};
  table["index_update"] = {
      {Bound::terms, 1, 4}, [](Tensors in, const GoldenCase& c) {
        const std::string mode = c.attributes["mode"];
        const auto f = mode == "set"   ? index_set
                       : mode == "add" ? index_add
                       : mode == "max" ? index_max
                       : mode == "min" ? index_min
                                       : index_multiply;
        return std::vector<Tensor>{f(in[0], in[1], in[2], c.attributes["axis"])};
      }};
  table["scatter_along_axis"] = {
      {Bound::terms, 1, 1}, [](Tensors in, const GoldenCase& c) {
        return std::vector<Tensor>{put_along_axis(in[0], in[1], in[2], c.attributes["axis"],
                                                  c.attributes["mode"].get<std::string>())};
      }};
  table["concatenate"] = {
      {}, [](Tensors in, const GoldenCase& c) {
        return std::vector<Tensor>{concatenate(in, c.attributes["axis"].get<int>())};
      }};
  table["stack"] = {{}, [](Tensors in, const GoldenCase& c) {
                      return std::vector<Tensor>{stack(in, c.attributes["axis"].get<int>())};
                    }};
  table["split"] = {{}, [](Tensors in, const GoldenCase& c) {
                      return split_sizes(in[0], c.attributes["sizes"].get<std::vector<int64_t>>(),
                                         c.attributes["axis"]);
                    }};
  one("pad", [](const Tensor& x, const J& a) {
    Ints low, high;
    for (const auto& pair : a["widths"]) {
      low.push_back(pair[0].get<int64_t>());
      high.push_back(pair[1].get<int64_t>());
    }
    if (a["mode"] == "constant") return pad(x, low, high, a["value"].get<double>());
    return pad(x, low, high, a["mode"] == "edge" ? PadMode::edge : PadMode::reflect);
  });
  one("roll", [](const Tensor& x, const J& a) {
    Tensor y = x;
    for (size_t i = 0; i < a["shift"].size(); ++i)
      y = roll(y, a["shift"][i].get<int64_t>(), a["axes"][i].get<int>());
    return y;
  });
  one("flip", [](const Tensor& x, const J& a) { return flip(x, ints(a["axes"])); });
  one("tril", [](const Tensor& x, const J& a) { return tril(x, a["k"]); });
  one("triu", [](const Tensor& x, const J& a) { return triu(x, a["k"]); });
  one("diag", [](const Tensor& x, const J& a) {
    return x.rank() == 1 ? diag(x, a["k"]) : diagonal(x, a["k"]);
  });
  one("repeat", [](const Tensor& x, const J& a) {
    if (a["repeats"].is_array())
      return repeat(x, a["repeats"].get<std::vector<int64_t>>(), a["axis"].get<int>());
    return repeat(x, a["repeats"].get<int64_t>(), a["axis"].get<int>());
  });
  one("tile", [](const Tensor& x, const J& a) { return tile(x, ints(a["repeats"])); });
  one("one_hot", [](const Tensor& x, const J& a) {
    return one_hot(x, a["classes"].get<int64_t>(), DType::f64);
  });
  table["trace"] = {{Bound::terms, 1, 1}, [](Tensors in, const GoldenCase& c) {
                      return std::vector<Tensor>{trace_of(in[0], c.attributes["k"])};
                    }};
  table["linspace"] = {{Bound::terms, 1, 1}, [](Tensors, const GoldenCase& c) {
                         const auto& a = c.attributes;
                         return std::vector<Tensor>{linspace(a["start"], a["stop"], a["count"],
                                                             DType::f64, a["endpoint"])};
                       }};
  table["arange"] = {{}, [](Tensors, const GoldenCase& c) {
                       const auto& a = c.attributes;
                       return std::vector<Tensor>{arange(
                           a["start"].get<double>(), a["stop"].get<double>(),
                           a["step"].get<double>(), *parse_dtype(a["dtype"].get<std::string>()))};
                     }};
  table["eye"] = {{}, [](Tensors, const GoldenCase& c) {
                    const auto& a = c.attributes;
                    return std::vector<Tensor>{eye(a["rows"], a["columns"], a["k"], DType::f64)};
                  }};
}

inline void add_networks(std::map<std::string, GoldenFunction>& table) {
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

inline const std::map<std::string, GoldenFunction>& golden_functions() {
  static const auto table = [] {
    std::map<std::string, GoldenFunction> functions;
    add_elementwise(functions);
    add_reductions(functions);
    add_products(functions);
    add_movement(functions);
    add_networks(functions);
    return functions;
  }();
  return table;
}

}  // namespace cairn::test
