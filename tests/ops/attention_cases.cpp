// Cases of attention with each of its options.
#include <algorithm>
#include <cmath>

#include "cairn/ops/nn.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

// Attention by its definition, with every option: scores, what is seen, softmax, sum.
Arrays naive_attention(const Array& q, const Array& k, const Array& v,
                       const std::function<double(const Ints&, double)>& score,
                       const std::vector<double>& sinks = {}) {
  const int64_t B = q.shape[0], H = q.shape[1], T = q.shape[2], D = q.shape[3], S = k.shape[2],
                E = v.shape[3];
  const int64_t group = H / k.shape[1];
  Array out({B, H, T, E}), lse({B, H, T});
  for_each_index(Shape{B, H, T}, [&](const Ints& i) {
    std::vector<double> scores;
    double top = -INFINITY;
    for (int64_t s = 0; s < S; ++s) {
      double sum = 0;
      for (int64_t d = 0; d < D; ++d)
        sum += q[q.at({i[0], i[1], i[2], d})] * k[k.at({i[0], i[1] / group, s, d})];
      scores.push_back(score({i[0], i[1], i[2], s},
                             sum / std::sqrt(static_cast<double>(std::max<int64_t>(D, 1)))));
      top = std::max(top, scores.back());
    }
    if (!sinks.empty()) top = std::max(top, sinks[static_cast<size_t>(i[1])]);
    double total =
        sinks.empty() || top == -INFINITY ? 0 : std::exp(sinks[static_cast<size_t>(i[1])] - top);
    for (double& s : scores) total += s = top == -INFINITY ? 0 : std::exp(s - top);
    lse[lse.at(i)] = total == 0 ? -INFINITY : std::log(total) + top;
    for (int64_t e = 0; e < E && total != 0; ++e)
      for (int64_t s = 0; s < S; ++s)
        out[out.at({i[0], i[1], i[2], e})] +=
            scores[static_cast<size_t>(s)] / total * v[v.at({i[0], i[1] / group, s, e})];
  });
  return {out, lse};
}

}  // namespace

void add_attention_cases(std::vector<Case>& cases) {
  const CaseInput q{reals({2, 4, 3, 4})}, k{reals({2, 2, 6, 4}, -2, 2, 2)},
      v{reals({2, 2, 6, 5}, -2, 2, 3)};
  const auto one = [&](const std::string& label, std::vector<CaseInput> more,
                       std::function<AttentionOptions(Tensors)> options,
                       std::function<double(const Arrays&, const Ints&, double)> score,
                       std::vector<double> sinks = {}) {
    std::vector<CaseInput> inputs{q, k, v};
    inputs.insert(inputs.end(), more.begin(), more.end());
    Case& c = cases.emplace_back();
    c.function = "attention";
    c.name = "attention " + label;
    c.inputs = std::move(inputs);
    c.call = [options](Tensors x) {
      const AttentionResult r = attention(x[0], x[1], x[2], options(x.subspan(3)));
      return std::vector<Tensor>{r.out, r.logsumexp};
    };
    c.reference = [score, sinks](const Arrays& in) {
      return naive_attention(
          in[0], in[1], in[2], [&](const Ints& i, double s) { return score(in, i, s); }, sinks);
    };
    c.bound = {Bound::terms, 2, 2};
    c.narrow_roundings = 1;  // the weights
  };
  const auto seen = [](bool yes, double s) { return yes ? s : -INFINITY; };
  one(
      "window", {}, [](Tensors) { return AttentionOptions{.causal = true, .window = 2}; },
      [=](const Arrays&, const Ints& i, double s) {
        const int64_t distance = i[2] + 3 - i[3];
        return seen(distance >= 0 && distance < 2, s);
      });
  one(
      "query start", {{Array({2}, {0, 3}), DType::i32}},
      [](Tensors x) { return AttentionOptions{.causal = true, .query_start = x[0]}; },
      [=](const Arrays& in, const Ints& i, double s) {
        return seen(i[2] + in[3][i[0]] >= i[3], s);
      });
  for (const double shortest : {3, 0}) {
    one(
        "key lengths from " + std::to_string(static_cast<int>(shortest)),
        {{Array({2}, {shortest, 4}), DType::i32}},
        [](Tensors x) { return AttentionOptions{.kv_lengths = x[0]}; },
        [=](const Arrays& in, const Ints& i, double s) { return seen(i[3] < in[3][i[0]], s); });
    if (shortest == 0) cases.back().orders = 0;  // the logarithm of no sum is -inf
  }
  // The last of the three queries is the last key that counts.
  one(
      "causal with key lengths", {{Array({2}, {4, 3}), DType::i32}},
      [](Tensors x) { return AttentionOptions{.causal = true, .kv_lengths = x[0]}; },
      [=](const Arrays& in, const Ints& i, double s) {
        return seen(i[2] + in[3][i[0]] - 3 >= i[3], s);
      });
  one(
      "segments",
      {{Array({2, 3}, {0, 0, 1, 0, 1, 1}), DType::i32},
       {Array({2, 6}, {0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1}), DType::i32}},
      [](Tensors x) { return AttentionOptions{.query_segments = x[0], .key_segments = x[1]}; },
      [=](const Arrays& in, const Ints& i, double s) {
        return seen(in[3][in[3].at({i[0], i[2]})] == in[4][in[4].at({i[0], i[3]})], s);
      });
  one(
      "bias and soft cap", {{reals({2, 4, 3, 6}, -1, 1, 4)}},
      [](Tensors x) { return AttentionOptions{.soft_cap = 1.5, .bias = x[0]}; },
      [](const Arrays& in, const Ints& i, double s) {
        return 1.5 * std::tanh(s / 1.5) + in[3][in[3].at(i)];
      });
  const std::vector<double> sinks{0.5, -1, 2, 0};
  one(
      "sinks", {},
      [sinks](Tensors x) {
        (void)x;
        return AttentionOptions{.sinks = Tensor::from<double>(std::span(sinks), {4})};
      },
      [](const Arrays&, const Ints&, double s) { return s; }, sinks);

  // Keys and values in a pool of 5 blocks of 2 keys; each row of the batch reads three of them.
  const std::vector<double> table{4, 0, 2, 1, 3, 0};
  Case& paged = cases.emplace_back();
  paged.function = "attention";
  paged.name = "attention paged";
  paged.inputs = {q,
                  {reals({5, 2, 2, 4}, -2, 2, 2)},
                  {reals({5, 2, 2, 5}, -2, 2, 3)},
                  {Array({2, 3}, table), DType::i32}};
  paged.call = [](Tensors x) {
    return std::vector<Tensor>{
        attention(x[0], x[1], x[2], {.causal = true, .block_table = x[3]}).out};
  };
  paged.reference = [](const Arrays& in) {
    Arrays flat;
    for (const size_t which : {1, 2}) {
      const Array& pool = in[which];
      Array rows({2, 2, 6, pool.shape[3]});
      for_each_index(rows.shape, [&](const Ints& i) {
        const auto block = static_cast<int64_t>(in[3][in[3].at({i[0], i[2] / 2})]);
        rows[rows.at(i)] = pool[pool.at({block, i[1], i[2] % 2, i[3]})];
      });
      flat.push_back(rows);
    }
    const auto causal = [](const Ints& i, double s) { return i[2] + 3 >= i[3] ? s : -INFINITY; };
    return Arrays{naive_attention(in[0], flat[0], flat[1], causal)[0]};
  };
  paged.bound = {Bound::terms, 2, 2};
  paged.narrow_roundings = 1;
}

}  // namespace cairn::test
