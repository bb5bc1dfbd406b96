// Configurations. What is accepted makes sense, and its text is read back as the same
// configuration. After a NUL byte come assignments as --set gives them, a line each.
#include <cstdint>
#include <string_view>

#include "cairn/train/config.h"
#include "cairn/train/run_setup.h"

namespace {

void touch(const cairn::TrainConfig& config) {
  using namespace cairn;
  CAIRN_ASSERT(check(config).ok());
  const std::string text = to_toml(config);
  const auto again = parse_config(text);
  CAIRN_ASSERT(again.ok());
  CAIRN_ASSERT(to_toml(again.value()) == text);
  CAIRN_ASSERT(resume_differences(config, again.value()).empty());
  (void)step_options(config);
  (void)optimizer_config(config);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const auto parsed = parse_config(input.substr(0, end), "folder");
  if (parsed) touch(parsed.value());
  TrainConfig config = parsed ? parsed.value() : TrainConfig{};
  for (std::string_view rest = input.substr(std::min(end + 1, size)); !rest.empty();) {
    const size_t line = std::min(rest.find('\n'), rest.size());
    TrainConfig changed = config;
    if (set_field(changed, rest.substr(0, line))) {
      touch(changed);
      config = changed;
    }
    rest.remove_prefix(std::min(line + 1, rest.size()));
  }
  return 0;
}
