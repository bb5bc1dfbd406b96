// cairn inspect: what a file is and holds; whether every byte of it is sound; one tensor of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>

#include "apps/cairn/arrays.h"
#include "apps/cairn/commands.h"
#include "apps/cairn/inspect.h"
#include "cairn/base/file.h"
#include "cairn/base/names.h"
#include "cairn/core/block_format.h"
#include "cairn/io/npy.h"
#include "cairn/io/probe.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string path;
  bool verify = false, all = false;
  std::optional<std::string> tensor, out, activations, input;
};

}  // namespace

Subject open_subject(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) return open_model_folder(path);
  const io::FileProbe probe = io::probe_file(path).value();
  const uint64_t bytes = fs::file_size(path, failure);
  using io::FileKind;
  switch (probe.kind) {
    case FileKind::safetensors:
      if (!probe.gzip) return open_safetensors(path, bytes);
      break;
    case FileKind::llama2c:
      if (!probe.gzip) return open_llama2c(path, bytes);
      break;
    case FileKind::npy:
      if (!probe.gzip) return open_npy(path, bytes);
      break;
    case FileKind::npz:
      if (!probe.gzip) return open_npz(path, bytes);
      break;
    case FileKind::png:
    case FileKind::jpeg:
    case FileKind::pnm:
      if (!probe.gzip) return open_image(path, bytes, probe.kind);
      break;
    case FileKind::idx: return open_idx(path, bytes, probe.gzip);
    case FileKind::tar: return open_tar(path, bytes);
    case FileKind::graph:
      if (!probe.gzip) return open_graph(path, bytes);
      break;
    case FileKind::toml:
      if (!probe.gzip) return open_configuration(path, bytes);
      break;
    case FileKind::json:
    case FileKind::text:
      if (!probe.gzip && is_tokenizer_name(path)) return open_tokenizer(path, bytes);
      return probe.kind == FileKind::json ? open_json(path, bytes, probe.gzip)
                                          : open_text(path, bytes, probe.gzip);
    case FileKind::gguf:
      if (!probe.gzip) return open_gguf(path);
      break;
    case FileKind::zip:
      throw_error(
          fmt::format("'{}' is a zip archive, as PyTorch writes them; a later version of cairn "
                      "reads them. Save it as safetensors (safetensors.torch.save_file)",
                      path));
    case FileKind::unknown: break;
  }
  if (probe.gzip && probe.kind != FileKind::unknown)
    throw_error(fmt::format("'{}' is a {} file in gzip; unpack it first (gunzip)", path,
                            io::name(probe.kind)));
  if (is_tokenizer_name(path)) return open_tokenizer(path, bytes);
  std::string head(2, '\0');
  if (bytes >= 2) head = map_file(path).value().text().substr(0, 2);
  if (head == "\x80\x02" || head == "\x80\x04")
    throw_error(
        fmt::format("'{}' is a Python pickle; a later version of cairn reads those of PyTorch. "
                    "Save it as safetensors",
                    path));
  throw_error(fmt::format(
      "'{}' is of no kind that cairn reads; `cairn data list` says which those are", path));
}

namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// "model.layers.3.mlp.weight" as "model.layers.*.mlp.weight".
std::string pattern_of(const std::string& name) {
  std::string out;
  size_t at = 0;
  while (at <= name.size()) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string part = name.substr(at, end - at);
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    out += number ? "*" : part;
    if (end < name.size()) out += '.';
    at = end + 1;
  }
  return out;
}

// A row per tensor, or, of many, one for all layers.
plot::Table tensor_table(const Subject& subject, bool all) {
  constexpr size_t kFew = 24;
  plot::Table table{"", {"tensor", "type", "shape", "bytes"}, {}};
  if (all || subject.tensors.size() <= kFew) {
    for (const TensorEntry& t : subject.tensors)
      table.rows.push_back({t.name, t.dtype, shape_text(t.shape), plot::human_bytes(t.bytes)});
    return table;
  }
  struct Group {
    int64_t count = 0;
    uint64_t bytes = 0;
  };
  std::vector<std::array<std::string, 3>> order;
  std::map<std::array<std::string, 3>, Group> groups;
  for (const TensorEntry& t : subject.tensors) {
    const std::array<std::string, 3> key = {pattern_of(t.name), t.dtype, shape_text(t.shape)};
    Group& group = groups[key];
    if (group.count++ == 0) order.push_back(key);
    group.bytes += t.bytes;
  }
  table.header.insert(table.header.begin() + 1, "count");
  for (const auto& key : order) {
    const Group& group = groups[key];
    table.rows.push_back(
        {key[0], std::to_string(group.count), key[1], key[2], plot::human_bytes(group.bytes)});
  }
  return table;
}

