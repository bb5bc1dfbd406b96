#include "cairn/llm/block_pool.h"

#include <algorithm>
#include <functional>

#include "cairn/base/error.h"

namespace cairn {

BlockPool::BlockPool(int64_t count) : users_(static_cast<size_t>(count) + 1) {
  for (int64_t b = 1; b <= count; ++b) free_.push_back(static_cast<int32_t>(b));
}

int32_t BlockPool::take() {
  CAIRN_ASSERT(!free_.empty());
  std::ranges::pop_heap(free_, std::greater());
  const int32_t block = free_.back();
  free_.pop_back();
  users(block) = 1;
  return block;
}

void BlockPool::release(int32_t block) {
  CAIRN_ASSERT(users(block) > 0);
  if (--users(block) > 0) return;
  free_.push_back(block);
  std::ranges::push_heap(free_, std::greater());
}

}  // namespace cairn
