#include "cairn/base/error.h"
#include "cairn/io/hub.h"

// What a server says of a model's files: no path leaves the folder.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto listing =
      io::parse_hub_listing(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!listing) return 0;
  for (const io::HubFile& file : listing.value().files) {
    CAIRN_ASSERT(!file.path.empty() && file.path[0] != '/');
    CAIRN_ASSERT(("/" + file.path + "/").find("/../") == std::string::npos);
  }
  (void)io::choose_hub_files(listing.value(), {});
  return 0;
}
