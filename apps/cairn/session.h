// What every command is handed: the options that all have, where results and notes go, and Ctrl-C.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "apps/cairn/stop.h"
#include "apps/cairn/terminal.h"
#include "cairn/runtime/runtime.h"

namespace cairn::app {

// A wrong command line: status 2. The text says what was expected.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What CLI.md names and this version does not have: status 2, and there is no help to point to.
class NotInThisVersion : public UsageError {
 public:
  using UsageError::UsageError;
};

// docs/guides/command-line.md and CLI.md promise these on every command.
struct CommonOptions {
  std::optional<int64_t> threads;        // else CAIRN_THREADS, else one per physical core
  std::string device = {};               // else CAIRN_DEVICE, else the best of devices()
  std::optional<std::string> precision;  // f32, bf16 or f16; else what the command or file says
  // Of commands that take a model: what products with weights in blocks make of activations.
  std::string activations = "q8_0";
  std::string quantize = {};        // and what its matrices become while they are loaded
  std::string packed_weights = {};  // and where these are kept: beside, cache or nowhere
  std::optional<uint64_t> seed;
  bool quiet = false;
  bool json = false;
};

// stdout. Failures to write throw Error (a full disk); a reader that closed the pipe ends the
// program with status 1 and without a message, as there is nobody to read on.
class Output {
 public:
  class Closed : public std::exception {};

  void write(std::string_view bytes);
  void line(std::string_view text);
  void flush();

 private:
  std::string buffer_;
};

class Session {
 public:
  explicit Session(StopFlag& stop_flag);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  CommonOptions common;
  StopFlag& stop;
  Output out;
  const Terminal out_terminal;
  const Terminal err_terminal;
  // Called with each Runtime that a command makes: `cairn trace` looks in here.
  std::function<void(Runtime&)> runtime_made = nullptr;

  // With the device and threads that were asked for.
  std::unique_ptr<Runtime> make_runtime() const { return make_runtime(threads()); }
  std::unique_ptr<Runtime> make_runtime(int with_threads) const;
  // The same for a command whose results are values: throws Error for a device that computes none.
  std::unique_ptr<Runtime> make_computing_runtime() const {
    return make_computing_runtime(threads());
  }
  std::unique_ptr<Runtime> make_computing_runtime(int with_threads) const;
  // How many threads that is.
  int threads() const;
  // What products are computed in; f32 unless --precision says otherwise.
  DType precision() const;
  // The block format of activations beside weights in blocks; empty: none.
  std::string activations() const { return common.activations == "f32" ? "" : common.activations; }
  // A line on stderr; nothing with --quiet.
  void note(std::string_view text) const;
  // "cairn: warning: ..." on stderr, with --quiet too: the results are not what they seem.
  void warn(std::string_view what) const;
  // "cairn: error: ..." on stderr.
  void complain(std::string_view what) const;
  Progress progress() const { return {err_terminal, common.quiet}; }
};

}  // namespace cairn::app
