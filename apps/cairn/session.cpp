#include "apps/cairn/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cairn/base/environment.h"
#include "cairn/base/thread_pool.h"

namespace cairn::app {

void Output::write(std::string_view bytes) {
  constexpr size_t kEnough = 1 << 16;
  buffer_ += bytes;
  if (buffer_.size() >= kEnough) flush();
}

void Output::line(std::string_view text) {
  write(text);
  write("\n");
}

void Output::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      const int error = errno;
      buffer_.clear();
      if (error == EPIPE) throw Closed();
      throw_error(fmt::format("cannot write the results to stdout: {}", std::strerror(error)));
    }
  }
  buffer_.clear();
}

Session::Session(StopFlag& stop_flag)
    : stop(stop_flag),
      out_terminal(detect_terminal(STDOUT_FILENO)),
      err_terminal(detect_terminal(STDERR_FILENO)) {}

int Session::threads() const {
  if (common.threads) return static_cast<int>(*common.threads);
  return read_environment().threads.value_or(physical_cores());
}

std::unique_ptr<Runtime> Session::make_runtime(int with_threads) const {
  RuntimeOptions options;
  options.device = common.device;
  options.threads = with_threads;
  auto runtime = std::make_unique<Runtime>(options);
  if (runtime_made) runtime_made(*runtime);
  return runtime;
}

std::unique_ptr<Runtime> Session::make_computing_runtime(int with_threads) const {
  auto runtime = make_runtime(with_threads);
  if (!runtime->backend().executes())
    throw_error(fmt::format(
        "the {} device plans and computes nothing, and this command needs values; use --device {}",
        runtime->backend().name(), devices()[0]));
  return runtime;
}

DType Session::precision() const {
  return parse_dtype(common.precision.value_or("f32")).value_or(DType::f32);
}

void Session::note(std::string_view text) const {
  if (common.quiet) return;
  const std::string line = std::string(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void Session::warn(std::string_view what) const {
  const std::string line = fmt::format("cairn: warning: {}\n", what);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void Session::complain(std::string_view what) const {
  const std::string line = fmt::format("cairn: error: {}\n", what);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace cairn::app
