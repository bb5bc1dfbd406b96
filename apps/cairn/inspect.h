// What `cairn inspect` knows of a file: what it is, what is in it, and how to read every byte of
// it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/cairn/json.h"
#include "cairn/core/host_array.h"
#include "cairn/io/probe.h"

namespace cairn::app {

struct TensorEntry {
  std::string name;
  std::string dtype;  // one of cairn's, or the file's own word for one that cairn does not have
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
};

struct Subject {
  std::string kind;
  std::optional<std::string> family;
  int64_t parameters = 0;  // elements of all tensors, for kinds that hold weights
  std::vector<TensorEntry> tensors;
  Json metadata = Json::object();
  Json memory = Json::object();
  // For a terminal: what the file looks like.
  std::function<std::string(const plot::TerminalStyle&)> picture = nullptr;
  // One of the tensors; where its dtype is a block format, its bytes (u8). Throws Error for bytes
  // that are damaged or of a type that cairn does not have.
  std::function<HostArray(const TensorEntry&)> read = nullptr;
  // What is to be decoded apart from the tensors. Throws Error.
  std::function<void()> verify = nullptr;
};

// Throws Error for what cannot be read, naming it and what to do.
Subject open_subject(const std::string& path);

// What --verify may have in memory at once for a file of this size, with room for the program
// itself: CLI.md promises 2 x the file + 256 MiB.
inline uint64_t verify_limit(uint64_t file_bytes) { return 2 * file_bytes + (uint64_t{160} << 20); }

// The kinds, each in its file. `bytes` is the size of the file.
Subject open_model_folder(const std::string& path);  // inspect_models.cpp
Subject open_safetensors(const std::string& path, uint64_t bytes);
Subject open_gguf(const std::string& path);  // inspect_gguf.cpp
Subject open_llama2c(const std::string& path, uint64_t bytes);
Subject open_npy(const std::string& path, uint64_t bytes);  // inspect_arrays.cpp
Subject open_npz(const std::string& path, uint64_t bytes);
Subject open_idx(const std::string& path, uint64_t bytes, bool gzip);
Subject open_image(const std::string& path, uint64_t bytes, io::FileKind kind);
Subject open_tokenizer(const std::string& path, uint64_t bytes);  // inspect_texts.cpp
Subject open_graph(const std::string& path, uint64_t bytes);
Subject open_configuration(const std::string& path, uint64_t bytes);
Subject open_json(const std::string& path, uint64_t bytes, bool gzip);
Subject open_text(const std::string& path, uint64_t bytes, bool gzip);
Subject open_tar(const std::string& path, uint64_t bytes);
// --activations; `out` is a PNG.                                        inspect_activations.cpp
int show_activations(const std::string& model_path, const std::string& layer,
                     const std::string& input, const std::optional<std::string>& out,
                     Session& session);
// Whether a file's name is one of a tokenizer's.
bool is_tokenizer_name(const std::string& path);

}  // namespace cairn::app
