// Finding the files of a tokenizer, and writing them.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/file.h"
#include "cairn/text/tokenizer.h"
#include "cairn/text/tokenizer_formats.h"

namespace cairn::text {
namespace {

namespace fs = std::filesystem;
using Loaded = Result<std::unique_ptr<Tokenizer>>;

// Published vocabularies have up to 35 MB; a model picked by mistake has more.
constexpr uint64_t kLargestFile = 256 << 20;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The first of these names that lies in the folder; empty when none does.
fs::path first_of(const fs::path& folder, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (is_file(folder / name)) return folder / name;
  }
  return {};
}

Loaded named(Loaded loaded, const fs::path& path) {
  if (loaded.ok()) return loaded;
  return Error(fmt::format("'{}': {}", path.string(), loaded.error().what()));
}

Loaded load_json(const fs::path& path) {
  const Result<std::string> json = read_file(path.string(), kLargestFile);
  if (!json.ok()) return json.error();
  const fs::path config_path = path.parent_path() / "tokenizer_config.json";
  std::string config;
  if (path.filename() == "tokenizer.json" && is_file(config_path)) {
    Result<std::string> read = read_file(config_path.string(), kLargestFile);
    if (!read.ok()) return read.error();
    config = std::move(read).value();
  }
  return named(parse_tokenizer_json(json.value(), config), path);
}

Loaded load_gpt2(const fs::path& vocabulary_path, const fs::path& merges_path) {
  const Result<std::string> vocabulary = read_file(vocabulary_path.string(), kLargestFile);
  if (!vocabulary.ok()) return vocabulary.error();
  const Result<std::string> merges = read_file(merges_path.string(), kLargestFile);
  if (!merges.ok()) return merges.error();
  return named(parse_gpt2_files(vocabulary.value(), merges.value()), merges_path);
}

Loaded load_llama2c(const fs::path& path) {
  const Result<std::string> bytes = read_file(path.string(), kLargestFile);
  if (!bytes.ok()) return bytes.error();
  return named(parse_llama2c_tokenizer(bytes.value()), path);
}

// tokenizer.model is SentencePiece's or, of Llama 3, tiktoken's, which is text.
Loaded load_model(const fs::path& path) {
  const Result<std::string> bytes = read_file(path.string(), kLargestFile);
  if (!bytes.ok()) return bytes.error();
  const std::string_view line = std::string_view(bytes.value()).substr(0, 64);
  const bool tiktoken = path.extension() == ".tiktoken" || line.starts_with("IQ== 0");
  return named(
      tiktoken ? parse_tiktoken_file(bytes.value()) : parse_sentencepiece_model(bytes.value()),
      path);
}

Loaded load_folder(const fs::path& folder) {
  if (is_file(folder / "tokenizer.json")) return load_json(folder / "tokenizer.json");
  const fs::path vocabulary = first_of(folder, {"vocab.json", "encoder.json"});
  const fs::path merges = first_of(folder, {"merges.txt", "vocab.bpe"});
  if (!vocabulary.empty() && !merges.empty()) return load_gpt2(vocabulary, merges);
  std::vector<fs::path> binaries;
  std::error_code failure;
  for (fs::directory_iterator it(folder, failure), end; !failure && it != end;
       it.increment(failure)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("tok") && name.ends_with(".bin")) binaries.push_back(it->path());
  }
  if (binaries.size() == 1) return load_llama2c(binaries[0]);
  if (binaries.empty() && is_file(folder / "tokenizer.model"))
    return load_model(folder / "tokenizer.model");
  const std::string why =
      binaries.empty() ? ""
                       : fmt::format("; it has {} tok*.bin, name one of them", binaries.size());
  return Error(fmt::format(
      "no tokenizer in '{}': expected tokenizer.json, or vocab.json (encoder.json) with merges.txt "
      "(vocab.bpe), or tokenizer.model, or one tok*.bin{}",
      folder.string(), why));
}

// One of GPT-2's two files is named; the other lies beside it.
Loaded load_pair(const fs::path& path, bool is_merges) {
  const fs::path folder = path.parent_path();
  const fs::path partner = is_merges ? first_of(folder, {"encoder.json", "vocab.json"})
                                     : first_of(folder, {"vocab.bpe", "merges.txt"});
  if (partner.empty()) {
    return Error(fmt::format("'{}' needs {} beside it", path.string(),
                             is_merges ? "encoder.json or vocab.json" : "vocab.bpe or merges.txt"));
  }
  return is_merges ? load_gpt2(partner, path) : load_gpt2(path, partner);
}

}  // namespace

Loaded load_tokenizer(const fs::path& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) return load_folder(path);
  const std::string name = path.filename().string();
  const std::string extension = path.extension().string();
  if (!fs::exists(path, failure)) {
    return Error(fmt::format("no tokenizer at '{}': no such file or folder", path.string()));
  }
  if (name == "vocab.json" || name == "encoder.json") return load_pair(path, false);
  if (name == "merges.txt" || extension == ".bpe") return load_pair(path, true);
  if (extension == ".json") return load_json(path);
  if (extension == ".bin") return load_llama2c(path);
  if (extension == ".model" || extension == ".tiktoken") return load_model(path);
  return Error(fmt::format(
      "'{}' is no kind of tokenizer that cairn reads: a folder or tokenizer.json of Hugging Face, "
      "vocab.bpe with encoder.json, tokenizer.model, a file of tiktoken, or a tok*.bin of llama2.c",
      path.string()));
}

Status save_tokenizer(const Tokenizer& tokenizer, const fs::path& folder,
                      std::string_view chat_template) {
  const std::string json = tokenizer.to_json();
  Status status = write_file_atomically((folder / "tokenizer.json").string(), json);
  if (!status.ok()) return status;
  return write_file_atomically((folder / "tokenizer_config.json").string(),
                               write_tokenizer_config(tokenizer, chat_template));
}

}  // namespace cairn::text
