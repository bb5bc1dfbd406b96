#include "cairn/models/language_model.h"

#include <fmt/format.h>

#include "cairn/base/file.h"
#include "cairn/io/llama2c.h"
#include "cairn/io/probe.h"
#include "cairn/models/block_weights.h"
#include "cairn/models/families.h"
#include "cairn/models/float_weights.h"
#include "cairn/models/gguf_model.h"
#include "cairn/models/gguf_text.h"
#include "cairn/models/hf_folder.h"
#include "cairn/models/weights.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// What load_fields keeps of the matrices of a model: of blocks what the options ask for, and the
// others as kept_type() has it, in the order that products read where they will run.
Result<KeepField> kept_fields(const TransformerConfig& config, const LoadOptions& options) {
  std::optional<WeightFormats> formats;
  if (!options.quantize.empty()) {
    auto parsed = WeightFormats::parse(options.quantize, config);
    if (!parsed) return parsed.error();
    formats = std::move(parsed).value();
  }
  const auto pool =
      formats && !options.runtime ? std::make_shared<ThreadPool>(physical_cores()) : nullptr;
  return KeepField([=](const Field& field, DType dtype, const RowsOf& rows) {
    const Shape& shape = field.tensor->shape();
    // Of tables that no product reads rows are taken where they lie.
    Runtime* runtime = is_table(field.path, config) ? nullptr : options.runtime;
    const auto type = formats ? formats->type_of(field.path, shape) : std::nullopt;
    if (!type)
      return float_weight(kept_type(field.path, dtype, config, options.precision), shape, rows,
                          field.path, runtime, options.kept);
    const auto numbers = [&](int64_t first, int64_t count) {
      return rounded(rows(first, count), DType::f32);
    };
    return encoded_weight(shape, numbers, *type, field.path, runtime,
                          options.runtime ? options.runtime->pool() : *pool, options.kept);
  });
}

size_t matrices(Transformer& model) {
  return static_cast<size_t>(
      std::ranges::count_if(fields(model), [](const Field& f) { return f.tensor->rank() == 2; }));
}

// With a report of how many matrices came before.
KeepField counted(KeepField keep, size_t all, const LoadOptions& options) {
  if (!options.progress) return keep;
  return [keep = std::move(keep), all, progress = options.progress, done = size_t{0}](
             const Field& field, DType dtype, const RowsOf& rows) mutable {
    progress(done++, all);
    return keep(field, dtype, rows);
  };
}

Result<LanguageModel> load_hf(const fs::path& path, const LoadOptions& options) {
  auto opened = HfFolder::open(path);
  if (!opened) return opened.error();
  HfFolder& folder = opened.value();
  LanguageModel model;
  model.left_out = folder.left_out;
  model.bos = folder.bos;
  model.ends = folder.ends;
  model.sampling = folder.sampling;
  model.tokenizer = std::move(folder.tokenizer);
  model.transformer = std::make_unique<Transformer>(folder.config);
  Transformer& transformer = *model.transformer;
  KeepField keep;
  if (options.runtime || !options.quantize.empty()) {
    auto kept = kept_fields(folder.config, options);
    if (!kept) return kept.error();
    keep = counted(std::move(kept).value(), matrices(transformer), options);
  }
  if (auto status = load_fields(transformer, folder.tensors, folder.names, keep); !status)
    return Error(fmt::format("{}: {}", path.string(), status.error().what()));
  return model;
}

// llama2.c keeps tensors by kind over all layers; a field of layer i is row i of its kind.
Result<LanguageModel> load_llama2c(const fs::path& path, const LoadOptions& options) {
  auto opened = io::Llama2cFile::open(path.string());
  if (!opened) return opened.error();
  const io::Llama2cFile& file = opened.value();
  const io::Llama2cConfig& from = file.config();
  TransformerConfig c;
  c.family = "llama";
  c.vocabulary = from.vocab_size;
  c.context = from.seq_len;
  c.layers = from.n_layers;
  c.heads = from.n_heads;
  c.kv_heads = from.n_kv_heads;
  c.width = from.dim;
  c.head_width = from.head_size();
  c.hidden = from.hidden_dim;
  c.norm_epsilon = 1e-5;
  c.rotary = Rotary{.interleaved = true};
  c.tied = from.shared_classifier;
  LanguageModel model;
  model.transformer = std::make_unique<Transformer>(c);
  static const std::pair<const char*, const char*> kKinds[] = {
      {"attention_norm.weight", "rms_att_weight"},
      {"feed_forward_norm.weight", "rms_ffn_weight"},
      {"attention.query.weight", "wq"},
      {"attention.key.weight", "wk"},
      {"attention.value.weight", "wv"},
      {"attention.output.weight", "wo"},
      {"feed_forward.gate.weight", "w1"},
      {"feed_forward.down.weight", "w2"},
      {"feed_forward.up.weight", "w3"}};
  for (const Field& field : fields(*model.transformer)) {
    const Shape& shape = field.tensor->shape();
    std::string kind;
    int64_t layer = 0;
    if (field.path == "tokens.weight")
      kind = "token_embedding_table";
    else if (field.path == "final_norm.weight")
      kind = "rms_final_weight";
    else if (field.path == "head.weight")
      kind = "wcls";
    else {
      const size_t dot = field.path.find('.', 7);
      layer = std::stoll(field.path.substr(7, dot - 7));
      for (const auto& [ours, theirs] : kKinds)
        if (field.path.substr(dot + 1) == ours) kind = theirs;
    }
    const HostArray& all = file.tensor(kind);
    const float* first = all.span<float>().data() + layer * shape.elements();
    const HostArray values(DType::f32, shape, all.owner(), first);
    *field.tensor =
        shape.rank() == 2
            ? float_weight(
                  kept_type(field.path, DType::f32, c, options.precision), shape,
                  [&](int64_t row, int64_t count) { return some_rows(values, row, count); },
                  field.path, is_table(field.path, c) ? nullptr : options.runtime)
            : Tensor(values).named(field.path);
  }
  model.bos = 1;
  model.ends = {2};
  std::error_code ignored;
  for (const auto& entry :
       fs::directory_iterator(path.parent_path().empty() ? "." : path.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("tok", 0) != 0 || entry.path().extension() != ".bin") continue;
    auto tokenizer = text::load_tokenizer(entry.path());
    if (!tokenizer) return tokenizer.error();
    model.tokenizer = std::move(tokenizer).value();
  }
  return model;
}

