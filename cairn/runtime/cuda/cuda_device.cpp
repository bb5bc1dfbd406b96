#include "cairn/runtime/cuda/cuda_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "cairn/base/error.h"
#include "cairn/base/shared_library.h"

namespace cairn {
namespace {

template <class Function>
void find(const SharedLibrary& library, const char* name, Function*& function) {
  function = library.find<Function>(name);
}

cuda::DriverApi load_driver(const std::string& name) {
  const auto library = [&] {
    try {
      return std::make_unique<SharedLibrary>(std::initializer_list<std::string>{name});
    } catch (const Error& error) {
      throw_error(
          fmt::format("device 'cuda' needs NVIDIA's driver: {}; install it, or use --device cpu",
                      error.what()));
    }
  }();
  cuda::DriverApi api;
  find(*library, "cuInit", api.cuInit);
  find(*library, "cuGetErrorName", api.cuGetErrorName);
  find(*library, "cuGetErrorString", api.cuGetErrorString);
  find(*library, "cuDeviceGetCount", api.cuDeviceGetCount);
  find(*library, "cuDeviceGet", api.cuDeviceGet);
  find(*library, "cuDeviceGetName", api.cuDeviceGetName);
  find(*library, "cuDeviceGetAttribute", api.cuDeviceGetAttribute);
  find(*library, "cuDevicePrimaryCtxRetain", api.cuDevicePrimaryCtxRetain);
  find(*library, "cuDevicePrimaryCtxRelease_v2", api.cuDevicePrimaryCtxRelease);
  find(*library, "cuCtxSetCurrent", api.cuCtxSetCurrent);
  find(*library, "cuCtxSynchronize", api.cuCtxSynchronize);
  find(*library, "cuMemAlloc_v2", api.cuMemAlloc);
  find(*library, "cuMemFree_v2", api.cuMemFree);
  find(*library, "cuMemcpyHtoD_v2", api.cuMemcpyHtoD);
  find(*library, "cuMemcpyDtoH_v2", api.cuMemcpyDtoH);
  find(*library, "cuMemcpyDtoDAsync_v2", api.cuMemcpyDtoDAsync);
  find(*library, "cuModuleLoadDataEx", api.cuModuleLoadDataEx);
  find(*library, "cuModuleUnload", api.cuModuleUnload);
  find(*library, "cuModuleGetFunction", api.cuModuleGetFunction);
  find(*library, "cuFuncSetAttribute", api.cuFuncSetAttribute);
  find(*library, "cuLaunchKernel", api.cuLaunchKernel);
  find(*library, "cuEventCreate", api.cuEventCreate);
  find(*library, "cuEventRecord", api.cuEventRecord);
  find(*library, "cuEventSynchronize", api.cuEventSynchronize);
  find(*library, "cuEventElapsedTime", api.cuEventElapsedTime);
  find(*library, "cuEventDestroy_v2", api.cuEventDestroy);
  return api;
}

}  // namespace

// --- the device ----------------------------------------------------------------------------------

CudaDevice::CudaDevice(const std::string& driver) : api_(load_driver(driver)) {
  check(api_.cuInit(0), "cuInit", "start the driver");
  int count = 0;
  check(api_.cuDeviceGetCount(&count), "cuDeviceGetCount", "count the GPUs");
  if (count == 0)
    throw_error("device 'cuda': the driver finds no GPU (or CUDA_VISIBLE_DEVICES hides it)");
  check(api_.cuDeviceGet(&device_, 0), "cuDeviceGet", "find the GPU");
  std::array<char, 256> text = {};
  check(api_.cuDeviceGetName(text.data(), static_cast<int>(text.size()), device_),
        "cuDeviceGetName", "ask for its name");
  text.back() = 0;
  name_ = text.data();
  int major = 0, minor = 0;
  check(api_.cuDeviceGetAttribute(&major, cuda::kComputeCapabilityMajor, device_),
        "cuDeviceGetAttribute", "ask what it can do");
  check(api_.cuDeviceGetAttribute(&minor, cuda::kComputeCapabilityMinor, device_),
        "cuDeviceGetAttribute", "ask what it can do");
  if (major < 8)
    throw_error(fmt::format("device 'cuda': {} is sm_{}{}; kernels need sm_80 (Ampere) or newer",
                            name_, major, minor));
  target_ = major >= 9 ? GpuTarget::sm_90 : GpuTarget::sm_80;
  check(api_.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain",
        fmt::format("open {}", name_));
  try {
    check(api_.cuCtxSetCurrent(context_), "cuCtxSetCurrent", fmt::format("use {}", name_));
  } catch (...) {
    api_.cuDevicePrimaryCtxRelease(device_);
    throw;
  }
}

CudaDevice::~CudaDevice() { api_.cuDevicePrimaryCtxRelease(device_); }

void CudaDevice::check(cuda::Result result, const char* call, const std::string& what) const {
  if (result == 0) return;
  const char* code = nullptr;
  const char* text = nullptr;
  api_.cuGetErrorName(result, &code);
  api_.cuGetErrorString(result, &text);
  throw_error(fmt::format("device 'cuda' could not {}: {} gave {} ({})", what, call,
                          code ? code : fmt::format("error {}", result),
                          text ? text : "an error that the driver has no name for"));
}

void CudaDevice::synchronize() const {
  check(api_.cuCtxSynchronize(), "cuCtxSynchronize", "finish what was started");
}

double CudaDevice::seconds_of(const std::function<void()>& start) const {
  struct Events {
    const cuda::DriverApi& api;
    cuda::Event begin = nullptr, end = nullptr;
    ~Events() {
      if (begin) api.cuEventDestroy(begin);
      if (end) api.cuEventDestroy(end);
    }
  } events{api_};
  check(api_.cuEventCreate(&events.begin, 0), "cuEventCreate", "measure time");
  check(api_.cuEventCreate(&events.end, 0), "cuEventCreate", "measure time");
  check(api_.cuEventRecord(events.begin, nullptr), "cuEventRecord", "measure time");
  start();
  check(api_.cuEventRecord(events.end, nullptr), "cuEventRecord", "measure time");
  check(api_.cuEventSynchronize(events.end), "cuEventSynchronize", "finish what was started");
  float milliseconds = 0;
  check(api_.cuEventElapsedTime(&milliseconds, events.begin, events.end), "cuEventElapsedTime",
        "measure time");
  return 1e-3 * static_cast<double>(milliseconds);
}

double CudaDevice::copy_bandwidth(size_t bytes) const {
  const CudaMemory from(*this, bytes), to(*this, bytes);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 5; ++i)
    best = std::min(best, seconds_of([&] {
                      check(api_.cuMemcpyDtoDAsync(to.address(), from.address(), bytes, nullptr),
                            "cuMemcpyDtoDAsync", "copy within its memory");
                    }));
  return 2 * static_cast<double>(bytes) / best;
}

