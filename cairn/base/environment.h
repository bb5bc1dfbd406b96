// Every environment variable that cairn reads, in one file (docs/environment.md lists them for
// people).
#pragma once

#include <optional>
#include <string>

namespace cairn {

struct Environment {
  std::string cache_directory;  // CAIRN_CACHE, else $XDG_CACHE_HOME/cairn, else ~/.cache/cairn
  std::optional<int> threads;   // CAIRN_THREADS
  std::optional<std::string> device;       // CAIRN_DEVICE: cpu, ref or null
  std::optional<std::string> target;       // CAIRN_TARGET: baseline, avx2 or avx512
  bool perf_map = false;                   // CAIRN_PERF_MAP: 0 or 1
  bool fuse = true;                        // CAIRN_FUSE: 0 or 1
  bool odd_tiles = false;                  // CAIRN_TILES: usual or odd
  double tune_seconds = 0;                 // CAIRN_TUNE
  std::optional<std::string> log;          // CAIRN_LOG: error, warning, info or debug
  std::optional<std::string> peer_python;  // CAIRN_PEER_PYTHON
  std::optional<std::string> peer_llama;   // CAIRN_PEER_LLAMA
  // Of others, for downloads: where models are, what gives access, certificates to trust.
  std::optional<std::string> hub_endpoint;  // HF_ENDPOINT
  std::optional<std::string> hub_token;     // HF_TOKEN
  std::optional<std::string> ca_file;       // SSL_CERT_FILE
};

// Reads the process's environment. Throws Error on a value that is not one of those named above.
Environment read_environment();

}  // namespace cairn
