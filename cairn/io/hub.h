// Models by name from Hugging Face's hub, or a server that speaks like it.
//
// A file is fetched into NAME.part beside its place, checked against the listing (size, and SHA-256
// or git's SHA-1) and renamed; NAME.part.etag says which version the bytes are of, so that a later
// call goes on where this one ended.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::io {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;              // sent to that host alone, and over https only
  std::string ca_file;            // certificates to trust; empty: the system's
  std::string revision = "main";  // a branch, tag or commit
  int attempts = 6;               // in a row without a byte more
  double wait_seconds = 1;  // before the second one, doubled each time; the server may ask for more
  // Asked several times a second; false ends with what was fetched kept.
  std::function<bool()> goes_on = {};
  // A try that failed and will be repeated.
  std::function<void(const std::string& why)> retried = {};
};

struct HubFile {
  std::string path;  // in the repository, checked: relative, without ".."
  uint64_t size = 0;
  std::string sha256;  // of large files
  std::string sha1;    // of small ones: git's, of "blob SIZE\0" and the bytes
};

struct HubListing {
  std::string commit;  // what `revision` is now; files are fetched of this
  std::vector<HubFile> files;
};

// The files of "ORG/MODEL". Throws Error for a name of another form; the Error says what the server
// says, and what to do about it.
Result<HubListing> list_hub_model(const std::string& model, const HubOptions& options);
// The same from the server's answer, which is foreign bytes.
Result<HubListing> parse_hub_listing(std::string_view json);

// The files that a model needs: configuration, tokenizer and templates; safetensors where there are
// some, else GGUF if it is one model. `only`: shell patterns, all files that match one instead. The
// Error lists what there is to choose from.
Result<std::vector<HubFile>> choose_hub_files(const HubListing& listing,
                                              const std::vector<std::string>& only);

// Fetches one file into the folder; true when it was there already, whole. `progress` gets the
// bytes that are there so far. The Error names the file and what went wrong last.
Result<bool> fetch_hub_file(const std::string& model, const std::string& commit,
                            const HubFile& file, const std::string& folder,
                            const HubOptions& options,
                            const std::function<void(uint64_t bytes)>& progress);

}  // namespace cairn::io
