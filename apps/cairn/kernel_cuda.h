// Named kernels on an NVIDIA GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "apps/cairn/kernel_commands.h"
#include "cairn/runtime/cuda/cuda_device.h"

namespace cairn::app {

// A kernel with its arguments on the GPU.
class CudaRun {
 public:
  // Throws Error where the kernel cannot be compiled, or the driver refuses it.
  CudaRun(const CudaDevice& device, const ChosenKernel& chosen, const tile::KernelCall& call);
  // Seconds of one launch, measured on the GPU.
  double run();
  // What the GPU has now, to the arrays of the call.
  void fetch(tile::KernelCall& call) const;
  // Seconds of cuBLAS for the product that the kernel computes; nothing where it computes another
  // or cuBLAS is missing. Overwrites the result.
  std::optional<double> cublas_seconds(int64_t repeat);

 private:
  const CudaDevice& device_;
  const ChosenKernel& chosen_;
  std::vector<std::optional<CudaMemory>> memory_;  // by parameter
  std::vector<KernelSlot> scalars_;
  std::vector<cuda::Address> addresses_;
  std::vector<void*> parameters_;
  int64_t programs_ = 0;
  std::optional<CudaKernel> kernel_;
};

// Elements of the results on which the GPU and the interpreter differ, for the kernel's small
// shape.
struct InterpreterComparison {
  Shape shape;
  int64_t different = 0, elements = 0;
};
// Throws Error where one is further from the reference than its tolerance.
InterpreterComparison compare_with_interpreter(const CudaDevice& device, const ChosenKernel& chosen,
                                               uint64_t seed);

}  // namespace cairn::app
