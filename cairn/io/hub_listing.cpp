// What a server says of a model's files, and which of them are needed.
#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "cairn/io/hub.h"

namespace cairn::io {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostFiles = 100'000;

// A path below a folder, on any system: no way out of it, nothing hidden in it.
bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1024) return false;
  for (std::string_view rest = path;;) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    if (part.empty() || part == "." || part == ".." || part.size() > 200) return false;
    for (const char c : part)
      if (static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == ':' || c == 0x7F) return false;
    if (part.size() == rest.size()) return true;
    rest.remove_prefix(part.size() + 1);
  }
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// The member's text; empty where there is none.
std::string text_at(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

HubFile read_file_entry(const Json& entry) {
  HubFile file;
  file.path = text_at(entry, "rfilename");
  if (!is_safe_path(file.path))
    throw_error(
        fmt::format("the server lists the file '{}', whose path leaves the folder or is "
                    "none; nothing is fetched",
                    file.path.substr(0, 200)));
  const auto size = entry.find("size");
  if (size == entry.end() || !size->is_number_unsigned())
    throw_error(fmt::format("the server does not say the size of '{}'", file.path));
  file.size = size->get<uint64_t>();
  if (file.size > uint64_t{1} << 50)
    throw_error(fmt::format("the server says that '{}' has {} bytes", file.path, file.size));
  const auto large = entry.find("lfs");
  if (large != entry.end() && large->is_object()) {
    file.sha256 = text_at(*large, "sha256");
    if (file.sha256.empty()) file.sha256 = text_at(*large, "oid");
  } else {
    file.sha1 = text_at(entry, "blobId");
  }
  if ((!file.sha256.empty() && !is_hex(file.sha256, 64)) ||
      (!file.sha1.empty() && !is_hex(file.sha1, 40)))
    throw_error(fmt::format("the server gives no checksum of '{}' that is one", file.path));
  return file;
}

HubListing read(std::string_view text) {
  const Json json = Json::parse(text);
  HubListing listing;
  listing.commit = text_at(json, "sha");
  if (!is_hex(listing.commit, 40)) throw_error("it does not name a commit ('sha')");
  const auto files = json.find("siblings");
  if (files == json.end() || !files->is_array())
    throw_error("it has no list of files ('siblings')");
  if (files->size() > kMostFiles) throw_error(fmt::format("it lists {} files", files->size()));
  std::set<std::string> seen;
  for (const Json& entry : *files) {
    listing.files.push_back(read_file_entry(entry));
    if (!seen.insert(listing.files.back().path).second)
      throw_error(fmt::format("it lists '{}' twice", listing.files.back().path));
  }
  return listing;
}

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(endings, [&](std::string_view e) { return path.ends_with(e); });
}

bool is_text_part(std::string_view path) {
  if (path.find('/') != path.npos) return false;  // other versions of the model lie in folders
  return ends_with_any(path, {".json", ".jinja", ".model", ".tiktoken"}) || path == "merges.txt" ||
         path == "vocab.bpe" || path.starts_with("LICENSE") || path == "README.md";
}

// A GGUF model's name without the number of its part: "m-00001-of-00003.gguf" → "m".
std::string gguf_model(std::string_view path) {
  std::string name(path.substr(0, path.size() - 5));
  constexpr size_t kPart = 15;  // -00001-of-00003
  if (name.size() > kPart && name.substr(name.size() - kPart + 6, 4) == "-of-")
    name.resize(name.size() - kPart);
  return name;
}

}  // namespace

Result<HubListing> parse_hub_listing(std::string_view json) {
  try {
    return read(json);
  } catch (const Json::exception& error) {
    return Error(fmt::format("the server's list of files is no JSON: {}", error.what()));
  } catch (const Error& error) {
    return Error(fmt::format("the server's list of files: {}", error.what()));
  }
}

Result<std::vector<HubFile>> choose_hub_files(const HubListing& listing,
                                              const std::vector<std::string>& only) {
  std::vector<HubFile> chosen;
  std::string names;
  for (const HubFile& file : listing.files) names += "\n  " + file.path;
  if (!only.empty()) {
    for (const HubFile& file : listing.files)
      if (std::ranges::any_of(only, [&](const std::string& pattern) {
            return fnmatch(pattern.c_str(), file.path.c_str(), 0) == 0;
          }))
        chosen.push_back(file);
    if (chosen.empty())
      return Error(fmt::format("no file matches {}; there are{}", fmt::join(only, ", "), names));
    return chosen;
  }
  std::set<std::string> models;
  bool safetensors = false;
  for (const HubFile& file : listing.files) {
    const bool whole = file.path.find('/') == file.path.npos;
    safetensors |= whole && file.path.ends_with(".safetensors");
    if (file.path.ends_with(".gguf")) models.insert(gguf_model(file.path));
  }
  if (!safetensors && models.size() != 1)
    return Error(models.empty()
                     ? fmt::format("it has no safetensors and no GGUF file; there are{}", names)
                     : fmt::format("it has several models; choose by --only PATTERN, as in --only "
                                   "'*Q4_K_M*': there are{}",
                                   names));
  for (const HubFile& file : listing.files) {
    const bool weights =
        safetensors ? file.path.find('/') == file.path.npos && file.path.ends_with(".safetensors")
                    : file.path.ends_with(".gguf");
    if (weights || is_text_part(file.path)) chosen.push_back(file);
  }
  return chosen;
}

}  // namespace cairn::io
