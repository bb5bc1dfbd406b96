// Debuggers and profilers see compiled kernels by name.
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <source_location>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/compiler/assembly_count.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/runtime/cpu/kernel_cache.h"
#include "cairn/tile/builder.h"

namespace cairn {
namespace {

tile::Kernel doubled(const std::string& name) {
  return tile::build(name, [](tile::Builder& k) {
    const tile::Buffer x = k.input("x", DType::f32), y = k.output("y", DType::f32);
    const tile::Tile i = k.arange(16);
    k.store(y, i, k.load(x, i) * 2.0);
  });
}

class Names : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
      GTEST_SKIP() << "needs LLVM and AVX2";
  }
};

// What gdb reads of a process (its manual, "JIT Compilation Interface").
struct Entry {
  const Entry* next;
  const Entry* previous;
  const char* symbol_file;
  uint64_t bytes;
};
struct Descriptor {
  uint32_t version;
  uint32_t action;
  const Entry* relevant;
  const Entry* first;
};

// How many of the object files that gdb is shown name the kernel; -1 without the interface, which
// LLVM's dynamic library exports.
int shown_to_gdb(std::string_view name) {
  const auto* shown = static_cast<const Descriptor*>(dlsym(RTLD_DEFAULT, "__jit_debug_descriptor"));
  if (!shown) return -1;
  int count = 0;
  for (const Entry* entry = shown->first; entry; entry = entry->next)
    count +=
        std::string_view(entry->symbol_file, entry->bytes).find(name) != std::string_view::npos;
  return count;
}

TEST_F(Names, GdbIsShownAKernelAsLongAsItLives) {
  const std::string name = "kernel_for_gdb";
  const std::string object = compile_kernel(doubled(name), detect_cpu_target());
  EXPECT_EQ(shown_to_gdb(name), 0);
  {
    const CompiledKernel kernel = link_kernel(object, name);
    EXPECT_EQ(shown_to_gdb(name), 1);
  }
  EXPECT_EQ(shown_to_gdb(name), 0);
}

TEST_F(Names, MachineCodeNamesTheLineThatItCameFrom) {
  uint32_t line = 0;
  const tile::Kernel kernel = tile::build("kernel_with_lines", [&](tile::Builder& k) {
    const tile::Buffer x = k.input("x", DType::f32), y = k.output("y", DType::f32);
    const tile::Tile i = k.arange(64);
    const tile::Tile loaded = k.load(x, i);
    line = std::source_location::current().line() + 1;
    const tile::Tile root = sqrt(loaded);
    k.store(y, i, root);
  });
  const CpuTarget target = detect_cpu_target();
  EXPECT_TRUE(count_lines(kernel_text(kernel, target, KernelStage::assembly)).empty());
  const KernelVersion version{.lines = true};
  int roots = 0;
  for (const LineCount& at :
       count_lines(kernel_text(kernel, target, KernelStage::assembly, version))) {
    EXPECT_EQ(at.file, "names_test.cpp");
    if (at.line == static_cast<int>(line))
      roots += at.count.divisions;
    else
      EXPECT_EQ(at.count.divisions, 0) << at.line;
  }
  EXPECT_GE(roots, 1);
  // The object file that gdb is shown has the table of lines; that of others does not.
  const std::string object = compile_kernel(kernel, target, version);
  EXPECT_NE(object.find(".debug_line"), std::string::npos);
  const CompiledKernel linked = link_kernel(object, kernel.name);
  EXPECT_NE(shown_to_gdb("names_test.cpp"), 0);
  EXPECT_EQ(compile_kernel(kernel, target).find(".debug_line"), std::string::npos);
  std::vector<float> from(64, 4.0F), to(64);
  KernelSlot slots[2];
  slots[0].address = from.data();
  slots[1].address = to.data();
  linked.run(slots, 0, 1);
  EXPECT_EQ(to, std::vector<float>(64, 2.0F));
}

TEST_F(Names, PerfFindsThemInItsMap) {
  const std::string path = fmt::format("/tmp/perf-{}.map", getpid());
  std::filesystem::remove(path);
  KernelCache silent(detect_cpu_target(), DiskCache(""));
  silent.get(doubled("unnamed"));
  EXPECT_FALSE(std::filesystem::exists(path));
  KernelCache cache(detect_cpu_target(), DiskCache(""), true);
  const auto kernel = cache.get(doubled("kernel_for_perf"));
  cache.get(doubled("kernel_for_perf"));
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_GT(kernel->function_bytes, 0u);
  EXPECT_EQ(text.str(),
            fmt::format("{:x} {:x} cairn::kernel_for_perf\n",
                        reinterpret_cast<uintptr_t>(kernel->run), kernel->function_bytes));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace cairn
