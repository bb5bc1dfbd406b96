// cairn data: what kinds of data cairn reads, what lies in a folder, and a look into a file.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "apps/cairn/commands.h"
#include "apps/cairn/data_preview.h"
#include "apps/cairn/data_pull.h"
#include "apps/cairn/json.h"
#include "cairn/base/file.h"
#include "cairn/io/probe.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

struct KindRow {
  const char* kind;
  const char* files;
  const char* use;
};
constexpr KindRow kKinds[] = {
    {"text", ".txt, .md, any UTF-8, also .gz",
     "documents: [data] text = [\"FILE\"], a file is a document"},
    {"jsonl", ".jsonl, also .gz", "documents: a line's \"text\" is a document"},
    {"csv", ".csv, also .gz", "tables of numbers and words, first line names the columns"},
    {"idx", "MNIST's *-ubyte, also .gz", "pictures and labels: [data] images = ..., labels = ..."},
    {"npy, npz", ".npy, .npz of NumPy", "arrays in and out: graph run --in, inspect --tensor"},
    {"png, jpeg, pnm", ".png .jpg .pgm .ppm", "pictures"},
    {"tar", ".tar, .tar.gz", "pictures in folders by class"},
    {"safetensors", ".safetensors", "weights"},
    {"model", "a folder: config.json, *.safetensors", "a model with its tokenizer: --model FOLDER"},
    {"llama2c", ".bin of llama2.c", "a model: --model FILE, tok*.bin beside it"},
    {"tokenizer", "tokenizer.json, vocab.bpe, tok*.bin",
     "tokenize --tokenizer, [data] tokenizer = ..."},
    {"graph", ".graph", "graph show, graph run"},
    {"configuration", ".toml", "train CONFIG.toml"},
};

struct FileRow {
  std::string path;
  std::string kind;
  bool gzip;
  uint64_t bytes;
};

// What io::probe_file says, told more closely by name where bytes alone do not say.
FileRow describe(const fs::path& path) {
  std::error_code failure;
  FileRow row{path.string(), "unreadable", false, fs::file_size(path, failure)};
  const auto probe = io::probe_file(row.path);
  if (!probe) return row;
  row.kind = io::name(probe.value().kind);
  row.gzip = probe.value().gzip;
  std::string name = path.filename().string();
  if (row.gzip && name.ends_with(".gz")) name.resize(name.size() - 3);
  if (name.ends_with(".csv")) row.kind = "csv";
  if (name.ends_with(".jsonl")) row.kind = "jsonl";
  if (name == "tokenizer.json" || name.ends_with(".bpe")) row.kind = "tokenizer";
  return row;
}

std::vector<FileRow> list_files(const std::string& folder, Session& session) {
  constexpr size_t kMost = 100'000;
  std::vector<FileRow> rows;
  std::error_code failure;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied,
                                      failure),
      end;
  if (failure) throw file_error("read", folder, failure.value());
  Progress progress = session.progress();
  for (; it != end && rows.size() < kMost; it.increment(failure)) {
    if (failure) throw file_error("read", folder, failure.value());
    std::error_code ignored;
    if (it->path().filename().string().starts_with('.')) {
      it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file(ignored)) continue;
    rows.push_back(describe(it->path()));
    progress.update([&] { return fmt::format("{} files", rows.size()); });
  }
  std::sort(rows.begin(), rows.end(),
            [](const FileRow& a, const FileRow& b) { return a.path < b.path; });
  return rows;
}

