// A sequence's part of the cache in a file, and back.
//
// The file is safetensors: for each tensor of the pool the sequence's blocks, zeros behind its last
// token, and in the metadata what they belong to, with a checksum: a wrong bit in a key gives no
// error, only another answer.
#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <map>

#include "cairn/graph/numbering.h"
#include "cairn/io/safetensors.h"
#include "cairn/llm/decoder_state.h"
#include "cairn/models/families.h"
#include "cairn/nn/module.h"

namespace cairn {
namespace {

constexpr std::string_view kFormat = "cairn session 2";

// Of the configuration, and of the weights as far as telling models apart takes: all names and
// types, and the first 4 KB of each.
std::string fingerprint(Transformer& model) {
  constexpr size_t kBytes = 4096;
  std::string text = to_hf_config(model.config(), -1, -1);
  for (const Field& field : fields(model)) {
    text += field.path + to_string(field.tensor->type());
    for (const Node* leaf : number_nodes(std::span(field.tensor, 1)).leaves) {
      const HostArray values = Tensor(const_cast<Node*>(leaf), 0).host();
      const size_t bytes = std::min(values.bytes(), kBytes);
      text += fmt::format("{:x}", bytes ? XXH3_64bits(values.data(), bytes) : 0);
    }
  }
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// What products are computed in: keys and values depend on it.
std::string products_of(const DecoderOptions& o) {
  return fmt::format("{} {}", name(o.precision), o.activations.empty() ? "f32" : o.activations);
}

// Over the metadata but for itself, then over the tensors in their order.
class Checksum {
 public:
  explicit Checksum(const std::map<std::string, std::string>& metadata) {
    XXH3_128bits_reset(&state_);
    for (const auto& [key, value] : metadata)
      if (key != "checksum") add(fmt::format("{}={};", key, value));
  }
  void add(std::string_view bytes) { XXH3_128bits_update(&state_, bytes.data(), bytes.size()); }
  void add(const HostArray& array) {
    add(std::string_view(static_cast<const char*>(array.data()), array.bytes()));
  }
  std::string text() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(&state_);
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

 private:
  XXH3_state_t state_;
};

// Name of a tensor of the pool, by its number.
std::string tensor_name(size_t number, size_t of_layer) {
  static constexpr const char* kNames[] = {"keys", "values", "key_scales", "value_scales"};
  return fmt::format("layers.{}.{}", number / of_layer, kNames[number % of_layer]);
}

// Blocks of a tensor of the pool, one after the other, with zeros behind the last token. `axis`:
// the tokens' one.
HostArray blocks_from(const HostArray& pool, std::span<const int32_t> blocks, int64_t length,
                      int axis) {
  Shape shape = pool.shape();
  shape[0] = std::ssize(blocks);
  HostArray out(pool.dtype(), shape);
  const size_t block_bytes = pool.bytes() / static_cast<size_t>(pool.shape()[0]);
  auto* to = static_cast<char*>(out.mutable_data());
  for (const int32_t block : blocks) {
    std::memcpy(to,
                static_cast<const char*>(pool.data()) + static_cast<size_t>(block) * block_bytes,
                block_bytes);
    to += block_bytes;
  }
  // Of the last block, tokens after tokens of bytes that belong together.
  const size_t token_bytes = static_cast<size_t>(shape.strides()[axis]) * size_of(pool.dtype());
  const auto tail = static_cast<size_t>((kKvBlock - length % kKvBlock) % kKvBlock) * token_bytes;
  const size_t all = static_cast<size_t>(kKvBlock) * token_bytes;
  for (size_t end = 0; end < block_bytes && tail; end += all) std::memset(to - end - tail, 0, tail);
  return out;
}

}  // namespace

void Decoder::save(int sequence, const std::string& path, const std::string& note) {
  State& s = *state_;
  const State::Sequence& q = s.get(sequence);
  const auto forgotten = std::ranges::count(q.blocks, 0);
  const auto blocks = std::span(q.blocks).subspan(static_cast<size_t>(forgotten));
  std::vector<io::SafetensorsSource> tensors;
  for (size_t i = 0; i < s.pool.size(); ++i) {
    Shape shape = s.pool[i].shape();
    shape[0] = std::ssize(blocks);
    tensors.push_back(
        {tensor_name(i, s.tensors_of_layer), s.pool[i].dtype(), shape, [&s, &q, i, blocks] {
           return blocks_from(s.pool[i].host(), blocks, q.length,
                              i % s.tensors_of_layer == 1 ? 2 : 3);
         }});
  }
  std::map<std::string, std::string> metadata{{"format", std::string(kFormat)},
                                              {"model", fingerprint(s.model)},
                                              {"products", products_of(s.options)},
                                              {"tokens", fmt::format("{}", q.length)},
                                              {"context", fmt::format("{}", s.context())},
                                              {"forgotten", fmt::format("{}", forgotten)},
                                              {"note", note}};
  // The blocks are gathered once more for it: 10 GB/s, where a disk takes less.
  Checksum checksum(metadata);
  for (const io::SafetensorsSource& tensor : tensors) checksum.add(tensor.load());
  metadata["checksum"] = checksum.text();
  io::write_safetensors(path, std::move(tensors), metadata).value();
}

Decoder::Loaded Decoder::load(const std::string& path) {
  State& s = *state_;
  const auto fail = [&](const std::string& what) {
    throw_error(fmt::format("'{}' {}", path, what));
  };
  if (std::error_code ignored; !std::filesystem::exists(path, ignored))
    fail("is not there; it should be a session that was saved");
  const auto opened = io::SafetensorsFile::open(path);
  if (!opened)
    fail(fmt::format("is cut, damaged or no session that was saved ({})", opened.error().what()));
  const io::SafetensorsFile& file = opened.value();
  const auto text = [&](const std::string& key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end())
      fail(fmt::format("is no session that was saved, or is damaged: it does not say its {}", key));
    return found->second;
  };
  const auto number = [&](const std::string& key) {
    const std::string digits = text(key);
    int64_t value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < 0)
      fail(fmt::format("is damaged: it says '{}' for {}, which is no number", digits, key));
    return value;
  };
  if (text("format") != kFormat)
    fail(fmt::format("is of another version of cairn: its format is '{}', and this one reads '{}'",
                     text("format"), kFormat));
  if (text("model") != fingerprint(s.model))
    fail("is a session of another model, or of this one with other weights");
  if (text("products") != products_of(s.options))
    fail(fmt::format("was computed with products in {}, and these are in {}; open it with the same",
                     text("products"), products_of(s.options)));
  const int64_t length = number("tokens"), forgotten = number("forgotten");
  if (length > s.context())
    fail(fmt::format("holds {} tokens, and the context is {}; open it with a larger one", length,
                     s.context()));
  for (int64_t i = 0; i < s.model.config().layers; ++i)
    if (const auto& r = rotary_of(s.model.config(), static_cast<size_t>(i));
        r && (r->scaling == RotaryScaling::dynamic || r->scaling == RotaryScaling::longrope) &&
        number("context") != s.context())
      fail(
          fmt::format("was made for a context of {}, on which the model's positions depend; open "
                      "it with the same, not {}",
                      number("context"), s.context()));
  const int64_t count = blocks_of(length) - forgotten;
  if (count < 0 || (forgotten && !s.window))
    fail(fmt::format("is damaged: it says that {} blocks of {} tokens of {} are forgotten",
                     forgotten, kKvBlock, length));
  if (count > s.blocks.free())
    fail(
        fmt::format("needs room for {} tokens, and the cache has room for {}; close sequences, or "
                    "make it larger",
                    count * kKvBlock, s.blocks.free() * kKvBlock));
  std::vector<HostArray> tensors;
  for (size_t i = 0; i < s.pool.size(); ++i) {
    auto read = file.read(tensor_name(i, s.tensors_of_layer));
    if (!read) fail(fmt::format("is damaged: {}", read.error().what()));
    tensors.push_back(std::move(read).value());
    Shape expected = s.pool[i].shape();
    expected[0] = count;
    if (tensors[i].shape() != expected || tensors[i].dtype() != s.pool[i].dtype())
      fail(fmt::format(
          "keeps keys and values as {}{}, and this cache as {}{}; open it with the same",
          name(tensors[i].dtype()), to_string(tensors[i].shape()), name(s.pool[i].dtype()),
          to_string(expected)));
  }
  Checksum checksum(file.metadata());
  for (const HostArray& tensor : tensors) checksum.add(tensor);
  if (checksum.text() != text("checksum"))
    fail("is damaged: its bytes are not those that were saved");
  const int made = s.open();
  State::Sequence& q = s.get(made);
  q.length = length;
  q.blocks.assign(static_cast<size_t>(forgotten), 0);
  for (int64_t b = 0; b < count; ++b) {
    q.blocks.push_back(s.blocks.take());
    std::vector<Tensor> args = {integers(std::span(&q.blocks.back(), 1), {})};
    for (const HostArray& all : tensors) {
      Shape shape = all.shape();
      shape[0] = 1;
      const size_t bytes = all.bytes() / static_cast<size_t>(count);
      args.emplace_back(
          HostArray(all.dtype(), shape, all.owner(),
                    static_cast<const char*>(all.data()) + static_cast<size_t>(b) * bytes));
    }
    s.change_pool(s.put_block, std::move(args));
  }
  return {made, text("note")};
}

}  // namespace cairn
