// What is text: tokenizers, graphs, configurations, JSON, documents; and tar archives.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "apps/cairn/graph_file.h"
#include "apps/cairn/inspect.h"
#include "cairn/base/file.h"
#include "cairn/graph/cost.h"
#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "cairn/io/csv.h"
#include "cairn/io/gzip.h"
#include "cairn/io/lines.h"
#include "cairn/io/tar.h"
#include "cairn/io/text_file.h"
#include "cairn/runtime/plan.h"
#include "cairn/runtime/ref/ref_backend.h"
#include "cairn/text/tokenizer.h"
#include "cairn/text/utf8.h"
#include "cairn/train/config.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

bool ends_with_any(const std::string& path, std::initializer_list<const char*> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](const char* ending) { return path.ends_with(ending); });
}

// JSON without keeping any of it, so that a file of any size takes no memory.
void check_json_text(const std::string& path, std::string_view text) {
  if (!Json::accept(text.begin(), text.end()))
    throw_error(fmt::format("'{}' is no valid JSON", path));
}

// A line of a compressed file is in memory, one of a plain file is a view.
io::LineReader open_lines(const std::string& path, bool gzip) {
  return io::LineReader::open(path, gzip ? uint64_t{64} << 20 : uint64_t{1} << 40).value();
}

}  // namespace

bool is_tokenizer_name(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  return name == "tokenizer.json" || name == "vocab.json" || name == "encoder.json" ||
         name == "merges.txt" || name.ends_with(".bpe") || name.ends_with(".tiktoken") ||
         name == "tokenizer.model" || (name.starts_with("tok") && name.ends_with(".bin"));
}

Subject open_tokenizer(const std::string& path, uint64_t bytes) {
  const std::shared_ptr<const text::Tokenizer> tokenizer = text::load_tokenizer(path).value();
  Subject subject;
  subject.kind = "tokenizer";
  size_t longest = 0;
  for (const std::string& token : tokenizer->vocabulary().tokens)
    longest = std::max(longest, token.size());
  Json special = Json::array();
  for (const text::AddedToken& token : tokenizer->vocabulary().added)
    if (token.special)
      special.push_back({{"id", token.id}, {"text", text::replace_invalid_utf8(token.content)}});
  const auto id_or_null = [](std::optional<int32_t> id) { return id ? Json(*id) : Json(nullptr); };
  subject.metadata = {{"vocabulary", tokenizer->vocabulary_size()},
                      {"bos", id_or_null(tokenizer->bos())},
                      {"eos", id_or_null(tokenizer->eos())},
                      {"longest_token_bytes", longest},
                      {"special", special}};
  if (bytes > 0) subject.memory["file_bytes"] = bytes;
  // Every token on its own comes back from its bytes.
  subject.verify = [tokenizer] {
    for (int32_t id = 0; id < tokenizer->vocabulary_size(); ++id)
      tokenizer->decode(std::span(&id, 1));
  };
  subject.picture = [tokenizer](const plot::TerminalStyle& style) {
    // Some from all over the vocabulary: what a token is here shows at a glance.
    constexpr size_t kShown = 16;
    std::vector<const std::string*> tokens;
    for (const std::string& token : tokenizer->vocabulary().tokens)
      if (text::is_valid_utf8(token) && !token.empty() &&
          std::all_of(token.begin(), token.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 32; }))
        tokens.push_back(&token);
    std::string line = "some tokens:";
    for (size_t i = 0; i < std::min(tokens.size(), kShown); ++i)
      line += fmt::format(" '{}'", *tokens[i * tokens.size() / std::min(tokens.size(), kShown)]);
    return plot::fit(line, std::min(style.width, plot::display_width(line)), plot::Align::left,
                     style.unicode) +
           "\n";
  };
  return subject;
}

Subject open_graph(const std::string& path, uint64_t bytes) {
  const Graph graph = read_graph(path);
  Subject subject;
  subject.kind = "graph";
  const auto types = [](const std::vector<Tensor>& tensors, const std::vector<std::string>& names) {
    Json list = Json::object();
    for (size_t i = 0; i < tensors.size(); ++i) list[names[i]] = to_string(tensors[i].type());
    return list;
  };
  int64_t operations = 0;
  for (const Node* node : topological_order(graph.outputs)) operations += node->op() != Op::input;
  const Cost cost = cost_of(graph);
  subject.metadata = {{"name", graph.name},
                      {"operations", operations},
                      {"inputs", types(graph.inputs, input_names(graph))},
                      {"outputs", types(graph.outputs, graph.output_names)},
                      {"flops", cost.flops},
                      {"bytes_moved", cost.bytes_read + cost.bytes_written}};
  const auto plan = make_plan(graph, *make_ref_backend());
  subject.memory = {{"file_bytes", bytes},
                    {"peak_bytes_planned", plan->peak_bytes()},
                    {"argument_bytes", plan->argument_bytes},
                    {"result_bytes", plan->result_bytes},
                    {"arena_bytes", plan->arena_bytes}};
  subject.verify = [graph] { verify(graph); };
  subject.picture = [graph](const plot::TerminalStyle&) { return to_text(graph); };
  return subject;
}

