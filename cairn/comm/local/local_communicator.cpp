#include "cairn/comm/local/local_communicator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "cairn/base/error.h"
#include "cairn/comm/local/meeting.h"
#include "cairn/comm/local/reduction.h"

namespace cairn {
namespace {

using local::Meeting;
using local::Offer;

// More threads than that are a mistake.
constexpr int64_t kMaxRanks = 4096;

// memcpy of nothing may be given null pointers.
void copy(void* to, const void* from, size_t bytes) {
  if (bytes != 0 && to != from) std::memcpy(to, from, bytes);
}

const char* at(const void* data, size_t offset) { return static_cast<const char*>(data) + offset; }
char* at(void* data, size_t offset) { return static_cast<char*>(data) + offset; }

std::string_view name(ReduceKind kind) {
  return kind == ReduceKind::sum ? "sum" : kind == ReduceKind::max ? "max" : "min";
}

void check_numbers(std::string_view operation, int64_t elements, DType dtype) {
  if (elements < 0)
    throw_error(fmt::format("[{}] {} is not a number of elements", operation, elements));
  if (!local::is_reducible(dtype))
    throw_error(fmt::format("[{}] takes numbers, not {}", operation, name(dtype)));
}

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(int rank, std::shared_ptr<Meeting> meeting)
      : rank_(rank), meeting_(std::move(meeting)) {}
  ~LocalCommunicator() override { meeting_->give_up(rank_, "has ended: its communicator is gone"); }

  int rank() const override { return rank_; }
  int size() const override { return meeting_->size(); }

  void all_reduce(const void* in, void* out, int64_t elements, DType dtype,
                  ReduceKind kind) override {
    check_numbers("all_reduce", elements, dtype);
    const size_t bytes = static_cast<size_t>(elements) * size_of(dtype);
    const auto offers = meeting_->arrive(
        rank_, {.call = fmt::format("all_reduce ({}) of {} {}", name(kind), elements, name(dtype)),
                .data = in,
                .shared_bytes = bytes});
    // Where rank r's part ends. Written to memory of nobody, because `out` may be an `in`.
    const auto end = [&](int r) { return elements / size() * r + elements % size() * r / size(); };
    local::reduce_ranks(data_of(offers), meeting_->shared(), end(rank_), end(rank_ + 1), dtype,
                        kind);
    meeting_->leave();
    copy(out, meeting_->shared(), bytes);
  }

  void all_gather(const void* in, void* out, size_t bytes) override {
    const auto offers =
        meeting_->arrive(rank_, {.call = fmt::format("all_gather of {} bytes", bytes), .data = in});
    for (size_t r = 0; r < offers.size(); ++r) copy(at(out, r * bytes), offers[r].data, bytes);
    meeting_->leave();
  }

  void reduce_scatter(const void* in, void* out, int64_t elements, DType dtype) override {
    check_numbers("reduce_scatter", elements, dtype);
    const auto offers = meeting_->arrive(
        rank_, {.call = fmt::format("reduce_scatter of {} {}", elements, name(dtype)), .data = in});
    std::vector<const void*> blocks = data_of(offers);
    for (const void*& block : blocks)
      block =
          at(block, static_cast<size_t>(rank_) * static_cast<size_t>(elements) * size_of(dtype));
    local::reduce_ranks(blocks, out, 0, elements, dtype, ReduceKind::sum);
    meeting_->leave();
  }

  void all_to_all(const void* in, void* out, size_t bytes) override {
    const auto offers =
        meeting_->arrive(rank_, {.call = fmt::format("all_to_all of {} bytes", bytes), .data = in});
    for (size_t r = 0; r < offers.size(); ++r)
      copy(at(out, r * bytes), at(offers[r].data, static_cast<size_t>(rank_) * bytes), bytes);
    meeting_->leave();
  }

  void permute(const void* in, void* out, size_t bytes, std::span<const int32_t> to) override {
    check_destinations(to);
    const auto offers = meeting_->arrive(
        rank_, {.call = fmt::format("permute of {} bytes to [{}]", bytes, fmt::join(to, ", ")),
                .data = in});
    bool received = false;
    for (size_t r = 0; r < offers.size(); ++r) {
      if (to[r] != rank_) continue;
      copy(out, offers[r].data, bytes);
      received = true;
    }
    if (!received && bytes != 0) std::memset(out, 0, bytes);
    meeting_->leave();
  }

  void barrier() override {
    meeting_->arrive(rank_, {.call = "barrier"});
    meeting_->leave();
  }

  void check_equal(uint64_t value, std::string_view what) override {
    const auto offers =
        meeting_->arrive(rank_, {.call = fmt::format("check_equal of '{}'", what), .value = value});
    std::string difference;
    for (size_t r = 1; r < offers.size() && difference.empty(); ++r)
      if (offers[r].value != offers[0].value)
        difference = fmt::format("[check_equal] {} differs: {:#x} on rank 0, {:#x} on rank {}",
                                 what, offers[0].value, offers[r].value, r);
    meeting_->leave();
    if (!difference.empty()) throw_error(std::move(difference));
  }

