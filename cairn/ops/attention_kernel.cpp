// Attention as one node that tile kernels compute (tile/attention.h).
#include "cairn/ops/attention_kernel.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "cairn/ops/custom.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/tile/attention.h"
#include "cairn/tile/custom_kernel.h"

namespace cairn::detail {
namespace {

// The tensors of the options, as operands behind q, k and v, in the order of the kernels' buffers.
constexpr Tensor AttentionOptions::* kTensors[] = {
    &AttentionOptions::query_start,    &AttentionOptions::kv_lengths,
    &AttentionOptions::query_segments, &AttentionOptions::key_segments,
    &AttentionOptions::mask,           &AttentionOptions::bias,
    &AttentionOptions::sinks,          &AttentionOptions::block_table,
    &AttentionOptions::key_scales,     &AttentionOptions::value_scales,
};

// 64 queries fill the registers; a few, as when tokens are generated, take those of the heads that
// read the same keys with them.
bool is_few_queries(int64_t queries) { return queries < 64; }

// Attention between tensors of other types and sizes, as the options say.
struct Setting {
  AttentionOptions options;  // its tensors only say which there are

  std::vector<Tensor> operands(const Tensor& q, const Tensor& k, const Tensor& v) const {
    std::vector<Tensor> result = {q, k, v};
    for (const auto tensor : kTensors)
      if ((options.*tensor).defined()) result.push_back(options.*tensor);
    return result;
  }
  size_t count() const {
    return 3 + static_cast<size_t>(std::ranges::count_if(
                   kTensors, [&](const auto tensor) { return (options.*tensor).defined(); }));
  }
  // Of a tensor of the options that is there.
  size_t place_of(Tensor AttentionOptions::* wanted) const {
    size_t place = 3;
    for (const auto tensor : kTensors) {
      if (tensor == wanted) break;
      place += (options.*tensor).defined();
    }
    return place;
  }
  // The options with these operands as their tensors.
  AttentionOptions with(std::span<const Tensor> operands) const {
    AttentionOptions result = options;
    size_t next = 3;
    for (const auto tensor : kTensors)
      if ((options.*tensor).defined()) result.*tensor = operands[next++];
    return result;
  }

  tile::AttentionForm form(const CustomTypes& types) const {
    const auto has = [&](Tensor AttentionOptions::* tensor) { return (options.*tensor).defined(); };
    const auto type = [&](Tensor AttentionOptions::* tensor) {
      return has(tensor) ? std::optional(types.inputs[place_of(tensor)].dtype) : std::nullopt;
    };
    const Shape &q = types.inputs[0].shape, &v = types.inputs[2].shape;
    tile::AttentionForm form;
    form.dtype = types.inputs[0].dtype;
    if (types.inputs[1].dtype != form.dtype) form.keys = types.inputs[1].dtype;
    form.width = q[3];
    form.value_width = v[3];
    form.is_folded = is_few_queries(q[2]);
    int64_t rows = form.is_folded ? q[1] / v[1] * q[2] : q[2];
    // The queries of one key head alone are two programs, for two threads: what they read twice is
    // a tenth of the work.
    if (form.is_folded && q[0] * v[1] == 1) rows = (rows + 1) / 2;
    // Keys that lie side by side need no width of whole registers.
    const bool are_rows =
        rows <= tile::kFewQueries / 2 && (q[3] % 16 == 0 || options.transposed_keys);
    form.queries = rows > 32   ? 64
                   : rows > 16 ? 32
                   : are_rows  ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)))
                               : tile::kFewQueries;
    form.is_causal = options.causal;
    form.has_window = options.window > 0;
    form.has_soft_cap = options.soft_cap > 0;
    form.has_query_start = has(&AttentionOptions::query_start);
    form.has_kv_lengths = has(&AttentionOptions::kv_lengths);
    form.segments = type(&AttentionOptions::query_segments);
    form.has_mask = has(&AttentionOptions::mask);
    form.bias = type(&AttentionOptions::bias);
    form.sinks = type(&AttentionOptions::sinks);
    form.is_paged = has(&AttentionOptions::block_table);
    form.has_whole_blocks = form.is_paged && v[2] == tile::kAttentionKeys;
    form.has_transposed_keys = options.transposed_keys;
    return form;
  }
  Ints key(const CustomTypes& types) const {
    const tile::AttentionForm f = form(types);
    return {f.width, f.value_width, f.is_folded, f.queries, f.has_whole_blocks};
  }
  std::vector<Number> scalars(const CustomTypes& types) const {
    const auto shape = [&](size_t i) -> const Shape& { return types.inputs[i].shape; };
    const Shape &q = shape(0), &v = shape(2);
    tile::AttentionSizes sizes;
    sizes.batch = q[0];
    sizes.heads = q[1];
    sizes.kv_heads = v[1];
    sizes.queries = q[2];
    sizes.keys = v[2];
    sizes.scale = *options.scale;
    sizes.window = options.window;
    sizes.soft_cap = options.soft_cap;
    const tile::AttentionForm f = form(types);
    if (f.has_query_start)
      sizes.query_start_stride = shape(place_of(&AttentionOptions::query_start)).rank() > 0;
    // Along an axis of one element, or none, every query or key reads the same.
    const auto strides = [&](Tensor AttentionOptions::* tensor, int64_t(&result)[4]) {
      const Shape& from = shape(place_of(tensor));
      for (int axis = 0; axis < 4; ++axis) {
        const int at = axis - 4 + from.rank();
        result[axis] = at >= 0 && from[at] > 1 ? from.strides()[at] : 0;
      }
    };
    if (f.has_mask) strides(&AttentionOptions::mask, sizes.mask_strides);
    if (f.bias) strides(&AttentionOptions::bias, sizes.bias_strides);
    if (f.is_paged) {
      const Shape& table = shape(place_of(&AttentionOptions::block_table));
      sizes.block_size = v[2];
      sizes.blocks = table[1];
      sizes.keys = v[2] * table[1];
    }
    return attention_scalars(f, sizes);
  }

  std::shared_ptr<const CustomKernel> kernel(
      tile::Kernel (*make)(const tile::AttentionForm&)) const {
    const Setting self = *this;
    auto kernel = std::make_shared<CustomKernel>();
    kernel->make = [self, make](const CustomTypes& types) { return make(self.form(types)); };
    kernel->scalars = [self](const CustomTypes& types) { return self.scalars(types); };
    kernel->key = [self](const CustomTypes& types) { return self.key(types); };
    return kernel;
  }
};

