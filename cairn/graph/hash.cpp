#include "cairn/graph/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "cairn/graph/numbering.h"

namespace cairn {
namespace {

// A hash of words. They are gathered to blocks: 0.45 ns a word, where a call of xxHash for each
// takes 5.2 and its streaming interface 2.3.
class HashSink {
 public:
  void add(uint64_t word) {
    if (count_ == block_.size()) flush();
    block_[count_++] = word;
  }
  void add_bytes(const void* data, size_t size) {
    add(size);
    add(XXH3_64bits(data, size));
  }
  uint64_t finish() {
    flush();
    return state_;
  }

 private:
  void flush() {
    state_ = XXH3_64bits_withSeed(block_.data(), count_ * sizeof(uint64_t), state_);
    count_ = 0;
  }
  std::array<uint64_t, 256> block_;
  size_t count_ = 0;
  uint64_t state_ = 0;
};

// The words themselves.
class WordSink {
 public:
  explicit WordSink(std::vector<uint64_t>& words) : words_(words) {}
  void add(uint64_t word) { words_.push_back(word); }
  void add_bytes(const void* data, size_t size) {
    add(size);
    if (size == 0) return;
    words_.resize(words_.size() + (size + 7) / 8);
    std::memcpy(words_.data() + words_.size() - (size + 7) / 8, data, size);
  }

 private:
  std::vector<uint64_t>& words_;
};

// What of a size belongs to the structure, in 4 bits: 0; 1; the largest of 1, 4, 16, 64 that
// divides it; negative numbers (of padding) by themselves.
uint64_t size_class(int64_t size) {
  if (size == 0) return 0;
  if (size == 1) return 1;
  const int zeros = std::countr_zero(static_cast<uint64_t>(size));
  return (size < 0 ? 8u : 2u) + static_cast<uint64_t>(std::min(zeros / 2, 3));
}

uint64_t size_classes(const Ints& sizes) {
  uint64_t classes = 0;
  for (const int64_t size : sizes) classes = classes << 4 | size_class(size);
  return classes;
}

uint64_t structure_of(const TensorType& type) {
  static_assert(kMaxRank * 4 + 8 <= 64);
  return size_classes(type.shape) << 8 | static_cast<uint64_t>(type.shape.rank()) << 4 |
         static_cast<uint64_t>(type.dtype);
}

// Which axes a reshape joins and splits: the finest groups of consecutive axes with equal products,
// as two masks of the axes that end a group.
uint64_t reshape_groups(const Shape& from, const Shape& to) {
  if (from.elements() == 0) return from == to;
  uint64_t ends = 0;
  int i = 0;
  int j = 0;
  while (i < from.rank() || j < to.rank()) {
    int64_t before = i < from.rank() ? from[i++] : 1;
    int64_t after = j < to.rank() ? to[j++] : 1;
    while (before != after) {
      if (before < after) {
        before *= from[i++];
      } else {
        after *= to[j++];
      }
    }
    ends |= uint64_t{1} << i | uint64_t{1} << (32 + j);
  }
  return ends;
}

// Axes along which `part` is as long as `whole`.
uint64_t full_axes(const Shape& whole, const Shape& part) {
  uint64_t axes = 0;
  for (int i = 0; i < whole.rank(); ++i) axes = axes << 1 | (whole[i] == part[i]);
  return axes;
}

// What ties sizes together in some graphs of one structure and not in others.
uint64_t ties_of(const Node& node) {
  switch (node.op()) {
    case Op::reshape: return reshape_groups(node.input(0).shape(), node.output().shape);
    case Op::slice:
    case Op::dynamic_slice: return full_axes(node.input(0).shape(), node.output().shape);
    case Op::dynamic_update_slice: return full_axes(node.input(0).shape(), node.input(1).shape());
    default: return 0;
  }
}

using Hash128 = std::array<uint64_t, 2>;
struct RegionHash {
  Hash128 structure;
  Hash128 sizes;
};
using RegionHashes = std::unordered_map<const Graph*, RegionHash>;

Hash128 hash_words(const std::vector<uint64_t>& words) {
  const XXH128_hash_t hash = XXH3_128bits(words.data(), words.size() * sizeof(uint64_t));
  return {hash.low64, hash.high64};
}

// Writes a graph, or the attributes of a node, to two sinks.
template <class Sink>
class Encoder {
 public:
  Encoder(Sink& structure, Sink& sizes, RegionHashes& regions)
      : structure_(structure), sizes_(sizes), regions_(regions) {}
  void graph(std::span<const Tensor> outputs, const Numbering& numbering,
             std::optional<size_t> region_inputs = std::nullopt);
  void attributes(const Attrs& attrs);

