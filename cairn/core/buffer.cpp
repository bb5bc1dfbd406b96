#include "cairn/core/buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "cairn/base/aligned.h"

namespace cairn {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr bool is_huge(size_t size) { return size >= 2 * kHugePage; }

// Null without memory.
void* new_block(size_t size) {
  if (!is_huge(size)) return allocate_aligned(size);
  void* data = nullptr;
  if (posix_memalign(&data, kHugePage, size)) return nullptr;
  madvise(data, size, MADV_HUGEPAGE);
  return data;
}
void free_block(void* data, size_t size) {
  if (is_huge(size))
    std::free(data);
  else
    free_aligned(data);
}

}  // namespace

void HostAllocator::State::count(size_t bytes) {
  const size_t now = in_use.fetch_add(bytes) + bytes;
  size_t known = peak.load();
  while (now > known && !peak.compare_exchange_weak(known, now)) {
  }
}

void* HostAllocator::State::take(size_t bytes) {
  const std::lock_guard lock(mutex);
  const auto last = std::find_if(kept.rbegin(), kept.rend(),
                                 [&](const Block& block) { return block.bytes == bytes; });
  if (last == kept.rend()) return nullptr;
  void* data = last->data;
  kept.erase(std::next(last).base());
  kept_bytes -= bytes;
  return data;
}

void HostAllocator::State::give_back(void* data, size_t bytes) {
  const size_t others = in_use.fetch_sub(bytes) - bytes;
  if (is_huge(bytes)) {
    const std::lock_guard lock(mutex);
    if (keeps && others + kept_bytes + bytes <= peak.load()) {
      kept.push_back({data, bytes});
      kept_bytes += bytes;
      return;
    }
  }
  free_block(data, bytes);
}

void HostAllocator::State::drop(size_t most) {
  size_t count = 0;
  for (; kept_bytes > most; ++count) {
    std::free(kept[count].data);
    kept_bytes -= kept[count].bytes;
  }
  kept.erase(kept.begin(), kept.begin() + static_cast<ptrdiff_t>(count));
}

HostAllocator::~HostAllocator() {
  const std::lock_guard lock(state_->mutex);
  state_->keeps = false;
  state_->drop(0);
}

void HostAllocator::reset_peak() {
  const std::lock_guard lock(state_->mutex);
  state_->peak.store(state_->in_use.load());
  state_->drop(0);
}

size_t HostAllocator::kept_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->kept_bytes;
}

std::shared_ptr<Buffer> HostAllocator::allocate(size_t bytes) {
  const size_t size = round_up_to_alignment(bytes);
  void* data = is_huge(size) ? state_->take(size) : nullptr;
  const bool is_new = !data;
  if (is_new) data = new_block(size);
  if (!data) {
    const std::lock_guard lock(state_->mutex);
    state_->drop(0);
    data = new_block(size);
  }
  if (!data)
    throw_error(
        fmt::format("out of memory: {} bytes could not be allocated; use a smaller batch, "
                    "a shorter context or a smaller type",
                    size));
  state_->count(size);
  if (is_new && is_huge(size)) {
    const std::lock_guard lock(state_->mutex);
    const size_t peak = state_->peak.load(), in_use = state_->in_use.load();
    state_->drop(peak - std::min(peak, in_use));
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->data = data;
  buffer->bytes = bytes;
  buffer->owner =
      std::shared_ptr<void>(data, [state = state_, size](void* p) { state->give_back(p, size); });
  return buffer;
}

}  // namespace cairn
