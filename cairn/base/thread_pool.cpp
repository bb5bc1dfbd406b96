#include "cairn/base/thread_pool.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "cairn/base/error.h"

namespace cairn {
namespace {

// Spins until `ready` holds or about 20 us have passed (a pause takes 10-40 ns, a yield on an idle
// machine 200 ns). The yields hand the core to any other thread that wants it.
template <class Ready>
bool spin(Ready ready) {
  for (int i = 0; i < 64; ++i) {
    for (int j = 0; j < 16; ++j) {
      if (ready()) return true;
      __builtin_ia32_pause();
    }
    sched_yield();
  }
  return ready();
}

}  // namespace

// One loop, on its caller's stack. `helpers` keeps it alive: the caller leaves only at zero.
struct ThreadPool::Job {
  const int64_t n, grain;
  const Body body;
  const void* const fn;
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int64_t> next{0};
  std::atomic<int> helpers{0};  // written under the pool's mutex
  std::atomic<bool> failed{false};
  std::exception_ptr error{};  // written once, by whoever set `failed`

  bool open() const { return next.load(std::memory_order_relaxed) < n; }

  void work() {
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) return;
      try {
        body(fn, begin, n - begin < grain ? n : begin + grain);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
    next.store(n, std::memory_order_relaxed);
  }
};

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;      // workers: a job or the end
  std::condition_variable finished;  // callers: a helper left
  std::vector<Job*> jobs;            // under the mutex
  std::atomic<uint64_t> posted{0};   // counts jobs and the end; what workers spin on
  bool stop = false;                 // under the mutex
  std::vector<std::thread> workers;
};

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  if (threads < 1)
    throw_error(fmt::format("a thread pool needs at least 1 thread; {} were asked for", threads));
  if (threads == 1) return;
  state_ = std::make_unique<State>();
  state_->workers.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int i = 1; i < threads; ++i) state_->workers.emplace_back([this] { worker(); });
  } catch (const std::system_error& error) {
    const size_t started = state_->workers.size() + 1;
    stop();
    throw_error(fmt::format("could start only {} of {} threads ({}); ask for fewer", started,
                            threads, error.what()));
  }
}

ThreadPool::~ThreadPool() {
  if (state_) stop();
}

void ThreadPool::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->posted.fetch_add(1, std::memory_order_release);
  }
  state_->wake.notify_all();
  for (auto& thread : state_->workers) thread.join();
}

void ThreadPool::worker() {
  State& s = *state_;
  uint64_t seen = 0;
  std::unique_lock lock(s.mutex);
  while (!s.stop) {
    const auto job = std::find_if(s.jobs.begin(), s.jobs.end(), [](Job* j) { return j->open(); });
    if (job != s.jobs.end()) {
      Job& j = **job;
      j.helpers.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      j.work();
      lock.lock();
      if (j.helpers.fetch_sub(1, std::memory_order_release) == 1) s.finished.notify_all();
      continue;
    }
    seen = s.posted.load(std::memory_order_relaxed);
    lock.unlock();
    const auto changed = [&] { return s.posted.load(std::memory_order_acquire) != seen; };
    const bool found = spin(changed);
    lock.lock();
    if (!found) s.wake.wait(lock, changed);
  }
}

void ThreadPool::run(int64_t n, int64_t grain, Body body, const void* fn) {
  CAIRN_ASSERT(grain >= 1);
  State& s = *state_;
  Job job{n, grain, body, fn};
  const auto self = std::this_thread::get_id();
  {
    std::unique_lock lock(s.mutex);
    const bool nested =
        std::any_of(s.workers.begin(), s.workers.end(),
                    [&](const std::thread& t) { return t.get_id() == self; }) ||
        std::any_of(s.jobs.begin(), s.jobs.end(), [&](Job* j) { return j->caller == self; });
    if (nested) {
      lock.unlock();
      for (int64_t begin = 0; begin < n; begin += grain)
        body(fn, begin, n - begin < grain ? n : begin + grain);
      return;
    }
    s.jobs.push_back(&job);
    s.posted.fetch_add(1, std::memory_order_release);
  }
  s.wake.notify_all();
  job.work();
  const auto alone = [&] { return job.helpers.load(std::memory_order_acquire) == 0; };
  {
    std::lock_guard lock(s.mutex);
    std::erase(s.jobs, &job);
  }
  spin(alone);
  {
    // The last helper changes the count under the mutex and touches the job no more after that.
    std::unique_lock lock(s.mutex);
    s.finished.wait(lock, alone);
  }
  if (job.error) std::rethrow_exception(job.error);
}

int physical_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0)
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    // The list of hardware threads names the core; a machine that hides it has one thread a core.
    std::string siblings;
    std::ifstream file(
        fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    if (!std::getline(file, siblings)) siblings = fmt::format("cpu{}", cpu);
    cores.insert(siblings);
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

}  // namespace cairn
