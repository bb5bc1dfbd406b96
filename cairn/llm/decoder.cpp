#include "cairn/llm/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "cairn/base/memory.h"
#include "cairn/compiler/hoist.h"
#include "cairn/graph/graph.h"
#include "cairn/llm/decoder_state.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/runtime/plan_memory.h"
#include "cairn/transforms/precision.h"
#include "cairn/transforms/quantize.h"
#include "cairn/transforms/simplify.h"

namespace cairn {
namespace {

// So many that sequences of `tokens` together fit however they share them out.
int64_t block_count(const DecoderOptions& o) {
  return (o.tokens + (kKvBlock - 1) * o.max_sequences) / kKvBlock;
}

DecoderOptions checked(const DecoderOptions& o, const TransformerConfig& config) {
  if (o.tokens < 1 || o.max_sequences < 1 || o.context < 0 || o.tokens > INT32_MAX)
    throw_error(fmt::format(
        "a cache of {} tokens for {} sequences of {}: it holds at least one token and sequence",
        o.tokens, o.max_sequences, o.context));
  const int64_t context = o.context ? o.context : o.tokens;
  if (!config.rotary && context > config.context)
    throw_error(fmt::format("a cache of {} tokens does not fit the model's context of {}", context,
                            config.context));
  return o;
}

std::vector<KvCache> empty_pools(const TransformerConfig& config, const DecoderOptions& o) {
  return {
      static_cast<size_t>(config.layers),
      KvCache::empty_pool(dtype_of(o.kv), block_count(o) + 1, config.kv_heads, config.head_width)};
}

int64_t longest_window(const TransformerConfig& config) {
  if (config.windows.empty() || std::ranges::count(config.windows, 0)) return 0;
  return std::ranges::max(config.windows);
}

}  // namespace

Decoder::State::State(Runtime& r, Transformer& m, const DecoderOptions& o)
    : runtime(r),
      model(m),
      options(checked(o, m.config())),
      window(longest_window(m.config())),
      blocks(block_count(o)),
      sequences(static_cast<size_t>(o.max_sequences)) {
  define_edits();
  if (runtime.backend().executes())
    check_memory(static_cast<double>(pool_bytes(model.config(), options)),
                 fmt::format("a cache of {} tokens in {}", options.tokens, name(options.kv)),
                 "use fewer tokens");
  for (KvCache& layer : empty_pools(model.config(), options)) {
    tensors_of_layer = layer.pool().size();
    for (const Tensor* t : layer.pool()) pool.push_back(*t);
  }
  pool = eval(runtime, pool);
  runtime.separate(pool);
}

Decoder::State::Sequence& Decoder::State::get(int sequence) {
  const auto i = static_cast<size_t>(sequence);
  if (sequence < 0 || i >= sequences.size() || !sequences[i].is_open)
    throw_error(fmt::format("sequence {} is not open", sequence));
  return sequences[i];
}

int Decoder::State::open() {
  const auto found = std::ranges::find(sequences, false, &Sequence::is_open);
  if (found == sequences.end())
    throw_error(fmt::format("all {} sequences are open; close one, or ask for more",
                            options.max_sequences));
  found->is_open = true;
  return static_cast<int>(found - sequences.begin());
}

std::vector<KvCache> Decoder::State::caches(std::span<const Tensor> tensors) const {
  std::vector<KvCache> all(tensors.size() / tensors_of_layer);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto of_layer = tensors.subspan(i * tensors_of_layer, tensors_of_layer);
    all[i].keys = of_layer[0];
    all[i].values = of_layer[1];
    if (tensors_of_layer == 2) continue;
    all[i].key_scales = of_layer[2];
    all[i].value_scales = of_layer[3];
  }
  return all;
}

std::vector<Tensor> Decoder::State::build(std::span<const Tensor> args, int64_t tokens) {
  const std::span<const Tensor> data = args.subspan(pool.size());
  const Tensor &ids = data[0], &table = data[1], &length = data[2], &count = data[3];
  std::vector<KvCache> layers = caches(args.first(pool.size()));
  for (KvCache& c : layers) {
    c.block_table = table;
    c.length = length;
    if (tokens > 1) c.count = count;
    c.reach = context();
  }
  Context ctx;
  const auto last = [&count](const Tensor& t) {
    const Operand starts[] = {0, reshape(count, {}) - 1, 0};
    return dynamic_slice(t, starts, {1, 1, t.size(2)});
  };
  const Tensor h = model.hidden(ctx, ids, &layers, {},
                                tokens > 1 ? ChooseTokens(last) : nullptr);  // (rows, 1, C)
  const Tensor scores = model.logits(ctx, h);                                // (rows, 1, V)
  std::vector<Tensor> out;
  for (KvCache& c : layers)
    for (const Tensor* t : c.pool()) out.push_back(*t);
  out.push_back(reshape(scores, {scores.size(0), scores.size(2)}));
  return out;
}

