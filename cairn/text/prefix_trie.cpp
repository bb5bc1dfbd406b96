#include "cairn/text/prefix_trie.h"

#include <algorithm>

namespace cairn::text {

PrefixTrie::PrefixTrie(std::vector<std::pair<std::string_view, int32_t>> keys) {
  std::stable_sort(keys.begin(), keys.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // The keys of a node share their first `depth` bytes. Nodes are made in the order of depth.
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, keys.size(), 0}};
  nodes_.resize(1);
  for (size_t n = 0; n < ranges.size(); ++n) {
    auto [begin, end, depth] = ranges[n];
    for (bool first = true; begin < end && keys[begin].first.size() == depth; ++begin) {
      if (first && depth > 0) nodes_[n].id = keys[begin].second;
      first = false;
    }
    nodes_[n].first = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = keys[begin].first[depth];
      size_t last = begin;
      while (last < end && keys[last].first[depth] == byte) ++last;
      nodes_.push_back({.byte = static_cast<uint8_t>(byte)});
      ++nodes_[n].count;
      ranges.push_back({begin, last, depth + 1});
      begin = last;
    }
  }
}

const PrefixTrie::Node* PrefixTrie::child(const Node& node, uint8_t byte) const {
  const Node* begin = nodes_.data() + node.first;
  const Node* end = begin + node.count;
  const Node* found =
      std::lower_bound(begin, end, byte, [](const Node& a, uint8_t b) { return a.byte < b; });
  return found != end && found->byte == byte ? found : nullptr;
}

}  // namespace cairn::text
