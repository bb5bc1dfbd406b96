// The structural hash of a graph, in two levels (DESIGN section 3).
//
// `structure` finds a schedule and compiled kernels: operations, attributes that are not sizes,
// element types, ranks, who reads whom; of sizes only which are 0 or 1, and the largest of 1, 4, 16
// and 64 that divides each. `sizes` adds every number, the values of constants among them: a mean
// divides by how many there are, a program may multiply by another number each time. Sizes that an
// operation ties together need no word of their own: the operation does so in each graph with that
// structure. Where it depends on the numbers whether and which sizes are tied, the answer is
// hashed: the groups of axes that a reshape joins or splits, and whether a slice or an update
// covers the whole axis. Two sizes that are equal by coincidence hash like two that differ.
//
// Leaves and inputs are alike: type, placement, mesh axes along which they vary, and their number
// (numbering.h), so that x*x and x*y differ. Their contents never count, nor do names, scopes,
// source lines and the functions of a CustomDefinition. The order of building counts, since
// collectives follow it. Equal graphs (compare.h) have equal hashes; the other way round needs
// same_graph.
//
// The hash is the same in every process of one build of cairn; Op and Attr are hashed by their
// place in their lists, so an on-disk cache has the build in its key.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

struct GraphHash {
  uint64_t structure = 0;
  uint64_t sizes = 0;  // covers structure too: of use by itself
  friend bool operator==(const GraphHash&, const GraphHash&) = default;
};

GraphHash hash_graph(const Graph& graph);
// Of live outputs: as if every leaf and input were an input of a graph, in the order in which
// operations first read them.
GraphHash hash_graph(std::span<const Tensor> outputs);

struct Numbering;
// The same for nodes that are numbered already.
GraphHash hash_graph(std::span<const Tensor> outputs, const Numbering& numbering);

// What the hashes are of: the graph written as words. Graphs have equal `structure` words exactly
// when the sizes above are all that they differ in, and equal words of both kinds exactly when they
// are equal (compare.h), so a cache that keeps the words confirms a hit without the graph. (A
// region stands there as 128 bits of hash: it may be shared, and share in turn.)
struct GraphCode {
  std::vector<uint64_t> structure;
  std::vector<uint64_t> sizes;
  GraphHash hash() const;
};
GraphCode encode_graph(std::span<const Tensor> outputs, const Numbering& numbering);
// True for attributes of which the structure has not the numbers: those that count elements or
// ranks, and the value of a constant.
bool is_size(Attr key);

// A hash that same_attributes() agrees with, for finding equal operations. All sizes count.
uint64_t hash_attributes(const Attrs& attrs);

}  // namespace cairn
