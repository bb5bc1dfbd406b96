// cairn convert: a model in another kind of file, or with floats of another type.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "apps/cairn/arrays.h"
#include "apps/cairn/commands.h"
#include "apps/cairn/gguf_rewrite.h"
#include "apps/cairn/json.h"
#include "cairn/io/probe.h"
#include "cairn/io/safetensors.h"

namespace cairn::app {
namespace {

struct Options {
  std::string in, out;
  std::optional<std::string> to, dtype;
};

// Floats and blocks become `dtype`, where one is asked for; the rest stays. Vectors of a GGUF file
// stay f32: programs that read them expect it.
const io::GgufType& type_of(const io::GgufEntry& entry, const io::GgufType* dtype) {
  return dtype && is_matrix_of_floats(entry) ? *dtype : *entry.type;
}

uint64_t to_gguf(const io::GgufFile& file, const std::string& out, const io::GgufType* dtype,
                 Session& session) {
  ThreadPool pool(session.threads());
  std::vector<io::GgufSource> sources;
  uint64_t bytes = 0;
  for (const io::GgufEntry& entry : file.entries()) {
    const io::GgufType& type = type_of(entry, dtype);
    bytes += *type.bytes(entry.shape);
    sources.push_back({entry.name, &type, entry.shape, [&] {
                         session.stop.check();
                         return rewrite_tensor(file, entry, type_of(entry, dtype), {}, pool).bytes;
                       }});
  }
  const io::GgufValue* now = file.find("general.file_type");
  const auto kept = static_cast<uint32_t>(now ? now->integer().value_or(0) : 0);
  io::write_gguf(out, metadata_of_copy(file, dtype ? file_type_of(*dtype) : kept), sources).value();
  return bytes;
}

// Blocks have no place in safetensors: they become floats.
uint64_t to_safetensors(const io::GgufFile& file, const std::string& out, const io::GgufType* dtype,
                        Session& session) {
  ThreadPool pool(session.threads());
  std::vector<io::SafetensorsSource> sources;
  uint64_t bytes = 0;
  for (const io::GgufEntry& entry : file.entries()) {
    const io::GgufType* type = &type_of(entry, dtype);
    if (!type->dtype) type = io::find_gguf_type("F32");
    const Shape shape = io::checked_shape(entry.shape, *type->dtype);
    bytes += *type->bytes(entry.shape);
    sources.push_back(
        {entry.name, *type->dtype, shape, [&file, &entry, type, shape, &pool, &session] {
           session.stop.check();
           const SharedBytes data = rewrite_tensor(file, entry, *type, {}, pool).bytes;
           return HostArray(*type->dtype, shape, data.owner(), data.data());
         }});
  }
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : file.metadata())
    if (value.text() && !io::first_invalid_utf8(*value.text()))
      metadata.emplace(key, *value.text());
  io::write_safetensors(out, std::move(sources), metadata).value();
  return bytes;
}

int run(const Options& options, Session& session) {
  const std::string to = options.to.value_or(
      std::filesystem::path(options.out).extension() == ".safetensors" ? "safetensors" : "gguf");
  if (to == "hf")
    throw NotInThisVersion(
        "--to hf is not in this version of cairn; it comes with a later one. What there is: gguf, "
        "safetensors");
  if (to != "gguf" && to != "safetensors")
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
  const auto probe = io::probe_file(options.in);
  if (probe.ok() && probe.value().kind != io::FileKind::gguf)
    throw_error(
        fmt::format("'{}' is {}; this version of cairn converts GGUF files, the others come "
                    "with a later one",
                    options.in, io::name(probe.value().kind)));
  const io::GgufFile file = io::GgufFile::open(options.in).value();
  const uint64_t bytes = to == "gguf" ? to_gguf(file, options.out, dtype, session)
                                      : to_safetensors(file, options.out, dtype, session);
  if (session.common.json)
    print_json(
        session.out,
        {{"out", options.out}, {"kind", to}, {"tensors", file.entries().size()}, {"bytes", bytes}});
  else
    session.out.line(fmt::format("{}: {}, {} tensors, {}", options.out, to, file.entries().size(),
                                 plot::human_bytes(bytes)));
  return 0;
}

}  // namespace

void add_convert(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "convert", "Write a model as another kind of file, or with floats of another type.", kModels);
  command.positional("IN", options->in, "a GGUF file, of any family");
  command.positional("OUT", options->out, "the file to write");
  command.option("--to", "KIND", options->to,
                 "gguf or safetensors; else what OUT's ending says, or gguf");
  command.option(
      "--dtype", "TYPE", options->dtype,
      "f32, f16 or bf16 for every matrix; else as they are (blocks in safetensors: f32)");
  command.example(
      "cairn convert model.gguf half.gguf --dtype f16\ncairn convert model.gguf model.safetensors");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
