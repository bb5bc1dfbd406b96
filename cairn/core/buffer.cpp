#include "cairn/core/buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>

namespace cairn {

std::shared_ptr<Buffer> HostAllocator::allocate(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const size_t size = round_up_to_alignment(bytes);
  const bool huge = size >= 2 * kHugePage;
  void* data = nullptr;
  if (posix_memalign(&data, huge ? kHugePage : kBufferAlignment, size ? size : kBufferAlignment))
    throw_error(
        fmt::format("out of memory: {} bytes could not be allocated; use a smaller batch, "
                    "a shorter context or a smaller type",
                    size));
  if (huge) madvise(data, size, MADV_HUGEPAGE);
  const size_t now = counters_->in_use.fetch_add(size) + size;
  size_t peak = counters_->peak.load();
  while (now > peak && !counters_->peak.compare_exchange_weak(peak, now)) {
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->data = data;
  buffer->bytes = bytes;
  buffer->owner = std::shared_ptr<void>(data, [counters = counters_, size](void* p) {
    counters->in_use.fetch_sub(size);
    std::free(p);
  });
  return buffer;
}

}  // namespace cairn
