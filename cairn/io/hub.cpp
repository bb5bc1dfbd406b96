#include "cairn/io/hub.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "cairn/base/file.h"
#include "cairn/base/sha.h"
#include "cairn/io/http.h"

namespace cairn::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestListing = 64 << 20;

bool is_name(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part[0] != '.' &&
         std::ranges::all_of(part, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

void check_model(const std::string& model) {
  const size_t slash = model.find('/');
  if (slash == model.npos || !is_name(model.substr(0, slash)) || !is_name(model.substr(slash + 1)))
    throw_error(fmt::format("'{}' is no name of a model; expected ORG/MODEL, as in Qwen/Qwen3-0.6B",
                            model));
}

// Everything but letters, digits and "-_.~/" as %XX.
std::string escaped(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string endpoint_of(const HubOptions& options) {
  std::string endpoint = options.endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint;
}

HttpRequest request_for(const std::string& url, const HubOptions& options) {
  HttpRequest request{.url = url, .headers = {}, .ca_file = options.ca_file};
  request.goes_on = options.goes_on;
  if (!options.token.empty() && url.starts_with("https://"))
    request.headers.push_back("Authorization: Bearer " + options.token);
  return request;
}

// What an answer that is none says to people.
std::string complaint(const HttpResponse& response, const HubOptions& options) {
  if (response.status == 0 || response.status == 200 || response.status == 206)
    return response.failure;
  const char* help = "";
  if (response.status == 401 || response.status == 403)
    help = options.token.empty()
               ? "; it does not exist or asks for a token: accept its terms on its page and set "
                 "HF_TOKEN"
               : "; HF_TOKEN gives no access to it: accept its terms on its page";
  if (response.status == 404) help = "; check the name, and --revision";
  if (response.status == 429) help = "; it asks to come back later";
  return fmt::format("the server answers {}{}", response.status, help);
}

bool may_be_retried(const HttpResponse& response) {
  if (response.status == 429 || response.status >= 500) return true;
  return response.may_be_retried;
}

// Seconds that the server asks to wait.
double retry_after(const HttpResponse& response) {
  constexpr double kLongest = 300;
  const auto found = response.headers.find("retry-after");
  int seconds = 0;
  if (found != response.headers.end())
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), seconds);
  return std::clamp<double>(seconds, 0, kLongest);
}

bool goes_on(const HubOptions& options) { return !options.goes_on || options.goes_on(); }

// False when it was told to stop.
bool wait(double seconds, const HubOptions& options) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (!goes_on(options)) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return goes_on(options);
}

// Tries of one thing: how long to wait before the next, and when there is none.
class Tries {
 public:
  explicit Tries(const HubOptions& options) : options_(options) {}
  // Bytes came: the network works.
  void progressed() { failed_ = 0; }
  // False: no more.
  bool again(const std::string& why, double at_least) {
    if (++failed_ >= options_.attempts) return false;
    const double seconds =
        std::max(at_least, options_.wait_seconds * std::exp2(static_cast<double>(failed_ - 1)));
    if (options_.retried) options_.retried(fmt::format("{}; again in {:.0f} s", why, seconds));
    return wait(seconds, options_);
  }

 private:
  const HubOptions& options_;
  int failed_ = 0;
};

// ---- A file on its way.

class PartFile {
 public:
  PartFile(const HubFile& file, const std::string& path)
      : file_(file), path_(path), part_(path + ".part"), etag_(path + ".part.etag") {}

  uint64_t size() const {
    std::error_code ignored;
    const uint64_t size = fs::file_size(part_, ignored);
    return ignored ? 0 : size;
  }
  // The version of which the bytes are; empty: they cannot be added to.
  std::string etag() const { return read_file(etag_, 1024).ok() ? read_file(etag_).value() : ""; }

  // Opens for what the server sends: more of the same bytes, or all of them.
  void begin(bool more, const std::string& etag) {
    close();
    descriptor_ =
        ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (more ? O_APPEND : O_TRUNC), 0644);
    if (descriptor_ < 0) throw file_error("write", part_, errno);
    if (!more) write_file_atomically(etag_, etag).value();
    written_ = more ? size() : 0;
  }
  // False when the file would be longer than the listing says.
  bool write(std::string_view bytes) {
    if (bytes.size() > file_.size - std::min(file_.size, written_)) return false;
    while (!bytes.empty()) {
      const ssize_t done = ::write(descriptor_, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) throw file_error("write", part_, errno);
      written_ += static_cast<uint64_t>(done);
      bytes.remove_prefix(static_cast<size_t>(done));
    }
    return true;
  }
  uint64_t written() const { return written_; }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }
  void drop() {
    close();
    std::error_code ignored;
    fs::remove(part_, ignored);
    fs::remove(etag_, ignored);
  }
  // Under its name, on the disk.
  void finish() {
    close();
    const int descriptor = ::open(part_.c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
    const int why = errno;
    if (descriptor >= 0) ::close(descriptor);
    if (!synced) throw file_error("write", part_, why);
    if (::rename(part_.c_str(), path_.c_str()) != 0) throw file_error("rename", part_, errno);
    std::error_code ignored;
    fs::remove(etag_, ignored);
  }
  const std::string& part() const { return part_; }
  ~PartFile() { close(); }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

 private:
  const HubFile& file_;
  std::string path_, part_, etag_;
  int descriptor_ = -1;
  uint64_t written_ = 0;
};

