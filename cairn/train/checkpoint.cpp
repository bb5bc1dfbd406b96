#include "cairn/train/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#define XXH_INLINE_ALL  // header only: no library to link
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/io/safetensors.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Result<std::string> checksum(const fs::path& file) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  const Status read = read_file_in_parts(file.string(), [&](std::span<const std::byte> part) {
    XXH3_64bits_update(&state, part.data(), part.size());
  });
  if (!read) return read.error();
  return fmt::format("{:016x}", XXH3_64bits_digest(&state));
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
  auto parsed = parse_run_json(text.value());
  if (!parsed) return std::nullopt;
  auto [info, expected] = std::move(parsed).value();
  const auto sum = checksum(folder / "state.safetensors");
  if (!sum || sum.value() != expected) return std::nullopt;
  info.folder = folder;
  return std::move(info);
}

// Null where `key` is missing or no number.
const Json* number(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? &*found : nullptr;
}

// Folders named step-N, oldest first.
std::vector<std::pair<int64_t, fs::path>> folders(const fs::path& checkpoints) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(checkpoints, ignored)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    const char* end = name.data() + name.size();
    if (!name.starts_with("step-")) continue;
    if (const auto [rest, error] = std::from_chars(name.data() + 5, end, step);
        error != std::errc() || rest != end || step < 0)
      continue;
    found.emplace_back(step, entry.path());
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
    const auto parsed = parse_run_json(text.value());
    if (!parsed || !parsed.value().first.validation_loss) continue;
    const double loss = *parsed.value().first.validation_loss;
    if (best && loss >= lowest) continue;
    best = &path;
    lowest = loss;
  }
  std::error_code ignored;
  for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i)
    if (&all[i].second != best) fs::remove_all(all[i].second, ignored);
}

}  // namespace

Result<std::pair<CheckpointInfo, std::string>> parse_run_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error("not a JSON object");
  const auto missing = [](const char* key) {
    return Error(fmt::format("'{}' is missing or of another type", key));
  };
  const auto is = [&](const char* key, bool (Json::*type)() const noexcept) {
    return json.contains(key) && (json[key].*type)();
  };
  if (!is("step", &Json::is_number_unsigned)) return missing("step");
  if (!is("metrics_bytes", &Json::is_number_unsigned)) return missing("metrics_bytes");
  if (!is("checksum", &Json::is_string)) return missing("checksum");
  if (!is("config", &Json::is_string)) return missing("config");
  auto config = parse_config(json["config"].get<std::string>());
  if (!config) return config.error();
  CheckpointInfo info;
  info.config = std::move(config).value();
  info.metrics_bytes = json["metrics_bytes"].get<uint64_t>();
  const auto step = json["step"].get<uint64_t>();
  if (step > uint64_t{1} << 62) return Error(fmt::format("'step' is {}", step));
  info.step = static_cast<int64_t>(step);
  if (is("data", &Json::is_string)) info.data = json["data"].get<std::string>();
  if (const Json* loss = number(json, "validation_loss"))
    info.validation_loss = loss->get<double>();
  if (is("plateau", &Json::is_object)) {
    const Json& p = json["plateau"];
    Plateau::State& state = info.plateau.emplace();
    if (const Json* rate = number(p, "rate")) state.rate = rate->get<double>();
    if (const Json* best = number(p, "best")) state.best = best->get<double>();
    if (const Json* bad = number(p, "bad")) state.bad = bad->get<int>();
    if (const Json* cooling = number(p, "cooling")) state.cooling = cooling->get<int>();
  }
  return std::pair(std::move(info), json["checksum"].get<std::string>());
}

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
               {"config", to_toml(info.config)},
               {"data", info.data}};
  if (info.validation_loss) json["validation_loss"] = *info.validation_loss;
  if (const auto& p = info.plateau) {
    json["plateau"] = {{"rate", p->rate}, {"bad", p->bad}, {"cooling", p->cooling}};
    if (std::isfinite(p->best)) json["plateau"]["best"] = p->best;
  }
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

Result<std::optional<CheckpointInfo>> latest_checkpoint(
    const fs::path& folder, const std::function<void(const std::string&)>& note) {
  const auto all = folders(folder / "checkpoints");
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    if (auto info = read_info(it->second)) return info;
    if (note)
      note(fmt::format("the checkpoint '{}' is damaged and passed over", it->second.string()));
  }
  if (!all.empty())
    return Error(
        fmt::format("no checkpoint in '{}' is whole; restore one, or start over with "
                    "--fresh",
                    (folder / "checkpoints").string()));
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
