#include "apps/cairn/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/base/environment.h"

namespace cairn::app {
namespace {

// Between two measured points, straight over the logarithm of the working set.
Roofs::Point point_at(const std::vector<Roofs::Point>& curve, double bytes) {
  const auto next = std::find_if(curve.begin(), curve.end(),
                                 [&](const Roofs::Point& p) { return p.bytes >= bytes; });
  if (next == curve.begin()) return curve.front();
  if (next == curve.end()) return curve.back();
  const Roofs::Point &a = *(next - 1), &b = *next;
  const double t = std::log(bytes / a.bytes) / std::log(b.bytes / a.bytes);
  return {bytes, std::lerp(a.read, b.read, t), std::lerp(a.copy, b.copy, t)};
}

}  // namespace

std::vector<CacheInfo> data_caches(const MachineInfo& machine) {
  std::vector<CacheInfo> caches;
  for (const CacheInfo& cache : machine.caches)
    if (cache.kind != "instruction" && cache.bytes > 0) caches.push_back(cache);
  std::sort(caches.begin(), caches.end(),
            [](const CacheInfo& a, const CacheInfo& b) { return a.bytes < b.bytes; });
  return caches;
}

uint64_t room_in(const CacheInfo& cache, int threads) {
  const bool shared = cache.shared_by > 1 || cache.level > 2;
  return cache.bytes * static_cast<uint64_t>(shared ? 1 : threads);
}

uint64_t memory_working_set(const MachineInfo& machine) {
  const auto caches = data_caches(machine);
  const uint64_t largest = caches.empty() ? uint64_t{32} << 20 : caches.back().bytes;
  const uint64_t wanted = std::clamp(4 * largest, uint64_t{256} << 20, uint64_t{2} << 30);
  return std::max(std::min(wanted, machine.memory_available_bytes / 8), uint64_t{32} << 20);
}

Roofs measure_roofs(const MachineInfo& machine, ThreadPool& pool, double seconds) {
  const CpuTarget target = choose_cpu_target(read_environment().target);
  const uint64_t last = memory_working_set(machine);
  std::vector<uint64_t> sizes;
  for (uint64_t bytes = uint64_t{16} << 10; bytes < last; bytes *= 2) sizes.push_back(bytes);
  sizes.push_back(last);
  const double share = seconds / static_cast<double>(6 + 2 * sizes.size());

  Roofs roofs;
  roofs.threads = pool.threads();
  roofs.f32 = measure_flops(target, true, Arithmetic::f32, pool, 2 * share);
  if (can_measure(target, true, Arithmetic::bf16))
    roofs.bf16 = measure_flops(target, true, Arithmetic::bf16, pool, 2 * share);
  if (can_measure(target, true, Arithmetic::i8))
    roofs.i8 = measure_flops(target, true, Arithmetic::i8, pool, 2 * share);
  for (const uint64_t bytes : sizes) {
    const auto bandwidth = [&](Traffic traffic) {
      return measure_bandwidth(traffic, target, bytes, pool, share);
    };
    const double read = bandwidth(Traffic::read);
    roofs.curve.push_back({static_cast<double>(bytes), read, bandwidth(Traffic::copy)});
  }
  for (const CacheInfo& cache : data_caches(machine)) {
    const uint64_t room = room_in(cache, pool.threads());
    const Roofs::Point half = point_at(roofs.curve, static_cast<double>(room) / 2);
    roofs.places.push_back({fmt::format("L{}", cache.level), room, half.read, half.copy});
  }
  roofs.places.push_back({"DRAM", UINT64_MAX, roofs.curve.back().read, roofs.curve.back().copy});
  return roofs;
}

Limit limit_of(const Roofs& roofs, const Work& work) {
  const Roofs::Point point = point_at(roofs.curve, work.bytes());
  // What is mostly read meets the bandwidth of reading.
  const double moving = work.bytes() / (4 * work.written < work.bytes() ? point.read : point.copy);
  const double narrow = work.dtype == DType::bf16 ? roofs.bf16
                        : work.dtype == DType::i8 ? roofs.i8
                                                  : 0;
  const double computing = work.flops / (narrow > 0 ? narrow : roofs.f32);
  if (computing >= moving)
    return {computing, fmt::format("{} peak", name(narrow > 0 ? work.dtype : DType::f32))};
  const auto place =
      std::find_if(roofs.places.begin(), roofs.places.end() - 1,
                   [&](const Place& p) { return work.bytes() <= static_cast<double>(p.bytes); });
  return {moving, place->name};
}

plot::Chart roofline(const Roofs& roofs) {
  plot::Chart chart;
  chart.title = "Roofline: what an operation can reach";
  chart.x_label = "FLOP per byte moved";
  chart.y_label = "GFLOP/s";
  chart.log_x = chart.log_y = true;
  const auto roof = [&](const std::string& label, const Place& place, double top) {
    plot::Series series;
    series.label = label;
    for (double exponent = -6; exponent <= 11; exponent += 0.125) {
      const double x = std::exp2(exponent);
      series.xs.push_back(x);
      series.ys.push_back(std::min(std::max(place.read, place.copy) * x, top) * 1e-9);
    }
    chart.series.push_back(std::move(series));
  };
  const Place& memory = roofs.places.back();
  roof("f32 from " + memory.name, memory, roofs.f32);
  for (auto place = roofs.places.rbegin() + 1; place != roofs.places.rend(); ++place)
    roof("from " + place->name, *place, roofs.f32);
  if (roofs.bf16 > 0) roof("bf16 from " + memory.name, memory, roofs.bf16);
  if (roofs.f64 > 0) roof("f64 from " + memory.name, memory, roofs.f64);
  return chart;
}

}  // namespace cairn::app
