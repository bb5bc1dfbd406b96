// Values that follow from leaves alone, computed at their first use and kept: what hoist() takes
// out of a graph (compiler/hoist.h). Graphs that need the same of the same leaves share it, as a
// step over one token and a step over many. A leaf never changes, so what was kept never has to.
#pragma once

#include <span>
#include <vector>

#include "cairn/runtime/runtime.h"

namespace cairn {

class KeptValues {
 public:
  // Leaves with the values of these, in the runtime's memory. Not for several threads at once.
  std::vector<Tensor> get(Runtime& runtime, std::span<const Tensor> values);

 private:
  struct Entry {
    std::weak_ptr<const void> runtime;  // its lifetime()
    std::vector<uint64_t> words;        // of the graph that computes it
    std::vector<Tensor> leaves;         // in the order of its numbering
    Tensor value;
  };
  const Entry* find(const Entry& wanted) const;

  std::vector<Entry> entries_;
};

}  // namespace cairn
