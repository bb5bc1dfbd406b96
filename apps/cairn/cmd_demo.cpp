// cairn demo: trains a small Llama on text for some minutes, saves it, loads it and writes text
// with it.
//
// demo.json in the folder says that the folder is a demo's and what it was asked for. So the same
// command goes on where an interrupted one stopped, with as many steps as were fixed then, and
// nothing is written into a folder that is something else.
#include <fmt/format.h>
#define XXH_INLINE_ALL  // header only: no library to link
#include <xxhash.h>

#include <algorithm>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/training.h"
#include "cairn/base/file.h"
#include "cairn/base/philox.h"
#include "cairn/io/text_file.h"
#include "cairn/llm/generation.h"
#include "cairn/models/language_model.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> files;
  std::optional<double> minutes;
  std::optional<int64_t> steps;
  std::string out = "cairn-demo";
  bool fresh = false;
};

constexpr double kMinutes = 5, kMostMinutes = 1e5, kMostSteps = 1e12;
constexpr int64_t kContext = 128;

// The sources and documents of the clone that this program was built in or, installed, share/cairn.
std::vector<std::string> own_text() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path prefix = program.parent_path().parent_path();
  std::vector<std::string> files;
  const auto collect = [&](const fs::path& folder, std::initializer_list<const char*> extensions) {
    for (auto it = fs::recursive_directory_iterator(folder, error);
         it != fs::recursive_directory_iterator(); it.increment(error))
      for (const char* extension : extensions)
        if (it->path().extension() == extension) files.push_back(it->path().string());
  };
  const fs::path clone = prefix.parent_path().parent_path();  // of build/release/bin/cairn
  if (fs::exists(clone / "cairn" / "cairn.h", error)) {
    for (const char* folder : {"cairn", "apps", "examples", "docs"})
      collect(clone / folder, {".h", ".cpp", ".md", ".def"});
    for (const char* file : {"README.md", "ARCHITECTURE.md"})
      if (fs::exists(clone / file, error)) files.push_back((clone / file).string());
  } else {
    collect(prefix / "share" / "cairn", {".txt"});
  }
  if (files.empty())
    throw_error(
        "there is no text beside this program to train on; give one or more text files: cairn demo "
        "book.txt");
  // In an order that has nothing to do with names, so that the part kept back for validation is a
  // sample of all; the same on every machine.
  const auto place = [](const std::string& f) {
    return fold_in(PhiloxKey{}, fs::path(f).filename().string());
  };
  std::sort(files.begin(), files.end(), [&](const std::string& a, const std::string& b) {
    return std::pair(place(a), a) < std::pair(place(b), b);
  });
  return files;
}

// About a million parameters: learns to spell and to form lines in five minutes of two cores.
TrainConfig demo_config(const std::vector<std::string>& files, uint64_t seed) {
  TrainConfig c;
  c.model.family = "llama";
  c.model.layers = 4;
  c.model.heads = 4;
  c.model.kv_heads = 2;
  c.model.width = 128;
  c.model.context = kContext;
  c.data.text = files;
  c.data.tokenizer = "bpe:1024";
  c.data.validation = 0.02;
  c.train.batch = 8;
  c.train.learning_rate = 3e-3;
  c.train.min_learning_rate = 3e-4;
  c.train.weight_decay = 0.1;
  c.train.betas = {0.9, 0.95};
  c.train.clip = 1;
  c.train.seed = seed;
  return c;
}

void set_steps(TrainConfig& c, int64_t steps) {
  c.train.steps = steps;
  c.train.warmup_steps = std::clamp<int64_t>(steps / 20, 1, 100);
  c.train.evaluate_every = std::max<int64_t>(steps / 8, 1);
  c.train.checkpoint_every = std::max<int64_t>(steps / 4, 1);
  c.train.log_every = std::clamp<int64_t>(steps / 200, 1, 10);
}

// What a demo was asked for, as demo.json records it.
struct Record {
  std::string text;    // a checksum of what it learns from
  double minutes = 0;  // 0: a number of steps was asked for
  int64_t steps = 0;   // 0: not fixed yet
  uint64_t seed = 0;
};

std::string record_path(const fs::path& folder) { return (folder / "demo.json").string(); }

void write_record(const fs::path& folder, const Record& r) {
  const Json json = {
      {"text", r.text}, {"minutes", r.minutes}, {"steps", r.steps}, {"seed", r.seed}};
  write_file_atomically(record_path(folder), json.dump(2) + "\n").value();
}