const Decoder::State::Step& Decoder::State::step(int64_t rows, int64_t tokens) {
  if (const auto found = steps.find({rows, tokens}); found != steps.end()) return found->second;
  std::vector<TensorType> types;
  for (const Tensor& t : pool) types.push_back(t.type());
  std::vector<bool> donated(types.size(), true);
  types.push_back({DType::i32, {rows, tokens}});
  types.push_back({DType::i32, {rows, blocks_of(context())}});
  types.insert(types.end(), 2, {DType::i32, {rows}});
  donated.resize(types.size(), false);
  Graph graph =
      trace(with_precision([&](std::span<const Tensor> args) { return build(args, tokens); },
                           options.precision),
            types);
  if (!options.activations.empty())
    graph = with_quantized_activations(with_precision_of_weights(graph), options.activations);
  const Hoisted hoisted =
      hoist(simplify(graph), options.pack_weights && runtime.backend().packs_weights());
  const std::vector<Tensor> leaves = leaves_of(hoisted.graph);
  size_t held = 0;
  for (const Tensor& t : pool) held += t.type().bytes();
  for (const Tensor& t : leaves) held += t.type().bytes();
  Step made{runtime.plan(hoisted.graph, donated, false), {}};
  check_memory(runtime.backend(), *made.plan, held,
               fmt::format("feeding {} tokens to {} sequences beside a cache of {}", tokens, rows,
                           options.tokens),
               "use fewer tokens");
  made.weights = kept.get(runtime, hoisted.values);
  made.weights.insert(made.weights.end(), leaves.begin(), leaves.end());
  return steps.emplace(std::pair(rows, tokens), std::move(made)).first->second;
}

// --- room ---------------------------------------------------------------------------------------

int64_t Decoder::State::new_blocks(const Sequence& s, int64_t more) {
  const bool copies = s.length % kKvBlock && blocks.is_shared(s.blocks.back());
  return blocks_of(s.length + more) - std::ssize(s.blocks) + copies;
}

void Decoder::State::check_room(std::span<const Part> parts) {
  int64_t wanted = 0;
  for (const Part& part : parts) {
    const Sequence& s = get(part.sequence);
    const auto more = std::ssize(part.ids);
    if (more == 0) throw_error(fmt::format("no tokens are given for sequence {}", part.sequence));
    if (std::ranges::count(parts, part.sequence, &Part::sequence) > 1)
      throw_error(fmt::format("sequence {} is given twice", part.sequence));
    for (const int32_t id : part.ids)
      if (id < 0 || id >= model.config().vocabulary)
        throw_error(fmt::format("token {} is not in the model's vocabulary of {}", id,
                                model.config().vocabulary));
    if (s.length + more > context())
      throw_error(fmt::format(
          "{} tokens and {} more do not fit the context of {}; use a shorter prompt or fewer "
          "tokens",
          s.length, more, context()));
    wanted += new_blocks(s, more);
  }
  if (wanted > blocks.free())
    throw_error(
        fmt::format("the cache of {} tokens has room for {} more, and {} are needed (in blocks of "
                    "{}); close a sequence, or use a larger cache",
                    options.tokens, blocks.free() * kKvBlock, wanted * kKvBlock, kKvBlock));
}

void Decoder::State::make_room(Sequence& s, int64_t more) {
  if (s.length % kKvBlock) make_own(s, s.blocks.size() - 1);
  while (std::ssize(s.blocks) < blocks_of(s.length + more)) s.blocks.push_back(blocks.take());
}

// The next token sees those of the last `window` positions, itself among them.
void Decoder::State::forget_behind_windows(Sequence& s) {
  if (window == 0) return;
  const int64_t first = (s.length - window + 1) / kKvBlock;
  for (int64_t i = 0; i < first; ++i) {
    int32_t& block = s.blocks[static_cast<size_t>(i)];
    if (block) blocks.release(block);
    block = 0;
  }
}

// --- steps --------------------------------------------------------------------------------------

