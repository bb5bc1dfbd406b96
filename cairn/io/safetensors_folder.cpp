#include "cairn/io/safetensors_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"

namespace cairn::io {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostIndex = uint64_t{64} << 20;

// Names of tensors and of their files, which lie in the folder itself.
Result<std::map<std::string, std::string>> read_index(const fs::path& path) {
  auto text = read_file(path.string(), kMostIndex);
  if (!text) return text.error();
  const auto json = nlohmann::json::parse(text.value(), nullptr, false);
  const auto wrong = [&](const std::string& what) {
    return Error(fmt::format("'{}': {}; download it again", path.string(), what));
  };
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    return wrong("it has no weight_map");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) return wrong(fmt::format("the file of '{}' is not text", tensor));
    const auto name = file.get<std::string>();
    if (fs::path(name).filename().string() != name || name == "..")
      return wrong(fmt::format("'{}' is no name of a file in the folder", name));
    files.emplace(tensor, name);
  }
  return files;
}

}  // namespace

Result<SafetensorsFolder> SafetensorsFolder::open(const fs::path& folder) {
  SafetensorsFolder result;
  result.name_ = folder.string();
  const auto add = [&](const std::string& file) -> Status {
    auto opened = SafetensorsFile::open((folder / file).string());
    if (!opened) return opened.error();
    result.files_.push_back(std::move(opened).value());
    return Nothing{};
  };
  std::error_code ignored;
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(folder / "model.safetensors", ignored) || !fs::exists(index, ignored)) {
    if (auto status = add("model.safetensors"); !status) return status.error();
    for (const SafetensorsEntry& e : result.files_[0].entries()) result.places_.emplace(e.name, 0);
    return result;
  }
  const auto names = read_index(index);
  if (!names) return names.error();
  std::map<std::string, size_t> opened;
  for (const auto& [tensor, file] : names.value()) {
    if (!fs::exists(folder / file, ignored))
      return Error(fmt::format(
          "'{}' says that '{}' lies in {}, which is not in the folder; download it again",
          index.string(), tensor, file));
    const auto [at, fresh] = opened.try_emplace(file, result.files_.size());
    if (fresh)
      if (auto status = add(file); !status) return status.error();
    if (!result.files_[at->second].has(tensor))
      return Error(
          fmt::format("'{}' says that '{}' lies in {}, where it is not; download both again",
                      index.string(), tensor, file));
    result.places_.emplace(tensor, at->second);
  }
  return result;
}

Result<HostArray> SafetensorsFolder::read(std::string_view name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) return Error(fmt::format("'{}' has no tensor '{}'", name_, name));
  return files_[found->second].read(name);
}

bool SafetensorsFolder::matrices_are(std::string_view dtype) const {
  return std::ranges::all_of(files_, [&](const SafetensorsFile& file) {
    return std::ranges::all_of(file.entries(), [&](const SafetensorsEntry& entry) {
      return entry.shape.size() < 2 || entry.dtype == dtype;
    });
  });
}

void SafetensorsFolder::release_pages(std::string_view name) const {
  const auto found = places_.find(name);
  if (found != places_.end()) files_[found->second].release_pages(name);
}

const SafetensorsEntry* SafetensorsFolder::find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : files_[found->second].find(name);
}

}  // namespace cairn::io
