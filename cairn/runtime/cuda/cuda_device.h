// An NVIDIA GPU through its driver: memory, kernels, times. The seed of the `cuda` backend: what
// `cairn kernel run --device cuda` needs of one. One thread at a time uses a device.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/core/dtype.h"
#include "cairn/runtime/cuda/cuda_api.h"

namespace cairn {

class CudaDevice {
 public:
  // The first GPU of the driver of that name. Throws Error that says what is missing: the driver,
  // a GPU, or one from sm_80 on.
  explicit CudaDevice(const std::string& driver = "libcuda.so.1");
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const std::string& name() const { return name_; }  // "NVIDIA H100 80GB HBM3"
  GpuTarget target() const { return target_; }       // what kernels are compiled for
  const cuda::DriverApi& api() const { return api_; }

  // Throws Error naming the call, the driver's word for what went wrong, and `what` was to be done.
  void check(cuda::Result result, const char* call, const std::string& what) const;
  // Waits for all that was started; what a kernel did wrong comes out here.
  void synchronize() const;
  // Seconds that the GPU takes for what `start` starts, and waits for it.
  double seconds_of(const std::function<void()>& start) const;
  // Bytes a second that a copy within the GPU's memory reads and writes: the limit of kernels that
  // do little else. The best of a few copies of `bytes`.
  double copy_bandwidth(size_t bytes = size_t{256} << 20) const;

 private:
  cuda::DriverApi api_ = {};
  cuda::Device device_ = 0;
  cuda::Context context_ = nullptr;
  std::string name_;
  GpuTarget target_ = GpuTarget::sm_80;
};

// Memory of a device, which outlives it.
class CudaMemory {
 public:
  CudaMemory(const CudaDevice& device, size_t bytes);
  ~CudaMemory();
  CudaMemory(CudaMemory&& other) noexcept;
  CudaMemory& operator=(CudaMemory&&) = delete;

  cuda::Address address() const { return address_; }
  size_t bytes() const { return bytes_; }
  void copy_from(const void* host) const;
  void copy_to(void* host) const;

 private:
  const CudaDevice* device_;
  size_t bytes_;
  cuda::Address address_ = 0;
};

// A kernel that the driver made machine code of.
class CudaKernel {
 public:
  // `function`: its name in the text.
  CudaKernel(const CudaDevice& device, const GpuKernel& code, const std::string& function);
  ~CudaKernel();
  CudaKernel(const CudaKernel&) = delete;
  CudaKernel& operator=(const CudaKernel&) = delete;

  // Starts so many programs. `parameters`: the address of each argument, in order.
  void launch(int64_t programs, void** parameters) const;

 private:
  const CudaDevice& device_;
  std::string name_;
  unsigned threads_, shared_bytes_;
  cuda::Module module_ = nullptr;
  cuda::Function function_ = nullptr;
};

// cuBLAS, beside which products are measured.
class Cublas {
 public:
  // From the library of that name; Throws Error where there is none. Empty: that of CUDA 12, 13
  // or 11.
  explicit Cublas(const std::string& library = {});
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // Starts out[m, n] = x[m, k] y[k, n] of f16, bf16, f32 or f64, row-major; adds up in f32 or f64.
  void multiply(DType dtype, int m, int k, int n, cuda::Address x, cuda::Address y,
                cuda::Address out) const;

 private:
  cuda::CublasApi api_ = {};
  cuda::CublasHandle* handle_ = nullptr;
};

}  // namespace cairn