// Many files of one kind in one folder are one row.
plot::Table file_table(const std::vector<FileRow>& files, const std::string& folder) {
  constexpr size_t kMany = 8;
  std::map<std::pair<std::string, std::string>, std::vector<const FileRow*>> groups;
  const auto key = [](const FileRow& file) {
    return std::pair(fs::path(file.path).parent_path().string(), file.kind);
  };
  for (const FileRow& file : files) groups[key(file)].push_back(&file);
  plot::Table table{"", {"file", "kind", "size"}, {}};
  const auto relative = [&](const std::string& path) {
    return fs::path(path).lexically_relative(folder).string();
  };
  for (const FileRow& file : files) {
    auto& group = groups[key(file)];
    if (group.empty()) continue;
    if (group.size() <= kMany) {
      table.rows.push_back({relative(file.path), file.kind + (file.gzip ? ", gzip" : ""),
                            plot::human_bytes(file.bytes)});
      continue;
    }
    uint64_t bytes = 0;
    for (const FileRow* one : group) bytes += one->bytes;
    table.rows.push_back(
        {fmt::format("{}/* ({} files)", relative(fs::path(file.path).parent_path().string()),
                     group.size()),
         file.kind, plot::human_bytes(bytes)});
    group.clear();
  }
  return table;
}

int list_kinds(Session& session) {
  if (session.common.json) {
    Json kinds = Json::array();
    for (const KindRow& row : kKinds)
      kinds.push_back({{"kind", row.kind}, {"files", row.files}, {"use", row.use}});
    print_json(session.out, {{"kinds", kinds}});
    return 0;
  }
  plot::Table table{"", {"kind", "files", "what for"}, {}};
  for (const KindRow& row : kKinds) table.rows.push_back({row.kind, row.files, row.use});
  session.out.write(plot::to_text(table, session.out_terminal.table_style()));
  session.note("`cairn data list FOLDER` lists files, `cairn data preview FILE` looks into one.");
  return 0;
}

int list(const std::optional<std::string>& folder, Session& session) {
  if (!folder) return list_kinds(session);
  std::error_code failure;
  if (!fs::is_directory(*folder, failure))
    throw_error(fmt::format("'{}' is no folder; `cairn data preview` looks into a file", *folder));
  const auto files = list_files(*folder, session);
  if (session.common.json) {
    Json list = Json::array();
    for (const FileRow& file : files)
      list.push_back(
          {{"path", file.path}, {"kind", file.kind}, {"gzip", file.gzip}, {"bytes", file.bytes}});
    print_json(session.out, {{"files", list}});
    return 0;
  }
  session.out.write(plot::to_text(file_table(files, *folder), session.out_terminal.table_style()));
  uint64_t bytes = 0;
  for (const FileRow& file : files) bytes += file.bytes;
  session.note(fmt::format("{} files, {}", files.size(), plot::human_bytes(bytes)));
  return 0;
}

}  // namespace

void add_data(const Command& program) {
  const Command group = program.group(
      "data", "Look at data: what can be read, what is in a folder, what is in a file.", kFiles);
  group.example("cairn data preview train-images-idx3-ubyte.gz");

  const auto folder = std::make_shared<std::optional<std::string>>();
  const Command list_command =
      group.command("list", "List the kinds of data that cairn reads, or the files of a folder.");
  list_command.positional("FOLDER", *folder, "list its files and their kinds");
  list_command.example("cairn data list");
  list_command.run([folder](Session& session) { return list(*folder, session); });

  const auto options = std::make_shared<PreviewOptions>();
  const Command preview_command =
      group.command("preview", "Look into a file of data: documents, tables, arrays, pictures.");
  preview_command.positional("FILE", options->file,
                             "text, .jsonl, .csv, .npy, .npz, IDX, a picture");
  preview_command.option("--rows", "N", options->rows,
                         "how many documents, rows or pictures (default: as many as fit)", 1);
  preview_command.option("--start", "N", options->start, "the first of them (default: 0)", 0);
  preview_command.option("--field", "NAME", options->field,
                         "of a .jsonl file: the field to show (default: text)");
  preview_command.option("--separator", "TEXT", options->separator, "splits a text into documents");
  preview_command.example("cairn data preview train-images-idx3-ubyte.gz");
  preview_command.run([options](Session& session) { return preview(*options, session); });

  add_data_pull(group);
}

}  // namespace cairn::app
