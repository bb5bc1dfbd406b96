#include "cairn/models/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cairn/base/memory.h"
#include "cairn/compiler/hoist.h"
#include "cairn/graph/graph.h"
#include "cairn/graph/numbering.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/kept_values.h"
#include "cairn/runtime/plan_memory.h"
#include "cairn/transforms/precision.h"
#include "cairn/transforms/simplify.h"

namespace cairn {
namespace {

constexpr auto kChunk = static_cast<int64_t>(Generator::kChunk);

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

Tensor ids_tensor(std::span<const int32_t> ids, int64_t padded) {
  HostArray array(DType::i32, {1, padded});
  auto out = array.mutable_span<int32_t>();
  std::copy(ids.begin(), ids.end(), out.begin());
  std::fill(out.begin() + static_cast<int64_t>(ids.size()), out.end(), 0);
  return Tensor(array);
}

Tensor number(double value) { return Tensor::from<float>({static_cast<float>(value)}, {}); }

}  // namespace

struct Generator::State {
  Runtime& runtime;
  Transformer& model;
  int64_t capacity;
  GeneratorOptions options;
  std::vector<Tensor> cache;  // keys and values of layer 0, of layer 1, ...
  int64_t length = 0;
  Tensor logits;  // (V) of the last token
  Function sampler{[](std::span<const Tensor> a) {
    const Tensor key = fold_in(a[5], a[6]);
    // A score of -inf only forbids its token; NaN anywhere makes the largest NaN.
    return std::vector<Tensor>{sample_graph(a[0], a[1], a[2], a[3], a[4], key),
                               isfinite(max(a[0]))};
  }};

  // Keys and values of no token yet. Chunks are written whole, so there is room for the padding of
  // the last one.
  std::vector<Tensor> empty_cache() const {
    std::vector<Tensor> all;
    for (const KvCache& c : model.empty_cache(1, capacity + kChunk))
      all.insert(all.end(), {c.keys, c.values});
    return all;
  }

  // The step over a chunk of so many tokens: it takes the arguments of build() and, after them,
  // the model's weights as its products want them, which the steps share, and other weights. Made
  // once, and before it is timed where somebody asks for that (prepare), which a Function does not
  // do for arguments of which some are given away: the cache.
  struct Step {
    std::shared_ptr<const Plan> plan;
    std::vector<Tensor> weights;
  };
  std::map<int64_t, Step> steps;
  KeptValues kept;
  const Step& step(int64_t chunk) {
    if (const auto found = steps.find(chunk); found != steps.end()) return found->second;
    std::vector<TensorType> types;
    for (const Tensor& t : cache) types.push_back(t.type());
    std::vector<bool> donated(types.size(), true);
    types.push_back({DType::i32, {1, chunk}});
    types.insert(types.end(), 2, {DType::i32, {}});
    donated.resize(types.size(), false);
    const Graph graph =
        trace(with_precision([this](std::span<const Tensor> args) { return build(args); },
                             options.precision),
              types);
    const Hoisted hoisted =
        hoist(simplify(graph), options.pack_weights && runtime.backend().packs_weights());
    const std::vector<Tensor> leaves = leaves_of(hoisted.graph);
    size_t held = 0;
    for (const Tensor& t : cache) held += t.type().bytes();
    for (const Tensor& t : leaves) held += t.type().bytes();
    Step made{runtime.plan(hoisted.graph, donated, false), {}};
    check_memory(runtime.backend(), *made.plan, held,
                 fmt::format("feeding {} tokens beside a cache of {}", chunk, capacity),
                 "use fewer tokens");
    made.weights = kept.get(runtime, hoisted.values);
    made.weights.insert(made.weights.end(), leaves.begin(), leaves.end());
    return steps.emplace(chunk, std::move(made)).first->second;
  }