 private:
  void region(const Graph& graph);
  void value(Attr key, const AttrValue& value);
  void sized(Attr key, int64_t number) {
    structure_.add(is_size(key) ? size_class(number) : static_cast<uint64_t>(number));
    if (is_size(key)) sizes_.add(static_cast<uint64_t>(number));
  }

  Sink& structure_;
  Sink& sizes_;
  RegionHashes& regions_;
};

template <class Sink>
void Encoder<Sink>::region(const Graph& graph) {
  auto found = regions_.find(&graph);
  if (found == regions_.end()) {
    std::vector<uint64_t> structure;
    std::vector<uint64_t> sizes;
    WordSink structure_sink(structure);
    WordSink size_sink(sizes);
    Encoder<WordSink>(structure_sink, size_sink, regions_)
        .graph(graph.outputs, number_nodes(graph), graph.inputs.size());
    found = regions_.emplace(&graph, RegionHash{hash_words(structure), hash_words(sizes)}).first;
  }
  for (const uint64_t word : found->second.structure) structure_.add(word);
  for (const uint64_t word : found->second.sizes) sizes_.add(word);
}

template <class Sink>
void Encoder<Sink>::value(Attr key, const AttrValue& value) {
  switch (type_of(key)) {
    case AttrType::integer: sized(key, std::get<int64_t>(value)); break;
    case AttrType::ints: {
      const Ints& ints = std::get<Ints>(value);
      structure_.add(static_cast<uint64_t>(ints.size()));
      if (is_size(key)) structure_.add(size_classes(ints));
      for (const int64_t v : ints)
        (is_size(key) ? sizes_ : structure_).add(static_cast<uint64_t>(v));
      break;
    }
    case AttrType::number: {
      // As same_value() compares: an integer that a double holds is that double.
      const Number& number = std::get<Number>(value);
      const bool as_integer = number.is_integer() && std::abs(number.as_double()) > 0x1p53;
      Sink& sink = is_size(key) ? sizes_ : structure_;
      sink.add(as_integer);
      sink.add(as_integer ? static_cast<uint64_t>(number.as_integer())
                          : std::bit_cast<uint64_t>(number.as_double()));
      break;
    }
    case AttrType::flag: structure_.add(std::get<bool>(value)); break;
    case AttrType::dtype: structure_.add(static_cast<uint64_t>(std::get<DType>(value))); break;
    case AttrType::text: {
      const std::string& text = std::get<std::string>(value);
      structure_.add_bytes(text.data(), text.size());
      break;
    }
    case AttrType::literal: {
      const HostArray& array = std::get<HostArray>(value);
      structure_.add(static_cast<uint64_t>(array.dtype()));
      structure_.add(static_cast<uint64_t>(array.shape().rank()));
      for (const int64_t size : array.shape()) structure_.add(static_cast<uint64_t>(size));
      structure_.add_bytes(array.data(), array.bytes());
      break;
    }
    case AttrType::graph: region(*std::get<GraphPtr>(value)); break;
    case AttrType::placement: {
      const Placement placement = std::get<Placement>(value);
      structure_.add(static_cast<uint64_t>(placement.tier) << 16 | placement.device);
      break;
    }
    case AttrType::definition: break;
  }
}

template <class Sink>
void Encoder<Sink>::attributes(const Attrs& attrs) {
  for (const auto& [key, v] : attrs) {
    const bool* flag = std::get_if<bool>(&v);
    if ((flag && !*flag) || std::holds_alternative<DefinitionPtr>(v)) continue;
    structure_.add(static_cast<uint64_t>(key));
    value(key, v);
  }
}

template <class Sink>
void Encoder<Sink>::graph(std::span<const Tensor> outputs, const Numbering& numbering,
                          std::optional<size_t> region_inputs) {
  structure_.add(numbering.leaves.size());
  for (size_t i = 0; i < numbering.leaves.size(); ++i) {
    const TensorType& type = numbering.leaves[i]->output();
    structure_.add(structure_of(type));
    structure_.add(static_cast<uint64_t>(type.placement.tier) << 16 | type.placement.device |
                   static_cast<uint64_t>(type.varying.size()) << 32);
    for (const std::string& axis : type.varying) structure_.add_bytes(axis.data(), axis.size());
    for (const int64_t size : type.shape) sizes_.add(static_cast<uint64_t>(size));
    // A leaf inside a region equals itself only (compare.h).
    if (region_inputs && i >= *region_inputs) structure_.add(numbering.leaves[i]->id());
  }
  structure_.add(numbering.operations.size());
  const auto reference = [&](const Tensor& t) {
    return static_cast<uint64_t>(numbering.of(&t.node())) << 32 | static_cast<uint32_t>(t.output());
  };
  for (const Node* node : numbering.operations) {
    structure_.add(static_cast<uint64_t>(node->op()) | ties_of(*node) << 8);
    structure_.add(node->inputs().size() | static_cast<uint64_t>(node->output_count()) << 32);
    for (const Tensor& input : node->inputs()) structure_.add(reference(input));
    for (const TensorType& type : node->outputs()) structure_.add(structure_of(type));
    if (!node->attrs().empty()) attributes(node->attrs());
  }
  structure_.add(outputs.size());
  for (const Tensor& output : outputs) structure_.add(reference(output));
}

}  // namespace

bool is_size(Attr key) {
  switch (key) {
    case Attr::shape:
    case Attr::start:
    case Attr::stop:
    case Attr::low:
    case Attr::high:
    case Attr::max:
    case Attr::k:
    case Attr::size:
    case Attr::groups:
    case Attr::columns:
    case Attr::value: return true;
    default: return false;
  }
}

GraphCode encode_graph(std::span<const Tensor> outputs, const Numbering& numbering) {
  GraphCode code;
  const size_t expected = numbering.leaves.size() + numbering.operations.size();
  code.structure.reserve(16 * expected);
  WordSink structure(code.structure);
  WordSink sizes(code.sizes);
  RegionHashes regions;
  Encoder<WordSink>(structure, sizes, regions).graph(outputs, numbering);
  return code;
}

GraphHash GraphCode::hash() const {
  GraphHash hash;
  hash.structure = XXH3_64bits(structure.data(), structure.size() * sizeof(uint64_t));
  hash.sizes = XXH3_64bits_withSeed(sizes.data(), sizes.size() * sizeof(uint64_t), hash.structure);
  return hash;
}

GraphHash hash_graph(std::span<const Tensor> outputs, const Numbering& numbering) {
  return encode_graph(outputs, numbering).hash();
}

GraphHash hash_graph(const Graph& graph) { return hash_graph(graph.outputs, number_nodes(graph)); }

GraphHash hash_graph(std::span<const Tensor> outputs) {
  return hash_graph(outputs, number_nodes(outputs));
}

uint64_t hash_attributes(const Attrs& attrs) {
  HashSink all;
  RegionHashes regions;
  Encoder<HashSink>(all, all, regions).attributes(attrs);
  return all.finish();
}

}  // namespace cairn
