// Structural equality of graphs: what a cache hit by hash (hash.h) is confirmed with.
//
// Two graphs are the same when their nodes, numbered as in numbering.h, agree one by one:
// operation, attributes, operands, and for leaves and inputs the type. A leaf and an input of one
// type are alike, so live tensors compare with the graph that was traced or cached for them, whose
// inputs they bind in that order. Names, scopes, source lines and the contents of leaves do not
// count, and neither do the functions of a CustomDefinition: they act on derivatives, before
// anything is cached. A leaf inside a region is like a literal: it equals itself only.
#pragma once

#include <span>

#include "cairn/graph/graph.h"

namespace cairn {

bool same_graph(const Graph& a, const Graph& b);
// Of live outputs, whose leaves and inputs are numbered as operations first read them.
bool same_graph(std::span<const Tensor> outputs_a, std::span<const Tensor> outputs_b);
bool same_graph(std::span<const Tensor> outputs_a, const Graph& b);

// Equality of values as the graph's structure sees it: 1 and 1.0 are the same number, every bit of
// a literal counts, regions compare as graphs.
bool same_value(const AttrValue& a, const AttrValue& b);
// Of all attributes; a flag that is false is the same as none.
bool same_attributes(const Attrs& a, const Attrs& b);

}  // namespace cairn