// That of the demo in the folder; nothing for a folder that is empty or not there. Throws Error for
// one that holds something else.
std::optional<Record> read_record(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return std::nullopt;
  if (!fs::is_directory(folder, error))
    throw_error(fmt::format("--out '{}' is a file; name a folder", folder.string()));
  if (!fs::exists(record_path(folder), error)) {
    if (fs::is_empty(folder, error)) return std::nullopt;
    throw_error(
        fmt::format("'{}' holds files that cairn demo did not write, and keeps them; name another "
                    "folder with --out",
                    folder.string()));
  }
  const Json json = read_json(record_path(folder), 1 << 20);
  try {
    return Record{json.at("text").get<std::string>(), json.at("minutes").get<double>(),
                  json.at("steps").get<int64_t>(), json.at("seed").get<uint64_t>()};
  } catch (const Json::exception&) {
    throw_error(fmt::format("'{}' is damaged; remove the folder, or name another with --out",
                            record_path(folder)));
  }
}

// Checksum of all files. Throws Error where there is too little to learn from.
std::string text_checksum(const std::vector<std::string>& files) {
  uint64_t sum = 0;
  size_t bytes = 0;
  for (const std::string& file : files) {
    const SharedBytes mapped = map_file(file).value();
    sum = XXH3_64bits_withSeed(mapped.data(), mapped.size(), sum);
    bytes += mapped.size();
  }
  if (bytes <= kContext)
    throw_error(fmt::format(
        "the text is too short: {} byte{} in {}; a window to learn from takes at least {}", bytes,
        bytes == 1 ? "" : "s", fmt::join(files, ", "), kContext + 1));
  return fmt::format("{:016x}", sum);
}

// The text's first words, to go on from.
std::string first_words(const std::vector<std::string>& files) {
  constexpr size_t kLongest = 40, kWords = 3;
  std::string begin;
  for (const std::string& file : files) {
    // The error only ends the walk: the run has read every document.
    [[maybe_unused]] const Status walked =
        io::for_each_document(file, {}, [&](std::string_view document) -> Status {
          const size_t at = document.find_first_not_of(" \t\r\n");
          if (at == std::string_view::npos) return Nothing{};
          std::string_view line = document.substr(at, kLongest);
          line = line.substr(0, text::valid_utf8_prefix(line));
          line = line.substr(0, line.find_first_of("\r\n"));
          size_t end = 0;
          for (size_t word = 0; word < kWords && end != std::string_view::npos; ++word)
            end = line.find(' ', end + 1);
          begin = line.substr(0, end);
          return Error("found");
        });
    if (!begin.empty()) break;
  }
  return begin;
}

// As one word of a POSIX shell.
std::string quoted(const std::string& text) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The record of the run: of the one in the folder when that is what was asked for, else a new one.
Record find_record(const Options& options, const fs::path& folder, const Record& wanted,
                   bool seed_given) {
  const std::optional<Record> found = read_record(folder);
  if (!found || options.fresh) return wanted;
  std::vector<std::string> differences;
  if (options.steps && found->steps != *options.steps)
    differences.push_back(fmt::format("steps ({}, now {})", found->steps, *options.steps));
  if (options.minutes && found->minutes != *options.minutes)
    differences.push_back(fmt::format("minutes ({}, now {})", found->minutes, *options.minutes));
  if (seed_given && found->seed != wanted.seed)
    differences.push_back(fmt::format("seed ({}, now {})", found->seed, wanted.seed));
  // A finished run needs its text no more, and cairn's own changes with every commit.
  std::error_code error;
  const bool finished = fs::exists(folder / "report.html", error);
  if (found->text != wanted.text && !(finished && options.files.empty()))
    differences.emplace_back("the text");
  if (!differences.empty())
    throw_error(fmt::format(
        "'{}' holds a demo with other settings: {}; use the same ones, --fresh to start "
        "over, or another --out",
        folder.string(), fmt::join(differences, ", ")));
  return *found;
}

// Loads the folder and writes, as people will: ids of the prompt and of what follows.
struct Written {
  LanguageModel model;
  std::string prompt;
  size_t prompt_size;
  std::vector<int32_t> ids;
};
Written write_text(const std::vector<std::string>& files, const fs::path& folder, uint64_t seed,
                   Runtime& runtime) {
  Written w{load_language_model(folder).value(), first_words(files), 0, {}};
  w.ids = w.model.tokenizer->encode(w.prompt);
  w.prompt_size = w.ids.size();
  const int64_t context = w.model.transformer->config().context;
  TextGenerator generator(runtime, w.model, {.context = context});
  GenerationOptions generation;
  generation.sampling = {.temperature = 0.8, .top_k = 40, .seed = seed};
  generation.max_tokens = context - static_cast<int64_t>(w.prompt_size);
  generation.ignore_eos = true;
  const GenerationRequest request{generator.open(), w.ids, generation};
  const std::vector<Generated> written = generator.run(std::span(&request, 1));
  w.ids.insert(w.ids.end(), written[0].ids.begin(), written[0].ids.end());
  return w;
}

