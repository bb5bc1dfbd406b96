// The commands of `cairn kernel`, and what they share.
#pragma once

#include <optional>
#include <string>

#include "apps/cairn/command.h"
#include "cairn/base/cpu_features.h"
#include "cairn/tile/kernels.h"

namespace cairn::app {

void add_kernel_show(const Command& group);
void add_kernel_explain(const Command& group);
void add_kernel_run(const Command& group);
void add_kernel_tune(const Command& group);

// NAME, --dtype and --shape.
struct KernelOptions {
  std::string name;
  std::optional<std::string> dtype, shape;

  void declare(const Command& command);
};

struct ChosenKernel {
  const tile::NamedKernel& named;
  DType dtype;
  Shape shape;
  tile::Kernel kernel;
};
// `shape`: where none was given. Throws Error for a kernel, type or shape that does not exist,
// UsageError for text that is none.
ChosenKernel choose_kernel(const KernelOptions& options, Shape tile::NamedKernel::* shape);

// "softmax f32 4096x4096".
std::string title(const ChosenKernel& chosen);
std::string shape_text(const Shape& shape);  // "4096x4096", as --shape takes it

// The processor to compile for: that of --arch, or this one (at least avx2).
CpuTarget choose_arch(const std::optional<std::string>& arch);

}  // namespace cairn::app
