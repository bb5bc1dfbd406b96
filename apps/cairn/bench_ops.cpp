// cairn bench ops: operations beside those of others, in turns, and against what the machine can
// do at most.
//
// Each case is a graph that is planned once and replayed. We and the peers take turns of about
// 50 ms, so that what else happens on the machine meets all alike, and the median of the turns
// counts. Before a turn the threads of the last one must have gone to sleep.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <thread>

#include "apps/cairn/arrays.h"
#include "apps/cairn/bench_commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/kernel_commands.h"
#include "apps/cairn/median.h"
#include "cairn/base/clock.h"
#include "cairn/base/error.h"
#include "cairn/base/file.h"
#include "cairn/base/names.h"
#include "cairn/base/philox.h"
#include "cairn/compiler/hoist.h"
#include "cairn/core/block_format.h"
#include "cairn/runtime/kept_values.h"

namespace cairn::app {
namespace {

constexpr double kTurnSeconds = 0.05;
constexpr double kProbeSeconds = 1.5;

struct Options {
  std::optional<std::string> filter, peers, html;
  int64_t repeat = 5;
};

std::vector<BenchCase> choose_cases(const std::optional<std::string>& filter) {
  std::vector<BenchCase> cases = bench_cases();
  if (!filter) return cases;
  std::vector<BenchCase> chosen;
  try {
    const std::regex pattern(*filter);
    std::ranges::copy_if(cases, std::back_inserter(chosen),
                         [&](const BenchCase& c) { return std::regex_search(c.title(), pattern); });
  } catch (const std::regex_error& error) {
    throw UsageError(
        fmt::format("--filter '{}' is no regular expression: {}", *filter, error.what()));
  }
  if (chosen.empty())
    throw UsageError(
        fmt::format("--filter '{}' matches none of {} cases, which are called like '{}'; {}",
                    *filter, cases.size(), cases[0].title(), suggest(*filter, bench_op_names())));
  return chosen;
}

std::vector<std::string> choose_peers(const std::optional<std::string>& list) {
  if (!list) return peer_names();
  std::vector<std::string> chosen;
  if (*list == "none") return chosen;
  for (size_t begin = 0; begin <= list->size();) {
    const size_t end = std::min(list->find(',', begin), list->size());
    const std::string name = list->substr(begin, end - begin);
    if (std::ranges::find(peer_names(), name) == peer_names().end())
      throw UsageError(fmt::format("--peers takes names as openblas,torch, or none, not '{}'; {}",
                                   name, suggest(name, peer_names())));
    if (std::ranges::find(chosen, name) == chosen.end()) chosen.push_back(name);
    begin = end + 1;
  }
  return chosen;
}

// Numbers in [-1, 1); indices are classes of the case's last axis; an average of squares is not
// negative.
HostArray operand(const Tensor& input, size_t number, const BenchCase& work, uint64_t seed) {
  const Shape& shape = input.shape();
  HostArray bits(DType::u32, shape);
  philox_fill(fold_in(fold_in(PhiloxKey{}, seed), number), 0, bits.mutable_span<uint32_t>());
  const auto from = bits.span<uint32_t>();
  HostArray values(input.dtype() == DType::i32 ? DType::i32 : DType::f32, shape);
  if (input.dtype() == DType::i32) {
    const auto classes = static_cast<uint32_t>(work.sizes.back());
    std::ranges::transform(from, values.mutable_span<int32_t>().begin(),
                           [&](uint32_t b) { return static_cast<int32_t>(b % classes); });
    return values;
  }
  if (input.dtype() == DType::i8) {
    HostArray bytes(DType::i8, shape);
    std::ranges::transform(from, bytes.mutable_span<int8_t>().begin(),
                           [](uint32_t b) { return static_cast<int8_t>(b); });
    return bytes;
  }
  if (input.dtype() == DType::u8) {
    // A row of blocks again and again: what they hold takes no part in how long it takes.
    const BlockFormat& f = *find_block_format(work.op->format);
    const int64_t blocks = shape.back() / f.block_bytes;
    std::vector<float> numbers(static_cast<size_t>(blocks * f.block_elements));
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<float>(from[i] >> 8) * 0x1p-23f - 1;
    HostArray bytes(DType::u8, shape);
    const auto to = bytes.mutable_span<uint8_t>();
    encode_blocks(f, numbers.data(), blocks, to.data());
    for (int64_t row = 1; row < shape[0]; ++row)
      std::copy_n(to.begin(), shape.back(), to.begin() + row * shape.back());
    return bytes;
  }
  const bool is_square = std::string_view(work.op->name) == "adamw" && number == 3;
  std::ranges::transform(from, values.mutable_span<float>().begin(), [&](uint32_t b) {
    const float x = static_cast<float>(b >> 8) * 0x1p-23f - 1;
    return is_square ? x * x : x;
  });
  return input.dtype() == DType::f32 ? values : from_f32(values, input.dtype());
}

// A case that is ready to run.
class Ours {
 public:
  Ours(const BenchCase& work, Runtime& runtime, uint64_t seed) : work_(work), runtime_(runtime) {
    BenchGraph built = work.op->build(work.dtype, work.sizes);
    cost_ = work_of(work, built.graph);
    for (size_t i = 0; i < built.graph.inputs.size(); ++i)
      inputs_.push_back(operand(built.graph.inputs[i], i, work, seed));
    if (work.op->loop) {
      result_ = HostArray(DType::f32, {kSlabRows, work.sizes[2]});
      return;
    }
    donated_ = built.donated;
    donated_.resize(inputs_.size(), false);
    for (const HostArray& input : inputs_) arguments_.push_back(runtime.upload(input));
    Graph graph = built.graph;
    if (built.has_weights) {
      // All but the first operand.
      const std::vector<Tensor> weights(arguments_.begin() + 1, arguments_.end());
      arguments_.resize(1);
      graph = trace(
          [&](std::span<const Tensor> args) {
            std::vector<Tensor> all(args.begin(), args.end());
            all.insert(all.end(), weights.begin(), weights.end());
            return cairn::call(built.graph, all);
          },
          std::vector{arguments_[0].type()});
      const Hoisted hoisted = hoist(graph, runtime.backend().packs_weights());
      graph = hoisted.graph;
      for (const Tensor& value : KeptValues().get(runtime, hoisted.values))
        arguments_.push_back(value);
      for (const Tensor& leaf : leaves_of(graph)) arguments_.push_back(leaf);
      donated_.assign(arguments_.size(), false);
    }
    plan_ = runtime.plan(graph, donated_, false);
    result_ = call()[0].host();
  }

