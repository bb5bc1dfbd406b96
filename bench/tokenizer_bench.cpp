// Megabytes of text a second that a tokenizer encodes on one thread, in time on a core (other load
// on the machine disturbs that less than the clock): the best of several passes.
//
//   tokenizer_bench TOKENIZER TEXT...      bench/peers/tiktoken_encode.py is tiktoken's side
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdio>

#include "cairn/base/file.h"
#include "cairn/text/tokenizer.h"

namespace {

double core_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    fmt::print(stderr, "tokenizer_bench TOKENIZER TEXT...\n");
    return 2;
  }
  constexpr int kPasses = 5;
  try {
    const auto tokenizer = cairn::text::load_tokenizer(arguments[1]).value();
    for (int i = 2; i < count; ++i) {
      const std::string text = cairn::read_file(arguments[i]).value();
      double best = 1e9;
      size_t tokens = 0;
      for (int pass = 0; pass < kPasses; ++pass) {
        const double start = core_seconds();
        tokens = tokenizer->encode(text).size();
        best = std::min(best, core_seconds() - start);
      }
      fmt::print("{}: {} bytes, {} tokens, {:.1f} MB/s\n", arguments[i], text.size(), tokens,
                 1e-6 * static_cast<double>(text.size()) / best);
    }
  } catch (const cairn::Error& error) {
    fmt::print(stderr, "tokenizer_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