// --- memory --------------------------------------------------------------------------------------

CudaMemory::CudaMemory(const CudaDevice& device, size_t bytes) : device_(&device), bytes_(bytes) {
  // The driver refuses to allocate nothing.
  device.check(device.api().cuMemAlloc(&address_, std::max<size_t>(1, bytes)), "cuMemAlloc",
               fmt::format("allocate {} bytes", bytes));
}

CudaMemory::~CudaMemory() {
  if (address_) device_->api().cuMemFree(address_);
}

CudaMemory::CudaMemory(CudaMemory&& other) noexcept
    : device_(other.device_), bytes_(other.bytes_), address_(std::exchange(other.address_, 0)) {}

void CudaMemory::copy_from(const void* host) const {
  if (bytes_ == 0) return;
  device_->check(device_->api().cuMemcpyHtoD(address_, host, bytes_), "cuMemcpyHtoD",
                 fmt::format("copy {} bytes to the GPU", bytes_));
}

void CudaMemory::copy_to(void* host) const {
  if (bytes_ == 0) return;
  device_->check(device_->api().cuMemcpyDtoH(host, address_, bytes_), "cuMemcpyDtoH",
                 fmt::format("copy {} bytes from the GPU", bytes_));
}

// --- kernels -------------------------------------------------------------------------------------

