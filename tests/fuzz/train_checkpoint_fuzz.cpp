// What a resumed run reads: run.json, metrics.jsonl and state.safetensors, with NUL bytes between.
// The state is read whether or not its checksum fits, so that what the checksum guards is reached.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "cairn/base/file.h"
#include "cairn/train/checkpoint.h"
#include "cairn/train/metrics.h"

namespace {

namespace fs = std::filesystem;

// A folder of its own for each process, gone with it.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("cairn-fuzz-" + std::to_string(getpid()));
  fs::path checkpoint = path / "checkpoints" / "step-00000003";
  Folder() { fs::create_directories(checkpoint); }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  // Plainly: atomic writing syncs to the disk, which would be all that this target does.
  static void put(const fs::path& file, std::string_view bytes) {
    FILE* out = fopen(file.c_str(), "wb");
    CAIRN_ASSERT(out != nullptr);
    if (!bytes.empty()) fwrite(bytes.data(), 1, bytes.size(), out);  // data() may be null
    fclose(out);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  static const Folder folder;
  static Runtime runtime({.threads = 1});
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto take = [&] {
    const size_t end = std::min(rest.find('\0'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return part;
  };
  const std::string_view run_json = take();
  for (std::string_view lines = take(); !lines.empty();) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    if (const auto m = parse_metrics(lines.substr(0, end)))
      CAIRN_ASSERT(parse_metrics(to_json(*m))->step == m->step);
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  Folder::put(folder.checkpoint / "state.safetensors", rest);
  Folder::put(folder.checkpoint / "run.json", run_json);
  (void)latest_checkpoint(folder.path).value();
  auto parsed = parse_run_json(run_json);
  if (!parsed) return 0;
  CheckpointInfo info = std::move(parsed).value().first;
  CAIRN_ASSERT(info.step >= 0);
  info.folder = folder.checkpoint;
  Tensor w = runtime.upload(HostArray::from<float>(std::vector<float>(4), {2, 2})), any;
  const NamedTensor tensors[] = {{"model.w", &w}, {"ema.w", &any}};
  if (read_checkpoint(runtime, info, tensors)) {
    CAIRN_ASSERT(w.dtype() == DType::f32 && w.shape() == Shape({2, 2}));
    CAIRN_ASSERT(any.defined());
  }
  return 0;
}
