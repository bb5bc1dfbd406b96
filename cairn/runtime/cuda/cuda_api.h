// What is used of NVIDIA's driver and cuBLAS: their functions, types and numbers, declared here so
// that cairn builds without the toolkit. Names are theirs, as in the CUDA driver API's and cuBLAS's
// reference manuals; those that end in _v2 are what the manuals' names stand for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::cuda {

using Result = int;  // CUresult: 0 is success
using Device = int;
using Address = uint64_t;  // CUdeviceptr
struct ContextHandle;
struct ModuleHandle;
struct FunctionHandle;
struct EventHandle;
struct StreamHandle;
using Context = ContextHandle*;
using Module = ModuleHandle*;
using Function = FunctionHandle*;
using Event = EventHandle*;
using Stream = StreamHandle*;

inline constexpr int kComputeCapabilityMajor = 75;  // CUdevice_attribute
inline constexpr int kComputeCapabilityMinor = 76;
inline constexpr int kMaxDynamicSharedSizeBytes = 8;  // CUfunction_attribute
inline constexpr int kJitErrorLogBuffer = 5;          // CUjit_option
inline constexpr int kJitErrorLogBufferSizeBytes = 6;

// NOLINTBEGIN(readability-identifier-naming): the names are NVIDIA's.
struct DriverApi {
  Result (*cuInit)(unsigned flags);
  Result (*cuGetErrorName)(Result, const char** text);
  Result (*cuGetErrorString)(Result, const char** text);
  Result (*cuDeviceGetCount)(int* count);
  Result (*cuDeviceGet)(Device*, int ordinal);
  Result (*cuDeviceGetName)(char* name, int length, Device);
  Result (*cuDeviceGetAttribute)(int* value, int attribute, Device);
  Result (*cuDevicePrimaryCtxRetain)(Context*, Device);
  Result (*cuDevicePrimaryCtxRelease)(Device);
  Result (*cuCtxSetCurrent)(Context);
  Result (*cuCtxSynchronize)();
  Result (*cuMemAlloc)(Address*, size_t bytes);
  Result (*cuMemFree)(Address);
  Result (*cuMemcpyHtoD)(Address to, const void* from, size_t bytes);
  Result (*cuMemcpyDtoH)(void* to, Address from, size_t bytes);
  Result (*cuMemcpyDtoDAsync)(Address to, Address from, size_t bytes, Stream);
  Result (*cuModuleLoadDataEx)(Module*, const void* image, unsigned count, int* options,
                               void** values);
  Result (*cuModuleUnload)(Module);
  Result (*cuModuleGetFunction)(Function*, Module, const char* name);
  Result (*cuFuncSetAttribute)(Function, int attribute, int value);
  Result (*cuLaunchKernel)(Function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                           unsigned block_x, unsigned block_y, unsigned block_z,
                           unsigned shared_bytes, Stream, void** parameters, void** extra);
  Result (*cuEventCreate)(Event*, unsigned flags);
  Result (*cuEventRecord)(Event, Stream);
  Result (*cuEventSynchronize)(Event);
  Result (*cuEventElapsedTime)(float* milliseconds, Event start, Event end);
  Result (*cuEventDestroy)(Event);
};

struct CublasHandle;
using Status = int;  // cublasStatus_t: 0 is success

inline constexpr int kCublasNoTranspose = 0;  // cublasOperation_t
inline constexpr int kCudaR32F = 0, kCudaR64F = 1, kCudaR16F = 2, kCudaR16BF = 14;
inline constexpr int kCublasCompute32F = 68, kCublasCompute64F = 70;
inline constexpr int kCublasGemmDefault = -1;

struct CublasApi {
  Status (*cublasCreate)(CublasHandle**);
  Status (*cublasDestroy)(CublasHandle*);
  Status (*cublasGemmEx)(CublasHandle*, int transpose_a, int transpose_b, int m, int n, int k,
                         const void* alpha, const void* a, int a_type, int a_stride, const void* b,
                         int b_type, int b_stride, const void* beta, void* c, int c_type,
                         int c_stride, int compute_type, int algorithm);
};
// NOLINTEND(readability-identifier-naming)

}  // namespace cairn::cuda
