// llama.cpp's measuring programs, where CAIRN_PEER_LLAMA names a folder with them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cairn::app {

// What is measured: `tokens` of a prompt, or of decoding `batch` sequences, each behind `depth`
// tokens.
struct LlmTest {
  bool is_prefill = true;
  int64_t tokens = 0, batch = 1, depth = 0;
};

class LlamaCpp {
 public:
  // Throws Error, saying why, where the programs are not there. `kv`: f32, f16 or q8_0.
  LlamaCpp(const std::string& model, const std::string& kv);
  // Tokens a second, all sequences together, of one run in a process of its own. Nothing when it
  // failed, as it does with a file of an architecture that it does not know.
  std::optional<double> run(const LlmTest& test, int threads) const;

 private:
  std::string folder_, model_, kv_;
};

}  // namespace cairn::app
