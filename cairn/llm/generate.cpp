#include "cairn/llm/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/graph/graph.h"
#include "cairn/graph/numbering.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/plan_memory.h"
#include "cairn/transforms/precision.h"

namespace cairn {
namespace {

// (V) logits → i32 token. Options are 0-d tensors: temperature, top_k, top_p, min_p; key.
Tensor sample_graph(const Tensor& logits, const Tensor& temperature, const Tensor& top_k,
                    const Tensor& top_p, const Tensor& min_p, const Tensor& key) {
  const int64_t V = logits.size(0);
  const Tensor greedy = argmax(logits, 0);
  const Tensor scaled = logits / maximum(temperature, 1e-6);
  // Sorted by probability; a token is kept when it is among the first k, when those before it have
  // less than top_p of what these k have, and when it is likely enough beside the first.
  const Tensor order = argsort(scaled, 0, true);
  const Tensor rank = iota({V}, 0);
  Tensor kept = bitwise_or(less_equal(top_k, 0), rank < top_k);
  const Tensor sorted = where(kept, take(scaled, order, 0), -INFINITY);
  const Tensor p = softmax(sorted, 0);
  const Tensor before = cumsum(p, 0) - p;
  kept = bitwise_and(kept, bitwise_or(before < top_p, equal(rank, 0)));
  kept = bitwise_and(kept, p >= slice_axis(p, 0, 0, 1) * min_p);
  const Tensor choice = categorical(key, where(kept, sorted, -INFINITY));
  return where(temperature > 0, take(order, choice, 0), greedy);
}

Tensor number(double value) { return Tensor::from<float>({static_cast<float>(value)}, {}); }

}  // namespace

struct Generator::State {
  Runtime& runtime;
  Decoder decoder;
  int sequence;
  Tensor logits;  // (V) of the last token
  Function sampler{[](std::span<const Tensor> a) {
    const Tensor key = fold_in(a[5], a[6]);
    // A score of -inf only forbids its token; NaN anywhere makes the largest NaN.
    return std::vector<Tensor>{sample_graph(a[0], a[1], a[2], a[3], a[4], key),
                               isfinite(max(a[0]))};
  }};
};

Generator::Generator(Runtime& runtime, Transformer& model, int64_t capacity,
                     GeneratorOptions options)
    : state_(new State{runtime,
                       Decoder(runtime, model,
                               {.tokens = capacity,
                                .kv = options.kv,
                                .precision = options.precision,
                                .pack_weights = options.pack_weights}),
                       0,
                       {}}) {
  state_->sequence = state_->decoder.open();
}
Generator::~Generator() = default;

void Generator::reset() {
  state_->decoder.truncate(state_->sequence, 0);
  state_->logits = {};
}

void Generator::prepare(size_t tokens) { state_->decoder.prepare(static_cast<int64_t>(tokens)); }
int64_t Generator::length() const { return state_->decoder.length(state_->sequence); }
int64_t Generator::capacity() const { return state_->decoder.options().tokens; }

void Generator::feed(std::span<const int32_t> ids) {
  const Decoder::Part part{state_->sequence, ids};
  const Tensor scores = state_->decoder.feed(std::span(&part, 1));  // (1, V)
  state_->logits = Tensor::leaf({scores.dtype(), {scores.size(1)}}, scores.buffer());
}

int32_t Generator::sample(const SamplingOptions& o) {
  State& s = *state_;
  if (!s.logits.defined())
    throw_error("there is no token to go on from: give a prompt, or begin with the model's BOS");
  // The key folds in the position, so a sequence is the same however it was fed.
  // random_key as values: written into the graph, each seed would need a plan.
  const Tensor key = Tensor::from<uint32_t>(
      {static_cast<uint32_t>(o.seed), static_cast<uint32_t>(o.seed >> 32)}, {2});
  const auto results = s.sampler(
      s.runtime, {s.logits, number(o.temperature), Tensor::from<int32_t>({o.top_k}, {}),
                  number(o.top_p), number(o.min_p), key, Tensor::from<int64_t>({length()}, {})});
  if (!results[1].item<bool>())
    throw_error(fmt::format(
        "the model's scores after {} tokens are NaN or infinite, so there is no next token: its "
        "weights are damaged, or too large for what they are computed in",
        length()));
  return results[0].item<int32_t>();
}

Tensor Generator::logits() const { return state_->logits; }

Tensor full_logits(Runtime& runtime, Transformer& model, std::span<const int32_t> ids,
                   Tensor* hidden, DType precision) {
  Context ctx;
  const Tensor h = model.hidden(ctx, Tensor::from<int32_t>(ids, {1, std::ssize(ids)}));
  const Tensor outputs[] = {squeeze(model.logits(ctx, h), {0}), squeeze(h, {0})};
  const std::vector<Tensor> wanted = with_precision(outputs, precision);
  // The plan that eval finds then; its arguments are the weights and the ids, which are there.
  const auto plan = runtime.cached_plan(wanted, number_nodes(wanted), false);
  check_memory(runtime.backend(), *plan, plan->argument_bytes,
               fmt::format("one pass over {} tokens", ids.size()), "use fewer tokens");
  const auto values = eval(runtime, wanted);
  if (hidden) *hidden = values[1];
  return values[0];
}

}  // namespace cairn
