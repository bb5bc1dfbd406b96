#include "cairn/graph/cost.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "cairn/core/block_format.h"
#include "cairn/graph/numbering.h"

namespace cairn {
namespace {

// Regions may be shared, and shared again inside.
using Known = std::unordered_map<const Graph*, Cost>;
using Rule = Cost (*)(const Node&, Known&);

double elements(const TensorType& type) { return static_cast<double>(type.shape.elements()); }
double bytes(const TensorType& type) { return static_cast<double>(type.bytes()); }

// Everything in, everything out, nothing computed.
Cost moved(const Node& node) {
  Cost cost;
  for (const Tensor& t : node.inputs()) cost.bytes_read += bytes(t.type());
  for (const TensorType& type : node.outputs()) cost.bytes_written += bytes(type);
  return cost;
}
Cost with_flops(Cost cost, double flops) {
  cost.flops = std::max(flops, 0.0);
  return cost;
}

Cost graph_cost(const Graph& graph, Known& known);

Cost free_of_charge(const Node&, Known&) { return {}; }
Cost move(const Node& node, Known&) { return moved(node); }
Cost elementwise(const Node& node) { return with_flops(moved(node), elements(node.output())); }
Cost transcendental(const Node& node, Known&) {
  Cost cost = moved(node);
  cost.transcendentals = elements(node.output());
  return cost;
}

Cost reduction(const Node& node, Known&) {
  return with_flops(moved(node), elements(node.input(0).type()) - elements(node.output()));
}
Cost scan(const Node& node, Known&) {
  const int64_t length = node.output().shape[static_cast<int>(node.attrs().integer(Attr::axis))];
  const double lines = length ? elements(node.output()) / static_cast<double>(length) : 0;
  return with_flops(moved(node), elements(node.output()) - lines);
}
Cost sort(const Node& node, Known&) {
  const int64_t length = node.output().shape[static_cast<int>(node.attrs().integer(Attr::axis))];
  const double steps = length > 1 ? std::log2(static_cast<double>(length)) : 0;
  return with_flops(moved(node), elements(node.output()) * steps);
}
Cost top_k(const Node& node, Known&) {
  const auto k = static_cast<double>(node.attrs().integer(Attr::k));
  const double steps = k > 0 ? std::max(std::log2(k), 1.0) : 0;
  return with_flops(moved(node), elements(node.input(0).type()) * steps);
}

Cost matmul(const Node& node, Known&) {
  const auto inner = static_cast<double>(node.input(0).shape().back());
  return with_flops(moved(node), 2 * elements(node.output()) * inner);
}
Cost convolution(const Node& node, Known&) {
  const Shape& w = node.input(1).shape();  // see infer_convolution
  const int64_t outputs = node.attrs().has(Attr::axes) ? w[0] * w.back() : w[0];
  const double taps = outputs ? elements(node.input(1).type()) / static_cast<double>(outputs) : 0;
  return with_flops(moved(node), 2 * elements(node.output()) * taps);
}

// Reads of its first operand only what it writes: slice, dynamic_slice, gather.
Cost partial_read(const Node& node, Known&) {
  Cost cost = moved(node);
  cost.bytes_read += bytes(node.output()) - bytes(node.input(0).type());
  return cost;
}
Cost dynamic_update_slice(const Node& node, Known&) {
  Cost cost = moved(node);
  cost.bytes_read -= bytes(node.input(0).type());
  cost.bytes_written = bytes(node.input(1).type());
  return cost;
}
Cost scatter(const Node& node, Known&) {
  const TensorType& updates = node.input(2).type();
  const bool combines = node.attrs().text(Attr::kind) != "set";
  Cost cost;
  cost.bytes_read = bytes(node.input(1).type()) + bytes(updates) * (combines ? 2 : 1);
  cost.bytes_written = bytes(updates);
  return with_flops(cost, combines ? elements(updates) : 0);
}

Cost random_bits(const Node& node, Known&) {
  return with_flops(moved(node), 25 * elements(node.output()));
}
Cost quantize(const Node& node, Known&) {
  return with_flops(moved(node), 2 * elements(node.input(0).type()));
}
Cost dequantize(const Node& node, Known&) {
  return with_flops(moved(node), 2 * elements(node.output()));
}

Cost cond(const Node& node, Known& known) {
  Cost dearer;
  for (const Graph* branch : regions_of(node)) {
    const Cost cost = graph_cost(*branch, known);
    dearer.flops = std::max(dearer.flops, cost.flops);
    dearer.transcendentals = std::max(dearer.transcendentals, cost.transcendentals);
    dearer.bytes_read = std::max(dearer.bytes_read, cost.bytes_read);
    dearer.bytes_written = std::max(dearer.bytes_written, cost.bytes_written);
    dearer.message_bytes = std::max(dearer.message_bytes, cost.message_bytes);
  }
  return dearer;
}
Cost loop(const Node& node, Known& known) {
  return graph_cost(*node.attrs().graph(Attr::body), known) *
         static_cast<double>(node.attrs().integer(Attr::max));
}
Cost custom(const Node& node, Known& known) {
  const Cost fallback = graph_cost(*node.attrs().graph(Attr::body), known);
  Cost cost = moved(node);
  cost.flops = fallback.flops;
  cost.transcendentals = fallback.transcendentals;
  cost.message_bytes = fallback.message_bytes;
  return cost;
}

double ranks(const Node& node) { return static_cast<double>(node.attrs().integer(Attr::size)); }
// The part of a tensor that is not for the rank itself.
double others(const Node& node) { return (ranks(node) - 1) / ranks(node); }

Cost all_reduce(const Node& node, Known&) {
  Cost cost = with_flops(moved(node), elements(node.output()) * others(node));
  cost.message_bytes = 2 * others(node) * bytes(node.output());
  return cost;
}
Cost all_gather(const Node& node, Known&) {
  Cost cost = moved(node);
  cost.message_bytes = (ranks(node) - 1) * bytes(node.input(0).type());
  return cost;
}
Cost reduce_scatter(const Node& node, Known&) {
  Cost cost = with_flops(moved(node), elements(node.input(0).type()) * others(node));
  cost.message_bytes = others(node) * bytes(node.input(0).type());
  return cost;
}
Cost all_to_all(const Node& node, Known&) {
  Cost cost = moved(node);
  cost.message_bytes = others(node) * bytes(node.input(0).type());
  return cost;
}
Cost permute(const Node& node, Known&) {
  Cost cost = moved(node);
  cost.message_bytes = ranks(node) > 1 ? bytes(node.output()) : 0;
  return cost;
}

// Null for elementwise operations that count 1 per element.
constexpr std::array<Rule, kOpCount> make_table() {
  std::array<Rule, kOpCount> table{};
  const auto set = [&table](Rule rule, std::initializer_list<Op> ops) {
    for (const Op op : ops) table[static_cast<size_t>(op)] = rule;
  };
  set(free_of_charge, {Op::input, Op::leaf, Op::reshape, Op::stop_gradient, Op::vary, Op::barrier});
  set(move, {Op::full, Op::iota, Op::dense, Op::broadcast, Op::transpose, Op::reverse, Op::pad,
             Op::concatenate, Op::axis_index, Op::transfer});
  set(transcendental,
      {Op::exp, Op::expm1, Op::log, Op::log1p, Op::sin, Op::cos, Op::tanh, Op::logistic, Op::sqrt,
       Op::erf, Op::erfc, Op::erf_inv, Op::power, Op::atan2});
  set(reduction, {Op::reduce, Op::arg_reduce});
  set(scan, {Op::cumulative});
  set(sort, {Op::sort});
  set(top_k, {Op::top_k});
  set(matmul, {Op::matmul, Op::grouped_matmul});
  set(convolution, {Op::convolution});
  set(partial_read, {Op::slice, Op::dynamic_slice, Op::gather});
  set(dynamic_update_slice, {Op::dynamic_update_slice});
  set(scatter, {Op::scatter});
  set(random_bits, {Op::random_bits});
  set(quantize, {Op::quantize});
  set(dequantize, {Op::dequantize});
  set(cond, {Op::cond});
  set(loop, {Op::loop});
  set(custom, {Op::custom});
  set(all_reduce, {Op::all_reduce});
  set(all_gather, {Op::all_gather, Op::all_gather_invariant});
  set(reduce_scatter, {Op::reduce_scatter});
  set(all_to_all, {Op::all_to_all});
  set(permute, {Op::permute});
  return table;
}

constexpr std::array<Rule, kOpCount> kTable = make_table();

Cost node_cost(const Node& node, Known& known) {
  const Rule rule = kTable[static_cast<size_t>(node.op())];
  CAIRN_ASSERT(rule || node.info().trait == Trait::elementwise);
  return rule ? rule(node, known) : elementwise(node);
}

Cost graph_cost(const Graph& graph, Known& known) {
  if (const auto found = known.find(&graph); found != known.end()) return found->second;
  Cost sum;
  for (const Node* node : topological_order(graph.outputs)) sum += node_cost(*node, known);
  known.emplace(&graph, sum);
  return sum;
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  flops += other.flops;
  transcendentals += other.transcendentals;
  bytes_read += other.bytes_read;
  bytes_written += other.bytes_written;
  message_bytes += other.message_bytes;
  return *this;
}

Cost operator*(const Cost& cost, double times) {
  return {cost.flops * times, cost.transcendentals * times, cost.bytes_read * times,
          cost.bytes_written * times, cost.message_bytes * times};
}

Cost cost_of(const Node& node) {
  Known known;
  return node_cost(node, known);
}

Cost cost_of(const Graph& graph) {
  Known known;
  return graph_cost(graph, known);
}

}  // namespace cairn
