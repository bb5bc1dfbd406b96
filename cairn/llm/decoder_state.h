// What the files of Decoder share. Not part of the public interface.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "cairn/llm/block_pool.h"
#include "cairn/llm/decoder.h"
#include "cairn/runtime/kept_values.h"

namespace cairn {

inline int64_t blocks_of(int64_t tokens) { return (tokens + kKvBlock - 1) / kKvBlock; }

inline Tensor integers(std::span<const int32_t> values, const Shape& shape) {
  return Tensor::from<int32_t>(values, shape);
}

struct Decoder::State {
  struct Sequence {
    bool is_open = false;
    int64_t length = 0;
    // Of each 64 tokens; 0 where all layers' windows have left them behind.
    std::vector<int32_t> blocks = {};
  };
  // The step of `rows` sequences over so many tokens of each: (pool..., ids (rows, T), table
  // (rows, n), length (rows), count (rows), weights...) → pool..., logits (rows, V).
  struct Step {
    std::shared_ptr<const Plan> plan;
    std::vector<Tensor> weights;
  };

  State(Runtime& runtime, Transformer& model, const DecoderOptions& options);

  // Tokens that a sequence may have.
  int64_t context() const { return options.context ? options.context : options.tokens; }
  Sequence& get(int sequence);
  int open();
  // Blocks for `more` tokens, none of which is shared; what they take is counted before anything
  // changes.
  void check_room(std::span<const Part> parts);
  int64_t new_blocks(const Sequence& s, int64_t more);
  void make_room(Sequence& s, int64_t more);
  void make_own(Sequence& s, size_t block);
  void forget_behind_windows(Sequence& s);

  const Step& step(int64_t rows, int64_t tokens);
  std::vector<Tensor> build(std::span<const Tensor> args, int64_t tokens);
  std::vector<KvCache> caches(std::span<const Tensor> pool) const;
  // Feeds tokens to some sequences, `count` to each, in a step over `tokens`.
  Tensor run_step(std::span<const Part> parts, int64_t rows, int64_t tokens);
  Tensor feed_prompt(const Part& part);

  // Functions (pool..., args...) → pool..., and how they are run.
  void define_edits();
  void change_pool(Function& function, std::vector<Tensor> args);

  Runtime& runtime;
  Transformer& model;
  DecoderOptions options;
  int64_t window = 0;  // the longest of all layers; 0: a layer sees all tokens
  size_t tensors_of_layer = 2;
  std::vector<Tensor> pool;  // of layer 0, of layer 1, ...
  BlockPool blocks;
  std::vector<Sequence> sequences;
  std::map<std::pair<int64_t, int64_t>, Step> steps;
  KeptValues kept;
  Function copy_block;   // from, to
  Function move_tokens;  // from: blocks, places in them; to: the same, i32 (1, 64); how far, i32
  Function put_block;    // which, then what each tensor of the pool has there
};

}  // namespace cairn
