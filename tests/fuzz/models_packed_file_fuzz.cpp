// A file of packed weights: its header. The checksum is made to fit in every other try, as no
// mutation would.
#include <cstring>
#define XXH_INLINE_ALL  // the library is not linked
#include <xxhash.h>

#include "cairn/models/packed_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const bool fits : {false, true}) {
    uint64_t header = 0;
    if (fits && size >= 24) {
      std::memcpy(&header, bytes.data() + 8, sizeof header);
      if (header > size - 24) header = size - 24;
      const uint64_t checksum = XXH3_64bits(bytes.data() + 24, header);
      std::memcpy(bytes.data() + 8, &header, sizeof header);
      std::memcpy(bytes.data() + 16, &checksum, sizeof checksum);
    }
    const auto file = PackedFile::parse(SharedBytes(bytes), "fuzz.packed");
    if (!file) continue;
    for (const char* name : {"a", "tokens.weight"})
      if (const PackedTensor* tensor = file.value().find(name)) {
        CAIRN_ASSERT(tensor->type.bytes() == tensor->bytes.size());
        unsigned sum = 0;
        for (const std::byte byte : tensor->bytes.bytes()) sum += static_cast<unsigned>(byte);
        volatile unsigned keep = sum;
        (void)keep;
      }
  }
  return 0;
}
