#include "apps/cairn/bench_llama_cpp.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cairn/base/environment.h"
#include "cairn/base/error.h"

namespace cairn::app {
namespace {

std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// What a shell command writes to stdout; empty when it fails.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen((command + " 2>/dev/null").c_str(), "r"),
                                                   [](FILE* f) { return pclose(f); });
  std::string text;
  if (!pipe) return text;
  char buffer[1 << 12];
  constexpr size_t kMost = 1 << 20;
  for (size_t n; text.size() < kMost && (n = fread(buffer, 1, sizeof(buffer), pipe.get())) > 0;)
    text.append(buffer, n);
  return text;
}

}  // namespace

LlamaCpp::LlamaCpp(const std::string& model, const std::string& kv)
    : folder_(read_environment().peer_llama.value_or("")), model_(model), kv_(kv) {
  if (folder_.empty()) throw_error("CAIRN_PEER_LLAMA names no folder");
  std::error_code ignored;
  for (const char* program : {"llama-bench", "llama-batched-bench"})
    if (!std::filesystem::exists(std::filesystem::path(folder_) / program, ignored))
      throw_error(fmt::format("there is no {} in {}", program, folder_));
}

std::optional<double> LlamaCpp::run(const LlmTest& test, int threads) const {
  const std::string common =
      fmt::format(" -m {} -t {} -ctk {} -ctv {} -fa 1", quoted(model_), threads, kv_, kv_);
  if (test.batch == 1) {
    const std::string text = output_of(fmt::format(
        "{}{} -p {} -n {} -d {} -r 1 -o json", quoted(folder_ + "/llama-bench"), common,
        test.is_prefill ? test.tokens : 0, test.is_prefill ? 0 : test.tokens, test.depth));
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_array() || json.size() != 1 || !json[0].is_object()) return std::nullopt;
    const auto speed = json[0].find("avg_ts");
    if (speed == json[0].end() || !speed->is_number()) return std::nullopt;
    return speed->get<double>();
  }
  // A line of JSON for each case, among others.
  const int64_t context = test.batch * (test.depth + test.tokens);
  const std::string text =
      output_of(fmt::format("{}{} -c {} -npp {} -ntg {} -npl {} --output-format jsonl",
                            quoted(folder_ + "/llama-batched-bench"), common, context, test.depth,
                            test.tokens, test.batch));
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const auto json = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (json.is_object() && json.contains("speed_tg") && json["speed_tg"].is_number())
      return json["speed_tg"].get<double>();
    begin = end + 1;
  }
  return std::nullopt;
}

}  // namespace cairn::app
