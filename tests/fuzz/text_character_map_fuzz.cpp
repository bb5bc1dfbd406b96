#include "cairn/text/character_map.h"

#include "tests/fuzz/text_touch.h"

// The input is a precompiled_charsmap; it maps some texts, itself among them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::string_view input = fuzz::view(data, size);
  const auto map = fuzz::unless_refused([&] { return text::CharacterMap(input); });
  if (!map) return 0;
  for (const std::string_view text :
       {std::string_view("\xEF\xBC\xA1 e\xCC\x81\t\xEF\xAC\x81 x"), input}) {
    (void)map->map_clusters(text);
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(1)) {
      const auto match = map->longest(rest);
      CAIRN_ASSERT(match.size <= rest.size() && map->shortest(rest).size <= match.size);
    }
  }
  return 0;
}
