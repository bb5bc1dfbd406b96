#include "cairn/tile/attention.h"

#include <limits>
#include <vector>

#include "cairn/tile/builder.h"
#include "cairn/tile/rows.h"

namespace cairn::tile {
namespace {

using Tiles = std::vector<Tile>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tile row(const Tile& x) { return expand_dims(x, 0); }
Tile column(const Tile& x) { return expand_dims(x, 1); }
// Scores have no largest one where none is seen.
Tile finite_or_zero(const Tile& x) { return where(abs(x) < kInfinity, x, 0); }

// What both kernels have in common: parameters, and which keys a query sees.
class Attention {
 public:
  Attention(Builder& builder, const AttentionForm& form)
      : k(builder), f(form), wide(compute_type(form.dtype)) {}

  void declare_inputs() {
    const DType i32 = DType::i32;
    q = k.input("q", f.dtype);
    key = k.input("k", f.keys.value_or(f.dtype));
    v = k.input("v", f.keys.value_or(f.dtype));
    if (f.has_query_start) query_start = k.input("query_start", i32);
    if (f.has_kv_lengths) kv_lengths = k.input("kv_lengths", i32);
    if (f.segments) {
      query_segments = k.input("query_segments", *f.segments);
      key_segments = k.input("key_segments", *f.segments);
    }
    if (f.has_mask) mask = k.input("mask", DType::b8);
    if (f.bias) bias = k.input("bias", *f.bias);
    if (f.sinks) sinks = k.input("sinks", *f.sinks);
    if (f.is_paged) block_table = k.input("block_table", i32);
    if (f.keys == DType::i8) {
      key_scales = k.input("key_scales", DType::f16);
      value_scales = k.input("value_scales", DType::f16);
    }
  }
  void declare_scalars() {
    batch = k.size("batch");
    heads = k.size("heads");
    kv_heads = k.size("kv_heads");
    queries = k.size("queries");
    keys = k.size("keys");
    scale = k.scalar("scale", wide);
    if (f.has_window) window = k.size("window");
    if (f.has_soft_cap) soft_cap = k.scalar("soft_cap", wide);
    if (f.has_query_start) query_start_stride = k.size("query_start_stride");
    const auto strides = [&](const char* of) {
      Tiles result;
      for (const char* axis : {"batch", "head", "query", "key"})
        result.push_back(k.size(std::string(of) + "_" + axis + "_stride"));
      return result;
    };
    if (f.has_mask) mask_strides = strides("mask");
    if (f.bias) bias_strides = strides("bias");
    if (f.is_paged) {
      block_size = k.size("block_size");
      blocks = k.size("blocks");
    }
  }
  // Of one key head of one row of the batch: its number among all, its keys, and the position of
  // the first query among them.
  void place(const Tile& number) {
    kv_head = number;
    in_batch = number / kv_heads;
    limit = f.has_kv_lengths ? minimum(cast(k.load(kv_lengths, in_batch), DType::i64), keys) : keys;
    if (f.has_query_start)
      start = cast(k.load(query_start, in_batch * query_start_stride), DType::i64);
    else
      // Without a limit of its own the last query is the last key.
      start = (f.has_kv_lengths ? cast(k.load(kv_lengths, in_batch), DType::i64) : keys) - queries;
  }
  // The rows of k and v of the keys from `from` on, all of which are read although some are behind
  // the end.
  Tile key_rows(const Tile& from) const {
    const Tile number = k.arange(kAttentionKeys);
    if (f.has_whole_blocks) return first_row(from / kAttentionKeys) + number;
    const Tile at = minimum(from + number, keys - 1);
    if (!f.is_paged) return kv_head * keys + at;
    return first_row(at / block_size) + at % block_size;
  }
  // The row where a block of the table begins.
  Tile first_row(const Tile& number) const {
    const Tile block = cast(k.load(block_table, in_batch * blocks + number), DType::i64);
    return (block * kv_heads + kv_head % kv_heads) * block_size;
  }
  // Blocks lie anywhere, where no hardware looks ahead: what comes next is fetched while this one
  // is computed with.
  void fetch_next_keys(const Tile& from) const {
    fetch_next(from, key, f.keys.value_or(f.dtype), f.width);
    if (f.keys == DType::i8) fetch_next(from, key_scales, DType::f16, f.width / kAttentionScales);
  }
  void fetch_next_values(const Tile& from) const {
    fetch_next(from, v, f.keys.value_or(f.dtype), f.value_width);
    if (f.keys == DType::i8)
      fetch_next(from, value_scales, DType::f16, f.value_width / kAttentionScales);
  }
  // A part of the numbers of k of the keys from `from` on, in the type of the queries: all, or
  // those of one scale. rows: key_rows(from), in_block: 0, 1, ...; features: of the part; as rows
  // and a column or the other way round.
  Tile load_keys(const Tile& from, const Tile& rows, const Tile& in_block,
                 const Tile& features) const {
    const Tile at = f.has_transposed_keys ? first_row(from / kAttentionKeys) * f.width +
                                                features * kAttentionKeys + in_block
                                          : rows * f.width + features;
    return widened(k.load(key, at));
  }
  // The same of v.
  Tile load_values(const Tile& rows, const Tile& features) const {
    return widened(k.load(v, rows * f.value_width + features));
  }
  // The scales of a part for the keys from `from` on, in the order of rows and in_block.
  Tile load_scales(Buffer scales, int64_t width, const Tile& from, const Tile& rows,
                   const Tile& in_block, int64_t part) const {
    const int64_t groups = width / kAttentionScales;
    const Tile at = f.has_transposed_keys ? first_row(from / kAttentionKeys) * groups +
                                                part * kAttentionKeys + in_block
                                          : rows * groups + part;
    return cast(k.load(scales, at), wide);
  }
  // Scores of queries and keys from their products; -infinity where a key is not seen. t and head:
  // of the queries; j: keys; as a row and a column or the other way round.
  Tile scores(const Tile& product, const Tile& t, const Tile& head, const Tile& j) const {
    Tile score = product * scale;
    if (f.has_soft_cap) score = tanh(score / soft_cap) * soft_cap;
    const Tile at = minimum(j, keys - 1);
    const auto strided = [&](const Tiles& strides) {
      return in_batch * strides[0] + head * strides[1] + t * strides[2] + at * strides[3];
    };
    if (f.bias) score = score + cast(k.load(bias, strided(bias_strides)), wide);
    Tile seen = j < limit;
    if (f.is_causal) seen = seen & (j <= start + t);
    if (f.has_window) seen = seen & (start + t - j < window);
    if (f.segments)
      seen = seen & (k.load(query_segments, in_batch * queries + t) ==
                     k.load(key_segments, in_batch * keys + at));
    if (f.has_mask) seen = seen & k.load(mask, strided(mask_strides));
    return where(seen, score, -kInfinity);
  }