// Nested values one after the other: "config.layers  5".
void add_rows(plot::Table& table, const std::string& prefix, const Json& value) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, inner] : value.items())
      add_rows(table, prefix.empty() ? key : fmt::format("{}.{}", prefix, key), inner);
    return;
  }
  const bool bytes = value.is_number_unsigned() && prefix.find("bytes") != std::string::npos;
  std::string text = value.is_string() ? value.get<std::string>()
                                       : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (bytes) text = plot::human_bytes(value.get<uint64_t>());
  constexpr size_t kLong = 300;
  if (text.size() > kLong) text = text.substr(0, kLong) + "...";
  std::replace(text.begin(), text.end(), '\n', ' ');
  table.rows.push_back({prefix, std::move(text)});
}

int show(const Subject& subject, const Options& options, Session& session) {
  if (session.common.json) {
    Json tensors = Json::array();
    for (const TensorEntry& t : subject.tensors)
      tensors.push_back(
          {{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}, {"bytes", t.bytes}});
    Json result = {{"kind", subject.kind}};
    if (subject.family) result["family"] = *subject.family;
    result["parameters"] = subject.parameters;
    result["tensors"] = tensors;
    result["metadata"] = subject.metadata;
    result["memory"] = subject.memory;
    print_json(session.out, result);
    return 0;
  }
  Output& out = session.out;
  const Terminal& terminal = session.out_terminal;
  const auto style = terminal.style(120, 28);
  std::string title = terminal.bold(options.path) + ": " + subject.kind;
  if (subject.family) title += ", family " + *subject.family;
  if (subject.parameters > 0)
    title +=
        fmt::format(", {} parameters", plot::human_count(static_cast<double>(subject.parameters)));
  out.line(title);
  if (!subject.tensors.empty()) {
    out.line("");
    out.write(plot::to_text(tensor_table(subject, options.all), terminal.table_style()));
  }
  plot::Table facts;
  add_rows(facts, "", subject.metadata);
  add_rows(facts, "", subject.memory);
  std::erase_if(facts.rows, [](const auto& row) { return row[0].empty(); });
  if (!facts.rows.empty()) {
    out.line("");
    // A column of sizes and words alike stands on the left.
    size_t widest = 0;
    for (const auto& row : facts.rows) widest = std::max(widest, row[0].size());
    for (const auto& row : facts.rows) {
      const std::string line =
          fmt::format("{}  {}", plot::fit(row[0], static_cast<int>(widest)), row[1]);
      out.line(plot::display_width(line) > style.width
                   ? plot::fit(line, style.width, plot::Align::left, style.unicode)
                   : line);
    }
  }
  if (subject.picture) {
    out.line("");
    out.write(subject.picture(style));
  }
  return 0;
}

// Numbers of a tensor of blocks that are NaN or infinite. Decoded block by block: as f32 the whole
// tensor would take up to twelve times its bytes.
int64_t not_finite_in_blocks(const BlockFormat& format, const HostArray& bytes) {
  const uint8_t* block = bytes.span<uint8_t>().data();
  std::array<float, kMaxBlockElements> values;
  int64_t count = 0;
  for (int64_t i = 0; i < bytes.elements(); i += format.block_bytes) {
    decode_blocks(format, block + i, 1, values.data());
    count += std::count_if(values.begin(), values.begin() + format.block_elements,
                           [](float value) { return !std::isfinite(value); });
  }
  return count;
}

// A tensor as f32, decoded where it is blocks.
HostArray tensor_as_f32(const Subject& subject, const TensorEntry& tensor) {
  const HostArray array = subject.read(tensor);
  const BlockFormat* format = find_block_format(tensor.dtype);
  if (!format) return to_f32(array);
  HostArray decoded(DType::f32, Shape(Ints(tensor.shape)));
  decode_blocks(*format, array.span<uint8_t>().data(), array.elements() / format->block_bytes,
                decoded.mutable_span<float>().data());
  return decoded;
}