// --- the gradient -------------------------------------------------------------------------------

// With P = exp(S - logsumexp): dV = P^T dO, dP = dO V^T, dS = P (dP - delta), dQ = dS K, dK = dS^T
// Q (Dao et al., 2022, appendix B), where P and dS are rounded to the type of q before they are
// multiplied. `x`: the operands of attention, then logsumexp, d_out, delta.
std::vector<Tensor> plain_gradient(const Setting& setting, std::span<const Tensor> x) {
  const AttentionOptions options = setting.with(x);
  const size_t count = setting.count();
  const Tensor q = widened(x[0]), k = widened(x[1]), v = widened(x[2]);
  const Tensor &lse = x[count], d_out = widened(x[count + 1]), &delta = x[count + 2];
  const int64_t B = q.size(0), H = q.size(1), T = q.size(2), G = k.size(1);
  const auto per_query = [&](const Tensor& t) { return reshape(t, {B, H, T, 1}); };
  const Tensor scores = attention_scores(q, k, options);
  const Tensor base = per_query(where(abs(lse) < INFINITY, lse, 0.0));
  const Tensor weights = by_key_head(exp(scores - base), G);
  const Tensor d_grouped = by_key_head(d_out, G);
  const Tensor d_weights = matmul(d_grouped, swapaxes(v, -1, -2));
  Tensor d_scores =
      weights * (d_weights - by_key_head(per_query(delta), G)) * attention_scale(q, options);
  if (options.soft_cap > 0) {
    const Tensor bent = scores / options.soft_cap;
    // Of scores that are seen; the others have weights of 0.
    d_scores = d_scores * by_key_head(where(abs(bent) <= 1, 1 - bent * bent, 0.0), G);
  }
  const DType narrow = x[0].dtype();
  d_scores = rounded(d_scores, narrow);
  return {reshape(matmul(d_scores, k), q.shape()),
          matmul(swapaxes(d_scores, -1, -2), by_key_head(q, G)),
          matmul(swapaxes(rounded(weights, narrow), -1, -2), d_grouped)};
}

