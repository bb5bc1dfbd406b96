// What `cairn bench ops` compares with: libraries and frameworks that may or may not be on this
// machine. Nothing of cairn depends on them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "apps/cairn/bench_cases.h"
#include "apps/cairn/session.h"
#include "cairn/core/host_array.h"

namespace cairn::app {

// Seconds of a call: the median of those that fit into `seconds`. The first one fetches operands
// into the caches again and is left out, unless it alone takes longer: then it is the measurement.
double timed_turn(const std::function<void()>& call, double seconds);

class Peer {
 public:
  virtual ~Peer() = default;
  virtual std::string version() const = 0;  // "OpenBLAS 0.3.21"
  // Makes the work ready to be measured; says why where that cannot be. `inputs`: our operands, in
  // the graph's order; `result`: what we made of them.
  virtual std::string prepare(const BenchCase& work, std::span<const HostArray> inputs,
                              const HostArray& result) = 0;
  // timed_turn of what was prepared. Throws Error when the peer failed.
  virtual double turn(double seconds) = 0;
};

struct NamedPeer {
  std::string name;
  std::unique_ptr<Peer> peer;  // null: not on this machine
  std::string absent = {};     // why not
};

const std::vector<std::string>& peer_names();  // openblas, onednn, torch, jax
NamedPeer open_peer(const std::string& name, int threads, Session& session);

// Throw Error, saying why, where there is none.
std::unique_ptr<Peer> open_openblas(int threads);
std::unique_ptr<Peer> open_onednn(int threads);
// A script of bench/peers in the Python of CAIRN_PEER_PYTHON, which answers a line per request.
std::unique_ptr<Peer> open_python_peer(const std::string& script, int threads, Session& session);

}  // namespace cairn::app