  void fetch_next(const Tile& from, Buffer buffer, DType dtype, int64_t width) const {
    if (!f.has_whole_blocks) return;
    constexpr int64_t kLine = 64;
    const int64_t in_line = kLine / static_cast<int64_t>(size_of(dtype));
    const int64_t lines = (kAttentionKeys * width + in_line - 1) / in_line;
    const Tile next = first_row(minimum(from / kAttentionKeys + 1, blocks - 1));
    k.fetch(buffer, next * width + k.arange(lines) * in_line);
  }
  Tile widened(const Tile& x) const { return f.keys ? cast(x, wide) : x; }

  Builder& k;
  const AttentionForm& f;
  const DType wide;
  Buffer q, key, key_scales, value_scales, v, query_start, kv_lengths, query_segments, key_segments,
      mask, bias, sinks, block_table;
  Tile batch, heads, kv_heads, queries, keys, scale, window, soft_cap, query_start_stride,
      block_size, blocks;
  Tiles mask_strides, bias_strides;
  Tile kv_head, in_batch, limit, start;
};

Tile multiple_below(const Tile& x, int64_t n) { return maximum(x, 0) / n * n; }

}  // namespace

// The tile of scores has a row per key and a column per query, and the result is transposed until
// it is written: then all that is known of a query is a number per column, and no product has a
// transposed right operand but that of the queries, which are read once. Of fewer queries than a
// register has lanes the tile has a row per query: lanes are keys, then the numbers of a value.
// Each element is the same chain, and each sum the same tree, in both.
Kernel attention_kernel(const AttentionForm& f) {
  return build("attention", [&](Builder& k) {
    Attention a(k, f);
    a.declare_inputs();
    const Buffer out = k.output("out", f.dtype), logsumexp = k.output("logsumexp", a.wide);
    a.declare_scalars();
    const int64_t block = f.queries;
    const bool by_row = block < kFewQueries;
    const int key_axis = by_row ? 1 : 0;
    const auto of_queries = [&](const Tile& x) { return expand_dims(x, key_axis); };
    const auto of_keys = [&](const Tile& x) { return expand_dims(x, 1 - key_axis); };
    const auto shape_of = [&](int64_t features) {
      return by_row ? Shape{block, features} : Shape{features, block};
    };
    const auto rows_of = [&] { return f.is_folded ? a.heads / a.kv_heads * a.queries : a.queries; };
    k.grid([&] {
      const Tile programs = a.batch * (f.is_folded ? a.kv_heads : a.heads);
      return Tiles{programs, ceil_div(rows_of(), block)};
    });
    const Tile number = k.program_id(0), rows = rows_of();
    const Tile shared = a.heads / a.kv_heads;  // heads of a key head
    a.place(f.is_folded ? number : number / shared);
    const Tile first = k.program_id(1) * block;
    const Tile i = first + k.arange(block), inside = i < rows, at = minimum(i, rows - 1);
    const Tile t = of_queries(f.is_folded ? at % a.queries : at);
    const Tile head = f.is_folded ? of_queries(a.kv_head % a.kv_heads * shared + at / a.queries)
                                  : number % a.heads;
    const Tile query_row = number * rows + at;
    // The numbers of a scale are a part of keys and values; without scales all are.
    const bool has_scales = f.keys == DType::i8;
    const int64_t key_part = has_scales ? kAttentionScales : f.width;
    const int64_t value_part = has_scales ? kAttentionScales : f.value_width;
    const int64_t key_parts = f.width / key_part, parts = f.value_width / value_part;
    const auto part_of = [&](int64_t width, int64_t p) { return k.arange(width) + p * width; };
    Tiles queries;
    for (int64_t p = 0; p < key_parts; ++p)
      queries.push_back(
          k.load(a.q, of_queries(query_row) * f.width + of_keys(part_of(key_part, p))));

    // Blocks that no query of this one sees are not visited.
    Tile begin = k.constant(0, DType::i64), end = a.limit;
    const Tile last = f.is_folded ? a.queries : minimum(first + block, rows);
    if (f.is_causal) end = minimum(end, a.start + last);
    if (f.has_window) {
      const Tile oldest = f.is_folded ? a.start : a.start + first;
      begin = multiple_below(oldest - a.window + 1, kAttentionKeys);
    }
    const Shape per_query = shape_of(1);
    Tile top = k.full(per_query, -kInfinity, a.wide), total = k.full(per_query, 0, a.wide);
    if (f.sinks) {
      // A logit that no key has.
      top = broadcast_to(cast(k.load(a.sinks, head), a.wide), per_query);
      total = exp(top - finite_or_zero(top));
    }
    Tiles initial = {top, total};
    for (int64_t p = 0; p < parts; ++p) initial.push_back(k.full(shape_of(value_part), 0, a.wide));
    const Tiles result = k.loop(
        begin, end, kAttentionKeys, initial,
        [&](const Tile& from, const Tiles& carried) {
          const Tile in_block = k.arange(kAttentionKeys), j = from + in_block;
          const Tile key_row = a.key_rows(from);
          a.fetch_next_keys(from);
          const Tile rows = of_keys(key_row), places = of_keys(in_block);
          const Tile none = k.full(shape_of(kAttentionKeys), 0, a.wide);
          // A scale multiplies what its numbers add up to, and the weights of its values.
          const auto scales = [&](Buffer buffer, int64_t width, int64_t p) {
            return a.load_scales(buffer, width, from, rows, places, p);
          };
          Tile product = none;
          for (int64_t p = 0; p < key_parts; ++p) {
            const Tile keys = a.load_keys(from, rows, places, of_queries(part_of(key_part, p)));
            const Tile& query = queries[static_cast<size_t>(p)];
            const Tile sums = by_row ? dot(query, keys, none) : dot(keys, query, none);
            product = !has_scales ? sums : product + sums * scales(a.key_scales, f.width, p);
          }
          const Tile score = a.scores(product, t, head, of_keys(j));
          const Tile largest = maximum(carried[0], of_queries(max(score, key_axis)));
          const Tile base = finite_or_zero(largest);
          const Tile weight = exp(score - base), keep = exp(carried[0] - base);
          const Tile narrow_weight = narrow(weight, f.dtype);
          Tiles next = {largest, carried[1] * keep + of_queries(sum(weight, key_axis))};
          a.fetch_next_values(from);
          for (int64_t p = 0; p < parts; ++p) {
            const Tile kept = carried[static_cast<size_t>(2 + p)] * keep;
            const Tile features = part_of(value_part, p);
            const Tile weights = has_scales
                                     ? narrow_weight * scales(a.value_scales, f.value_width, p)
                                     : narrow_weight;
            // What is converted is read as it is multiplied, so that it is put in order at once.
            const auto values = [&] { return a.load_values(column(key_row), row(features)); };
            const auto values_down = [&] {
              return f.keys ? a.load_values(row(key_row), column(features))
                            : transpose(values(), {1, 0});
            };
            next.push_back(by_row ? dot(weights, values(), kept)
                                  : dot(values_down(), weights, kept));
          }
          return next;
        },
        /*stages=*/2);
    // A query that sees no key gives 0.
    const Tile nothing = result[1] == 0, divisor = where(nothing, 1, result[1]);
    const Tile lse = where(nothing, -kInfinity, log(divisor) + finite_or_zero(result[0]));
    for (int64_t p = 0; p < parts; ++p)
      k.store(out, of_queries(query_row) * f.value_width + of_keys(part_of(value_part, p)),
              narrow(result[static_cast<size_t>(2 + p)] / divisor, f.dtype),
              broadcast_to(of_queries(inside), shape_of(value_part)));
    k.store(logsumexp, of_queries(query_row), lse, of_queries(inside));
  });
}

// With P = exp(S - logsumexp): dV = P^T dO, dP = dO V^T, dS = P (dP - delta), dQ = dS K, dK = dS^T
// Q.
Kernel attention_gradient_kernel(const AttentionForm& f) {
  return build("attention_gradient", [&](Builder& k) {
    Attention a(k, f);
    a.declare_inputs();
    const Buffer logsumexp = k.input("logsumexp", a.wide), cotangent = k.input("d_out", f.dtype);
    const Buffer delta = k.input("delta", a.wide);
    const Buffer dq = k.inout("dq", a.wide), dk = k.output("dk", a.wide);
    const Buffer dv = k.output("dv", a.wide);
    a.declare_scalars();
    k.grid([&] { return Tiles{a.batch * a.kv_heads}; });
    a.place(k.program_id(0));
    const int64_t block = f.queries;
    const Tile shared = a.heads / a.kv_heads, feature = row(k.arange(f.width));
    const Tile value_feature = row(k.arange(f.value_width));
    const Tile first_row = a.kv_head * shared * a.queries;
    const auto zeros = [&](int64_t rows, int64_t width) {
      return k.full({rows, width}, 0, a.wide);
    };
    const Tile rows = shared * a.queries;
    k.loop(0, rows, block, Tiles{}, [&](const Tile& from, const Tiles&) {
      const Tile i = column(from + k.arange(block));
      k.store(dq, (first_row + i) * f.width + feature, zeros(block, f.width),
              broadcast_to(i < rows, {block, f.width}));
      return Tiles{};
    });
    k.loop(0, a.keys, kAttentionKeys, Tiles{}, [&](const Tile& first_key, const Tiles&) {
      const Tile j = first_key + k.arange(kAttentionKeys), key_row = a.key_rows(first_key);
      const auto load_keys = [&](Buffer from, const Tile& rows_at, const Tile& features,
                                 int64_t w) { return k.load(from, rows_at * w + features); };
      const Tile keys = load_keys(a.key, column(key_row), feature, f.width);
      const Tile keys_down = load_keys(a.key, row(key_row), transpose(feature, {1, 0}), f.width);
      const Tile values_down =
          load_keys(a.v, row(key_row), transpose(value_feature, {1, 0}), f.value_width);
      // Queries that see none of these keys are left out.
      Tile begin = k.constant(0, DType::i64), end = a.queries;
      if (f.is_causal) begin = multiple_below(first_key - a.start, block);
      if (f.has_window) end = minimum(end, first_key + kAttentionKeys - 1 - a.start + a.window);
      const Tiles sums = k.loop(
          0, shared, 1, {zeros(kAttentionKeys, f.width), zeros(kAttentionKeys, f.value_width)},
          [&](const Tile& in_group, const Tiles& before) {
            const Tile head = a.kv_head % a.kv_heads * shared + in_group;
            const Tile head_row = first_row + in_group * a.queries;
            return k.loop(begin, end, block, before, [&](const Tile& from, const Tiles& carried) {
              const Tile i = column(from + k.arange(block)), inside = i < a.queries;
              const Tile t = minimum(i, a.queries - 1), query_row = head_row + t;
              const Tile query = k.load(a.q, query_row * f.width + feature);
              const Tile d_out = k.load(cotangent, query_row * f.value_width + value_feature);
              const Tile product = dot(query, keys_down, zeros(block, kAttentionKeys));
              const Tile uncapped = product * a.scale;
              const Tile score = a.scores(product, t, head, row(j));
              const Tile lse = k.load(logsumexp, query_row);
              // Queries behind the end are the last one once more: they count for nothing.
              const Tile weight = where(inside, exp(score - finite_or_zero(lse)), 0);
              const Tile d_weight = dot(d_out, values_down, zeros(block, kAttentionKeys));
              Tile d_score = weight * (d_weight - k.load(delta, query_row)) * a.scale;
              if (f.has_soft_cap) {
                const Tile bent = tanh(uncapped / a.soft_cap);
                d_score = d_score * (1 - bent * bent);
              }
              const Tile narrow_score = narrow(d_score, f.dtype);
              const Tile place = query_row * f.width + feature;
              const Tile there = broadcast_to(inside, {block, f.width});
              k.store(dq, place, dot(narrow_score, keys, k.load(dq, place, there)), there);
              return Tiles{dot(transpose(narrow_score, {1, 0}), query, carried[0]),
                           dot(transpose(narrow(weight, f.dtype), {1, 0}), d_out, carried[1])};
            });
          });
      const Tile inside = column(j < a.keys);
      k.store(dk, column(key_row) * f.width + feature, sums[0],
              broadcast_to(inside, {kAttentionKeys, f.width}));
      k.store(dv, column(key_row) * f.value_width + value_feature, sums[1],
              broadcast_to(inside, {kAttentionKeys, f.value_width}));
      return Tiles{};
    });
  });
}

std::vector<Number> attention_scalars(const AttentionForm& f, const AttentionSizes& sizes) {
  std::vector<Number> result = {sizes.batch,   sizes.heads, sizes.kv_heads,
                                sizes.queries, sizes.keys,  sizes.scale};
  if (f.has_window) result.emplace_back(sizes.window);
  if (f.has_soft_cap) result.emplace_back(sizes.soft_cap);
  if (f.has_query_start) result.emplace_back(sizes.query_start_stride);
  if (f.has_mask) result.insert(result.end(), sizes.mask_strides, sizes.mask_strides + 4);
  if (f.bias) result.insert(result.end(), sizes.bias_strides, sizes.bias_strides + 4);
  if (f.is_paged) {
    result.emplace_back(sizes.block_size);
    result.emplace_back(sizes.blocks);
  }
  return result;
}

}  // namespace cairn::tile
