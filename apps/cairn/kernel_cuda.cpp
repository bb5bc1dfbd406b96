#include "apps/cairn/kernel_cuda.h"

#include <fmt/format.h>

#include <cstring>

#include "apps/cairn/kernel_launch.h"
#include "apps/cairn/median.h"
#include "cairn/base/error.h"
#include "cairn/plot/terminal.h"
#include "cairn/tile/passes.h"

namespace cairn::app {

CudaRun::CudaRun(const CudaDevice& device, const ChosenKernel& chosen, const tile::KernelCall& call)
    : device_(device), chosen_(chosen) {
  const tile::Kernel& kernel = chosen.kernel;
  const size_t count = call.values.size();
  memory_.resize(count);
  scalars_.resize(count);
  addresses_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (const auto* number = std::get_if<Number>(&call.values[i])) {
      scalars_[i] = slot_of(*number, kernel.parameters[i].dtype);
      parameters_.push_back(&scalars_[i]);
      continue;
    }
    const HostArray& array = std::get<HostArray>(call.values[i]);
    const CudaMemory& memory = memory_[i].emplace(device, array.bytes());
    memory.copy_from(array.data());
    addresses_[i] = memory.address();
    parameters_.push_back(&addresses_[i]);
  }
  const auto grid = tile::grid_of(kernel, call.scalars());
  programs_ = grid[0] * grid[1] * grid[2];
  kernel_.emplace(device, compile_gpu_kernel(tile::run_passes(kernel), device.target()),
                  kernel.name);
}

double CudaRun::run() {
  return device_.seconds_of([&] { kernel_->launch(programs_, parameters_.data()); });
}

void CudaRun::fetch(tile::KernelCall& call) const {
  for (size_t i = 0; i < memory_.size(); ++i)
    if (chosen_.kernel.parameters[i].is_written())
      memory_[i]->copy_to(call.array(static_cast<int>(i)).mutable_data());
}

std::optional<double> CudaRun::cublas_seconds(int64_t repeat) {
  if (chosen_.named.name != "matmul") return std::nullopt;
  std::optional<Cublas> cublas;
  try {
    cublas.emplace();
  } catch (const Error&) {
    return std::nullopt;
  }
  const Shape& shape = chosen_.shape;
  const auto size = [&](int axis) { return static_cast<int>(shape[axis]); };
  std::vector<double> seconds;
  for (int64_t i = -1; i < repeat; ++i) {  // the first warms up
    const double time = device_.seconds_of([&] {
      cublas->multiply(chosen_.dtype, size(0), size(1), size(2), addresses_[0], addresses_[1],
                       addresses_[2]);
    });
    if (i >= 0) seconds.push_back(time);
  }
  return median(seconds);
}

InterpreterComparison compare_with_interpreter(const CudaDevice& device, const ChosenKernel& chosen,
                                               uint64_t seed) {
  const Shape& shape = chosen.named.small_shape;
  const ChosenKernel small{chosen.named, chosen.dtype, shape,
                           chosen.named.make(chosen.dtype, shape)};
  tile::KernelCall on_gpu = small.named.call(small.dtype, shape, seed);
  tile::KernelCall interpreted = small.named.call(small.dtype, shape, seed);
  const std::vector<tile::Expected> expected = small.named.expect(small.dtype, shape, on_gpu);
  CudaRun run(device, small, on_gpu);
  run.run();
  run.fetch(on_gpu);
  tile::interpret(small.kernel, interpreted.arguments());
  for (const auto& [call, where] :
       {std::pair(&on_gpu, "the GPU"), std::pair(&interpreted, "the interpreter")})
    for (const tile::Expected& e : expected)
      if (const tile::Difference d = tile::compare(e, call->array(e.parameter)); !(d.ratio <= 1))
        throw_error(fmt::format(
            "{} is wrong on {}: element {} of '{}' misses the reference by {} "
            "times its tolerance of {}",
            title(small), where, d.element, small.kernel.parameters[size_t(e.parameter)].name,
            plot::short_number(d.ratio, 3), plot::short_number(d.tolerance, 3)));
  InterpreterComparison result{shape};
  for (const tile::Expected& e : expected) {
    const HostArray& a = on_gpu.array(e.parameter);
    const HostArray& b = interpreted.array(e.parameter);
    const auto* x = static_cast<const char*>(a.data());
    const auto* y = static_cast<const char*>(b.data());
    const size_t size = size_of(a.dtype());
    result.elements += a.elements();
    for (size_t at = 0; at < a.bytes(); at += size)
      result.different += std::memcmp(x + at, y + at, size) != 0;
  }
  return result;
}

}  // namespace cairn::app