  double turn() {
    if (!plan_) return timed_turn([&] { slab(); }, kTurnSeconds) * rows() / kSlabRows;
    return timed_turn([&] { call(); }, kTurnSeconds);
  }
  const Work& cost() const { return cost_; }
  std::span<const HostArray> inputs() const { return inputs_; }
  const HostArray& result() const { return result_; }

 private:
  double rows() const { return static_cast<double>(work_.sizes[0]); }

  // State that goes in comes out, for the next call.
  std::vector<Tensor> call() {
    std::vector<Tensor> arguments;
    for (size_t i = 0; i < arguments_.size(); ++i)
      arguments.push_back(donated_[i] ? std::move(arguments_[i]) : arguments_[i]);
    std::vector<Tensor> results = runtime_.run(plan_, std::move(arguments));
    size_t next = 0;
    for (size_t i = 0; i < arguments_.size(); ++i)
      if (donated_[i]) arguments_[i] = results[next++];
    return results;
  }
  void slab() {
    work_.op->loop(inputs_[0].span<float>().data(), inputs_[1].span<float>().data(),
                   result_.mutable_span<float>().data(), kSlabRows, work_.sizes[1], work_.sizes[2]);
  }

  BenchCase work_;
  Runtime& runtime_;
  Work cost_;
  std::vector<HostArray> inputs_;
  std::vector<bool> donated_;
  std::shared_ptr<const Plan> plan_;
  std::vector<Tensor> arguments_;
  HostArray result_;
};

double process_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Until this process sleeps: threads of libraries look out for more work for up to 100 ms.
void rest() {
  constexpr double kStep = 2e-3, kBusy = 2e-4, kLongest = 0.5;
  const double end = monotonic_seconds() + kLongest;
  while (monotonic_seconds() < end) {
    const double before = process_seconds();
    std::this_thread::sleep_for(std::chrono::duration<double>(kStep));
    if (process_seconds() - before < kBusy) return;
  }
}

Json to_json(const BenchResult& r, const BenchRun& run) {
  Json peers = Json::object();
  for (size_t i = 0; i < run.peers.size(); ++i)
    peers[run.peers[i]] = r.peers[i] ? Json(*r.peers[i]) : Json();
  Json json = {{"op", r.work.op->name},
               {"shape", shape_text(r.work.sizes)},
               {"dtype", name(r.work.dtype)},
               {"threads", r.threads},
               {"seconds", r.seconds},
               {r.counts_flops() ? "gflops" : "gbytes_per_s", r.rate() * 1e-9},
               {"peers", peers},
               {"ratio", r.ratio() ? Json(*r.ratio()) : Json()},
               {"percent_of_limit", r.percent_of_limit()},
               {"limit", r.limit.what},
               {"flops", r.cost.flops},
               {"bytes", r.cost.bytes()}};
  if (r.measured_rows) json["measured_rows"] = r.measured_rows;
  return json;
}

class Bench {
 public:
  Bench(const Options& options, Session& session)
      : options_(options),
        session_(session),
        cases_(choose_cases(options.filter)),
        progress_(session.progress()) {
    run_.repeat = options.repeat;
    run_.peers = choose_peers(options.peers);
    run_.machine = machine_info();
    if (getloadavg(&run_.load, 1) != 1) run_.load = 0;
    thread_counts_ = {1};
    if (session.common.threads) {
      thread_counts_ = {session.threads()};
    } else if (session.threads() > 1) {
      thread_counts_.push_back(session.threads());
    }
  }

