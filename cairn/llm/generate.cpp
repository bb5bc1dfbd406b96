#include "cairn/llm/generate.h"

#include <fmt/format.h>

#include "cairn/graph/graph.h"
#include "cairn/graph/numbering.h"
#include "cairn/ops/movement.h"
#include "cairn/runtime/plan_memory.h"
#include "cairn/transforms/precision.h"
#include "cairn/transforms/quantize.h"

namespace cairn {
struct Generator::State {
  Runtime& runtime;
  Decoder decoder;
  int sequence;
  Tensor logits;  // (V) of the last token
};

Generator::Generator(Runtime& runtime, Transformer& model, int64_t capacity,
                     GeneratorOptions options)
    : state_(new State{runtime,
                       Decoder(runtime, model,
                               {.tokens = capacity,
                                .kv = options.kv,
                                .precision = options.precision,
                                .activations = options.activations,
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

Tensor Generator::logits() const { return state_->logits; }

Tensor full_logits(Runtime& runtime, Transformer& model, std::span<const int32_t> ids,
                   Tensor* hidden, DType precision, const std::string& activations) {
  Context ctx;
  const Tensor h = model.hidden(ctx, Tensor::from<int32_t>(ids, {1, std::ssize(ids)}));
  const Tensor outputs[] = {squeeze(model.logits(ctx, h), {0}), squeeze(h, {0})};
  std::vector<Tensor> wanted = with_precision(outputs, precision);
  if (!activations.empty())
    wanted = with_quantized_activations(with_precision_of_weights(wanted), activations);
  // The plan that eval finds then; its arguments are the weights and the ids, which are there.
  const auto plan = runtime.cached_plan(wanted, number_nodes(wanted), false);
  check_memory(runtime.backend(), *plan, plan->argument_bytes,
               fmt::format("one pass over {} tokens", ids.size()), "use fewer tokens");
  const auto values = eval(runtime, wanted);
  if (hidden) *hidden = values[1];
  return values[0];
}

}  // namespace cairn
