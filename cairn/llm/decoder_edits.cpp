// What changes a cache but for new tokens: cutting, copying and moving sequences.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cairn/llm/decoder_state.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"

namespace cairn {
namespace {

// The one block of a pool's tensor at a number, and a tensor with another one there.
Tensor block_of(const Tensor& pool, const Tensor& number) {
  Shape block = pool.shape();
  block[0] = 1;
  const Operand start[] = {number, 0, 0, 0};
  return dynamic_slice(pool, start, block);
}
Tensor with_block(const Tensor& pool, const Tensor& number, const Tensor& block) {
  const Operand start[] = {number, 0, 0, 0};
  return dynamic_update_slice(pool, block, start);
}

}  // namespace

void Decoder::State::define_edits() {
  copy_block = Function([this](std::span<const Tensor> args) {
    const size_t count = pool.size();
    std::vector<Tensor> out;
    for (const Tensor& t : args.first(count))
      out.push_back(with_block(t, args[count + 1], block_of(t, args[count])));
    return out;
  });
  put_block = Function([this](std::span<const Tensor> args) {
    const size_t count = pool.size();
    std::vector<Tensor> out;
    for (size_t i = 0; i < count; ++i)
      out.push_back(with_block(args[i], args[count], args[count + 1 + i]));
    return out;
  });
  move_tokens = Function([this](std::span<const Tensor> args) {
    const std::span<const Tensor> data = args.subspan(pool.size());
    const KvCache::Places from{data[0], data[1]}, to{data[2], data[3]};
    const Tensor positions = broadcast_to(data[4], {kKvBlock});
    std::vector<KvCache> layers = caches(args.first(pool.size()));
    std::vector<Tensor> out;
    for (size_t i = 0; i < layers.size(); ++i) {
      KvCache& c = layers[i];
      // Keys were turned, and scaled, when they came; here only by how far they move.
      Rotary rotary = *rotary_of(model.config(), i);
      rotary.attention_factor = 1;
      c.put_keys(to, rotate(c.keys_at(from), positions, rotary, context()));
      c.move_values(from, to);
      for (const Tensor* t : c.pool()) out.push_back(*t);
    }
    return out;
  });
}

void Decoder::State::change_pool(Function& function, std::vector<Tensor> args) {
  const size_t count = args.size();
  args.insert(args.begin(), std::make_move_iterator(pool.begin()),
              std::make_move_iterator(pool.end()));
  CAIRN_ASSERT(args.size() == pool.size() + count);
  pool = function(runtime, std::move(args));
}

void Decoder::State::make_own(Sequence& s, size_t i) {
  const int32_t shared = s.blocks[i];
  if (!blocks.is_shared(shared)) return;
  const int32_t own = blocks.take();
  change_pool(copy_block, {integers(std::span(&shared, 1), {}), integers(std::span(&own, 1), {})});
  blocks.release(shared);
  s.blocks[i] = own;
}

void Decoder::truncate(int sequence, int64_t length) {
  State& s = *state_;
  State::Sequence& q = s.get(sequence);
  if (length < 0 || length > q.length)
    throw_error(fmt::format("a sequence of {} tokens cannot be cut to {}", q.length, length));
  if (s.window && length) {
    const int64_t first = std::max<int64_t>(0, length - s.window + 1) / kKvBlock;
    if (q.blocks[static_cast<size_t>(first)] == 0)
      throw_error(fmt::format(
          "a sequence of {} tokens cannot be cut to {}: the model's windows of {} have left the "
          "tokens behind that it would see; feed it again",
          q.length, length, s.window));
  }
  while (std::ssize(q.blocks) > blocks_of(length)) {
    if (q.blocks.back()) s.blocks.release(q.blocks.back());
    q.blocks.pop_back();
  }
  q.length = length;
}

bool Decoder::can_shift() const {
  const TransformerConfig& config = state_->model.config();
  for (int64_t i = 0; i < config.layers; ++i)
    if (!rotary_of(config, static_cast<size_t>(i))) return false;
  return true;
}

void Decoder::shift(int sequence, int64_t keep, int64_t count) {
  State& s = *state_;
  State::Sequence& q = s.get(sequence);
  if (keep < 0 || count < 1 || keep + count > q.length)
    throw_error(fmt::format("{} tokens behind the first {} cannot be forgotten of {}", count, keep,
                            q.length));
  if (!can_shift())
    throw_error(
        "the model's positions are learned, so its tokens cannot move to other places; "
        "feed them again");
  const int64_t length = q.length - count;
  // Blocks that are written: of this sequence alone, and there.
  const auto is_there = [&](int64_t at) {
    return q.blocks[static_cast<size_t>(at / kKvBlock)] != 0;
  };
  int64_t wanted = 0;
  for (int64_t b = keep / kKvBlock; b < blocks_of(length); ++b) {
    const int32_t block = q.blocks[static_cast<size_t>(b)];
    wanted += block == 0 || s.blocks.is_shared(block);
  }
  if (wanted > s.blocks.free())
    throw_error(
        fmt::format("to forget {} tokens, the cache needs {} blocks of {} that are free, "
                    "and {} are; close a sequence, or use a larger cache",
                    count, wanted, kKvBlock, s.blocks.free()));
  for (int64_t b = keep / kKvBlock; b < blocks_of(length); ++b) {
    int32_t& block = q.blocks[static_cast<size_t>(b)];
    if (block == 0) block = s.blocks.take();
    s.make_own(q, static_cast<size_t>(b));
  }
  const auto delta = static_cast<int32_t>(-count);
  for (int64_t first = keep; first < length; first += kKvBlock) {
    // From, to; a block and a place in it of each. What has no source goes to block 0.
    std::array<std::array<int32_t, kKvBlock>, 4> places{};
    for (int64_t at = first; at < std::min(length, first + kKvBlock); ++at) {
      const auto i = static_cast<size_t>(at - first);
      if (!is_there(at + count)) continue;
      const auto put = [&](size_t which, int64_t token) {
        places[which][i] = q.blocks[static_cast<size_t>(token / kKvBlock)];
        places[which + 1][i] = static_cast<int32_t>(token % kKvBlock);
      };
      put(0, at + count);
      put(2, at);
    }
    std::vector<Tensor> args;
    for (const auto& numbers : places) args.push_back(integers(numbers, {1, kKvBlock}));
    args.push_back(integers(std::span(&delta, 1), {}));
    s.change_pool(s.move_tokens, std::move(args));
  }
  truncate(sequence, length);
  s.forget_behind_windows(q);
}

int Decoder::fork(int sequence) {
  State& s = *state_;
  const State::Sequence from = s.get(sequence);
  const int made = s.open();
  State::Sequence& to = s.get(made);
  to.length = from.length;
  to.blocks = from.blocks;
  for (const int32_t block : to.blocks)
    if (block) s.blocks.share(block);
  return made;
}

}  // namespace cairn