template <class T>
Json to_json(const T& value) {
  return value;
}
template <class T>
Json to_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json to_json(const std::vector<ParameterGroup>& groups) {
  Json list = Json::array();
  for (const ParameterGroup& g : groups) {
    list.push_back({{"match", g.match}, {"learning_rate_scale", g.learning_rate_scale}});
    if (g.weight_decay) list.back()["weight_decay"] = *g.weight_decay;
  }
  return list;
}

Subject open_configuration(const std::string& path, uint64_t bytes) {
  TrainConfig config = read_config(path).value();
  Subject subject;
  subject.kind = "configuration";
  subject.family = config.model.family;
  for (const ConfigField& field : fields(config))
    std::visit(
        [&](const auto* value) {
          Json json = to_json(*value);  // null: a hyper-parameter that the optimizer decides on
          if (!json.is_null()) subject.metadata[field.key] = std::move(json);
        },
        field.value);
  subject.memory["file_bytes"] = bytes;
  subject.verify = [config] { check(config).value(); };
  return subject;
}

Subject open_json(const std::string& path, uint64_t bytes, bool gzip) {
  Subject subject;
  subject.memory["file_bytes"] = bytes;
  if (!ends_with_any(path, {".jsonl", ".jsonl.gz"})) {
    subject.kind = "json";
    subject.metadata["gzip"] = gzip;
    subject.verify = [path, limit = verify_limit(bytes)] {
      check_json_text(path, io::map_or_gunzip(path, limit).value().text());
    };
    return subject;
  }
  subject.kind = "jsonl";
  int64_t lines = 0;
  auto reader = open_lines(path, gzip);
  while (const auto line = reader.next().value()) lines += !line->empty();
  subject.metadata = {{"lines", lines}, {"gzip", gzip}};
  subject.verify = [path, gzip] {
    auto again = open_lines(path, gzip);
    while (const auto line = again.next().value())
      if (!line->empty() && !Json::accept(line->begin(), line->end()))
        throw_error(fmt::format("'{}', line {}: no valid JSON", path, again.number()));
  };
  return subject;
}

Subject open_text(const std::string& path, uint64_t bytes, bool gzip) {
  Subject subject;
  const bool csv = ends_with_any(path, {".csv", ".csv.gz"});
  subject.kind = csv ? "csv" : ends_with_any(path, {".jinja"}) ? "template" : "text";
  int64_t lines = 0;
  auto reader = open_lines(path, gzip);
  while (reader.next().value()) ++lines;
  subject.metadata = {{"lines", lines}, {"gzip", gzip}};
  // A table in memory takes several times its file.
  constexpr uint64_t kLargestTable = uint64_t{16} << 20;
  const bool table = csv && bytes <= kLargestTable && !gzip;
  if (table) {
    const io::CsvTable parsed = io::read_csv(path).value();
    subject.metadata["rows"] = parsed.rows();
    subject.metadata["columns"] = parsed.header();
  }
  subject.memory["file_bytes"] = bytes;
  subject.verify = [path, gzip] {
    auto again = open_lines(path, gzip);
    while (const auto line = again.next().value())
      io::check_utf8(*line, fmt::format("{}, line {}", path, again.number())).value();
  };
  return subject;
}

Subject open_tar(const std::string& path, uint64_t bytes) {
  const auto file =
      std::make_shared<io::TarFile>(io::TarFile::open(path, verify_limit(bytes)).value());
  Subject subject;
  subject.kind = "tar";
  std::map<std::string, int64_t> by_extension;
  uint64_t content = 0;
  for (const io::TarEntry& entry : file->entries()) {
    ++by_extension[fs::path(entry.name).extension().string()];
    content += entry.size;
  }
  subject.metadata = {{"entries", file->entries().size()}, {"bytes", content}};
  Json extensions = Json::object();
  for (const auto& [extension, count] : by_extension)
    extensions[extension.empty() ? "(none)" : extension] = count;
  subject.metadata["extensions"] = extensions;
  subject.memory["file_bytes"] = bytes;
  return subject;
}

}  // namespace cairn::app
