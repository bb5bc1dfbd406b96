// A driver without a GPU, as libcuda.so.1: it hands out host memory, writes the name of each call
// to the file FAKE_CUDA_LOG, and fails the call that FAKE_CUDA_FAIL names. It cannot run PTX: of a
// kernel of three buffers and a size, f32, it knows that the third becomes the sum of the others.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cairn/runtime/cuda/cuda_api.h"

using cairn::cuda::Address;
using cairn::cuda::Result;

namespace {

constexpr Result kFailure = 700;

// What a call gives: success, or the failure that was asked for.
Result called(const char* name) {
  if (const char* path = std::getenv("FAKE_CUDA_LOG")) {
    if (std::FILE* file = std::fopen(path, "a")) {
      std::fprintf(file, "%s\n", name);
      std::fclose(file);
    }
  }
  const char* fails = std::getenv("FAKE_CUDA_FAIL");
  return fails && std::strcmp(fails, name) == 0 ? kFailure : 0;
}

int number(const char* variable, int usual) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : usual;
}

int some_object;

}  // namespace

// NOLINTBEGIN(readability-identifier-naming, performance-no-int-to-ptr): as the driver has them.
extern "C" {

Result cuInit(unsigned) { return called("cuInit"); }
Result cuGetErrorName(Result, const char** text) {
  *text = "CUDA_ERROR_FAKE";
  return 0;
}
Result cuGetErrorString(Result, const char** text) {
  *text = "as it was asked to";
  return 0;
}
Result cuDeviceGetCount(int* count) {
  *count = number("FAKE_CUDA_GPUS", 1);
  return called("cuDeviceGetCount");
}
Result cuDeviceGet(int* device, int) {
  *device = 0;
  return called("cuDeviceGet");
}
Result cuDeviceGetName(char* name, int length, int) {
  std::snprintf(name, static_cast<size_t>(length), "Fake GPU");
  return called("cuDeviceGetName");
}
Result cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == cairn::cuda::kComputeCapabilityMajor ? number("FAKE_CUDA_MAJOR", 9) : 0;
  return called("cuDeviceGetAttribute");
}
Result cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &some_object;
  return called("cuDevicePrimaryCtxRetain");
}
Result cuDevicePrimaryCtxRelease_v2(int) { return called("cuDevicePrimaryCtxRelease"); }
Result cuCtxSetCurrent(void*) { return called("cuCtxSetCurrent"); }
Result cuCtxSynchronize() { return called("cuCtxSynchronize"); }
Result cuMemAlloc_v2(Address* address, size_t bytes) {
  const Result result = called("cuMemAlloc");
  if (result == 0) *address = reinterpret_cast<Address>(std::malloc(bytes));
  return result;
}
Result cuMemFree_v2(Address address) {
  std::free(reinterpret_cast<void*>(address));
  return called("cuMemFree");
}
Result cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) {
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  return called("cuMemcpyHtoD");
}
Result cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) {
  std::memcpy(to, reinterpret_cast<void*>(from), bytes);
  return called("cuMemcpyDtoH");
}
Result cuMemcpyDtoDAsync_v2(Address, Address, size_t, void*) { return called("cuMemcpyDtoDAsync"); }
Result cuModuleLoadDataEx(void** module, const void* image, unsigned count, int* options,
                          void** values) {
  const Result result = called("cuModuleLoadDataEx");
  const bool is_text = std::strstr(static_cast<const char*>(image), ".target sm_") != nullptr;
  if (result == 0 && is_text) {
    *module = &some_object;
    return 0;
  }
  for (unsigned i = 0; i < count; ++i)
    if (options[i] == cairn::cuda::kJitErrorLogBuffer)
      std::strcpy(static_cast<char*>(values[i]), "line 7: what the assembler says");
  return kFailure;
}
Result cuModuleUnload(void*) { return called("cuModuleUnload"); }
Result cuModuleGetFunction(void** function, void*, const char*) {
  *function = &some_object;
  return called("cuModuleGetFunction");
}
Result cuFuncSetAttribute(void*, int, int) { return called("cuFuncSetAttribute"); }
Result cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      void*, void** parameters, void**) {
  const Result result = called("cuLaunchKernel");
  if (result != 0 || std::getenv("FAKE_CUDA_IDLE")) return result;
  const auto buffer = [&](int i) {
    return reinterpret_cast<float*>(*static_cast<Address*>(parameters[i]));
  };
  const int64_t n = *static_cast<int64_t*>(parameters[3]);
  for (int64_t i = 0; i < n; ++i) buffer(2)[i] = buffer(0)[i] + buffer(1)[i];
  return 0;
}
Result cuEventCreate(void** event, unsigned) {
  const Result result = called("cuEventCreate");
  if (result == 0) *event = &some_object;
  return result;
}
Result cuEventRecord(void*, void*) { return called("cuEventRecord"); }
Result cuEventSynchronize(void*) { return called("cuEventSynchronize"); }
Result cuEventElapsedTime(float* milliseconds, void*, void*) {
  *milliseconds = 0.5F;
  return called("cuEventElapsedTime");
}
Result cuEventDestroy_v2(void*) { return called("cuEventDestroy"); }

// cuBLAS, in the same library under another name: products of f32.
int cublasCreate_v2(void** handle) {
  *handle = &some_object;
  return called("cublasCreate");
}
int cublasDestroy_v2(void*) { return called("cublasDestroy"); }
int cublasGemmEx(void*, int, int, int m, int n, int k, const void*, const void* a, int,
                 int a_stride, const void* b, int, int b_stride, const void*, void* c, int,
                 int c_stride, int, int) {
  const auto* x = static_cast<const float*>(a);
  const auto* y = static_cast<const float*>(b);
  auto* out = static_cast<float*>(c);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l) sum += x[l * a_stride + i] * y[j * b_stride + l];
      out[j * c_stride + i] = sum;
    }
  return called("cublasGemmEx");
}

}  // extern "C"
// NOLINTEND(readability-identifier-naming, performance-no-int-to-ptr)
