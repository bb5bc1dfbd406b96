// The few functions of libcurl that downloads need, opened at run time: it loads thirty libraries,
// which only `cairn data pull` pays for, and building needs nothing of it. Names and numbers are
// those of curl/curl.h, which do not change.
#pragma once

#include <cstdint>

#include "cairn/base/error.h"

namespace cairn::io::curl {

using Handle = void;
struct List;

enum Option : int {
  kFollowLocation = 52,
  kNoProgress = 43,
  kLowSpeedLimit = 19,
  kLowSpeedTime = 20,
  kMaximumRedirects = 68,
  kConnectTimeout = 78,
  kNoSignal = 99,
  kProtocols = 181,
  kRedirectProtocols = 182,
  kWriteData = 10001,
  kUrl = 10002,
  kErrorBuffer = 10010,
  kUserAgent = 10018,
  kHttpHeader = 10023,
  kHeaderData = 10029,
  kProgressData = 10057,
  kCaFile = 10065,
  kWriteFunction = 20011,
  kHeaderFunction = 20079,
  kProgressFunction = 20219,
};
inline constexpr long kHttp = 1, kHttps = 2;
inline constexpr int kErrorSize = 256;
inline constexpr long kGlobalAll = 3;

// CURLcode, the ones that are told apart.
enum Code : int {
  kOk = 0,
  kBadResolve = 6,
  kBadConnect = 7,
  kHttp2 = 16,
  kPartialFile = 18,
  kTimeout = 28,
  kSslConnect = 35,
  kAborted = 42,
  kGotNothing = 52,
  kSendError = 55,
  kReceiveError = 56,
  kBadCertificate = 60,
  kBadCaFile = 77,
  kHttp2Stream = 92,
};

using DataFunction = size_t (*)(char* data, size_t size, size_t count, void* user);
using ProgressFunction = int (*)(void* user, int64_t, int64_t, int64_t, int64_t);

struct Api {
  int (*global_init)(long);
  Handle* (*easy_init)();
  int (*easy_setopt)(Handle*, int, ...);
  int (*easy_perform)(Handle*);
  void (*easy_cleanup)(Handle*);
  const char* (*easy_strerror)(int);
  List* (*slist_append)(List*, const char*);
  void (*slist_free_all)(List*);
};

// Opened once; the Error says which package has it.
Result<const Api*> open();

}  // namespace cairn::io::curl
