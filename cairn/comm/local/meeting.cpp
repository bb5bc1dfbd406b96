#include "cairn/comm/local/meeting.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "cairn/base/error.h"

namespace cairn::local {

Meeting::Meeting(int ranks, std::string axis, double deadline_seconds)
    : axis_(std::move(axis)),
      deadline_seconds_(deadline_seconds),
      offers_(static_cast<size_t>(ranks)),
      arrived_(static_cast<size_t>(ranks)) {}

void Meeting::fail(std::string why) {
  if (failure_.empty()) failure_ = std::move(why);
  changed_.notify_all();
}

void Meeting::throw_failure(std::string_view call) const {
  const std::string_view operation = call.substr(0, call.find(' '));
  throw_error(axis_.empty() ? fmt::format("[{}] {}", operation, failure_)
                            : fmt::format("[{} over '{}'] {}", operation, axis_, failure_));
}

std::string Meeting::missing() const {
  std::vector<size_t> ranks;
  for (size_t r = 0; r < arrived_.size(); ++r)
    if (!arrived_[r]) ranks.push_back(r);
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(ranks, ", "));
}

std::span<const Offer> Meeting::arrive(int rank, Offer offer) {
  std::unique_lock lock(mutex_);
  if (!failure_.empty()) throw_failure(offer.call);
  const auto own = static_cast<size_t>(rank);
  CAIRN_ASSERT(!arrived_[own]);
  const auto first = std::find(arrived_.begin(), arrived_.end(), true);
  if (first != arrived_.end()) {
    const auto other = static_cast<size_t>(first - arrived_.begin());
    if (offers_[other].call != offer.call) {
      fail(fmt::format(
          "rank {} called {}, rank {} {}; all ranks must call the same operations in the same "
          "order with the same sizes",
          rank, offer.call, other, offers_[other].call));
      throw_failure(offer.call);
    }
  }
  const bool complete = waiting_ + 1 == size();
  // The others wait, so nobody looks at what the last operation shared.
  if (complete && offer.shared_bytes > shared_.size()) shared_.resize(offer.shared_bytes);
  offers_[own] = std::move(offer);
  arrived_[own] = true;
  ++waiting_;
  if (complete) {
    waiting_ = 0;
    std::fill(arrived_.begin(), arrived_.end(), false);
    ++meetings_;
    changed_.notify_all();
    return offers_;
  }
  const uint64_t before = meetings_;
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                            std::chrono::duration<double>(deadline_seconds_));
  const bool told =
      changed_.wait_until(lock, deadline, [&] { return meetings_ != before || !failure_.empty(); });
  // A meeting that took place counts, even when a rank has failed since.
  if (meetings_ != before) return offers_;
  if (!told)
    fail(fmt::format("{} did not arrive at {} within {} s", missing(), offers_[own].call,
                     deadline_seconds_));
  throw_failure(offers_[own].call);
}

void Meeting::leave() {
  std::unique_lock lock(mutex_);
  if (++leaving_ == size()) {
    leaving_ = 0;
    ++partings_;
    changed_.notify_all();
    return;
  }
  const uint64_t before = partings_;
  changed_.wait(lock, [&] { return partings_ != before; });
}

void Meeting::give_up(int rank, std::string_view why) {
  const std::scoped_lock lock(mutex_);
  fail(fmt::format("rank {} {}", rank, why));
}

}  // namespace cairn::local
