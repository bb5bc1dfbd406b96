// cairn quantize: a model with its matrices in block formats.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>

#include "apps/cairn/commands.h"
#include "apps/cairn/gguf_rewrite.h"
#include "apps/cairn/json.h"
#include "apps/cairn/model_files.h"
#include "cairn/base/clock.h"
#include "cairn/base/file.h"
#include "cairn/io/imatrix.h"
#include "cairn/models/importance.h"
#include "cairn/quant/recipe.h"

namespace cairn::app {
namespace {

struct Options {
  std::string in, out, type;
  std::optional<std::string> imatrix, imatrix_text, imatrix_out;
  std::vector<std::string> keep;
};

struct Kept {
  std::regex pattern;
  const io::GgufType* type;
};

// What --type asks for, and the tensors that become something else.
struct Wanted {
  TypeChoice choice;
  uint32_t file_type;
  std::vector<Kept> keep;
};

Wanted parse_wanted(const Options& options) {
  Wanted wanted;
  if (const Recipe* recipe = find_recipe(options.type)) {
    wanted.choice.recipe = recipe;
    wanted.file_type = file_type(*recipe);
  } else {
    if (!io::find_gguf_type(options.type))
      throw UsageError(fmt::format("--type {}: known are the recipes {} and the types {}",
                                   options.type, fmt::join(recipe_names(), ", "),
                                   writable_names()));
    const io::GgufType& type = writable_type(options.type, "--type");
    wanted.choice.type = type.dtype ? name(*type.dtype) : type.format;
    wanted.file_type = file_type_of(type);
  }
  for (const std::string& keep : options.keep) {
    const size_t end = keep.rfind('=');
    if (end == std::string::npos)
      throw UsageError(fmt::format("--keep {}: expected REGEX=TYPE, as in output=Q8_0", keep));
    try {
      wanted.keep.push_back(
          {std::regex(keep.substr(0, end)), &writable_type(keep.substr(end + 1), "--keep")});
    } catch (const std::regex_error&) {
      throw UsageError(
          fmt::format("--keep {}: '{}' is no regular expression", keep, keep.substr(0, end)));
    }
  }
  return wanted;
}

ModelFacts facts_of(const GgufContent& file) {
  const io::GgufValue* family = file.find("general.architecture");
  const auto find = [&](std::string_view key) -> int64_t {
    if (!family || !family->text()) return 0;
    const io::GgufValue* value = file.find(fmt::format("{}.{}", *family->text(), key));
    return value ? value->integer().value_or(0) : 0;
  };
  ModelFacts facts;
  facts.layers = find("block_count");
  const int64_t heads = find("attention.head_count"), kv_heads = find("attention.head_count_kv");
  if (heads > 0 && kv_heads > 0) facts.heads_per_kv_head = heads / kv_heads;
  facts.tied_embeddings = !file.tensor("output.weight");
  return facts;
}

// One tensor's way.
struct Step {
  const GgufTensor* entry;
  const io::GgufType* type;
  double rmse = 0;
};

// Tensors whose rows the blocks of one type do not divide, and what they become.
using Replaced =
    std::map<std::pair<const io::GgufType*, const io::GgufType*>, std::vector<const GgufTensor*>>;

const io::GgufType* type_that_divides(const io::GgufType& type, const GgufTensor& entry,
                                      Replaced& replaced) {
  if (!type.block_format()) return &type;
  const io::GgufType* found =
      io::find_gguf_type(cairn::type_that_divides(type.format, entry.shape.back()));
  if (found != &type) replaced[{&type, found}].push_back(&entry);
  return found;
}

void note_replaced(const Replaced& replaced, const Session& session) {
  for (const auto& [types, entries] : replaced)
    session.note(fmt::format(
        "blocks of {} elements of {} do not divide the rows of {} tensor{} ('{}' has {}), which "
        "become{} {}",
        types.first->block_elements, types.first->name, entries.size(),
        entries.size() == 1 ? "" : "s", entries[0]->name, entries[0]->shape.back(),
        entries.size() == 1 ? "s" : "", types.second->name));
}

std::vector<Step> plan_steps(const GgufContent& file, const Wanted& wanted,
                             const Session& session) {
  const ModelFacts facts = facts_of(file);
  std::vector<Step> steps;
  Replaced replaced;
  for (const GgufTensor& entry : file.tensors) {
    Step step = {&entry, entry.type};
    if (entry.is_matrix()) {
      const auto chosen = type_for(wanted.choice, entry.name, entry.shape, facts);
      const io::GgufType* type = chosen ? io::find_gguf_type(*chosen) : entry.type;
      for (const Kept& kept : wanted.keep)
        if (std::regex_search(entry.name, kept.pattern)) {
          type = kept.type;
          break;
        }
      step.type = type == entry.type ? type : type_that_divides(*type, entry, replaced);
    }
    steps.push_back(step);
  }
  note_replaced(replaced, session);
  return steps;
}

void report(const std::vector<Step>& steps, uint64_t bytes, double seconds, Session& session) {
  if (session.common.json) {
    Json tensors = Json::array();
    for (const Step& step : steps)
      tensors.push_back({{"name", step.entry->name},
                         {"type", step.type->name},
                         {"bytes", *step.type->bytes(step.entry->shape)},
                         {"rmse", step.rmse}});
    print_json(session.out, {{"tensors", tensors}, {"bytes", bytes}, {"seconds", seconds}});
    return;
  }
  plot::Table table{"", {"tensor", "from", "to", "bytes", "rmse"}, {}};
  for (const Step& step : steps)
    table.rows.push_back({step.entry->name, std::string(step.entry->type->name),
                          std::string(step.type->name),
                          plot::human_bytes(*step.type->bytes(step.entry->shape)),
                          step.entry->type == step.type ? "" : fmt::format("{:.3g}", step.rmse)});
  session.out.write(plot::to_text(table, session.out_terminal.table_style()));
  session.out.line(fmt::format("{} in {:.1f} s", plot::human_bytes(bytes), seconds));
}

// Runs the model over a text; its weights are in memory as f32 meanwhile.
io::ImportanceMatrix measure(const Options& options, Session& session) {
  constexpr int64_t kWindow = 512;  // llama-imatrix's
  const auto runtime = session.make_computing_runtime();
  LanguageModel model = load_language_model_for(options.in, std::nullopt);
  if (!model.tokenizer)
    throw_error(fmt::format(
        "there is no tokenizer beside '{}', which turning the text into ids needs", options.in));
  const std::string text = read_file(*options.imatrix_text).value();
  const std::vector<int32_t> ids = model.tokenizer->encode(text, {.add_special = true});
  const int64_t window = std::min({kWindow, model.transformer->config().context, std::ssize(ids)});
  Progress progress = session.progress();
  io::ImportanceMatrix matrix =
      measure_importance(*runtime, *model.transformer, ids, window, [&](int64_t done) {
        session.stop.check();
        progress.update(
            [&] { return fmt::format("importance: {} of {} tokens", done, ids.size()); });
      });
  progress.clear();
  if (!options.imatrix_out) return matrix;
  const io::ImatrixOrigin origin{.tokens = std::ssize(ids) / window * window,
                                 .window = window,
                                 .source = *options.imatrix_text};
  io::write_imatrix(*options.imatrix_out, matrix, origin).value();
  return io::read_imatrix(*options.imatrix_out).value();  // rounded as it is kept
}

int run(const Options& options, Session& session) {
  if (options.imatrix && options.imatrix_text)
    throw UsageError("--imatrix and --imatrix-text: one says how much each column matters");
  if (options.imatrix_out && !options.imatrix_text)
    throw UsageError("--imatrix-out keeps what --imatrix-text measures; name the text");
  const Wanted wanted = parse_wanted(options);
  const double start = monotonic_seconds();
  const GgufContent file = read_gguf_content(options.in).value();
  if (!file.note.empty()) session.note(fmt::format("text part only: {} is left out", file.note));
  io::ImportanceMatrix importance;
  if (options.imatrix) importance = io::read_imatrix(*options.imatrix).value();
  if (options.imatrix_text) importance = measure(options, session);
  std::vector<Step> steps = plan_steps(file, wanted, session);

  ThreadPool pool(session.threads());
  Progress progress = session.progress();
  const uint64_t all = file.bytes();
  uint64_t done = 0;
  size_t without_importance = 0;
  std::vector<io::GgufSource> sources;
  for (Step& step : steps) {
    const GgufTensor& entry = *step.entry;
    if (step.type == entry.type && !entry.type->decodes())
      throw_error(fmt::format("'{}' has the element type {}, which cairn does not decode",
                              entry.name, entry.type->name));
    sources.push_back({entry.name, step.type, entry.shape, [&] {
                         session.stop.check();
                         progress.update([&] {
                           return fmt::format("quantizing {} ({} of {})", step.entry->name,
                                              plot::human_bytes(done), plot::human_bytes(all));
                         });
                         std::span<const float> weights;
                         if (step.type != step.entry->type && step.type->block_format()) {
                           const auto found = importance.find(step.entry->name);
                           if (found != importance.end())
                             weights = found->second;
                           else if (options.imatrix)
                             ++without_importance;
                         }
                         Rewritten result = rewrite_tensor(*step.entry, *step.type, weights, pool);
                         step.rmse = result.rmse;
                         done += step.entry->bytes();
                         return std::move(result.bytes);
                       }});
  }
  io::write_gguf(options.out, metadata_of_copy(file, wanted.file_type), sources).value();
  progress.clear();
  if (without_importance > 0)
    session.note(
        fmt::format("the importance matrix says nothing of {} of the tensors; their weights "
                    "count alike",
                    without_importance));
  uint64_t bytes = 0;
  for (const Step& step : steps) bytes += *step.type->bytes(step.entry->shape);
  report(steps, bytes, monotonic_seconds() - start, session);
  return 0;
}

}  // namespace

void add_quantize(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command =
      program.command("quantize", "Write a model with its matrices in fewer bits.", kModels);
  command.positional("IN", options->in, "a GGUF file of any family, or a Hugging Face folder");
  command.positional("OUT", options->out, "the GGUF file to write");
  command.option("--type", "TYPE", options->type,
                 "a recipe (Q4_K_M, ...) or one type for every matrix (Q4_K, ...)", Need::required);
  command.option("--imatrix", "FILE", options->imatrix,
                 "how much each column matters, as llama-imatrix writes it");
  command.option("--imatrix-text", "FILE", options->imatrix_text,
                 "the same, measured by running the model over this text");
  command.option("--imatrix-out", "FILE", options->imatrix_out,
                 "keep what was measured, as llama-imatrix writes it");
  command.option("--keep", "REGEX=TYPE", options->keep,
                 "this type for the tensors whose names match; the first that matches counts");
  command.example(
      "cairn quantize model.gguf small.gguf --type Q4_K_M\ncairn quantize model.gguf small.gguf "
      "--type Q4_K --keep output=Q8_0");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
