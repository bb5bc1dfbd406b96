// Convolutions as kernels compute them, and images with their channels last.
//
// A convolution of floats becomes one whose padding and dilation of x are nodes of
// their own, whose weights are [groups, C, K..., O] and whose result is [groups, N, S..., O], in
// which vectors lie along the channels; where the axes of x stand does not matter to it
// (Attr::axes). With many groups of few results (depthwise) vectors lie along the groups, which are
// then last: x[N, C, S..., groups], [O, C, K..., groups] and [O, N, S..., groups]. What is computed
// from such a result keeps that order as far as it goes: elementwise operations, broadcasts,
// slices, padding (of which pooling is made) and reductions. A transpose stands only where
// something needs the order of the graph.
//
// The order of sums is that of the graph: a reduction over several axes takes them as it did.
#pragma once

#include "cairn/graph/graph.h"

namespace cairn {

// Whether the node is a convolution that to_channels_last() changes.
bool is_lowered_convolution(const Node& node);

// Of a graph whose reductions have one axis each; not in regions.
class ChannelsLast {
 public:
  // What takes the node's place, or nothing.
  std::vector<Tensor> operator()(const Node& node, std::span<const Tensor> inputs);

 private:
  // A value as it lies in memory, for each of its axes which one of `storage` it is, and those that
  // run backwards.
  struct View {
    Tensor storage;
    Ints axes;
    Ints reversed = {};
  };
  View view(const Tensor& x, bool may_reverse);
  // Where the axes of `x` are found that only transposes, reversals and axes of one element lie
  // between: a value of that rank with its channels last, or the first that is something else. An
  // axis of one element is -1.
  View followed(const Tensor& x, bool may_reverse, int rank) const;
  // Of a value [N, groups, C/groups, S...]; where `storage` has an axis less, one of the first
  // three may be -1.
  View split_view(const Tensor& x, bool may_reverse);
  // [N, C/groups, S..., groups] of x[N, C, S...], the groups side by side in memory.
  View view_by_groups(const Tensor& x, int64_t groups);
  // Whether the convolution reads its x faster when that has its channels last.
  bool is_better_last(const Node& node) const;
  std::vector<Tensor> convolution(const Node& node, const Tensor& x, const Tensor& w);
  std::vector<Tensor> elementwise(const Node& node, std::span<const Tensor> inputs);
  std::vector<Tensor> movement(const Node& node, std::span<const Tensor> inputs);
  std::vector<Tensor> reduction(const Node& node, const Tensor& x);
  // The value with axis 1 last, computed so or transposed.
  Tensor last(const Tensor& x);
  Tensor broadcast_last(const Node& broadcast);
  // The value in the graph's order, of one with its channels last.
  Tensor first(const Tensor& x);
  // x with zeros around it; low and high become what of them is to be cut off.
  Tensor padded(const Tensor& x, Ints& low, Ints& high, const Ints& interior);
  // The weights w[O, C/groups, K...] as the convolution's kernel reads them.
  Tensor weights(const Tensor& w, int64_t groups, bool are_groups_last);
  // A convolution on x[N, C, S...] in the order that `x` has, or by groups. `attrs` are the node's.
  Tensor windowed(const View& x, const Tensor& w, Attrs attrs);
  // The result of a convolution whose x is dilated, without the products with the zeros.
  Tensor by_phases(const View& x, const Tensor& w, const Attrs& attrs, const Shape& result);

  struct Twin {
    Tensor value;
    bool is_computed = false;  // and not transposed for a reader
  };
  TensorMap<Twin> twins_;
  std::vector<Tensor> paddings_;  // equal ones are shared by a convolution and its gradient
};

}  // namespace cairn
