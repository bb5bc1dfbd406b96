// GPU code through the assemblers of its processors, where they are installed.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "cairn/compiler/kernel_compiler.h"

namespace cairn::test {

// Standard output and error of a command.
inline std::string output_of(const std::string& command, int& status) {
  std::string text;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> bytes;
  while (const size_t n = fread(bytes.data(), 1, bytes.size(), pipe)) text.append(bytes.data(), n);
  status = pclose(pipe);
  return text;
}

inline bool can_assemble(GpuTarget target) {
  int status = 0;
  output_of(target == GpuTarget::gfx942 ? "llvm-mc-19 --version" : "ptxas --version", status);
  return status == 0;
}

// What the assembler says of a text, which it must take.
inline std::string assembled(const std::string& text, GpuTarget target) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("cairn_gpu_{}", getpid());
  std::filesystem::create_directory(folder);
  const std::string file = (folder / "kernel").string();
  std::ofstream(file) << text;
  int status = 0;
  std::string report = output_of(
      target == GpuTarget::gfx942
          ? fmt::format(
                "llvm-mc-19 -triple=amdgcn-amd-amdhsa -mcpu=gfx942 -filetype=obj {0} -o {0}.o",
                file)
          : fmt::format("ptxas -v -arch={} {} -o {}.o", name(target), file, file),
      status);
  EXPECT_EQ(status, 0) << report;
  std::filesystem::remove_all(folder);
  return report;
}

// Of what ptxas says.
constexpr const char* kNoSpills = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads";

}  // namespace cairn::test
