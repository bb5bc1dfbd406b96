#include "tests/onnx/run_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cairn::test {

namespace {

// Cases whose results somebody has typed in, rounded.
int given_digits(const std::string& name) {
  return name == "averagepool_2d_ceil_last_window_starts_on_pad" ? 4 : 0;
}

bool same_bits(const HostArray& a, const HostArray& b) {
  return a.bytes() == b.bytes() && (a.bytes() == 0 || !std::memcmp(a.data(), b.data(), a.bytes()));
}

std::string compare_all(const OnnxCase& c, Runtime& runtime, const std::vector<Tensor>& outputs) {
  const std::vector<Tensor> planned = eval(runtime, outputs);
  const std::vector<Tensor> eager = eval(runtime, outputs, {.eager = true});
  for (size_t i = 0; i < outputs.size(); ++i) {
    const HostArray got = planned[i].host();
    const std::string text = onnx_difference(got, c.outputs[i].get(), given_digits(c.name));
    if (!text.empty()) return fmt::format("result {}: {}", i, text);
    if (!same_bits(got, eager[i].host()))
      return fmt::format("result {}: eager evaluation gives other bits", i);
  }
  return {};
}

}  // namespace

// Integers and bool are equal. The results of floats were computed by NumPy in their own type, and
// cairn rounds too, each time by at most eps/2 of the largest number in sight. The longest chain is
// a layer norm: ten roundings, and two sums of at most 120 terms, which NumPy adds up in eight
// accumulators, so 18 roundings each. Together that is 46 eps/2; the worst case of all is off by
// 2.5 eps. The largest number in sight is taken from the result.
std::string onnx_difference(const HostArray& got, const HostArray& want, int given_digits) {
  if (got.dtype() != want.dtype() || got.shape() != want.shape())
    return fmt::format("{}{} instead of {}{}", name(got.dtype()), to_string(got.shape()),
                       name(want.dtype()), to_string(want.shape()));
  double largest = 0;
  for (int64_t i = 0; i < want.elements(); ++i)
    if (std::isfinite(want.at(i))) largest = std::max(largest, std::fabs(want.at(i)));
  double bound = 0;
  if (is_float(want.dtype())) bound = 23 * epsilon(want.dtype()) * largest;
  if (given_digits) bound = std::pow(10, -given_digits);  // half of it from the operands
  for (int64_t i = 0; i < want.elements(); ++i) {
    const double a = got.at(i), b = want.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (!(std::fabs(a - b) <= bound))
      return fmt::format("element {} is {} instead of {} (bound {})", i, a, b, bound);
  }
  return {};
}

OnnxOutcome run_onnx_case(const OnnxCase& c, Runtime& runtime) {
  try {
    std::vector<Tensor> inputs;
    for (const OnnxValue& value : c.inputs) inputs.emplace_back(value.get());
    for (const OnnxValue& value : c.outputs) value.get();
    const std::vector<Tensor> outputs =
        run_onnx_graph(c.model.graph, inputs, c.model.opset, runtime);
    const std::string difference = compare_all(c, runtime, outputs);
    if (!difference.empty()) return {OnnxOutcome::failed, difference};
    return {};
  } catch (const Unsupported& missing) {
    return {OnnxOutcome::skipped, missing.what()};
  } catch (const Error& error) {
    return {OnnxOutcome::failed, error.what()};
  }
}

}  // namespace cairn::test
