#include "cairn/base/aligned.h"

#include <cstdint>
#include <cstdlib>

namespace cairn {
namespace {

constexpr size_t kAlignment = 64;

// What malloc gave, in front of the data: its blocks are aligned to 16, so there is room.
void*& block_of(void* data) { return static_cast<void**>(data)[-1]; }

}  // namespace

void* allocate_aligned(size_t bytes) {
  if (bytes > SIZE_MAX - kAlignment) return nullptr;
  void* block = std::malloc(bytes + kAlignment);
  if (!block) return nullptr;
  const uintptr_t past = reinterpret_cast<uintptr_t>(block) % kAlignment;
  void* data = static_cast<char*>(block) + (kAlignment - past);
  block_of(data) = block;
  return data;
}

void free_aligned(void* data) {
  if (data) std::free(block_of(data));
}

}  // namespace cairn
