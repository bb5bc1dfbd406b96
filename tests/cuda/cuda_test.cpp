// The launcher of kernels on NVIDIA's GPUs, against a driver that has none (fake_cuda.cpp).
#include "cairn/runtime/cuda/cuda_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>
#include <vector>

#include "cairn/base/error.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/message_of.h"

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kDriver = CAIRN_FAKE_CUDA;

class Cuda : public testing::Test {
 protected:
  void SetUp() override { setenv("FAKE_CUDA_LOG", (folder_ / "log").c_str(), 1); }
  void TearDown() override {
    for (const char* name :
         {"FAKE_CUDA_LOG", "FAKE_CUDA_FAIL", "FAKE_CUDA_GPUS", "FAKE_CUDA_MAJOR"})
      unsetenv(name);
  }
  // How often a call was made.
  int64_t count(const std::string& call) const {
    std::ifstream log(folder_ / "log");
    int64_t found = 0;
    for (std::string line; std::getline(log, line);) found += line == call;
    return found;
  }
  io::TemporaryFolder folder_;
};

const GpuKernel kCode{".version 8.0\n.target sm_90\n", 128, 64 << 10};

// Everything that a launch needs, on 100 elements; gives the sums.
std::vector<float> add_on_gpu() {
  const CudaDevice device(kDriver);
  constexpr int64_t kCount = 100;
  const std::vector<float> x(kCount, 1), y(kCount, 2);
  std::vector<float> out(kCount);
  const CudaMemory on_x(device, 4 * kCount), on_y(device, 4 * kCount), on_out(device, 4 * kCount);
  on_x.copy_from(x.data());
  on_y.copy_from(y.data());
  const CudaKernel kernel(device, kCode, "add");
  cuda::Address a = on_x.address(), b = on_y.address(), c = on_out.address();
  int64_t n = kCount;
  std::vector<void*> parameters = {&a, &b, &c, &n};
  EXPECT_EQ(device.seconds_of([&] { kernel.launch(1, parameters.data()); }), 0.5e-3);
  device.synchronize();
  on_out.copy_to(out.data());
  EXPECT_EQ(device.copy_bandwidth(1 << 20), 2.0 * (1 << 20) / 0.5e-3);
  return out;
}

TEST_F(Cuda, LaunchesAndGivesEverythingBack) {
  EXPECT_EQ(add_on_gpu(), std::vector<float>(100, 3));
  EXPECT_EQ(count("cuMemAlloc"), count("cuMemFree"));
  EXPECT_EQ(count("cuEventCreate"), count("cuEventDestroy"));
  EXPECT_EQ(count("cuModuleUnload"), 1);
  EXPECT_EQ(count("cuFuncSetAttribute"), 1);  // more than 48 KB of shared memory
  EXPECT_EQ(count("cuDevicePrimaryCtxRelease"), 1);
}

// Each call may fail: its name and the driver's word come out, and nothing is lost.
TEST_F(Cuda, EveryFailureIsNamed) {
  for (const std::string call : {"cuInit",
                                 "cuDeviceGetCount",
                                 "cuDeviceGet",
                                 "cuDeviceGetName",
                                 "cuDeviceGetAttribute",
                                 "cuDevicePrimaryCtxRetain",
                                 "cuCtxSetCurrent",
                                 "cuMemAlloc",
                                 "cuMemcpyHtoD",
                                 "cuModuleLoadDataEx",
                                 "cuModuleGetFunction",
                                 "cuFuncSetAttribute",
                                 "cuEventCreate",
                                 "cuEventRecord",
                                 "cuLaunchKernel",
                                 "cuEventSynchronize",
                                 "cuEventElapsedTime",
                                 "cuCtxSynchronize",
                                 "cuMemcpyDtoH",
                                 "cuMemcpyDtoDAsync"}) {
    SCOPED_TRACE(call);
    std::ofstream(folder_ / "log") << "";
    setenv("FAKE_CUDA_FAIL", call.c_str(), 1);
    EXPECT_THAT(test::message_of([] { add_on_gpu(); }),
                AllOf(HasSubstr("device 'cuda' could not"),
                      HasSubstr(call + " gave CUDA_ERROR_FAKE (as it was asked to)")));
    const bool is_opened = count("cuCtxSetCurrent") > 0;
    EXPECT_EQ(count("cuDevicePrimaryCtxRelease"), is_opened ? 1 : 0);
    EXPECT_EQ(count("cuMemFree"), count("cuMemAlloc") - (call == "cuMemAlloc" ? 1 : 0));
    EXPECT_EQ(count("cuModuleUnload"), count("cuModuleGetFunction"));
    EXPECT_EQ(count("cuEventDestroy"), count("cuEventCreate") - (call == "cuEventCreate" ? 1 : 0));
  }
}

TEST_F(Cuda, WhatTheAssemblerSaysIsTold) {
  const CudaDevice device(kDriver);
  EXPECT_THAT(test::message_of([&] { CudaKernel(device, {"no PTX", 32, 0}, "k"); }),
              HasSubstr("assemble kernel 'k': line 7: what the assembler says"));
}

TEST_F(Cuda, CublasMultipliesRowMajorMatrices) {
  const CudaDevice device(kDriver);
  const std::vector<float> x = {1, 2, 3, 4, 5, 6}, y = {1, 0, 2, 0, 1, 3, 1, 1, 1};  // 2x3, 3x3
  std::vector<float> out(6);
  const CudaMemory on_x(device, 24), on_y(device, 36), on_out(device, 24);
  on_x.copy_from(x.data());
  on_y.copy_from(y.data());
  {
    const Cublas cublas(kDriver);
    cublas.multiply(DType::f32, 2, 3, 3, on_x.address(), on_y.address(), on_out.address());
  }
  on_out.copy_to(out.data());
  EXPECT_EQ(out, (std::vector<float>{4, 5, 11, 10, 11, 29}));
  EXPECT_EQ(count("cublasDestroy"), 1);
  setenv("FAKE_CUDA_FAIL", "cublasCreate", 1);
  EXPECT_THAT(test::message_of([] { const Cublas cublas(kDriver); }),
              HasSubstr("cublasCreate gave status 700"));
}

TEST_F(Cuda, WhatIsMissingIsTold) {
  EXPECT_THAT(test::message_of([] { CudaDevice("libcuda_that_is_missing.so"); }),
              AllOf(HasSubstr("needs NVIDIA's driver"), HasSubstr("libcuda_that_is_missing.so")));
  // Of a library that is no driver.
  EXPECT_THAT(test::message_of([] { CudaDevice("libm.so.6"); }),
              HasSubstr("libm.so.6 has no function cuInit"));
  setenv("FAKE_CUDA_GPUS", "0", 1);
  EXPECT_THAT(test::message_of([] { const CudaDevice device(kDriver); }),
              HasSubstr("finds no GPU"));
  setenv("FAKE_CUDA_GPUS", "1", 1);
  setenv("FAKE_CUDA_MAJOR", "7", 1);
  EXPECT_THAT(test::message_of([] { const CudaDevice device(kDriver); }),
              HasSubstr("Fake GPU is sm_70; kernels need sm_80"));
  setenv("FAKE_CUDA_MAJOR", "8", 1);
  EXPECT_EQ(CudaDevice(kDriver).target(), GpuTarget::sm_80);
  setenv("FAKE_CUDA_MAJOR", "10", 1);
  EXPECT_EQ(CudaDevice(kDriver).target(), GpuTarget::sm_90);
}

}  // namespace
}  // namespace cairn
