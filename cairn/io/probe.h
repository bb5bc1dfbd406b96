// What kind of file this is, told from its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cairn/base/file.h"

namespace cairn::io {

enum class FileKind : uint8_t {
  safetensors,
  gguf,
  npy,
  npz,
  zip,  // any other: a PyTorch file
  idx,
  png,
  jpeg,
  pnm,
  tar,
  llama2c,
  json,  // JSON lines too
  toml,
  graph,  // the text form of a graph
  text,   // any other UTF-8
  unknown
};

std::string_view name(FileKind kind);

struct FileProbe {
  FileKind kind = FileKind::unknown;
  bool gzip = false;  // the file is gzip and `kind` is what it holds
};

// Reads the first 64 KiB (inflated, where it is gzip). Only formats without a magic number are told
// by more: IDX and llama2.c by their sizes, TOML by its name too. That a file is of a kind does not
// mean that it is whole. An empty file is text.
Result<FileProbe> probe_file(const std::string& path);
// The same for the bytes of a whole file of this name.
Result<FileProbe> probe_bytes(std::span<const std::byte> bytes, const std::string& name);

}  // namespace cairn::io
