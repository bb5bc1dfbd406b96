#include "cairn/io/curl_api.h"

#include <dlfcn.h>

namespace cairn::io::curl {
namespace {

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<Api> load() {
  void* library = nullptr;
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"})
    if (!library) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return Error(
        "downloads need libcurl, which is not installed; install it (Debian and Ubuntu: apt "
        "install libcurl4), or fetch the files with another program");
  Api api{};
  const bool whole = find(library, "curl_global_init", api.global_init) &&
                     find(library, "curl_easy_init", api.easy_init) &&
                     find(library, "curl_easy_setopt", api.easy_setopt) &&
                     find(library, "curl_easy_perform", api.easy_perform) &&
                     find(library, "curl_easy_cleanup", api.easy_cleanup) &&
                     find(library, "curl_easy_strerror", api.easy_strerror) &&
                     find(library, "curl_slist_append", api.slist_append) &&
                     find(library, "curl_slist_free_all", api.slist_free_all);
  if (!whole || api.global_init(kGlobalAll) != kOk)
    return Error("libcurl is damaged: it lacks functions that every version has");
  return api;
}

}  // namespace

Result<const Api*> open() {
  static const Result<Api> api = load();
  if (!api) return api.error();
  return &api.value();
}

}  // namespace cairn::io::curl