  void fail(std::string_view reason) {
    meeting_->give_up(rank_, fmt::format("failed: {}", reason));
  }

 private:
  static std::vector<const void*> data_of(std::span<const Offer> offers) {
    std::vector<const void*> data;
    for (const Offer& offer : offers) data.push_back(offer.data);
    return data;
  }

  void check_destinations(std::span<const int32_t> to) const {
    const auto invalid = [&](std::string_view why) {
      throw_error(fmt::format("[permute] destinations [{}] {}", fmt::join(to, ", "), why));
    };
    if (static_cast<int64_t>(to.size()) != size())
      invalid(fmt::format("are not one per rank of {}", size()));
    std::vector<bool> taken(to.size());
    for (const int32_t r : to) {
      if (r == -1) continue;
      if (r < 0 || r >= size()) invalid(fmt::format("name rank {}; there are {}", r, size()));
      if (taken[static_cast<size_t>(r)]) invalid(fmt::format("send to rank {} twice", r));
      taken[static_cast<size_t>(r)] = true;
    }
  }

  const int rank_;
  const std::shared_ptr<Meeting> meeting_;
};

std::vector<std::shared_ptr<Communicator>> make_communicators(int ranks, const std::string& axis,
                                                              double deadline_seconds) {
  if (ranks < 1 || ranks > kMaxRanks)
    throw_error(fmt::format("[make_local_communicators] {} is not a number of ranks (1 to {})",
                            ranks, kMaxRanks));
  // 1e9 s are 30 years, and fit the clock.
  if (!(deadline_seconds > 0 && deadline_seconds <= 1e9))
    throw_error(
        fmt::format("[make_local_communicators] the deadline {} s is not between 0 and 1e9 s",
                    deadline_seconds));
  const auto meeting = std::make_shared<Meeting>(ranks, axis, deadline_seconds);
  std::vector<std::shared_ptr<Communicator>> communicators;
  for (int r = 0; r < ranks; ++r)
    communicators.push_back(std::make_shared<LocalCommunicator>(r, meeting));
  return communicators;
}

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace

std::vector<std::shared_ptr<Communicator>> make_local_communicators(int ranks,
                                                                    double deadline_seconds) {
  return make_communicators(ranks, {}, deadline_seconds);
}

void mark_failed(Communicator& local, std::string_view reason) {
  auto* communicator = dynamic_cast<LocalCommunicator*>(&local);
  if (communicator == nullptr)
    throw_error(
        "[mark_failed] takes a communicator of make_local_communicators or make_local_mesh");
  communicator->fail(reason);
}

std::vector<LocalMesh> make_local_mesh(std::span<const LocalMeshAxis> axes,
                                       double deadline_seconds) {
  int64_t ranks = 1;
  for (const LocalMeshAxis& axis : axes) {
    if (axis.size < 1 || (ranks *= axis.size) > kMaxRanks)
      throw_error(fmt::format("[make_local_mesh] axis '{}' of {} ranks: a mesh has 1 to {} ranks",
                              axis.name, axis.size, kMaxRanks));
  }
  std::vector<LocalMesh> meshes(static_cast<size_t>(ranks));
  int64_t stride = ranks;  // between neighbours along the axis before
  for (const LocalMeshAxis& axis : axes) {
    const int64_t outer = stride;
    stride /= axis.size;
    for (int64_t first = 0; first < ranks; ++first) {
      if (first % outer >= stride) continue;  // not the first along this axis
      const auto along = make_communicators(axis.size, axis.name, deadline_seconds);
      for (int64_t i = 0; i < axis.size; ++i)
        if (!meshes[static_cast<size_t>(first + i * stride)]
                 .emplace(axis.name, along[static_cast<size_t>(i)])
                 .second)
          throw_error(fmt::format("[make_local_mesh] axis '{}' is named twice", axis.name));
    }
  }
  return meshes;
}

void run_ranks(std::span<const LocalMesh> meshes, const std::function<void(int)>& body) {
  std::mutex mutex;
  std::exception_ptr first;
  const auto failed = [&](size_t rank, const std::exception_ptr& error) {
    {
      const std::scoped_lock lock(mutex);
      if (!first) first = error;
    }
    for (const auto& [axis, communicator] : meshes[rank])
      mark_failed(*communicator, text_of(error));
  };
  {
    std::vector<std::jthread> threads;
    for (size_t r = 0; r < meshes.size(); ++r) {
      try {
        threads.emplace_back([&, r] {
          try {
            body(static_cast<int>(r));
          } catch (...) {
            failed(r, std::current_exception());
          }
        });
      } catch (...) {  // no thread to be had
        failed(r, std::current_exception());
      }
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace cairn
