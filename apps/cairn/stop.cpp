#include "apps/cairn/stop.h"

#include <signal.h>
#include <unistd.h>

namespace cairn::app {
namespace {

// What the handler finds; a signal has no other way to an object.
std::atomic<StopFlag*> installed{nullptr};

}  // namespace

StopFlag::StopFlag() {
  installed = this;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  // A shell starts background jobs with SIGINT ignored, and that stays.
  struct sigaction before{};
  if (sigaction(SIGINT, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
    sigaction(SIGINT, &action, nullptr);
}

StopFlag::~StopFlag() { installed = nullptr; }

void StopFlag::on_interrupt(int) {
  StopFlag* flag = installed.load();
  if (flag && flag->owners_.load() > 0 && !flag->requested_.exchange(true)) return;
  // The shell's prompt starts on a line of its own, below a progress line that is half drawn.
  if (isatty(STDERR_FILENO)) [[maybe_unused]]
    const auto written = write(STDERR_FILENO, "\n", 1);
  _exit(130);
}

}  // namespace cairn::app
