// cairn convert: a model in another kind of file, or with floats of another type.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "apps/cairn/arrays.h"
#include "apps/cairn/commands.h"
#include "apps/cairn/gguf_rewrite.h"
#include "apps/cairn/json.h"
#include "cairn/io/safetensors.h"
#include "cairn/models/hf_export.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string in, out;
  std::optional<std::string> to, dtype;
};

struct Written {
  size_t tensors = 0;
  uint64_t bytes = 0;
};

// Floats and blocks become `dtype`, where one is asked for; the rest stays. Vectors of a GGUF file
// stay f32: programs that read them expect it.
const io::GgufType& type_of(const GgufTensor& tensor, const io::GgufType* dtype) {
  return dtype && tensor.is_matrix() && !tensor.stays_f32() ? *dtype : *tensor.type;
}

// What most of the matrices' numbers are, for general.file_type.
uint32_t file_type_of_most(const GgufContent& model, const io::GgufType* dtype) {
  std::map<const io::GgufType*, uint64_t> bytes;
  for (const GgufTensor& tensor : model.tensors)
    if (tensor.is_matrix()) {
      const io::GgufType& type = type_of(tensor, dtype);
      bytes[&type] += *type.bytes(tensor.shape);
    }
  const auto most = std::ranges::max_element(
      bytes, [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? 0 : file_type_of(*most->first);
}

Written to_gguf(const GgufContent& model, const std::string& out, const io::GgufType* dtype,
                Session& session) {
  ThreadPool pool(session.threads());
  Progress progress = session.progress();
  Written done;
  const uint64_t all = model.bytes();
  uint64_t read = 0;
  std::vector<io::GgufSource> sources;
  for (const GgufTensor& tensor : model.tensors) {
    const io::GgufType& type = type_of(tensor, dtype);
    done.bytes += *type.bytes(tensor.shape);
    sources.push_back({tensor.name, &type, tensor.shape, [&] {
                         session.stop.check();
                         progress.update([&] {
                           return fmt::format("writing {} ({} of {})", tensor.name,
                                              plot::human_bytes(read), plot::human_bytes(all));
                         });
                         read += tensor.bytes();
                         return rewrite_tensor(tensor, type_of(tensor, dtype), {}, pool).bytes;
                       }});
  }
  done.tensors = sources.size();
  const io::GgufValue* now = model.find("general.file_type");
  const bool keeps = now && !dtype;
  const auto type =
      keeps ? static_cast<uint32_t>(now->integer().value_or(0)) : file_type_of_most(model, dtype);
  io::write_gguf(out, metadata_of_copy(model, type), sources).value();
  progress.clear();
  return done;
}

// Blocks have no place in safetensors: they become floats.
Written to_safetensors(const GgufContent& model, const std::string& out, const io::GgufType* dtype,
                       Session& session) {
  ThreadPool pool(session.threads());
  std::vector<io::SafetensorsSource> sources;
  Written done;
  for (const GgufTensor& tensor : model.tensors) {
    const io::GgufType* type = &type_of(tensor, dtype);
    if (!type->dtype) type = io::find_gguf_type("F32");
    const Shape shape = io::checked_shape(tensor.shape, *type->dtype);
    done.bytes += *type->bytes(tensor.shape);
    sources.push_back({tensor.name, *type->dtype, shape, [&tensor, type, shape, &pool, &session] {
                         session.stop.check();
                         const SharedBytes data = rewrite_tensor(tensor, *type, {}, pool).bytes;
                         return HostArray(*type->dtype, shape, data.owner(), data.data());
                       }});
  }
  done.tensors = sources.size();
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : model.metadata)
    if (value.text() && !io::first_invalid_utf8(*value.text()))
      metadata.emplace(key, *value.text());
  io::write_safetensors(out, std::move(sources), metadata).value();
  return done;
}

// A file or folder beside `path`, which goes away unless it is kept.
class Beside {
 public:
  Beside(const std::string& path, const char* what)
      : path_(fmt::format("{}.{}.{}", path, what, getpid())) {}
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  ~Beside() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What there is to lose is not overwritten: a folder is more than the files written here.
void require_new_folder(const std::string& out) {
  std::error_code failure;
  if (!fs::exists(out, failure)) return;
  if (!fs::is_directory(out, failure) || !fs::is_empty(out, failure))
    throw_error(
        fmt::format("'{}' exists already; name a folder that does not, or an empty one", out));
}

Written to_hf(const Options& options, const io::GgufType* dtype, Session& session) {
  std::string out = options.out;
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  require_new_folder(out);
  // Anything but a GGUF file is one first: a model's names and numbers are then in one place.
  const Beside middle(out, "gguf");
  std::string in = options.in;
  if (fs::is_directory(in) || fs::path(in).extension() == ".bin") {
    to_gguf(read_gguf_content(in).value(), middle.path(), nullptr, session);
    in = middle.path();
  }
  const io::GgufFile file = io::GgufFile::open(in).value();
  const Beside folder(out, "tmp");
  std::error_code failure;
  if (!fs::create_directories(folder.path(), failure))
    throw_error(fmt::format("cannot make the folder '{}': {}", folder.path(), failure.message()));
  Progress progress = session.progress();
  HfExport how;
  if (dtype) how.dtype = dtype->dtype;
  how.progress = [&](const std::string& tensor) {
    session.stop.check();
    progress.update([&] { return fmt::format("writing {}", tensor); });
  };
  const HfExported done = write_hf_folder(file, folder.path(), how).value();
  progress.clear();
  fs::remove(out, failure);  // an empty folder
  fs::rename(folder.path(), out, failure);
  if (failure)
    throw_error(
        fmt::format("cannot rename '{}' to '{}': {}", folder.path(), out, failure.message()));
  return {done.tensors, done.bytes};
}

int run(const Options& options, Session& session) {
  const std::string to = options.to.value_or(
      fs::path(options.out).extension() == ".safetensors" ? "safetensors" : "gguf");
  if (to != "gguf" && to != "safetensors" && to != "hf")
    throw UsageError(fmt::format("--to {}: known are gguf, hf, safetensors", to));
  const io::GgufType* dtype = nullptr;
  if (options.dtype) {
    dtype = &writable_type(*options.dtype, "--dtype");
    if (!dtype->dtype)
      throw UsageError(
          fmt::format("--dtype {}: known are f32, f16, bf16; `cairn quantize` writes "
                      "block types",
                      *options.dtype));
  }
  Written done;
  if (to == "hf") {
    done = to_hf(options, dtype, session);
  } else {
    const GgufContent model = read_gguf_content(options.in).value();
    if (!model.note.empty())
      session.note(fmt::format("text part only: {} is left out", model.note));
    done = to == "gguf" ? to_gguf(model, options.out, dtype, session)
                        : to_safetensors(model, options.out, dtype, session);
  }
  if (session.common.json)
    print_json(
        session.out,
        {{"out", options.out}, {"kind", to}, {"tensors", done.tensors}, {"bytes", done.bytes}});
  else
    session.out.line(fmt::format("{}: {}, {} tensors, {}", options.out, to, done.tensors,
                                 plot::human_bytes(done.bytes)));
  return 0;
}

}  // namespace

void add_convert(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "convert", "Write a model as another kind of file, or with floats of another type.", kModels);
  command.positional("IN", options->in,
                     "a GGUF file of any family, a Hugging Face folder, a folder of `cairn train`, "
                     "or a llama2.c .bin");
  command.positional("OUT", options->out, "the file to write, or the folder");
  command.option("--to", "KIND", options->to,
                 "gguf, hf (a folder for transformers) or safetensors (one file, names of GGUF); "
                 "else what OUT's ending says, or gguf");
  command.option(
      "--dtype", "TYPE", options->dtype,
      "f32, f16 or bf16 for every matrix; else as they are (blocks in safetensors: f32)");
  command.example(
      "cairn convert llama llama.gguf --dtype f16\ncairn convert llama.gguf folder --to hf\n"
      "cairn convert model.gguf model.safetensors");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
