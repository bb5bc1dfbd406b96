#include "cairn/runtime/kept_values.h"

#include <algorithm>

#include "cairn/graph/hash.h"
#include "cairn/graph/numbering.h"

namespace cairn {

const KeptValues::Entry* KeptValues::find(const Entry& wanted) const {
  const auto found = std::ranges::find_if(entries_, [&](const Entry& e) {
    return e.runtime.lock() == wanted.runtime.lock() &&
           std::ranges::equal(e.leaves, wanted.leaves,
                              [](const Tensor& x, const Tensor& y) { return same(x, y); }) &&
           e.words == wanted.words;
  });
  return found == entries_.end() ? nullptr : &*found;
}

std::vector<Tensor> KeptValues::get(Runtime& runtime, std::span<const Tensor> values) {
  std::erase_if(entries_, [](const Entry& e) { return e.runtime.expired(); });
  std::vector<Tensor> result(values.size());
  std::vector<Tensor> missing;
  std::vector<size_t> places;
  std::vector<Entry> made;
  for (size_t i = 0; i < values.size(); ++i) {
    const std::span<const Tensor> one = values.subspan(i, 1);
    const Numbering numbering = number_nodes(one);
    GraphCode code = encode_graph(one, numbering);
    Entry entry{runtime.lifetime(), std::move(code.structure), {}, {}};
    entry.words.insert(entry.words.end(), code.sizes.begin(), code.sizes.end());
    for (const Node* leaf : numbering.leaves) entry.leaves.emplace_back(const_cast<Node*>(leaf), 0);
    if (const Entry* known = find(entry)) {
      result[i] = known->value;
      continue;
    }
    missing.push_back(values[i]);
    places.push_back(i);
    made.push_back(std::move(entry));
  }
  if (missing.empty()) return result;
  const std::vector<Tensor> computed = eval(runtime, missing);
  for (size_t i = 0; i < computed.size(); ++i) {
    result[places[i]] = made[i].value = computed[i];
    entries_.push_back(std::move(made[i]));
  }
  return result;
}

}  // namespace cairn