  // (cache..., ids (1, T), length, last) → cache..., logits (V) of token `last`.
  std::vector<Tensor> build(std::span<const Tensor> args) {
    const auto layers = static_cast<size_t>(model.config().layers);
    const Tensor& length = args[args.size() - 2];
    std::vector<KvCache> caches;
    for (size_t i = 0; i < layers; ++i)
      caches.push_back({args[2 * i], args[2 * i + 1], length, capacity});
    Context ctx;
    const Tensor h = model.hidden(ctx, args[args.size() - 3], &caches);  // (1, T, C)
    const Operand starts[] = {0, args.back(), 0};
    const Tensor last = dynamic_slice(h, starts, {1, 1, h.size(2)});
    std::vector<Tensor> out;
    for (const KvCache& c : caches) out.insert(out.end(), {c.keys, c.values});
    out.push_back(flatten(model.logits(ctx, last)));
    return out;
  }
};

Generator::Generator(Runtime& runtime, Transformer& model, int64_t capacity,
                     GeneratorOptions options)
    : state_(new State{runtime, model, capacity, options, {}, 0, {}}) {
  if (!model.config().rotary && capacity > model.config().context)
    throw_error(fmt::format("a cache of {} tokens does not fit the model's context of {}", capacity,
                            model.config().context));
  double bytes = 0;
  for (const Tensor& t : state_->empty_cache()) bytes += static_cast<double>(t.type().bytes());
  if (runtime.backend().executes())
    check_memory(bytes, fmt::format("a cache of {} tokens", capacity), "use fewer tokens");
  reset();
}
Generator::~Generator() = default;

void Generator::reset() {
  State& s = *state_;
  s.cache = eval(s.runtime, s.empty_cache());
  s.runtime.separate(s.cache);
  s.length = 0;
  s.logits = {};
}

void Generator::prepare(size_t tokens) {
  constexpr auto kWhole = static_cast<size_t>(kChunk);
  if (tokens > 1) state_->step(kChunk);
  if (tokens % kWhole == 1) state_->step(1);
}

int64_t Generator::length() const { return state_->length; }
int64_t Generator::capacity() const { return state_->capacity; }

void Generator::feed(std::span<const int32_t> ids) {
  State& s = *state_;
  if (s.length + static_cast<int64_t>(ids.size()) > s.capacity)
    throw_error(fmt::format(
        "{} tokens and {} more do not fit the context of {}; use a shorter prompt or fewer tokens",
        s.length, ids.size(), s.capacity));
  for (const int32_t id : ids)
    if (id < 0 || id >= s.model.config().vocabulary)
      throw_error(fmt::format("token {} is not in the model's vocabulary of {}", id,
                              s.model.config().vocabulary));
  while (!ids.empty()) {
    const int64_t count = std::min<int64_t>(static_cast<int64_t>(ids.size()), kChunk);
    const int64_t chunk = count == 1 ? 1 : kChunk;
    const State::Step& step = s.step(chunk);
    std::vector<Tensor> args = std::move(s.cache);
    args.push_back(ids_tensor(ids.first(static_cast<size_t>(count)), chunk));
    args.push_back(Tensor::from<int32_t>({static_cast<int32_t>(s.length)}, {}));
    args.push_back(Tensor::from<int32_t>({static_cast<int32_t>(count - 1)}, {}));
    args.insert(args.end(), step.weights.begin(), step.weights.end());
    std::vector<Tensor> results = s.runtime.run(step.plan, std::move(args));
    s.logits = std::move(results.back());
    results.pop_back();
    s.cache = std::move(results);
    s.length += count;
    ids = ids.subspan(static_cast<size_t>(count));
  }
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
                  number(o.top_p), number(o.min_p), key, Tensor::from<int64_t>({s.length}, {})});
  if (!results[1].item<bool>())
    throw_error(fmt::format(
        "the model's scores after {} tokens are NaN or infinite, so there is no next token: its "
        "weights are damaged, or too large for what they are computed in",
        s.length));
  return results[0].item<int32_t>();
}

Tensor Generator::logits() const { return state_->logits; }

Tensor full_logits(Runtime& runtime, Transformer& model, std::span<const int32_t> ids,
                   Tensor* hidden, DType precision) {
  Context ctx;
  const Tensor h = model.hidden(ctx, ids_tensor(ids, static_cast<int64_t>(ids.size())));
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
