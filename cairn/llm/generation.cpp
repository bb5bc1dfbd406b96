#include "cairn/llm/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cairn/base/clock.h"
#include "cairn/llm/decoder.h"
#include "cairn/llm/kept_text.h"
#include "cairn/llm/text_stream.h"

namespace cairn {
namespace {

double rate(int64_t tokens, double seconds) {
  return tokens > 0 && seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

DecoderOptions decoder_options(const TextGeneratorOptions& options) {
  if (options.context < 1)
    throw_error(fmt::format("a context of {} tokens holds no text", options.context));
  // Each text's last block may be its own.
  const int64_t blocks = (options.context + kKvBlock - 1) / kKvBlock;
  return {.tokens = options.texts == 1 ? options.context : options.texts * blocks * kKvBlock,
          .max_sequences = options.texts,
          .context = options.context,
          .kv = options.kv,
          .precision = options.precision,
          .activations = options.activations};
}

}  // namespace

std::string_view name(StopReason reason) {
  constexpr std::string_view kNames[] = {"eos", "stop", "length", "context", "interrupted"};
  return kNames[static_cast<size_t>(reason)];
}

double Generated::prompt_tokens_per_second() const {
  return rate(prompt_tokens - reused_tokens, prompt_seconds);
}
double Generated::tokens_per_second() const {
  return rate(static_cast<int64_t>(ids.size()) - 2, seconds);
}

struct TextGenerator::State {
  Runtime& runtime;
  const LanguageModel& model;
  TextGeneratorOptions options;
  Decoder decoder;
  std::map<int, std::vector<int32_t>> texts = {};  // by the decoder's sequence: its ids
  Sampler sampler = {};

  // One request while it is generated.
  struct Row {
    size_t request;
    const GenerationRequest& asked;
    std::vector<int32_t>& cached;
    Generated& result;
    TextStream stream;
    std::vector<int32_t> all;   // prompt and new tokens
    std::vector<float> logits;  // of what comes next
    std::vector<int32_t> next;  // to be fed
    double second_token = 0;    // when it came
    bool done = false;
  };

  void check(const GenerationRequest& request) const {
    const auto vocabulary = model.transformer->config().vocabulary;
    check_sampling(request.options.sampling, vocabulary).value();
    if (request.prompt.empty())
      throw_error("the prompt has no tokens; give some text, or begin with the model's BOS");
    for (const int32_t id : request.prompt)
      if (id < 0 || id >= vocabulary)
        throw_error(fmt::format("token {} is not in the model's vocabulary of {}", id, vocabulary));
  }

  // How many tokens at the front of `ids` stay when others are forgotten.
  int64_t kept_front(std::span<const int32_t> ids, const GenerationOptions& asked) const {
    int64_t front = asked.keep;
    if (model.tokenizer) {
      const auto& prefix = model.tokenizer->vocabulary().prefix;
      if (std::ranges::equal(prefix, ids.first(std::min(prefix.size(), ids.size()))))
        front = std::max(front, std::ssize(prefix));
    }
    return std::min(front, options.context / 2);
  }

  // How many tokens behind those are forgotten of `count`, which the context does not hold: half of
  // a context, and more of a text that is longer.
  int64_t forgotten(int64_t count, int64_t front) const {
    const int64_t half = std::max<int64_t>((options.context - front) / 2, 1);
    return std::max<int64_t>(count - options.context, 0) + half;
  }

  // Leaves in the cache what `ids` begin with, without the last, whose scores are wanted. Returns
  // the rest, which is to be fed.
  std::span<const int32_t> keep_common(Row& row, std::span<const int32_t> ids) {
    const auto differ = std::ranges::mismatch(row.cached, ids);
    size_t same = std::min(static_cast<size_t>(differ.in2 - ids.begin()), ids.size() - 1);
    try {
      decoder.truncate(row.asked.text, static_cast<int64_t>(same));
    } catch (const Error&) {  // a window has left behind what would be seen again
      same = 0;
      decoder.truncate(row.asked.text, 0);
    }
    row.cached.resize(same);
    return ids.subspan(same);
  }

  // Feeds what the rows have for it, all at once.
  void feed(std::span<Row*> rows) {
    std::vector<Decoder::Part> parts;
    for (const Row* row : rows) parts.push_back({row->asked.text, row->next});
    const HostArray scores = decoder.feed(parts).host();
    const auto vocabulary = static_cast<size_t>(scores.shape()[1]);
    for (size_t i = 0; i < rows.size(); ++i) {
      Row& row = *rows[i];
      const auto of_row = scores.span<float>().subspan(i * vocabulary, vocabulary);
      row.logits.assign(of_row.begin(), of_row.end());
      row.cached.insert(row.cached.end(), row.next.begin(), row.next.end());
    }
  }

  void start(Row& row, const GenerationWatch& watch) {
    std::span<const int32_t> prompt = row.asked.prompt;
    std::vector<int32_t> cut;
    if (static_cast<int64_t>(prompt.size()) > options.context) {
      if (!row.asked.options.context_shift)
        throw_error(
            fmt::format("the prompt has {} tokens and the context {}; use a shorter "
                        "prompt, a larger context, or let the context shift",
                        prompt.size(), options.context));
      const int64_t front = kept_front(prompt, row.asked.options);
      cut.assign(prompt.begin(), prompt.end());
      cut.erase(cut.begin() + front, cut.begin() + front + forgotten(std::ssize(cut), front));
      prompt = cut;
      ++row.result.shifts;
    }
    const auto rest = keep_common(row, prompt);
    row.result.prompt_tokens = static_cast<int64_t>(prompt.size());
    row.result.reused_tokens = static_cast<int64_t>(prompt.size() - rest.size());
    decoder.prepare(static_cast<int64_t>(rest.size()));  // planning is no part of a speed
    const double start = monotonic_seconds();
    Row* alone = &row;
    // In pieces, so that a long one can be stopped.
    constexpr size_t kPiece = Decoder::kLongChunk;
    for (size_t at = 0; at < rest.size(); at += kPiece) {
      if (watch.stop && watch.stop()) return end(row, StopReason::interrupted);
      const auto piece = rest.subspan(at, std::min(kPiece, rest.size() - at));
      row.next.assign(piece.begin(), piece.end());
      feed(std::span(&alone, 1));
    }
    row.result.prompt_seconds = monotonic_seconds() - start;
  }