int run(const Options& options, Session& session) {
  const double minutes = options.minutes.value_or(kMinutes);
  if (!(minutes > 0 && minutes <= kMostMinutes))
    throw UsageError(fmt::format("--minutes takes a number above 0 and at most {}", kMostMinutes));
  if (options.minutes && options.steps)
    throw UsageError("--minutes and --steps both say how long to train; take one");
  const auto runtime = session.make_computing_runtime();
  const std::vector<std::string> files = options.files.empty() ? own_text() : options.files;
  const fs::path folder = options.out;
  Record record = find_record(options, folder,
                              {text_checksum(files), options.steps ? 0 : minutes,
                               options.steps.value_or(0), session.common.seed.value_or(1337)},
                              session.common.seed.has_value());
  TrainConfig config = demo_config(files, record.seed);
  if (session.common.precision)
    set_field(config, "train.precision=" + *session.common.precision).value();
  session.note(
      options.files.empty()
          ? fmt::format("Training a small Llama on cairn's own text ({} files)", files.size())
          : fmt::format("Training a small Llama on {} file{}", files.size(),
                        files.size() == 1 ? "" : "s"));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    throw_error(fmt::format("cannot make the folder '{}': {}", folder.string(), error.message()));
  write_record(folder, record);
  RunOptions run;
  run.folder = folder;
  run.fresh = options.fresh;
  const std::string time = plot::human_duration(record.minutes * 60);
  if (record.steps > 0) {
    set_steps(config, record.steps);
    session.note(record.minutes == 0 ? fmt::format("{} steps", record.steps)
                                     : fmt::format("{} steps, about {}", record.steps, time));
  } else {
    session.note(fmt::format("as many steps as fit into {}; timing a few", time));
    run.fix_steps = [&](TrainConfig& c, double seconds_per_step) {
      // A tenth of the time goes to evaluation and slower moments of the machine.
      const double steps = record.minutes * 60 * 0.9 / seconds_per_step;
      record.steps = std::max<int64_t>(static_cast<int64_t>(std::min(steps, kMostSteps)), 1);
      write_record(folder, record);
      set_steps(c, record.steps);
    };
  }
  const RunResult result = train_with_progress(session, *runtime, config, run);
  if (!result.finished) throw Interrupted();
  if (result.already_done)
    session.note(fmt::format("'{}' holds this demo, finished at step {} (--fresh starts over)",
                             folder.string(), result.step));
  else if (!session.common.json)
    print_summary(session, result, folder);

  const auto [model, prompt, prompt_size, ids] = write_text(files, folder, record.seed, *runtime);
  const std::string text = text::replace_invalid_utf8(model.tokenizer->decode(ids));
  if (session.common.json) {
    const std::vector<int32_t> fresh_ids(ids.begin() + static_cast<int64_t>(prompt_size),
                                         ids.end());
    Json last = {{"done", true}, {"step", result.step}};
    if (!result.history.empty()) last["loss"] = result.history.back().loss;
    last.update(
        {{"text", text}, {"prompt", prompt}, {"ids", fresh_ids}, {"folder", folder.string()}});
    print_json(session.out, last);
    return 0;
  }
  session.out.line("\n" + session.out_terminal.bold("The model, loaded from the folder, writes:"));
  session.out.line(text);
  session.out.line(session.out_terminal.dim(
      fmt::format("\nWrite more with:  cairn generate --model {} --prompt {} --temperature 0.8",
                  quoted(folder.string()), quoted(prompt))));
  session.out.flush();
  return 0;
}

}  // namespace

void add_demo(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "demo",
      "Train a small language model for a few minutes, save it, load it and write text with it",
      kModels);
  command.positional("TEXT-FILE", options->files,
                     "text to train on; default: cairn's own sources and documents",
                     Need::optional);
  command.option("--minutes", "M", options->minutes, "how long to train (default: 5)");
  command.option("--steps", "N", options->steps, "train so many steps instead", 1);
  command.option("--out", "DIR", options->out,
                 "folder for the model and its report (default: cairn-demo)");
  command.flag("--fresh", options->fresh, "start over in a folder that holds a demo");
  command.example("cairn demo --minutes 2");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
