// A pool of threads that runs loops.
//
// An object that is passed down, never a global. A loop over [0, n) is cut into the pieces
// [i * grain, min(n, (i + 1) * grain)): the cuts depend on n and grain only, so a caller may keep
// one partial result per piece and get the same bits with any number of threads. Who runs a piece
// is decided at run time (the threads take the next piece), which evens out uneven pieces.
//
// The calling thread works too, so a pool of `threads` starts threads - 1 workers. A worker without
// work spins for about 20 us (a training step is thousands of short loops; waking a sleeper costs
// 5-50 us), giving its core to anyone else who wants it, then sleeps.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace cairn {

class ThreadPool {
 public:
  // Throws Error unless threads >= 1, or when the system refuses to start that many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls fn(begin, end) once for every piece and returns when all have returned. Any number of
  // threads may call at the same time. Runs in the calling thread when there is one piece or one
  // thread, or when called from inside a piece of this pool's loops. After a piece throws, pieces
  // not yet begun are skipped and the first exception is rethrown here. Needs grain >= 1; n <= 0
  // does nothing.
  template <class F>
  void parallel_for(int64_t n, int64_t grain, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    if (n <= grain || threads_ == 1) {
      for (int64_t begin = 0; begin < n; begin += grain)
        fn(begin, n - begin < grain ? n : begin + grain);
      return;
    }
    run(
        n, grain,
        [](const void* f, int64_t begin, int64_t end) {
          (*const_cast<Fn*>(static_cast<const Fn*>(f)))(begin, end);
        },
        &fn);
  }

 private:
  using Body = void (*)(const void* fn, int64_t begin, int64_t end);
  struct Job;
  struct State;
  void run(int64_t n, int64_t grain, Body body, const void* fn);
  void worker();
  void stop();

  int threads_;
  std::unique_ptr<State> state_;
};

// Cores that this process may run on, counting the hardware threads of one core once: the affinity
// mask, grouped by the topology in /sys. At least 1. The default of --threads.
int physical_cores();

}  // namespace cairn