  // Ends early where it is interrupted, with what it has.
  const BenchRun& run() {
    const StopFlag::TakeOver take_over(session_.stop);
    try {
      for (const int threads : thread_counts_) measure_with(threads);
    } catch (const Interrupted&) {
      progress_.note("interrupted: what was measured so far is reported");
    }
    progress_.clear();
    return run_;
  }

 private:
  void measure_with(int threads) {
    const auto runtime = session_.make_computing_runtime(threads);
    run_.device = runtime->backend().name();
    progress_.update([&] { return std::string("measuring what the machine can do"); });
    run_.roofs.push_back(measure_roofs(run_.machine, runtime->pool(), kProbeSeconds));
    std::vector<NamedPeer> peers;
    for (const std::string& name : run_.peers) {
      peers.push_back(open_peer(name, threads, session_));
      const NamedPeer& p = peers.back();
      found(name, p.peer ? p.peer->version() : fmt::format("not here: {}", p.absent));
    }
    for (size_t i = 0; i < cases_.size(); ++i) {
      session_.stop.check();
      if (cases_[i].op->loop && threads > 1) continue;  // they have one
      progress_.update([&] {
        return fmt::format("{} on {} thread{}, case {} of {}", cases_[i].title(), threads,
                           threads > 1 ? "s" : "", i + 1, cases_.size());
      });
      BenchResult result = measure(cases_[i], *runtime, peers);
      if (session_.common.json) print_json(session_.out, to_json(result, run_));
      run_.results.push_back(std::move(result));
    }
  }

  BenchResult measure(const BenchCase& work, Runtime& runtime, std::vector<NamedPeer>& peers) {
    Ours ours(work, runtime, session_.common.seed.value_or(0));
    std::vector<Peer*> able;  // null: not here, or not able to
    for (NamedPeer& p : peers) {
      Peer* peer = work.op->loop ? nullptr : p.peer.get();
      if (peer) {
        const std::string problem = peer->prepare(work, ours.inputs(), ours.result());
        if (!problem.empty()) peer = nullptr;
      }
      able.push_back(peer);
    }
    std::vector<double> times;
    std::vector<std::vector<double>> theirs(able.size());
    for (int64_t turn = 0; turn < run_.repeat; ++turn) {
      session_.stop.check();
      rest();
      times.push_back(ours.turn());
      for (size_t i = 0; i < able.size(); ++i) {
        if (!able[i]) continue;
        rest();
        theirs[i].push_back(able[i]->turn(kTurnSeconds));
      }
    }
    BenchResult result{work, runtime.pool().threads(), ours.cost()};
    result.limit = limit_of(run_.roofs.back(), result.cost);
    result.seconds = median(times);
    if (work.op->loop) result.measured_rows = kSlabRows;
    for (const auto& turns : theirs)
      result.peers.push_back(turns.empty() ? std::optional<double>() : median(turns));
    return result;
  }

  // Once, though every number of threads opens the peers again.
  void found(const std::string& peer, const std::string& what) {
    for (const auto& [name, text] : run_.found)
      if (name == peer) return;
    run_.found.push_back({peer, what});
    if (session_.common.json)
      session_.note(fmt::format("{}: {}", peer, what));  // else below the table
  }

  const Options& options_;
  Session& session_;
  std::vector<BenchCase> cases_;
  std::vector<int> thread_counts_;
  Progress progress_;
  BenchRun run_;
};

int run(const Options& options, Session& session) {
  if (session.precision() != DType::f32)
    throw UsageError(
        fmt::format("each case of cairn bench ops has a type of its own; choose with "
                    "--filter {}",
                    *session.common.precision));
  Bench bench(options, session);
  const BenchRun& done = bench.run();
  if (!session.common.json && !done.results.empty()) {
    const auto style = session.out_terminal.table_style();
    session.out.write(plot::to_text(bench_table(done), style));
    session.out.line("");
    if (const plot::Table means = bench_summary(done); !means.rows.empty()) {
      session.out.write(plot::to_text(means, style));
      session.out.line("");
    }
    for (const std::string& remark : bench_remarks(done)) session.out.line(remark);
    for (const auto& [peer, what] : done.found) session.out.line(fmt::format("{}: {}", peer, what));
    session.out.flush();
  }
  if (options.html && !done.results.empty()) {
    write_file_atomically(*options.html, bench_html(done)).value();
    session.note(fmt::format("the report is in {}", *options.html));
  }
  session.stop.check();
  return 0;
}

}  // namespace

void add_bench_ops(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command = group.command(
      "ops",
      "Operations beside OpenBLAS, oneDNN, PyTorch and JAX, and against the machine's limit.");
  command.option("--filter", "REGEX", options->filter,
                 "only the cases that it finds something in; they are called \"op dtype shape\", "
                 "as \"matmul f32 512x4096x11008\"");
  command.option("--repeat", "N", options->repeat,
                 "turns of each contender, of which the median counts (default: 5)", 1);
  command.option("--peers", "NAMES", options->peers,
                 "openblas,onednn,torch,jax or some of them, or none (default: all)");
  command.option("--html", "FILE", options->html, "write a report with the roofline");
  command.example("cairn bench ops --filter 'softmax f32' --peers none --html bench.html");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
