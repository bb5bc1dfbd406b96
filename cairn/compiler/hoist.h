// What a graph computes from leaves alone, once instead of at every call.
//
// A function that captured weights computes the same from them each time: a cast to bf16, tables of
// angles, a transposed copy. hoist() takes such values out of the graph, which gets inputs for
// them. So does the order in which products want their weights (panels.h): this is where layouts
// are assigned, after all transforms, which see logical shapes only.
//
// What only moves elements stays, as kernels read through it; so does what would take much more
// memory than the leaves it comes from (a broadcast, quantized weights as numbers), and what is
// cheap to make of nothing, as a mask of positions.
//
// A weight in blocks is kept in panels (block_panels.h), beside the leaf with its bytes. One copy
// is enough: who loads it writes the panels (write_block_panels), makes a leaf of them, drops the
// bytes and gives from_block_panels() of that leaf to the model; the leaf is then what products
// read, and nothing is kept. So it is with weights of f16 and bf16 (write_panels, from_panels).
#pragma once

#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

struct Hoisted {
  Graph graph;                 // its inputs, then one for each of `values`
  std::vector<Tensor> values;  // that follow from leaves of the graph
};
// `packs`: second operands of products that have a kernel come in panels.
Hoisted hoist(const Graph& graph, bool packs);

}  // namespace cairn
