// Decoder: a language model over many sequences of tokens, with a paged cache of keys and values.
//
// The cache is a pool of blocks of 64 tokens, which is how attention walks keys (tile/attention.h).
// A sequence is a list of blocks; blocks, lengths and tokens are data of the compiled steps, so a
// handful of plans serves conversations of any number and length. A token's scores depend on the
// tokens before it in its sequence alone: neither on the sequences beside it, nor on how its own
// was cut into pieces, nor on where its blocks lie, bit for bit.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "cairn/models/transformer.h"
#include "cairn/nn/kv_cache.h"

namespace cairn {

struct DecoderOptions {
  int64_t tokens = 0;     // that the pool holds, all sequences together
  int max_sequences = 1;  // open at once
  // Tokens of one sequence at most; 0: all of the pool. What rotary positions that depend on the
  // length (dynamic, longrope) are made for, so results depend on it with those.
  int64_t context = 0;
  KvType kv = KvType::f16;
  DType precision = DType::f32;  // what products are computed in: f32, bf16 or f16
  // What activations become before products with weights in blocks (transforms/quantize.h), and
  // bf16 before those with weights of bf16 (transforms/precision.h); empty: they stay.
  std::string activations = "q8_0";
  // Keep the weights once more in the order that products like best: a token is up to twice as
  // fast for the memory of the weights again.
  bool pack_weights = true;
};

class Decoder {
 public:
  // Tokens of the steps in which a prompt is fed: the smallest that holds what remains of it, and
  // long ones where short ones would be most of it.
  static constexpr std::array<int64_t, 4> kChunks = {8, 16, 32, 64};
  static constexpr int64_t kLongChunk = 512;

  struct Part {
    int sequence;
    std::span<const int32_t> ids;
  };

  // The weights are those that the model has when the first token is fed. Throws Error when there
  // is no memory for the pool, and when a sequence could pass the end of learned positions.
  Decoder(Runtime& runtime, Transformer& model, const DecoderOptions& options);
  ~Decoder();

  const DecoderOptions& options() const;
  // Bytes of the pool for these options.
  static uint64_t pool_bytes(const TransformerConfig& config, const DecoderOptions& options);

  // A sequence of no tokens. Throws Error when max_sequences are open.
  int open();
  void close(int sequence);
  int64_t length(int sequence) const;
  // How many more tokens sequences can take together at least: those of blocks that nobody has.
  int64_t free_tokens() const;

  // Appends tokens to sequences, at least one to each, and gives f32 (parts, V): the scores of what
  // comes after the last one of each. Parts of one token are one step. Throws Error, with the
  // counts, when they do not fit; the sequences are as before then.
  Tensor feed(std::span<const Part> parts);

  // Forgets what is behind the first `length` tokens. Throws Error when a window has forgotten
  // tokens that the next one would see.
  void truncate(int sequence, int64_t length);
  // Forgets `count` tokens behind the first `keep`; those after them move up, their keys turned to
  // their new places; their keys and values are otherwise those that saw what is forgotten. Throws
  // Error for models whose positions are learned.
  bool can_shift() const;
  void shift(int sequence, int64_t keep, int64_t count);
  // A sequence with the same tokens. Blocks that are full are shared.
  int fork(int sequence);

  // A sequence's keys and values in a file (safetensors), written beside it and renamed, with a
  // text of the caller's, as its tokens. Loading throws Error when the file is damaged or of
  // another model, type or version, and appends nothing to an open sequence: it opens one.
  void save(int sequence, const std::string& path, const std::string& note = {});
  struct Loaded {
    int sequence;
    std::string note;
  };
  Loaded load(const std::string& path);

  // Makes the plans that feeding so many tokens to each of `sequences` takes, and what is kept of
  // the weights: for who measures what follows. Throws Error when there is no memory for running
  // them.
  void prepare(int64_t tokens, int sequences = 1);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
