// Files over HTTPS, by libcurl. Certificates are checked; proxies are those of https_proxy and
// no_proxy, which libcurl reads.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::io {

struct HttpRequest {
  std::string url;                   // https://..., or http://... where that is asked for
  std::vector<std::string> headers;  // "Name: value"; Authorization stays with the first host
  std::string ca_file;               // certificates to trust; empty: the system's
  // Called with the status and headers of a 200 or 206, before its body.
  std::function<void(int status, const std::map<std::string, std::string>& headers)> begin = {};
  // Bytes of that body; false stops the transfer.
  std::function<bool(std::string_view bytes)> body = {};
  // Asked several times a second; false stops the transfer.
  std::function<bool()> goes_on = {};
};

struct HttpResponse {
  int status = 0;                              // 0: no answer came
  std::map<std::string, std::string> headers;  // names in small letters; of the last redirect
  std::string text;                            // the start of what came with an error status
  // Why the transfer did not come to its end; empty when it did.
  std::string failure;
  bool may_be_retried = false;  // the failure was of the network
};

// Follows redirects, only to the protocol of `url` or to https. The Error is for a machine that
// cannot do it at all; what goes wrong on the way is in the response.
Result<HttpResponse> http_get(const HttpRequest& request);

}  // namespace cairn::io
