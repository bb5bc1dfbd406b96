#include "apps/cairn/bench_peers.h"

#include <fmt/format.h>

#include "apps/cairn/median.h"
#include "cairn/base/clock.h"
#include "cairn/base/error.h"

namespace cairn::app {

double timed_turn(const std::function<void()>& call, double seconds) {
  const double start = monotonic_seconds();
  call();
  double now = monotonic_seconds();
  if (now - start > seconds) return now - start;
  std::vector<double> times;
  for (const double end = now + seconds; now < end || times.empty();) {
    const double begin = now;
    call();
    now = monotonic_seconds();
    times.push_back(now - begin);
  }
  return median(std::move(times));
}

const std::vector<std::string>& peer_names() {
  static const std::vector<std::string> names = {"openblas", "onednn", "torch", "jax"};
  return names;
}

NamedPeer open_peer(const std::string& name, int threads, Session& session) {
  try {
    if (name == "openblas") return {name, open_openblas(threads)};
    if (name == "onednn") return {name, open_onednn(threads)};
    return {name, open_python_peer(name + "_ops.py", threads, session)};
  } catch (const Error& error) {
    return {name, nullptr, error.what()};
  }
}

}  // namespace cairn::app