// What was packed is kept when all of it is there.
Result<LanguageModel> with_kept(Result<LanguageModel> model, const LoadOptions& options) {
  if (model.ok() && options.kept) options.kept->keep();
  return model;
}

}  // namespace

bool is_gguf_file(const fs::path& path) {
  const auto probe = io::probe_file(path.string());
  return probe && probe.value().kind == io::FileKind::gguf;
}

Result<LanguageModel> load_language_model(const fs::path& path, const LoadOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (fs::exists(path / "config.json")) return with_kept(load_hf(path, options), options);
    return Error(fmt::format(
        "{} has no config.json; expected a Hugging Face folder, a folder that cairn train wrote, "
        "a GGUF file or a llama2.c .bin file",
        path.string()));
  }
  if (!fs::exists(path, ignored))
    return Error(fmt::format("{}: no such file or folder", path.string()));
  if (path.extension() == ".bin") {
    if (!options.quantize.empty())
      return Error(
          fmt::format("{}: llama2.c files are not quantized; convert it first", path.string()));
    return load_llama2c(path, options);
  }
  const auto probe = io::probe_file(path.string());
  if (!probe) return probe.error();
  if (probe.value().kind == io::FileKind::gguf)
    return with_kept(load_gguf_model(path, options), options);
  return Error(
      fmt::format("{} is not a model that cairn reads; expected a Hugging Face folder, a GGUF file "
                  "or a llama2.c "
                  ".bin file",
                  path.string()));
}

Result<std::unique_ptr<text::Tokenizer>> load_model_tokenizer(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return text::load_tokenizer(path);
  if (!fs::exists(path, ignored))
    return Error(fmt::format("{}: no such file or folder", path.string()));
  if (is_gguf_file(path)) {
    const auto file = io::GgufFile::open(path.string());
    if (!file) return file.error();
    auto tokenizer = gguf_tokenizer(file.value());
    if (tokenizer) return tokenizer;
    return Error(fmt::format("{}: {}", path.string(), tokenizer.error().what()));
  }
  return text::load_tokenizer(path.parent_path().empty() ? "." : path.parent_path());
}

Result<text::ModelTemplate> load_model_template(const fs::path& path, bool with_tools) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return text::load_model_template(path, with_tools);
  if (!fs::exists(path, ignored))
    return Error(fmt::format("{}: no such file or folder", path.string()));
  if (!is_gguf_file(path))
    return Error(
        fmt::format("{}: only Hugging Face folders and GGUF files have chat templates; name one "
                    "with --template FILE",
                    path.string()));
  const auto file = io::GgufFile::open(path.string());
  if (!file) return file.error();
  auto found = gguf_template(file.value(), with_tools);
  if (found) return found;
  return Error(fmt::format("{}: {}", path.string(), found.error().what()));
}

Status save_language_model(const fs::path& folder, Transformer& transformer,
                           const text::Tokenizer* tokenizer) {
  const std::vector<Field> all = fields(transformer);
  std::vector<Tensor> values;
  for (const Field& f : all) values.push_back(*f.tensor);
  const TransformerConfig& config = transformer.config();
  // The format that transformers asks for.
  if (auto status =
          io::write_safetensors((folder / "model.safetensors").string(),
                                file_tensors(all, values, hf_names(config)), {{"format", "pt"}});
      !status)
    return status;
  const int bos = tokenizer && tokenizer->bos() ? *tokenizer->bos() : -1;
  const int eos = tokenizer && tokenizer->eos() ? *tokenizer->eos() : -1;
  if (auto status =
          write_file_atomically((folder / "config.json").string(), to_hf_config(config, bos, eos));
      !status)
    return status;
  return tokenizer ? text::save_tokenizer(*tokenizer, folder) : Status(Nothing{});
}

}  // namespace cairn
