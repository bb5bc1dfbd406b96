// cairn bench llm: tokens a second of a language model, in turns with llama.cpp on the same file.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "apps/cairn/bench_commands.h"
#include "apps/cairn/bench_llama_cpp.h"
#include "apps/cairn/json.h"
#include "apps/cairn/median.h"
#include "apps/cairn/model_files.h"
#include "apps/cairn/roofline.h"
#include "cairn/base/clock.h"
#include "cairn/llm/decoder.h"
#include "cairn/models/weights.h"

namespace cairn::app {
namespace {

constexpr double kProbeSeconds = 1;

struct Options {
  std::string model, batch = "1", kv = "f16";
  int64_t prompt = 512, generate = 128, depth = 0, repeat = 3;
  std::string peers = "llama.cpp";
};

std::vector<int64_t> parse_batches(const std::string& list) {
  std::vector<int64_t> batches;
  const char* at = list.data();
  const char* end = at + list.size();
  constexpr int64_t kMost = 1024;
  while (at != end) {
    int64_t n = 0;
    const auto [stop, error] = std::from_chars(at, end, n);
    if (error != std::errc() || n < 1 || n > kMost || (stop != end && *stop != ','))
      throw UsageError(
          fmt::format("--batch {}: expected numbers of 1 to {} with commas between", list, kMost));
    batches.push_back(n);
    at = stop == end ? end : stop + 1;
  }
  if (batches.empty()) throw UsageError("--batch is empty; 1 is one sequence");
  return batches;
}

uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// Any ids do: no speed depends on which.
std::vector<int32_t> some_ids(int64_t count, int64_t vocabulary, uint32_t seed) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525U + 1013904223U;
    ids.push_back(static_cast<int32_t>(static_cast<int64_t>(seed >> 8) % vocabulary));
  }
  return ids;
}

struct Result {
  LlmTest test;
  int threads;
  double work;  // bytes that a decoded token reads, or operations of a prefilled one
  double limit;
  std::vector<double> speeds;  // tokens a second, all sequences together
  std::vector<double> peer;
  uint64_t resident = 0;

  // Steps a second: all sequences read the weights at once.
  double steps() const {
    return median(speeds) / static_cast<double>(test.is_prefill ? 1 : test.batch);
  }
  double percent() const { return 100 * steps() * work / limit; }
};

class Bench {
 public:
  Bench(const Options& options, Session& session)
      : options_(options), session_(session), batches_(parse_batches(options.batch)) {
    if (options.peers != "none") try {
        peer_ = std::make_unique<LlamaCpp>(options.model, options.kv);
      } catch (const Error& error) {
        session.note(fmt::format("llama.cpp: not here: {}", error.what()));
      }
  }

  std::vector<Result> run() {
    std::vector<int> threads = {1};
    if (session_.common.threads)
      threads = {session_.threads()};
    else if (session_.threads() > 1)
      threads.push_back(session_.threads());
    const StopFlag::TakeOver take_over(session_.stop);
    try {
      for (const int n : threads) measure_with(n);
    } catch (const Interrupted&) {
      progress_.note("interrupted: what was measured so far is reported");
    }
    progress_.clear();
    return std::move(results_);
  }

