// If, Loop and Scan as cairn's cond, loop and scan. A body is traced: what it computes from the
// loop's own values is no constant.
#include "cairn/transforms/vmap.h"
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

// A condition that is given is data, and both branches are built. One that follows from sizes is
// known already, so it is an if of C++: the other branch may make no sense for the sizes at hand.
std::vector<Tensor> conditional(const OnnxCall& c) {
  if (!c[0].is_leaf()) return c.run(c.constant(0) != 0 ? "then_branch" : "else_branch", {});
  return cond(
      reshape(c[0], {}), [&] { return c.run("then_branch", {}); },
      [&] { return c.run("else_branch", {}); });
}

std::vector<Tensor> joined(std::span<const Tensor> a, std::span<const Tensor> b) {
  std::vector<Tensor> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

Step split_results(const std::vector<Tensor>& results, size_t carried) {
  const auto middle = results.begin() + static_cast<std::ptrdiff_t>(carried);
  return {{results.begin(), middle}, {middle, results.end()}};
}

// Operands: the count, a condition, what is carried. The body gets the step, the condition and
// what is carried, and gives the same without the step, then what is stacked.
std::vector<Tensor> loop_of(const OnnxCall& c) {
  if (!c.has(0)) throw Unsupported("a loop without a largest number of steps");
  const auto count = static_cast<int64_t>(c.constant(0));
  const Tensor condition = Tensor::scalar(true, DType::b8);
  if (c.has(1) && c.constant(1) == 0) throw Unsupported("a loop that does not begin");
  const Step result =
      loop(count, {c.all().begin() + 2, c.all().end()}, {},
           [&](const Tensor& k, std::span<const Tensor> carried, std::span<const Tensor>) -> Step {
             const Tensor head[] = {cast(k, DType::i64), condition};
             std::vector<Tensor> results = c.run("body", joined(head, carried));
             if (!same(results[0], condition)) throw Unsupported("a loop that a condition ends");
             results.erase(results.begin());
             return split_results(results, carried.size());
           },
           {.max = count});
  return joined(result.carried, result.stacked);
}

std::vector<Tensor> scan_along_first_axis(const OnnxCall& c, std::span<const Tensor> operands) {
  const size_t scanned = static_cast<size_t>(c.integer("num_scan_inputs", 1));
  const size_t carried = operands.size() - scanned;
  const Step result =
      scan({operands.begin(), operands.begin() + static_cast<std::ptrdiff_t>(carried)},
           {operands.begin() + static_cast<std::ptrdiff_t>(carried), operands.end()},
           [&](auto state, auto rows) -> Step {
             return split_results(c.run("body", joined(state, rows)), carried);
           });
  return joined(result.carried, result.stacked);
}

std::vector<Tensor> scan_of(const OnnxCall& c) {
  for (const char* name : {"scan_input_axes", "scan_output_axes", "scan_input_directions",
                           "scan_output_directions", "directions"})
    for (const int64_t value : c.ints(name))
      if (value != 0) throw Unsupported("a scan along another axis, or backwards");
  if (c.opset() >= 9) return scan_along_first_axis(c, c.all());
  // In version 8 everything has a batch axis in front, and the first operand is a length of each.
  if (c.has(0)) throw Unsupported("sequences of different lengths");
  return vmap([&](std::span<const Tensor> operands) { return scan_along_first_axis(c, operands); })(
      std::span(c.all()).subspan(1));
}

}  // namespace

void add_control(OnnxTable& table) {
  table["If"] = conditional;
  table["Loop"] = loop_of;
  table["Scan"] = scan_of;
}

}  // namespace cairn::test