// Whether the file at `path` is the one of the listing.
bool is_whole(const HubFile& file, const std::string& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) != file.size)
    return false;
  if (!file.sha256.empty()) {
    Sha256 hash;
    return read_file_in_parts(path, [&](auto bytes) { hash.update(bytes); }).ok() &&
           hash.finish() == file.sha256;
  }
  if (file.sha1.empty()) return true;
  Sha1 hash;
  const std::string head = fmt::format("blob {}", file.size);
  hash.update(std::as_bytes(std::span(head.c_str(), head.size() + 1)));
  return read_file_in_parts(path, [&](auto bytes) { hash.update(bytes); }).ok() &&
         hash.finish() == file.sha1;
}

// One try. `too_long`: the server sends more than it listed.
HttpResponse fetch_once(const std::string& url, const HubOptions& options, PartFile& part,
                        const std::function<void(uint64_t)>& progress, bool& too_long) {
  HttpRequest request = request_for(url, options);
  const uint64_t there = part.size();
  const std::string etag = part.etag();
  const bool resumes = there > 0 && !etag.empty();
  if (resumes) {
    request.headers.push_back(fmt::format("Range: bytes={}-", there));
    request.headers.push_back("If-Range: " + etag);
  }
  request.begin = [&](int status, const auto& headers) {
    // 206: the bytes from there on, and the server says so.
    const auto range = headers.find("content-range");
    const bool more = status == 206 && resumes && range != headers.end() &&
                      range->second.starts_with(fmt::format("bytes {}-", there));
    if (status == 206 && !more)
      throw_error(fmt::format("the server sends another part of '{}' than was asked for", url));
    const auto found = headers.find("etag");
    // A weak one ("W/...") says nothing of bytes.
    const bool strong = found != headers.end() && found->second.starts_with('"');
    part.begin(more, strong ? found->second : "");
    progress(part.written());
  };
  request.body = [&](std::string_view bytes) {
    too_long = !part.write(bytes);
    progress(part.written());
    return !too_long;
  };
  HttpResponse response = http_get(request).value();
  part.close();
  return response;
}

// The file's place below the folder, whose parents are made. A link in it may not lead out.
std::string place_of(const HubFile& file, const std::string& folder) {
  const fs::path path = fs::path(folder) / file.path;
  std::error_code failure;
  fs::create_directories(path.parent_path(), failure);
  if (failure) throw file_error("make the folder", path.parent_path().string(), failure.value());
  const fs::path inside = fs::canonical(path.parent_path(), failure);
  const fs::path root = fs::canonical(folder, failure);
  const auto ends = std::ranges::mismatch(root, inside);
  if (failure || ends.in1 != root.end())
    throw_error(fmt::format("'{}' would be written outside of '{}'", file.path, folder));
  return path.string();
}

}  // namespace

Result<HubListing> list_hub_model(const std::string& model, const HubOptions& options) {
  check_model(model);
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true",
                                      endpoint_of(options), model, escaped(options.revision));
  for (Tries tries(options);;) {
    std::string text;
    HttpRequest request = request_for(url, options);
    request.body = [&](std::string_view bytes) {
      text += bytes;
      return text.size() <= kLargestListing;
    };
    const auto response = http_get(request);
    if (!response) return response.error();
    if (response.value().status == 200 && response.value().failure.empty())
      return parse_hub_listing(text);
    const std::string why =
        fmt::format("cannot list {}: {}", model, complaint(response.value(), options));
    if (!may_be_retried(response.value()) || !tries.again(why, retry_after(response.value())))
      return Error(why);
  }
}

Result<bool> fetch_hub_file(const std::string& model, const std::string& commit,
                            const HubFile& file, const std::string& folder,
                            const HubOptions& options,
                            const std::function<void(uint64_t bytes)>& progress) {
  check_model(model);
  try {
    const std::string path = place_of(file, folder);
    if (is_whole(file, path)) {
      progress(file.size);
      return true;
    }
    const std::string url =
        fmt::format("{}/{}/resolve/{}/{}", endpoint_of(options), model, commit, escaped(file.path));
    PartFile part(file, path);
    if (part.size() > file.size) part.drop();
    bool began_anew = false;
    for (Tries tries(options);;) {
      const uint64_t before = part.size();
      if (before < file.size || file.size == 0) {
        bool too_long = false;
        const HttpResponse response = fetch_once(url, options, part, progress, too_long);
        if (too_long) {
          part.drop();
          return Error(fmt::format("'{}': the server sends more than the {} bytes that it lists",
                                   file.path, file.size));
        }
        const bool good = response.status == 200 || response.status == 206;
        const uint64_t now = part.size();
        if (now > before) tries.progressed();
        if (!good || now < file.size) {
          std::string why = complaint(response, options);
          if (why.empty()) why = fmt::format("it ends after {} of {} bytes", now, file.size);
          why = fmt::format("'{}': {}", file.path, why);
          const bool retries =
              good ? response.failure.empty() || response.may_be_retried : may_be_retried(response);
          if (!retries || !tries.again(why, retry_after(response))) return Error(why);
          continue;
        }
      }
      if (is_whole(file, part.part())) break;
      // Bytes of an earlier call may be of another version: once more from the start.
      part.drop();
      if (before == 0 || began_anew)
        return Error(
            fmt::format("'{}': its checksum is not the one that the server lists; it was "
                        "damaged on the way, or is another file",
                        file.path));
      began_anew = true;
    }
    part.finish();
    return false;
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return error;
  }
}

}  // namespace cairn::io
