#include "cairn/io/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "cairn/io/curl_api.h"

namespace cairn::io {
namespace {

constexpr size_t kErrorText = 4096;     // of an error's body, kept
constexpr size_t kHeaders = 256 << 10;  // of all headers, after which the server is not believed
constexpr long kConnectSeconds = 30;
constexpr long kStallSeconds = 60;  // with less than a byte a second

struct Transfer {
  const HttpRequest& request;
  HttpResponse response = {};
  size_t header_bytes = 0;
  bool begun = false;
  bool stopped = false;            // by the caller
  std::exception_ptr thrown = {};  // by the caller's functions
};

std::string trimmed(std::string_view text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

void read_header(Transfer& transfer, std::string_view line) {
  HttpResponse& response = transfer.response;
  if (line.starts_with("HTTP/")) {  // of each redirect anew
    response.headers.clear();
    response.status = 0;
    const size_t space = line.find(' ');
    if (space != line.npos)
      std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
    return;
  }
  const size_t colon = line.find(':');
  if (colon == line.npos) return;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  response.headers[name] = trimmed(line.substr(colon + 1));
}

bool take_body(Transfer& transfer, std::string_view bytes) {
  HttpResponse& response = transfer.response;
  if (response.status != 200 && response.status != 206) {
    response.text += bytes.substr(0, kErrorText - std::min(kErrorText, response.text.size()));
    return true;
  }
  if (!transfer.begun && transfer.request.begin)
    transfer.request.begin(response.status, response.headers);
  transfer.begun = true;
  return !transfer.request.body || transfer.request.body(bytes);
}

// The functions that libcurl calls. No exception may pass through it.

size_t on_header(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  transfer.header_bytes += size * count;
  if (transfer.header_bytes > kHeaders) return 0;
  read_header(transfer, {data, size * count});
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  try {
    if (take_body(transfer, {data, size * count})) return size * count;
    transfer.stopped = true;
  } catch (...) {
    transfer.thrown = std::current_exception();
  }
  return 0;
}

int on_progress(void* user, int64_t, int64_t, int64_t, int64_t) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  try {
    if (!transfer.request.goes_on || transfer.request.goes_on()) return 0;
    transfer.stopped = true;
  } catch (...) {
    transfer.thrown = std::current_exception();
  }
  return 1;
}

bool is_of_the_network(int code) {
  constexpr int kCodes[] = {curl::kBadResolve,  curl::kBadConnect, curl::kHttp2,
                            curl::kPartialFile, curl::kTimeout,    curl::kSslConnect,
                            curl::kGotNothing,  curl::kSendError,  curl::kReceiveError,
                            curl::kHttp2Stream};
  return std::ranges::find(kCodes, code) != std::end(kCodes);
}

}  // namespace

Result<HttpResponse> http_get(const HttpRequest& request) {
  const bool plain = request.url.starts_with("http://");
  if (!plain && !request.url.starts_with("https://"))
    throw_error(fmt::format("[http] '{}' does not begin with https://", request.url));
  const auto opened = curl::open();
  if (!opened) return opened.error();
  const curl::Api& api = *opened.value();
  const std::unique_ptr<curl::Handle, void (*)(curl::Handle*)> handle(api.easy_init(),
                                                                      api.easy_cleanup);
  if (!handle) return Error("libcurl gives no handle; there is no memory left");
  curl::List* list = nullptr;
  for (const std::string& header : request.headers) {
    if (header.find_first_of("\r\n") != header.npos) {
      api.slist_free_all(list);
      throw_error("[http] a header has a line break");
    }
    list = api.slist_append(list, header.c_str());
  }
  const std::unique_ptr<curl::List, void (*)(curl::List*)> headers(list, api.slist_free_all);
  Transfer transfer{.request = request};
  char message[curl::kErrorSize] = {};
  const auto set = [&](curl::Option option, auto value) {
    api.easy_setopt(handle.get(), option, value);
  };
  set(curl::kUrl, request.url.c_str());
  set(curl::kProtocols, plain ? curl::kHttp | curl::kHttps : curl::kHttps);
  set(curl::kRedirectProtocols, plain ? curl::kHttp | curl::kHttps : curl::kHttps);
  set(curl::kFollowLocation, 1L);
  set(curl::kMaximumRedirects, 10L);
  set(curl::kConnectTimeout, kConnectSeconds);
  set(curl::kLowSpeedLimit, 1L);
  set(curl::kLowSpeedTime, kStallSeconds);
  set(curl::kNoSignal, 1L);
  set(curl::kUserAgent, "cairn");
  set(curl::kErrorBuffer, static_cast<char*>(message));
  if (list) set(curl::kHttpHeader, list);
  if (!request.ca_file.empty()) set(curl::kCaFile, request.ca_file.c_str());
  void* const user = &transfer;
  set(curl::kHeaderFunction, static_cast<curl::DataFunction>(on_header));
  set(curl::kHeaderData, user);
  set(curl::kWriteFunction, static_cast<curl::DataFunction>(on_body));
  set(curl::kWriteData, user);
  set(curl::kProgressFunction, static_cast<curl::ProgressFunction>(on_progress));
  set(curl::kProgressData, user);
  set(curl::kNoProgress, 0L);

  const int code = api.easy_perform(handle.get());
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  HttpResponse& response = transfer.response;
  const bool good = response.status == 200 || response.status == 206;
  // A body of no bytes.
  if (code == curl::kOk && good && !transfer.begun && request.begin)
    request.begin(response.status, response.headers);
  if (code != curl::kOk) {
    response.failure = transfer.stopped ? "stopped"
                       : *message       ? std::string(message)
                                        : std::string(api.easy_strerror(code));
    response.may_be_retried = !transfer.stopped && is_of_the_network(code);
    if (code == curl::kBadCertificate || code == curl::kBadCaFile)
      response.failure += "; certificates to trust can be named with SSL_CERT_FILE";
  }
  return std::move(response);
}

}  // namespace cairn::io
