#include "cairn/llm/model_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "cairn/io/gguf_types.h"
#include "cairn/models/block_weights.h"
#include "cairn/models/model_header.h"
#include "cairn/models/weights.h"

namespace cairn {
namespace {

// The program, compiled kernels and what the system counts beside: measured 40 to 90 MiB.
constexpr uint64_t kProgram = uint64_t{64} << 20;

std::string human(uint64_t bytes) {
  constexpr double kMiB = 1 << 20, kGiB = 1 << 30;
  const auto b = static_cast<double>(bytes);
  return b < kGiB ? fmt::format("{:.0f} MiB", b / kMiB) : fmt::format("{:.1f} GiB", b / kGiB);
}

uint64_t weight_bytes_of(const ModelHeader& header, const MemoryQuestion& asked) {
  std::optional<WeightFormats> formats;
  if (!asked.quantize.empty())
    formats = WeightFormats::parse(asked.quantize, header.config).value();
  uint64_t sum = 0;
  for (const ModelHeader::Weight& w : header.weights) {
    const auto elements = static_cast<uint64_t>(w.shape.elements());
    const auto type = formats ? formats->type_of(w.field, w.shape) : std::nullopt;
    if (const BlockFormat* to = type ? find_block_format(*type) : nullptr) {
      sum += elements / static_cast<uint64_t>(to->block_elements) *
             static_cast<uint64_t>(to->block_bytes);
      if (to->scale_type == ScaleType::none) sum += 4 * static_cast<uint64_t>(w.shape[0]);
    } else if (type) {
      sum += 2 * elements;  // f16
    } else if (is_table(w.field, header.config)) {
      // A table in a file is read where it lies, a few rows of it.
      if (!w.is_mapped) sum += w.bytes;
    } else if (w.shape.rank() == 2 && !w.in_blocks) {
      sum += elements * size_of(kept_type(w.field, w.floats, header.config, asked.precision));
    } else {
      sum += w.bytes;
    }
  }
  return sum;
}

// No sequence is longer than the model's context.
MemoryQuestion within_context(const ModelHeader& header, MemoryQuestion asked) {
  DecoderOptions& cache = asked.cache;
  cache.tokens = std::min(cache.tokens, header.config.context * cache.max_sequences);
  return asked;
}

ModelMemory memory_of(const ModelHeader& header, const MemoryQuestion& asked) {
  const TransformerConfig& c = header.config;
  ModelMemory memory;
  memory.weights = weight_bytes_of(header, asked);
  if (asked.cache.tokens > 0) memory.cache = Decoder::pool_bytes(c, asked.cache);
  // Of the longest step: a few tensors of the width, two of the feed-forward's, scores of one
  // token of each sequence.
  const auto tokens =
      static_cast<uint64_t>(std::clamp<int64_t>(asked.cache.tokens, 64, Decoder::kLongChunk));
  memory.workspace = 4 * tokens * static_cast<uint64_t>(6 * c.width + 3 * c.hidden) +
                     4 * static_cast<uint64_t>(asked.cache.max_sequences * c.vocabulary) + kProgram;
  return memory;
}

// What would fit, as the end of a sentence.
std::string advice(const ModelHeader& header, const MemoryQuestion& asked, uint64_t available) {
  std::vector<std::string> ways;
  for (const char* type : {"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K_M"}) {
    MemoryQuestion other = asked;
    other.quantize = type;
    const ModelMemory memory = memory_of(header, other);
    if (memory.total() > available || memory.weights >= memory_of(header, asked).weights) continue;
    ways.push_back(fmt::format("--quantize {} ({})", type, human(memory.total())));
    break;
  }
  for (int64_t tokens =
           std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(asked.cache.tokens - 1, 0)));
       tokens >= 128; tokens /= 2) {
    MemoryQuestion other = asked;
    other.cache.tokens = tokens;
    const ModelMemory memory = memory_of(header, other);
    if (memory.total() > available) continue;
    ways.push_back(fmt::format("a context of {} tokens ({})", tokens, human(memory.total())));
    break;
  }
  if (ways.empty()) return "no quantization or context makes it fit; take a smaller model";
  return fmt::format("it would fit with {}", fmt::join(ways, ", or with "));
}

}  // namespace

Result<ModelMemory> model_memory(const std::filesystem::path& model, const MemoryQuestion& asked) {
  const auto header = read_model_header(model);
  if (!header) return header.error();
  return memory_of(header.value(), within_context(header.value(), asked));
}

void check_model_memory(const std::filesystem::path& model, const MemoryQuestion& question,
                        std::optional<uint64_t> available) {
  if (!available) return;
  const ModelHeader header = read_model_header(model).value();
  const MemoryQuestion asked = within_context(header, question);
  const ModelMemory memory = memory_of(header, asked);
  if (memory.total() <= *available) return;
  const std::string cache =
      asked.cache.tokens > 0
          ? fmt::format(", a cache of {} tokens {}", asked.cache.tokens, human(memory.cache))
          : "";
  throw_error(fmt::format(
      "{} takes {} of memory (weights {}{}, workspace about {}), and {} are available; {}",
      model.string(), human(memory.total()), human(memory.weights), cache, human(memory.workspace),
      human(*available), advice(header, asked, *available)));
}

}  // namespace cairn
