#include "apps/cairn/data_pull.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/cairn/json.h"
#include "cairn/base/clock.h"
#include "cairn/base/environment.h"
#include "cairn/base/file.h"
#include "cairn/io/hub.h"
#include "cairn/plot/terminal.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model;
  std::optional<std::string> out;
  std::string revision = "main";
  std::vector<std::string> only;
};

io::HubOptions hub_options(const Options& options, Session& session) {
  const Environment environment = read_environment();
  io::HubOptions hub;
  hub.endpoint = environment.hub_endpoint.value_or(hub.endpoint);
  if (!hub.endpoint.starts_with("https://") && !hub.endpoint.starts_with("http://"))
    throw_error(fmt::format("HF_ENDPOINT={} is no address; expected https://...", hub.endpoint));
  hub.token = environment.hub_token.value_or("");
  hub.ca_file = environment.ca_file.value_or("");
  hub.revision = options.revision;
  hub.goes_on = [&session] {
    session.stop.check();
    return true;
  };
  hub.retried = [&session](const std::string& why) { session.note(why); };
  return hub;
}

int pull(const Options& options, Session& session) {
  const io::HubOptions hub = hub_options(options, session);
  const io::HubListing listing = io::list_hub_model(options.model, hub).value();
  const auto files = io::choose_hub_files(listing, options.only).value();
  uint64_t all = 0, done = 0, fetched = 0;
  for (const io::HubFile& file : files) all += file.size;
  const std::string out = options.out.value_or(options.model.substr(options.model.find('/') + 1));
  std::error_code failure;
  fs::create_directories(out, failure);
  if (failure) throw file_error("make the folder", out, failure.value());

  Progress progress = session.progress();
  const double start = monotonic_seconds();
  Json rows = Json::array();
  for (const io::HubFile& file : files) {
    uint64_t first = UINT64_MAX, last = 0;  // of this file: what was there, and what is
    const bool there =
        io::fetch_hub_file(options.model, listing.commit, file, out, hub, [&](uint64_t bytes) {
          first = std::min(first, bytes);
          last = bytes;
          progress.update([&] {
            const double seconds = monotonic_seconds() - start;
            const uint64_t now = fetched + bytes - first;
            return fmt::format("{} ({} of {}, {}/s)", file.path, plot::human_bytes(done + bytes),
                               plot::human_bytes(all),
                               plot::human_bytes(static_cast<uint64_t>(static_cast<double>(now) /
                                                                       std::max(seconds, 1e-3))));
          });
        }).value();
    done += file.size;
    if (!there) fetched += last - std::min(first, last);
    rows.push_back({{"path", file.path}, {"bytes", file.size}, {"fetched", !there}});
  }
  progress.clear();
  if (session.common.json)
    print_json(session.out, {{"model", options.model},
                             {"commit", listing.commit},
                             {"out", out},
                             {"files", rows},
                             {"bytes", all}});
  else
    session.out.line(fmt::format("{}: {} files, {} ({} fetched now)", out, files.size(),
                                 plot::human_bytes(all), plot::human_bytes(fetched)));
  return 0;
}

}  // namespace

void add_data_pull(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command = group.command(
      "pull", "Fetch a model by name from Hugging Face, or go on where an earlier call ended.");
  command.positional("ORG/MODEL", options->model, "as on huggingface.co");
  command.option("--out", "DIR", options->out, "the folder to put it into (default: MODEL)");
  command.option("--only", "PATTERN", options->only,
                 "these files instead of what a model needs, as '*Q4_K_M*'");
  command.option("--revision", "NAME", options->revision,
                 "a branch, tag or commit (default: main)");
  command.example("cairn data pull Qwen/Qwen3-0.6B");
  command.run([options](Session& session) { return pull(*options, session); });
}

}  // namespace cairn::app
