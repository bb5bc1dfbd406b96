#include "apps/cairn/json.h"

#include <fmt/format.h>

#include "cairn/base/file.h"

namespace cairn::app {

void print_json(Output& out, const Json& object) {
  out.line(object.dump(-1, ' ', false, Json::error_handler_t::replace));
  out.flush();
}

Json read_json(const std::string& path, uint64_t limit) {
  constexpr int kDeepest = 200;
  const std::string text = read_file(path, limit).value();
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest) too_deep = true;
    return !too_deep;
  };
  try {
    Json json = Json::parse(text, watch);
    if (too_deep)
      throw_error(fmt::format("cannot read '{}': it nests more than {} deep", path, kDeepest));
    return json;
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    std::string what = error.what();
    if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    throw_error(fmt::format("cannot read '{}' as JSON: {}", path, what));
  }
}

}  // namespace cairn::app