int verify(const Subject& subject, const Options& options, Session& session) {
  Progress progress = session.progress();
  int64_t not_finite = 0;
  uint64_t bytes = 0;
  std::vector<std::string> not_decoded;
  // Where there is a check of its own beside an array that is data, it replaces reading the array.
  const bool streamed = subject.kind == "idx" && subject.verify != nullptr;
  for (const TensorEntry& tensor : subject.tensors) {
    progress.update([&] {
      return fmt::format("verifying {} ({} so far)", tensor.name, plot::human_bytes(bytes));
    });
    bytes += tensor.bytes;
    if (streamed) continue;
    if (const BlockFormat* format = find_block_format(tensor.dtype)) {
      not_finite += not_finite_in_blocks(*format, subject.read(tensor));
      continue;
    }
    const bool known =
        parse_dtype(tensor.dtype) && tensor.shape.size() <= static_cast<size_t>(kMaxRank);
    if (!known) {
      not_decoded.push_back(fmt::format("{} ({})", tensor.name, tensor.dtype));
      continue;
    }
    const ArraySummary summary = summarize(subject.read(tensor));
    not_finite += summary.elements - summary.finite;
  }
  if (subject.verify) subject.verify();
  progress.clear();
  if (session.common.json) {
    print_json(session.out, {{"kind", subject.kind},
                             {"verified", true},
                             {"tensors", subject.tensors.size()},
                             {"bytes", bytes},
                             {"not_finite", not_finite},
                             {"not_decoded", not_decoded}});
    return 0;
  }
  std::string what = subject.kind;
  if (!subject.tensors.empty())
    what += fmt::format(", {} tensor{}, {}", subject.tensors.size(),
                        subject.tensors.size() == 1 ? "" : "s", plot::human_bytes(bytes));
  session.out.line(fmt::format("{}: every byte is sound ({})", options.path, what));
  if (not_finite > 0) session.out.line(fmt::format("  {} numbers are NaN or infinite", not_finite));
  for (const std::string& name : not_decoded)
    session.out.line(fmt::format("  not decoded, cairn does not have its type: {}", name));
  return 0;
}

int extract(const Subject& subject, const Options& options, Session& session) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : subject.tensors) {
    names.push_back(tensor.name);
    if (tensor.name != *options.tensor) continue;
    const HostArray array = tensor_as_f32(subject, tensor);
    io::write_npy(*options.out, array).value();
    if (session.common.json) {
      print_json(session.out, {{"name", tensor.name},
                               {"dtype", "f32"},
                               {"shape", tensor.shape},
                               {"bytes", array.bytes()},
                               {"out", *options.out}});
    } else {
      session.note(fmt::format("{} ({}{}) is in {} as f32", tensor.name, tensor.dtype,
                               shape_text(tensor.shape), *options.out));
    }
    return 0;
  }
  // The list of a large model would fill the screen; the nearest name is what helps.
  std::string advice = suggest(*options.tensor, names);
  constexpr size_t kLong = 400;
  if (advice.size() > kLong)
    advice = advice.substr(0, advice.find(" (known")) + "; `cairn inspect` lists them";
  throw_error(fmt::format("'{}' has no tensor '{}'; {}", options.path, *options.tensor,
                          names.empty() ? "it holds none" : advice));
}

int run(const Options& options, Session& session) {
  if (!options.activations && session.precision() != DType::f32)
    throw UsageError(
        "--precision is what --activations computes in; without it nothing is computed");
  if (options.activations.has_value() != options.input.has_value())
    throw UsageError(
        "--activations LAYER and --input FILE belong together: of which layer, looking at what");
  if (options.activations) {
    if (options.tensor || options.verify)
      throw UsageError("--activations is a wish of its own, without --tensor and --verify");
    return show_activations(options.path, *options.activations, *options.input, options.out,
                            session);
  }
  if (options.tensor.has_value() != options.out.has_value())
    throw UsageError(
        "--tensor NAME and --out FILE.npy belong together: which tensor, and where to write it");
  if (options.tensor && options.verify)
    throw UsageError("--tensor and --verify are two wishes; take one");
  const Subject subject = open_subject(options.path);
  if (options.verify) return verify(subject, options, session);
  if (options.tensor) return extract(subject, options, session);
  return show(subject, options, session);
}

}  // namespace

void add_inspect(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command("inspect",
                                          "Show what a file is and holds: models, arrays, "
                                          "pictures, tokenizers, graphs, configurations.",
                                          kFiles);
  command.positional("PATH", options->path, "a file, or the folder of a model");
  command.flag("--all", options->all, "a row for every tensor, also when there are many");
  command.flag("--verify", options->verify, "decode every byte and say whether the file is sound");
  command.option("--tensor", "NAME", options->tensor,
                 "write this tensor, decoded to f32, to --out");
  command.option("--out", "FILE", options->out,
                 "where to write it: .npy of --tensor, .png of --activations");
  command.option("--activations", "LAYER", options->activations,
                 "what this layer of an image classifier makes of --input, as pixels");
  command.option("--input", "FILE", options->input,
                 "the picture for --activations: PNG, JPEG, or the first one of an IDX file");
  command.example(
      "cairn inspect weights.safetensors\ncairn inspect weights.safetensors --verify\ncairn "
      "inspect weights.safetensors --tensor w --out tensor.npy");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
