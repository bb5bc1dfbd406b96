// One sequence of tokens and the scores of what comes next: a Decoder with one place. And the
// scores of a whole text.
#pragma once

#include <memory>

#include "cairn/llm/decoder.h"

namespace cairn {

struct GeneratorOptions {
  DType precision = DType::f32;  // what products are computed in: f32, bf16 or f16
  // Keep the weights once more in the order that products like best: a token is up to twice as
  // fast for the memory of the weights again.
  bool pack_weights = true;
  KvType kv = KvType::f32;           // what the cache keeps
  std::string activations = "q8_0";  // as in DecoderOptions
};

class Generator {
 public:
  // `capacity`: tokens that the cache holds; at most the model's context where positions are
  // learned. The weights are those that the model has when the first token is fed. Throws Error
  // when there is no memory for the cache.
  Generator(Runtime& runtime, Transformer& model, int64_t capacity, GeneratorOptions options = {});
  ~Generator();

  // Makes the plans that feeding so many tokens takes, and what is kept of the weights: for who
  // measures what follows. Throws Error when there is no memory for running them.
  void prepare(size_t tokens);
  // Forgets all tokens.
  void reset();
  int64_t length() const;  // tokens in the cache
  int64_t capacity() const;
  // Appends tokens. Throws Error with the counts when they do not fit.
  void feed(std::span<const int32_t> ids);
  // f32 (V): scores of the next token, which llm/sampling.h chooses from.
  Tensor logits() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// f32 (T, V) and, when `hidden` is not null, (T, C) after the final norm: one pass over all ids.
// Throws Error when there is no memory for it.
Tensor full_logits(Runtime& runtime, Transformer& model, std::span<const int32_t> ids,
                   Tensor* hidden = nullptr, DType precision = DType::f32,
                   const std::string& activations = "q8_0");

}  // namespace cairn