CudaKernel::CudaKernel(const CudaDevice& device, const GpuKernel& code, const std::string& function)
    : device_(device),
      name_(function),
      threads_(static_cast<unsigned>(code.threads)),
      shared_bytes_(static_cast<unsigned>(code.shared_bytes)) {
  const cuda::DriverApi& api = device.api();
  std::array<char, 4096> log = {};
  std::array<int, 2> options = {cuda::kJitErrorLogBuffer, cuda::kJitErrorLogBufferSizeBytes};
  // The size is passed in the place of a pointer. NOLINTNEXTLINE(performance-no-int-to-ptr)
  std::array<void*, 2> values = {log.data(), reinterpret_cast<void*>(log.size() - 1)};
  const cuda::Result loaded =
      api.cuModuleLoadDataEx(&module_, code.text.c_str(), 2, options.data(), values.data());
  device.check(loaded, "cuModuleLoadDataEx",
               fmt::format("assemble kernel '{}'{}{}", name_, log[0] ? ": " : "", log.data()));
  try {
    device.check(api.cuModuleGetFunction(&function_, module_, name_.c_str()), "cuModuleGetFunction",
                 fmt::format("find kernel '{}' in its module", name_));
    constexpr unsigned kUnasked = 48 << 10;
    if (shared_bytes_ > kUnasked)
      device.check(api.cuFuncSetAttribute(function_, cuda::kMaxDynamicSharedSizeBytes,
                                          static_cast<int>(shared_bytes_)),
                   "cuFuncSetAttribute",
                   fmt::format("give kernel '{}' {} bytes of shared memory", name_, shared_bytes_));
  } catch (...) {
    api.cuModuleUnload(module_);
    throw;
  }
}

CudaKernel::~CudaKernel() { device_.api().cuModuleUnload(module_); }

void CudaKernel::launch(int64_t programs, void** parameters) const {
  constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();
  if (programs == 0) return;
  if (programs > kMostBlocks)
    throw_error(
        fmt::format("kernel '{}' has {} programs; a GPU takes {}", name_, programs, kMostBlocks));
  device_.check(
      device_.api().cuLaunchKernel(function_, static_cast<unsigned>(programs), 1, 1, threads_, 1, 1,
                                   shared_bytes_, nullptr, parameters, nullptr),
      "cuLaunchKernel",
      fmt::format("launch kernel '{}' ({} blocks of {} threads, {} bytes of shared memory)", name_,
                  programs, threads_, shared_bytes_));
}

// --- cuBLAS --------------------------------------------------------------------------------------

namespace {

void check_cublas(cuda::Status status, const char* call) {
  if (status != 0) throw_error(fmt::format("cuBLAS: {} gave status {}", call, status));
}

}  // namespace

Cublas::Cublas(const std::string& name) {
  const SharedLibrary library =
      name.empty() ? SharedLibrary{"libcublas.so.12", "libcublas.so.13", "libcublas.so.11"}
                   : SharedLibrary{name};
  find(library, "cublasCreate_v2", api_.cublasCreate);
  find(library, "cublasDestroy_v2", api_.cublasDestroy);
  find(library, "cublasGemmEx", api_.cublasGemmEx);
  check_cublas(api_.cublasCreate(&handle_), "cublasCreate");
}

Cublas::~Cublas() { api_.cublasDestroy(handle_); }

void Cublas::multiply(DType dtype, int m, int k, int n, cuda::Address x, cuda::Address y,
                      cuda::Address out) const {
  const int type = dtype == DType::f64    ? cuda::kCudaR64F
                   : dtype == DType::f16  ? cuda::kCudaR16F
                   : dtype == DType::bf16 ? cuda::kCudaR16BF
                                          : cuda::kCudaR32F;
  const bool wide = dtype == DType::f64;
  const float one32 = 1, zero32 = 0;
  const double one64 = 1, zero64 = 0;
  const auto pick = [&](const float& narrow, const double& large) -> const void* {
    return wide ? static_cast<const void*>(&large) : &narrow;
  };
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of the GPU
  const auto pointer = [](cuda::Address address) { return reinterpret_cast<void*>(address); };
  // Row-major is the transpose of what cuBLAS takes: out' = y' x'.
  check_cublas(api_.cublasGemmEx(handle_, cuda::kCublasNoTranspose, cuda::kCublasNoTranspose, n, m,
                                 k, pick(one32, one64), pointer(y), type, n, pointer(x), type, k,
                                 pick(zero32, zero64), pointer(out), type, n,
                                 wide ? cuda::kCublasCompute64F : cuda::kCublasCompute32F,
                                 cuda::kCublasGemmDefault),
               "cublasGemmEx");
}

}  // namespace cairn
