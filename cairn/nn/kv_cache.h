// The keys and values that an attention has seen, in a pool of blocks (Kwon et al. 2023, "paged
// attention"): a row of a batch has a list of blocks, so rows of any lengths share one pool.
#pragma once

#include <string_view>

#include "cairn/ops/nn.h"

namespace cairn {

// What keys and values are kept in. q8_0: i8 with a factor in f16 for each 32 numbers, as GGUF's
// q8_0 but with the factors apart, so that a head's row begins where a register's load does.
enum class KvType : uint8_t { f32, f16, q8_0 };
std::string_view name(KvType type);
// "f32", "f16" or "q8_0"; throws Error naming them.
KvType kv_type_of(std::string_view name);
DType dtype_of(KvType type);  // i8 for q8_0

constexpr int64_t kKvBlock = 64;           // tokens of a block: those that attention reads at once
constexpr int64_t kKvGroup = kScaleGroup;  // numbers of one factor in q8_0

// Of one layer. A value: Attention::forward() puts an extended one in its place, and a copy of the
// old one stays as it was. Keys of a block lie side by side, number after number, so that a query
// reads a number of many keys at once.
struct KvCache {
  Tensor keys;          // [blocks in all, kv_heads, head_width, kKvBlock]
  Tensor values;        // [blocks in all, kv_heads, kKvBlock, head_width]
  Tensor key_scales;    // of q8_0: f16 [.., head_width / kKvGroup, kKvBlock]
  Tensor value_scales;  // the same
  Tensor block_table;   // i32 [B, n]: the blocks of each row, one after the other
  Tensor length;        // i32, 0-d or [B]: tokens that are there
  // i32, 0-d or [B]: how many of the next tokens are real; undefined: all. The others are written
  // to block 0, which then belongs to no row.
  Tensor count = {};
  int64_t reach = 0;  // tokens it is meant for (see rotary_table); 0: those of a row's blocks

  // Tokens that a row has blocks for.
  int64_t capacity() const { return block_table.size(1) * kKvBlock; }
  // The pool's tensors: keys, values and, where there are some, their scales.
  std::vector<Tensor*> pool();

  // Blocks that hold zeros, with no table and length; of i8 with scales. Throws Error when the
  // scales do not divide the width.
  static KvCache empty_pool(DType dtype, int64_t blocks, int64_t kv_heads, int64_t head_width);
  // Appends k and v, [B, kv_heads, T, head_width], behind the tokens that are there. The caller
  // sees to it that the table has blocks for them.
  void append(const Tensor& k, const Tensor& v);

  // Places of tokens in a pool: i32 [B, T].
  struct Places {
    Tensor block, offset;  // of the pool, in the block
  };
  // k and v, [B, kv_heads, T, head_width], in these places, and what is there. Values that are only
  // moved stay as the pool keeps them.
  void put_keys(const Places& places, const Tensor& k);
  void put_values(const Places& places, const Tensor& v);
  Tensor keys_at(const Places& places) const;  // f32
  void move_values(const Places& from, const Places& to);
};

}  // namespace cairn
