// Meeting: where the ranks of one local communicator come together. Not part of the interface.
//
//   std::span<const Offer> all = meeting.arrive(rank, offer);  // everyone has called the same
//   thing
//   ... read what the others offer ...
//   meeting.leave();                                           // nobody reads any more
//
// arrive is the only place that fails: what follows is copying, which cannot, so nobody waits in
// leave for a rank that will not come.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::local {

// What a rank brings along.
struct Offer {
  // The operation with its sizes in words. Equal words are the same call.
  std::string call;
  const void* data = nullptr;
  uint64_t value = 0;
  // Bytes of memory shared by the ranks from arrive to the next operation's arrive.
  size_t shared_bytes = 0;
};

class Meeting {
 public:
  // `axis`, when not empty, is named in errors.
  Meeting(int ranks, std::string axis, double deadline_seconds);

  int size() const { return static_cast<int>(offers_.size()); }
  // Waits until all have arrived; the offers of all, which stay until leave. Throws Error.
  std::span<const Offer> arrive(int rank, Offer offer);
  void leave();
  // That `rank` will not arrive any more; everyone who waits is told, and everyone later.
  void give_up(int rank, std::string_view why);
  char* shared() { return shared_.data(); }

 private:
  void fail(std::string why);
  [[noreturn]] void throw_failure(std::string_view call) const;
  std::string missing() const;

  const std::string axis_;
  const double deadline_seconds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Offer> offers_;
  std::vector<bool> arrived_;
  int waiting_ = 0;        // ranks in arrive
  int leaving_ = 0;        // ranks in leave
  uint64_t meetings_ = 0;  // completed arrivals
  uint64_t partings_ = 0;  // completed departures
  std::string failure_;    // the first; final
  std::vector<char> shared_;
};

}  // namespace cairn::local