 private:
  void measure_with(int threads) {
    const auto runtime = session_.make_computing_runtime(threads);
    progress_.update([] { return std::string("measuring what the machine can do"); });
    const Roofs roofs = measure_roofs(machine_info(), runtime->pool(), kProbeSeconds);
    const int64_t most = *std::ranges::max_element(batches_);
    const int64_t length = options_.depth + std::max(options_.prompt, options_.generate) + 1;
    const DecoderOptions cache = {.tokens = most * length,
                                  .max_sequences = static_cast<int>(most),
                                  .context = length,
                                  .kv = kv_type_of(options_.kv),
                                  .precision = session_.precision(),
                                  .activations = session_.activations()};
    progress_.clear();
    const LanguageModel model =
        load_model_to_run(options_.model, std::nullopt, *runtime, cache, session_);
    const TransformerConfig& config = model.transformer->config();
    Decoder decoder(*runtime, *model.transformer, cache);
    const WeightBytes weights = weight_bytes(*model.transformer);
    const double kv_bytes =
        static_cast<double>(Decoder::pool_bytes(config, cache)) / static_cast<double>(cache.tokens);
    // What most of the products are computed in.
    const bool rounds = !session_.activations().empty();
    const bool in_blocks = rounds && weights.in_blocks > weights.products / 2;
    const bool in_bf16 =
        session_.precision() == DType::bf16 || (rounds && weights.in_bf16 > weights.products / 2);
    const double peak = in_bf16 && roofs.bf16 > 0   ? roofs.bf16
                        : in_blocks && roofs.i8 > 0 ? roofs.i8
                                                    : roofs.f32;
    if (options_.prompt > 0)
      measure({{true, options_.prompt, 1, options_.depth},
               threads,
               2 * static_cast<double>(weights.product_elements),
               peak},
              decoder, config);
    for (const int64_t batch : batches_) {
      if (options_.generate == 0) break;
      // Half of what is decoded stands before a token on average.
      const double seen =
          static_cast<double>(options_.depth) + static_cast<double>(options_.generate) / 2;
      measure({{false, options_.generate, batch, options_.depth},
               threads,
               static_cast<double>(weights.products) + kv_bytes * seen * static_cast<double>(batch),
               roofs.places.back().read},
              decoder, config);
    }
  }

  void measure(Result result, Decoder& decoder, const TransformerConfig& config) {
    const LlmTest& test = result.test;
    // The first turn makes plans and is not counted.
    for (int64_t turn = -1; turn < options_.repeat; ++turn) {
      session_.stop.check();
      progress_.update([&] {
        return fmt::format("{} of {} tokens, batch {}, on {} thread{}, turn {} of {}",
                           test.is_prefill ? "prefill" : "decode", test.tokens, test.batch,
                           result.threads, result.threads > 1 ? "s" : "", turn + 1,
                           options_.repeat);
      });
      const double seconds = seconds_of(test, decoder, config);
      if (turn < 0) continue;
      result.speeds.push_back(static_cast<double>(test.tokens * test.batch) / seconds);
      if (!peer_) continue;
      if (const auto speed = peer_->run(test, result.threads)) result.peer.push_back(*speed);
    }
    result.resident = peak_resident_bytes();
    results_.push_back(std::move(result));
    if (session_.common.json) print_json(session_.out, to_json(results_.back()));
  }

  double seconds_of(const LlmTest& test, Decoder& decoder, const TransformerConfig& config) {
    std::vector<int> sequences;
    for (int64_t i = 0; i < test.batch; ++i) sequences.push_back(decoder.open());
    // What stands before; decoding takes a token to go on from.
    const int64_t before = test.is_prefill ? test.depth : std::max<int64_t>(test.depth, 1);
    for (const int sequence : sequences) {
      if (before == 0) break;
      const auto ids = some_ids(before, config.vocabulary, 7);
      const Decoder::Part part{sequence, ids};
      decoder.feed(std::span(&part, 1));
    }
    const int64_t of_prompt = test.is_prefill ? test.tokens : test.batch;
    const auto ids = some_ids(of_prompt, config.vocabulary, 11);
    double start = monotonic_seconds();
    if (test.is_prefill) {
      const Decoder::Part part{sequences[0], ids};
      decoder.feed(std::span(&part, 1));
    } else {
      std::vector<Decoder::Part> parts;
      for (size_t i = 0; i < sequences.size(); ++i)
        parts.push_back({sequences[i], std::span(ids).subspan(i, 1)});
      decoder.prepare(1, static_cast<int>(test.batch));
      start = monotonic_seconds();
      for (int64_t i = 0; i < test.tokens; ++i) {
        decoder.feed(parts);
        session_.stop.check();
      }
    }
    const double seconds = monotonic_seconds() - start;
    for (const int sequence : sequences) decoder.close(sequence);
    return seconds;
  }

