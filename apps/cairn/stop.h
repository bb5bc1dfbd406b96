// Ctrl-C, and the other signals that ask a program to end (SIGTERM, SIGHUP). A command with work to
// save takes them over and looks at `requested()` between its steps; any other command ends at
// once, with status 128 + the signal: 130 for Ctrl-C. A second one always ends at once.
#pragma once

#include <atomic>
#include <exception>

namespace cairn::app {

// Thrown where work was interrupted and nothing is left to save.
class Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

class StopFlag {
 public:
  // Sets up the signals of the process; one StopFlag lives in it. SIGPIPE and SIGXFSZ are ignored,
  // so that a write into a closed pipe or beyond the file size limit is an error that can be
  // reported.
  StopFlag();
  ~StopFlag();
  StopFlag(const StopFlag&) = delete;
  StopFlag& operator=(const StopFlag&) = delete;

  bool requested() const { return signal_.load() != 0; }
  // What the program then ends with.
  int status() const { return 128 + signal_.load(); }
  void check() const {
    if (requested()) throw Interrupted();
  }
  // Forgets a Ctrl-C that was answered; other signals stay.
  void forget_interrupt();
  // How many TakeOvers live.
  int owners() const { return owners_.load(); }

  // While one lives, a first signal only sets the flag.
  class TakeOver {
   public:
    explicit TakeOver(StopFlag& flag) : flag_(flag) { ++flag_.owners_; }
    ~TakeOver() { --flag_.owners_; }
    TakeOver(const TakeOver&) = delete;
    TakeOver& operator=(const TakeOver&) = delete;

   private:
    StopFlag& flag_;
  };

 private:
  static void on_signal(int);
  std::atomic<int> signal_{0};  // the first that came; 0: none
  std::atomic<int> owners_{0};
};

}  // namespace cairn::app