  void end(Row& row, StopReason reason) {
    row.result.reason = reason;
    row.done = true;
  }

  // Takes the next token.
  void step(Row& row, const GenerationWatch& watch) {
    const GenerationOptions& asked = row.asked.options;
    if (static_cast<int64_t>(row.result.ids.size()) >= asked.max_tokens)
      return end(row, StopReason::length);
    const int32_t id = sampler.sample(row.logits, asked.sampling, row.all);
    if (model.is_end(id) && !asked.ignore_eos) return end(row, StopReason::eos);
    row.result.ids.push_back(id);
    if (watch.token) watch.token(row.request, id);
    if (model.tokenizer) {
      const std::string piece =
          row.stream.push(model.tokenizer->decode(std::span(&id, 1), row.all));
      if (watch.text && !piece.empty()) watch.text(row.request, piece);
    }
    row.all.push_back(id);
    const double now = monotonic_seconds();
    if (row.result.ids.size() == 2) row.second_token = now;
    if (row.result.ids.size() > 2) row.result.seconds = now - row.second_token;
    if (row.stream.stopped()) return end(row, StopReason::stop);
    if (static_cast<int64_t>(row.result.ids.size()) == asked.max_tokens)
      return end(row, StopReason::length);
    take(row, id);
  }

  // What has to be fed for the token after `id`.
  void take(Row& row, int32_t id) {
    row.next.assign(1, id);
    if (static_cast<int64_t>(row.cached.size()) < options.context) return;
    if (!row.asked.options.context_shift) return end(row, StopReason::context);
    const int64_t front = kept_front(row.cached, row.asked.options);
    const int64_t count = forgotten(std::ssize(row.cached), front);
    std::vector<int32_t> left = row.cached;
    left.erase(left.begin() + front, left.begin() + front + count);
    if (decoder.can_shift()) {
      decoder.shift(row.asked.text, front, count);
      row.cached = std::move(left);
    } else {
      left.push_back(id);
      const auto rest = keep_common(row, left);
      row.next.assign(rest.begin(), rest.end());
    }
    ++row.result.shifts;
  }
};

TextGenerator::TextGenerator(Runtime& runtime, const LanguageModel& model,
                             const TextGeneratorOptions& options)
    : state_(new State{runtime, model, options,
                       Decoder(runtime, *model.transformer, decoder_options(options))}) {}
TextGenerator::~TextGenerator() = default;
TextGenerator::TextGenerator(TextGenerator&&) noexcept = default;

int64_t TextGenerator::context() const { return state_->options.context; }

int TextGenerator::open() {
  const int text = state_->decoder.open();
  state_->texts[text];
  return text;
}

void TextGenerator::close(int text) {
  state_->decoder.close(text);
  state_->texts.erase(text);
}

const std::vector<int32_t>& TextGenerator::cached(int text) const { return state_->texts.at(text); }

void TextGenerator::save(int text, const std::string& path, const std::string& note) const {
  state_->decoder.save(text, path, kept_text_json({cached(text), note}));
}

TextGenerator::Loaded TextGenerator::load(const std::string& path) {
  Decoder& decoder = state_->decoder;
  const Decoder::Loaded loaded = decoder.load(path);
  auto kept = parse_kept_text(loaded.note);
  if (!kept || std::ssize(kept.value().ids) != decoder.length(loaded.sequence)) {
    decoder.close(loaded.sequence);
    throw_error(fmt::format("'{}' is damaged: it does not say which tokens it has", path));
  }
  state_->texts[loaded.sequence] = std::move(kept.value().ids);
  return {loaded.sequence, std::move(kept.value().note)};
}

std::vector<Generated> TextGenerator::run(std::span<const GenerationRequest> requests,
                                          const GenerationWatch& watch) {
  State& s = *state_;
  for (const GenerationRequest& request : requests) s.check(request);
  std::vector<Generated> results(requests.size());
  std::vector<State::Row> rows;
  for (size_t i = 0; i < requests.size(); ++i)
    rows.push_back({i,
                    requests[i],
                    s.texts.at(requests[i].text),
                    results[i],
                    TextStream(requests[i].options.stop),
                    requests[i].prompt,
                    {},
                    {}});
  for (State::Row& row : rows) s.start(row, watch);
  for (;;) {
    const bool stop = watch.stop && watch.stop();
    std::vector<State::Row*> going;
    for (State::Row& row : rows) {
      if (row.done) continue;
      if (stop)
        s.end(row, StopReason::interrupted);
      else
        s.step(row, watch);
      if (!row.done) going.push_back(&row);
    }
    if (going.empty()) break;
    s.feed(going);
  }
  for (State::Row& row : rows) {
    const std::string rest = row.stream.finish();
    if (watch.text && !rest.empty()) watch.text(row.request, rest);
    row.result.text = row.stream.text();
  }
  return results;
}

}  // namespace cairn
