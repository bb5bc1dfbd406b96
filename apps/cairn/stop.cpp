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
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  // A shell starts background jobs with SIGINT ignored, nohup with SIGHUP, and that stays.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before{};
    if (sigaction(number, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
      sigaction(number, &action, nullptr);
  }
}

StopFlag::~StopFlag() { installed = nullptr; }

void StopFlag::forget_interrupt() {
  int interrupt = SIGINT;
  signal_.compare_exchange_strong(interrupt, 0);
}

void StopFlag::on_signal(int number) {
  StopFlag* flag = installed.load();
  int none = 0;
  if (flag && flag->owners_.load() > 0 && flag->signal_.compare_exchange_strong(none, number))
    return;
  // The shell's prompt starts on a line of its own, below a progress line that is half drawn.
  if (isatty(STDERR_FILENO)) [[maybe_unused]]
    const auto written = write(STDERR_FILENO, "\n", 1);
  _exit(128 + number);
}

}  // namespace cairn::app
