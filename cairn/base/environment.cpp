#include "cairn/base/environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

#include "cairn/base/error.h"

namespace cairn {
namespace {

std::optional<std::string> get(const char* variable) {
  const char* value = std::getenv(variable);
  if (!value || !*value) return std::nullopt;
  return value;
}

std::optional<std::string> one_of(const char* variable,
                                  std::initializer_list<std::string_view> allowed) {
  auto value = get(variable);
  if (value && std::find(allowed.begin(), allowed.end(), *value) == allowed.end())
    throw_error(fmt::format("{}={} is not known; use one of: {}", variable, *value,
                            fmt::join(allowed, ", ")));
  return value;
}

}  // namespace

Environment read_environment() {
  Environment env;
  if (auto cache = get("CAIRN_CACHE")) {
    env.cache_directory = *cache;
  } else if (auto xdg = get("XDG_CACHE_HOME")) {
    env.cache_directory = *xdg + "/cairn";
  } else {
    env.cache_directory = get("HOME").value_or("/tmp") + "/.cache/cairn";
  }
  if (auto threads = get("CAIRN_THREADS")) {
    char* end = nullptr;
    const long n = std::strtol(threads->c_str(), &end, 10);
    if (*end || n < 1 || n > 4096)
      throw_error(
          fmt::format("CAIRN_THREADS={} is not a number of threads from 1 to 4096", *threads));
    env.threads = static_cast<int>(n);
  }
  env.device = one_of("CAIRN_DEVICE", {"cpu", "ref", "null"});
  env.target = one_of("CAIRN_TARGET", {"baseline", "avx2", "avx512"});
  env.perf_map = one_of("CAIRN_PERF_MAP", {"0", "1"}) == "1";
  env.fuse = one_of("CAIRN_FUSE", {"0", "1"}) != "0";
  env.odd_tiles = one_of("CAIRN_TILES", {"usual", "odd"}) == "odd";
  if (auto tune = get("CAIRN_TUNE")) {
    char* end = nullptr;
    env.tune_seconds = std::strtod(tune->c_str(), &end);
    if (*end || !(env.tune_seconds >= 0 && env.tune_seconds <= 1e6))
      throw_error(fmt::format("CAIRN_TUNE={} is not a number of seconds from 0 to 1e6", *tune));
  }
  env.log = one_of("CAIRN_LOG", {"error", "warning", "info", "debug"});
  env.peer_python = get("CAIRN_PEER_PYTHON");
  env.peer_llama = get("CAIRN_PEER_LLAMA");
  env.hub_endpoint = get("HF_ENDPOINT");
  env.hub_token = get("HF_TOKEN");
  env.ca_file = get("SSL_CERT_FILE");
  return env;
}

}  // namespace cairn