// The arguments stay as they are until the step has given its results: those are written to the
// same memory, but only behind the tokens that are there.
Tensor Decoder::State::run_step(std::span<const Part> parts, int64_t rows, int64_t tokens) {
  const int64_t width = blocks_of(context());
  std::vector<int32_t> ids(static_cast<size_t>(rows * tokens)),
      table(static_cast<size_t>(rows * width)), lengths(static_cast<size_t>(rows)),
      counts(static_cast<size_t>(rows), 1);
  for (size_t i = 0; i < parts.size(); ++i) {
    const Sequence& s = get(parts[i].sequence);
    std::ranges::copy(parts[i].ids, ids.begin() + static_cast<int64_t>(i) * tokens);
    std::ranges::copy(s.blocks, table.begin() + static_cast<int64_t>(i) * width);
    lengths[i] = static_cast<int32_t>(s.length);
    counts[i] = static_cast<int32_t>(parts[i].ids.size());
  }
  const Step& made = step(rows, tokens);
  std::vector<Tensor> args = pool;
  args.push_back(integers(ids, {rows, tokens}));
  args.push_back(integers(table, {rows, width}));
  args.push_back(integers(lengths, {rows}));
  args.push_back(integers(counts, {rows}));
  args.insert(args.end(), made.weights.begin(), made.weights.end());
  std::vector<Tensor> results = runtime.run(made.plan, std::move(args));
  Tensor scores = std::move(results.back());
  results.pop_back();
  pool = std::move(results);
  for (const Part& part : parts) {
    Sequence& s = get(part.sequence);
    s.length += std::ssize(part.ids);
    forget_behind_windows(s);
  }
  return scores;
}

namespace {

// Of the tokens that are still to feed.
int64_t next_chunk(int64_t rest) {
  if (rest == 1) return 1;
  if (rest > Decoder::kLongChunk * 3 / 4) return Decoder::kLongChunk;
  for (const int64_t chunk : Decoder::kChunks)
    if (rest <= chunk) return chunk;
  return Decoder::kChunks.back();
}

}  // namespace

Tensor Decoder::State::feed_prompt(const Part& part) {
  Tensor scores;
  for (std::span<const int32_t> rest = part.ids; !rest.empty();) {
    const int64_t chunk = next_chunk(std::ssize(rest));
    const auto count = static_cast<size_t>(std::min(chunk, std::ssize(rest)));
    const Part piece{part.sequence, rest.first(count)};
    make_room(get(part.sequence), std::ssize(piece.ids));
    scores = run_step(std::span(&piece, 1), 1, chunk);
    rest = rest.subspan(count);
  }
  return scores;
}

// --- the interface ------------------------------------------------------------------------------

Decoder::Decoder(Runtime& runtime, Transformer& model, const DecoderOptions& options)
    : state_(new State(runtime, model, options)) {}
Decoder::~Decoder() = default;

const DecoderOptions& Decoder::options() const { return state_->options; }

uint64_t Decoder::pool_bytes(const TransformerConfig& config, const DecoderOptions& options) {
  uint64_t bytes = 0;
  for (KvCache& layer : empty_pools(config, options))
    for (const Tensor* t : layer.pool()) bytes += t->type().bytes();
  return bytes;
}

int Decoder::open() { return state_->open(); }

void Decoder::close(int sequence) {
  truncate(sequence, 0);
  state_->get(sequence).is_open = false;
}

int64_t Decoder::length(int sequence) const { return state_->get(sequence).length; }
int64_t Decoder::free_tokens() const { return state_->blocks.free() * kKvBlock; }

Tensor Decoder::feed(std::span<const Part> parts) {
  State& s = *state_;
  if (parts.empty()) throw_error("no sequences are given to feed");
  s.check_room(parts);
  std::vector<Part> singles;
  for (const Part& part : parts)
    if (part.ids.size() == 1) {
      s.make_room(s.get(part.sequence), 1);
      singles.push_back(part);
    }
  Tensor of_singles;
  if (!singles.empty())
    of_singles = s.run_step(singles, static_cast<int64_t>(std::bit_ceil(singles.size())), 1);
  if (of_singles.defined() && of_singles.size(0) == std::ssize(parts)) return of_singles;
  if (parts.size() == 1) return s.feed_prompt(parts[0]);
  const int64_t vocabulary = s.model.config().vocabulary;
  HostArray scores(DType::f32, {std::ssize(parts), vocabulary});
  float* out = scores.mutable_span<float>().data();
  int64_t single = 0;
  for (const Part& part : parts) {
    const bool is_single = part.ids.size() == 1;
    const Tensor from = is_single ? of_singles : s.feed_prompt(part);
    const float* row = from.host().span<float>().data();
    if (is_single) row += vocabulary * single++;
    out = std::copy_n(row, vocabulary, out);
  }
  return Tensor(scores);
}

void Decoder::prepare(int64_t tokens, int sequences) {
  const auto rows = static_cast<int64_t>(std::bit_ceil(static_cast<unsigned>(sequences)));
  while (tokens > 0) {
    const int64_t chunk = next_chunk(tokens);
    state_->step(chunk == 1 ? rows : 1, chunk);
    tokens -= chunk;
  }
}

}  // namespace cairn
