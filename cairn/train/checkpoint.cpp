#include "cairn/train/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#define XXH_INLINE_ALL  // header only: no library to link
#include <xxhash.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/io/safetensors.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Result<std::string> checksum(const fs::path& file) {
  auto bytes = map_file(file.string());
  if (!bytes) return bytes.error();
  return fmt::format("{:016x}", XXH3_64bits(bytes.value().data(), bytes.value().size()));
}

// Makes the rename of a folder durable.
void sync_folder(const fs::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

std::optional<CheckpointInfo> read_info(const fs::path& folder) {
  auto text = read_file((folder / "run.json").string(), 1 << 24);
  if (!text) return std::nullopt;
  const Json json = Json::parse(text.value(), nullptr, false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer() ||
      !json.contains("checksum") || !json["checksum"].is_string() || !json.contains("config") ||
      !json["config"].is_string())
    return std::nullopt;
  auto config = parse_config(json["config"].get<std::string>());
  if (!config) return std::nullopt;
  CheckpointInfo info{folder, json["step"].get<int64_t>(), json.value("metrics_bytes", uint64_t{0}),
                      std::nullopt, std::move(config).value()};
  if (json.contains("validation_loss") && json["validation_loss"].is_number())
    info.validation_loss = json["validation_loss"].get<double>();
  const auto sum = checksum(folder / "state.safetensors");
  if (!sum || sum.value() != json["checksum"].get<std::string>()) return std::nullopt;
  return info;
}

// Folders named step-N, oldest first.
std::vector<std::pair<int64_t, fs::path>> folders(const fs::path& checkpoints) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(checkpoints, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) != 0 ||
        name.find_first_not_of("0123456789", 5) != std::string::npos || name.size() == 5)
      continue;
    found.emplace_back(std::stoll(name.substr(5)), entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void remove_old(const fs::path& checkpoints, int64_t keep) {
  const auto all = folders(checkpoints);
  if (static_cast<int64_t>(all.size()) <= keep) return;
  const fs::path* best = nullptr;
  double lowest = 0;
  for (const auto& [step, path] : all) {
    auto text = read_file((path / "run.json").string(), 1 << 24);
    if (!text) continue;
    const Json json = Json::parse(text.value(), nullptr, false);
    if (!json.is_object() || !json.contains("validation_loss") ||
        !json["validation_loss"].is_number())
      continue;
    const double loss = json["validation_loss"].get<double>();
    if (best && loss >= lowest) continue;
    best = &path;
    lowest = loss;
  }
  std::error_code ignored;
  for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i)
    if (&all[i].second != best) fs::remove_all(all[i].second, ignored);
}

}  // namespace

Status write_checkpoint(const fs::path& folder, const CheckpointInfo& info,
                        std::span<const NamedTensor> state, int64_t keep) {
  const fs::path checkpoints = folder / "checkpoints";
  const fs::path target = checkpoints / fmt::format("step-{:08}", info.step);
  const fs::path beside = checkpoints / fmt::format("writing.{}", getpid());
  std::error_code error;
  // What crashed runs left behind.
  for (const auto& entry : fs::directory_iterator(checkpoints, error))
    if (entry.path().filename().string().rfind("writing.", 0) == 0)
      fs::remove_all(entry.path(), error);
  fs::create_directories(beside, error);
  if (error)
    return Error(fmt::format("cannot make the folder '{}': {}", beside.string(), error.message()));
  const auto fail = [&](const Error& why) -> Status {
    fs::remove_all(beside, error);
    return why;
  };
  std::vector<io::SafetensorsSource> tensors;
  for (const NamedTensor& t : state)
    tensors.push_back({t.name, t.tensor->dtype(), t.tensor->shape(),
                       [tensor = t.tensor] { return tensor->host(); }});
  const fs::path file = beside / "state.safetensors";
  if (auto status = io::write_safetensors(file.string(), std::move(tensors)); !status)
    return fail(status.error());
  const auto sum = checksum(file);
  if (!sum) return fail(sum.error());
  Json json = {{"step", info.step},
               {"checksum", sum.value()},
               {"metrics_bytes", info.metrics_bytes},
               {"config", to_toml(info.config)}};
  if (info.validation_loss) json["validation_loss"] = *info.validation_loss;
  if (auto status = write_file_atomically((beside / "run.json").string(), json.dump(2) + "\n");
      !status)
    return fail(status.error());
  fs::remove_all(target, error);
  fs::rename(beside, target, error);
  if (error)
    return fail(Error(fmt::format("cannot rename '{}' to '{}': {}", beside.string(),
                                  target.string(), error.message())));
  sync_folder(checkpoints);
  remove_old(checkpoints, std::max<int64_t>(keep, 1));
  return Nothing{};
}

Result<std::optional<CheckpointInfo>> latest_checkpoint(const fs::path& folder) {
  const auto all = folders(folder / "checkpoints");
  for (auto it = all.rbegin(); it != all.rend(); ++it)
    if (auto info = read_info(it->second)) return info;
  return std::optional<CheckpointInfo>();
}

Status read_checkpoint(Runtime& runtime, const CheckpointInfo& info,
                       std::span<const NamedTensor> state) {
  const std::string path = (info.folder / "state.safetensors").string();
  auto file = io::SafetensorsFile::open(path);
  if (!file) return file.error();
  for (const NamedTensor& t : state) {
    auto array = file.value().read(t.name);
    if (!array) return array.error();
    if (t.tensor->defined() &&
        (array.value().dtype() != t.tensor->dtype() || array.value().shape() != t.tensor->shape()))
      return Error(fmt::format("{}: tensor '{}' is {}{}, the model has {}", path, t.name,
                               name(array.value().dtype()), to_string(array.value().shape()),
                               to_string(t.tensor->type())));
    *t.tensor = runtime.upload(array.value(), t.name);
  }
  return Nothing{};
}

}  // namespace cairn