std::vector<Tensor> attention_vjp(const Setting& setting, std::span<const Tensor> inputs,
                                  std::span<const Tensor> outputs,
                                  std::span<const Tensor> cotangents) {
  const Tensor &out = outputs[0], &lse = outputs[1], &d_out = cotangents[0], &d_lse = cotangents[1];
  const Tensor delta = sum(widened(d_out) * widened(out), {-1}) - d_lse;
  CustomDefinition gradient;
  gradient.name = "attention_gradient";
  gradient.fallback = [setting](auto x) { return plain_gradient(setting, x); };
  gradient.kernel = setting.kernel(tile::attention_gradient_kernel);
  std::vector<Tensor> operands(inputs.begin(), inputs.end());
  operands.insert(operands.end(), {lse, cast(d_out, out.dtype()), delta});
  const std::vector<Tensor> wide = custom(std::move(gradient))(operands);
  std::vector<Tensor> result(inputs.size());
  for (size_t i = 0; i < 3; ++i) result[i] = cast(wide[i], inputs[i].dtype());
  if (setting.options.sinks.defined()) {
    const size_t place = setting.place_of(&AttentionOptions::sinks);
    const Tensor& sinks = inputs[place];
    const Tensor base = where(abs(lse) < INFINITY, lse, 0.0);
    const Tensor weight = exp(reshape(widened(sinks), {1, sinks.size(0), 1}) - base);
    result[place] = cast(-sum(weight * delta, {0, 2}), sinks.dtype());
  }
  return result;
}

}  // namespace

bool has_attention_kernel(const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options) {
  const bool is_paged = options.block_table.defined();
  const auto is_compiled = [](const Tensor& t) {
    return !t.defined() || (is_float(t.dtype()) && !is_float8(t.dtype()));
  };
  const auto fits = [](const Tensor& t) {
    return std::max(t.size(3), int64_t{1}) <= tile::kMaxAttentionWidth && t.shape().elements() > 0;
  };
  const bool fit_types =
      k.dtype() == v.dtype() &&
      (k.dtype() == q.dtype() ||
       (q.dtype() == DType::f32 && (k.dtype() == DType::i8 || size_of(k.dtype()) == 2)));
  // Transposed keys come in whole blocks.
  const bool fit_blocks = !options.transposed_keys || v.size(2) == tile::kAttentionKeys;
  return is_compiled(q) && fit_types && fit_blocks && (is_compiled(k) || k.dtype() == DType::i8) &&
         fits(q) && fits(k) && fits(v) &&
         (is_paged || (q.size(0) == k.size(0) && q.size(0) == v.size(0))) &&
         is_compiled(options.bias) && is_compiled(options.sinks);
}

AttentionResult kernel_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                 const AttentionOptions& given) {
  Setting setting{given};
  setting.options.scale = attention_scale(q, given);
  const auto as_i32 = [](Tensor& t) {
    if (t.defined()) t = cast(t, DType::i32);
  };
  as_i32(setting.options.query_start);
  as_i32(setting.options.kv_lengths);
  as_i32(setting.options.block_table);
  const std::vector<Tensor> operands = setting.operands(q, k, v);
  // The definition keeps no tensor alive.
  for (const auto tensor : kTensors)
    if (Tensor& t = setting.options.*tensor; t.defined()) t = full({}, 0, t.dtype());
  CustomDefinition definition;
  definition.name = "attention";
  definition.fallback = [setting](auto x) {
    const AttentionResult result = plain_attention(x[0], x[1], x[2], setting.with(x));
    return std::vector<Tensor>{result.out, result.logsumexp};
  };
  definition.kernel = setting.kernel(tile::attention_kernel);
  // The gradient of a bias is the matrix of scores, which the kernels do without; keys in pages are
  // not trained on.
  const bool is_one_type = q.dtype() == k.dtype();
  if (!given.bias.defined() && !given.block_table.defined() && is_one_type)
    definition.vjp = [setting](auto inputs, auto outputs, auto cotangents) {
      return attention_vjp(setting, inputs, outputs, cotangents);
    };
  definition.narrowed = [setting](auto inputs, DType compute) -> std::vector<Tensor> {
    // A few queries read each key once: to round it first would cost more than it saves. Keys of
    // another type are those of a whole pool.
    if (inputs[0].dtype() != DType::f32 || inputs[1].dtype() != DType::f32 ||
        setting.options.block_table.defined() || is_few_queries(inputs[0].size(2)))
      return {};
    const auto narrow = [&](size_t i) { return cast(inputs[i], compute); };
    const AttentionResult result =
        kernel_attention(narrow(0), narrow(1), narrow(2), setting.with(inputs));
    return {cast(result.out, DType::f32), result.logsumexp};
  };
  const std::vector<Tensor> result = custom(std::move(definition))(operands);
  return {result[0], result[1]};
}

}  // namespace cairn::detail