  Json to_json(const Result& r) const {
    const auto [least, most] = std::ranges::minmax(r.speeds);
    Json json = {{"test", r.test.is_prefill ? "prefill" : "decode"},
                 {"tokens", r.test.tokens},
                 {"batch", r.test.batch},
                 {"depth", r.test.depth},
                 {"threads", r.threads},
                 {"tokens_per_s", {{"median", median(r.speeds)}, {"min", least}, {"max", most}}}};
    if (r.test.is_prefill) {
      json["percent_of_peak"] = r.percent();
    } else {
      json["bandwidth_bytes_per_s"] = r.steps() * r.work;
      json["percent_of_bandwidth"] = r.percent();
    }
    json["peers"] = {{"llama.cpp", r.peer.empty() ? Json() : Json(median(r.peer))}};
    json["ratio"] = r.peer.empty() ? Json() : Json(median(r.speeds) / median(r.peer));
    json["resident_bytes"] = r.resident;
    return json;
  }

  const Options& options_;
  Session& session_;
  std::vector<int64_t> batches_;
  std::unique_ptr<LlamaCpp> peer_;
  Progress progress_ = session_.progress();
  std::vector<Result> results_;
};

plot::Table table_of(const std::vector<Result>& results) {
  plot::Table table{"",
                    {"test", "tokens", "batch", "depth", "threads", "tokens/s", "min", "max",
                     "of limit", "llama.cpp", "ratio", "peak memory"},
                    {}};
  for (const Result& r : results) {
    const auto [least, most] = std::ranges::minmax(r.speeds);
    const auto speed = [](double x) { return fmt::format("{:.1f}", x); };
    table.rows.push_back(
        {r.test.is_prefill ? "prefill" : "decode", fmt::to_string(r.test.tokens),
         fmt::to_string(r.test.batch), fmt::to_string(r.test.depth), fmt::to_string(r.threads),
         speed(median(r.speeds)), speed(least), speed(most), fmt::format("{:.0f} %", r.percent()),
         r.peer.empty() ? "" : speed(median(r.peer)),
         r.peer.empty() ? "" : fmt::format("{:.2f}", median(r.speeds) / median(r.peer)),
         plot::human_bytes(r.resident)});
  }
  return table;
}

int run(const Options& options, Session& session) {
  if (options.peers != "none" && options.peers != "llama.cpp")
    throw UsageError(fmt::format("--peers {}: llama.cpp and none are known", options.peers));
  if (options.prompt == 0 && options.generate == 0)
    throw UsageError("--prompt 0 and --generate 0 leave nothing to measure");
  const std::vector<Result> results = Bench(options, session).run();
  if (!session.common.json && !results.empty()) {
    session.out.write(plot::to_text(table_of(results), session.out_terminal.table_style()));
    session.out.line(
        "The limit of decoding is the bandwidth of memory, of a prefill the arithmetic of its "
        "products, both measured here.");
    session.out.flush();
  }
  session.stop.check();
  return 0;
}

}  // namespace

void add_bench_llm(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command =
      group.command("llm", "Tokens a second of a language model, beside llama.cpp.", kMachine);
  command.model(options->model, "a GGUF file, or another language model without the peer");
  command.option("--prompt", "N", options->prompt,
                 "tokens of the prompt that is measured; 0: none (default: 512)");
  command.option("--generate", "N", options->generate,
                 "tokens that are decoded one after the other; 0: none (default: 128)");
  command.option("--depth", "N", options->depth,
                 "tokens that stand before what is measured (default: 0)");
  command.option("--batch", "N,N", options->batch,
                 "sequences that are decoded at once, one measurement each (default: 1)");
  command.option("--kv", "TYPE", options->kv,
                 "what the cache keeps: f32, f16 or q8_0 (default: f16)");
  command.option("--repeat", "N", options->repeat, "turns of each (default: 3)", 1);
  command.option("--peers", "NAME", options->peers,
                 "llama.cpp, whose programs lie in the folder CAIRN_PEER_LLAMA, or none");
  command.example("cairn bench llm --model stories260K.bin --prompt 32 --generate 8 --peers none");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
